// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/selftest.c (6.12): the mock domain, a page table with nothing behind it. */
import { IO_READ, IO_WRITE, io_pgtable, pte_clear, pte_set } from '../../hw/iommu.ts';
import { bitmap } from '../../sim/collections/bitmap.ts';
import { done } from '../../sim/coroutine.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { flags32 } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { struct } from '../../sim/struct.ts';
import { spin_lock, spin_unlock } from '../../sim/sync/spinlock.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EINVAL, ENOENT } from '../../uapi/errno.ts';
import {
  MOCK_APERTURE_LAST,
  MOCK_APERTURE_START,
  MOCK_FLAGS_DEVICE_HUGE_IOVA,
} from '../../uapi/iommufd_test.ts';
import type { device } from '../driver-core/device.ts';
import {
  IOMMU_DIRTY_NO_CLEAR,
  IOMMU_READ,
  IOMMU_WRITE,
  type iommu_dirty_bitmap,
  iommu_dirty_bitmap_record,
  type iommu_dirty_ops,
  type iommu_domain,
  type iommu_domain_ops,
  iommu_domain_type,
  type iommu_mapped,
  type phys_extent,
} from '../iommu/iommu.h.ts';
import { mock_dev_of, mock_domain_nop_attach, mock_translation } from './selftest_device.ts';
import { iommufd_should_fail } from './selftest_inject.ts';

const fn = sourceFile('drivers/iommu/iommufd/selftest.c');

/** Half a page, so that nothing takes the two sizes for one. Bytes. */
export const MOCK_IO_PAGE_SIZE = 2048;
const MOCK_HUGE_PAGE_SIZE = 512 * MOCK_IO_PAGE_SIZE;
const IO_PAGE = BigInt(MOCK_IO_PAGE_SIZE);
/** I/O pages in a huge one. */
const HUGE_NR = 512;

/** Of mock_iommu_domain.flags. */
export const MOCK_DIRTY_TRACK = 1;

/** Of an entry's bits: it was mapped as part of a huge page. */
const MOCK_PFN_HUGE_IOVA = 1;

/**
 * A domain that keeps for each I/O page where it leads to, and nothing else. Linux marks in the entries where
 * a call of map_pages began and ended (by one bit for both), and that one is dirty: here an entry knows its
 * run, and `dirty` stands beside, by the same index.
 */
export class mock_iommu_domain extends struct('mock_iommu_domain', mock_translation, {
  flags: flags32(),
  pfns: io_pgtable(MOCK_IO_PAGE_SIZE, (bits) => ((bits & MOCK_PFN_HUGE_IOVA) === 0 ? '' : ' huge')),
  dirty: bitmap(),
}) {
  get table(): io_pgtable {
    return this.pfns;
  }
}

interface Dirty {
  readonly start: number;
  readonly last: number;
}

/** The mock domain that a domain is. Throws (a bug of ours) when it is none. */
function mock_of(domain: iommu_domain): mock_iommu_domain {
  if (!(domain instanceof mock_iommu_domain)) throw new Error(`${domain.name} is no mock domain`);
  return domain;
}

const mock_domain_set_dirty_tracking = fn(
  'mock_domain_set_dirty_tracking',
  function* (domain: iommu_domain, enable: boolean): Gen<Rc> {
    const mock = mock_of(domain);
    const { flags } = mock;
    if (enable && domain.dirty_ops === null) return fail(EINVAL, 'the domain tracks nothing');
    if (enable === ((flags & MOCK_DIRTY_TRACK) !== 0)) return 0;
    mock.flags = enable ? flags | MOCK_DIRTY_TRACK : flags & ~MOCK_DIRTY_TRACK;
    return 0;
  },
);

/** The dirty I/O pages of [first, last]; they are clean afterwards, unless flags say otherwise. */
function* take_dirty(mock: mock_iommu_domain, first: number, last: number, flags: number): Gen<Dirty[]> {
  if ((flags & IOMMU_DIRTY_NO_CLEAR) !== 0) return [...mock.dirty.within(first, last)];
  yield* spin_lock(mock.pfns.lock);
  const runs = [...mock.dirty.within(first, last)];
  if (runs.length > 0) mock.dirty.clear(first, last);
  yield* spin_unlock(mock.pfns.lock);
  return runs;
}

/** I/O pages that are not huge, [first, last]: reports the dirty ones. `iova`: that of `first`. */
function* read_small(
  mock: mock_iommu_domain,
  iova: bigint,
  first: number,
  last: number,
  flags: number,
  dirty: iommu_dirty_bitmap,
): Gen<void> {
  for (const run of yield* take_dirty(mock, first, last, flags)) {
    const at = iova + BigInt(run.start - first) * IO_PAGE;
    yield* iommu_dirty_bitmap_record(dirty, at, (run.last - run.start + 1) * MOCK_IO_PAGE_SIZE);
  }
}

/** A huge page, that of the I/O page `index`: one dirty I/O page makes it dirty from `iova` on. */
function* read_huge(
  mock: mock_iommu_domain,
  iova: bigint,
  index: number,
  flags: number,
  dirty: iommu_dirty_bitmap,
): Gen<void> {
  const head = index - (index % HUGE_NR);
  const runs = yield* take_dirty(mock, head, head + HUGE_NR - 1, flags);
  if (runs.length > 0) yield* iommu_dirty_bitmap_record(dirty, iova, MOCK_HUGE_PAGE_SIZE);
}

const mock_domain_read_and_clear_dirty = fn(
  'mock_domain_read_and_clear_dirty',
  function* (
    domain: iommu_domain,
    iova: bigint,
    size: number,
    flags: number,
    dirty: iommu_dirty_bitmap,
  ): Gen<Rc> {
    const mock = mock_of(domain);
    if ((mock.flags & MOCK_DIRTY_TRACK) === 0 && dirty.bitmap !== null) {
      return fail(EINVAL, 'dirty tracking is off');
    }
    const first = Number(iova / IO_PAGE);
    // 6.12 does this: it looks at one I/O page even if there is none to look at.
    const end = first + Math.max(Math.ceil(size / MOCK_IO_PAGE_SIZE), 1);
    for (let index = first; index < end; ) {
      const entry = mock.pfns.first(index, end - 1);
      if (entry === null) break;
      const at = iova + BigInt(entry.start - first) * IO_PAGE;
      if ((entry.value.bits & MOCK_PFN_HUGE_IOVA) === 0) {
        yield* read_small(mock, at, entry.start, entry.last, flags, dirty);
        index = entry.last + 1;
      } else {
        yield* read_huge(mock, at, entry.start, flags, dirty);
        index = entry.start + HUGE_NR;
      }
    }
    return 0;
  },
);

export const dirty_ops: iommu_dirty_ops = {
  name: 'dirty_ops',
  set_dirty_tracking: mock_domain_set_dirty_tracking,
  read_and_clear_dirty: mock_domain_read_and_clear_dirty,
};

/** An empty domain; null: no memory. */
export const mock_domain_alloc_paging = fn(
  'mock_domain_alloc_paging',
  function* (dev: device | null, creator: Named, role: string): Gen<mock_iommu_domain | null> {
    const mock = kzalloc(mock_iommu_domain, creator, role);
    if (mock === null) return null;
    mock.geometry.aperture_start = MOCK_APERTURE_START;
    mock.geometry.aperture_end = MOCK_APERTURE_LAST;
    mock.pgsize_bitmap = IO_PAGE;
    if (dev !== null && (mock_dev_of(dev).flags & MOCK_FLAGS_DEVICE_HUGE_IOVA) !== 0) {
      mock.pgsize_bitmap |= BigInt(MOCK_HUGE_PAGE_SIZE);
    }
    mock.ops = mock_domain_ops;
    mock.type = iommu_domain_type.IOMMU_DOMAIN_UNMANAGED;
    return mock;
  },
);

const mock_domain_free = fn('mock_domain_free', (domain: iommu_domain): Co<void> => {
  const mock = mock_of(domain);
  WARN_ON(!mock.pfns.isEmpty, 'a mock domain is freed with something mapped');
  kfree(mock);
  return done(undefined);
});

const mock_domain_map_pages = fn(
  'mock_domain_map_pages',
  function* (
    domain: iommu_domain,
    iova: bigint,
    paddr: number,
    pgsize: number,
    pgcount: number,
    prot: number,
    mapped: iommu_mapped,
  ): Gen<Rc> {
    const { pfns, dirty } = mock_of(domain);
    if (iommufd_should_fail()) return fail(ENOENT, 'fault injection');
    WARN_ON(iova % IO_PAGE !== 0n, 'map_pages: the IOVA is not aligned');
    WARN_ON(pgsize % MOCK_IO_PAGE_SIZE !== 0, 'map_pages: the page size is none of the mock domain');
    const count = pgcount * (pgsize / MOCK_IO_PAGE_SIZE);
    if (count === 0) return 0;
    const first = Number(iova / IO_PAGE);
    const last = first + count - 1;
    yield* spin_lock(pfns.lock);
    WARN_ON(pfns.first(first, last) !== null, 'map_pages: something is mapped there already');
    yield* pte_set(pfns, first, last, {
      paddr: paddr - (paddr % MOCK_IO_PAGE_SIZE),
      before: 0,
      after: count - 1,
      // Linux's mock domain does not care what may be done.
      access: ((prot & IOMMU_READ) === 0 ? 0 : IO_READ) | ((prot & IOMMU_WRITE) === 0 ? 0 : IO_WRITE),
      bits: pgsize === MOCK_IO_PAGE_SIZE ? 0 : MOCK_PFN_HUGE_IOVA,
    });
    dirty.clear(first, last);
    yield* spin_unlock(pfns.lock);
    mapped.bytes += count * MOCK_IO_PAGE_SIZE;
    return 0;
  },
);

/** Whether a call of map_pages began or ended there, or nothing is mapped there. */
function isEnd({ pfns }: mock_iommu_domain, index: number): boolean {
  const entry = pfns.get(index);
  return entry === undefined || entry.before === 0 || entry.after === 0;
}

const mock_domain_unmap_pages = fn(
  'mock_domain_unmap_pages',
  function* (domain: iommu_domain, iova: bigint, pgsize: number, pgcount: number): Gen<number> {
    const mock = mock_of(domain);
    WARN_ON(iova % IO_PAGE !== 0n, 'unmap_pages: the IOVA is not aligned');
    WARN_ON(pgsize % MOCK_IO_PAGE_SIZE !== 0, 'unmap_pages: the page size is none of the mock domain');
    const count = pgcount * (pgsize / MOCK_IO_PAGE_SIZE);
    if (count === 0) return 0;
    const first = Number(iova / IO_PAGE);
    const last = first + count - 1;
    yield* spin_lock(mock.pfns.lock);
    // With two page sizes the core cuts an unmap where they change, which may be anywhere.
    if ((domain.pgsize_bitmap & BigInt(MOCK_HUGE_PAGE_SIZE)) === 0n) {
      WARN_ON(!isEnd(mock, first), 'unmap_pages: it does not begin where a map_pages did');
      WARN_ON(!isEnd(mock, last), 'unmap_pages: it does not end where a map_pages did');
    }
    yield* pte_clear(mock.pfns, first, last);
    mock.dirty.clear(first, last);
    yield* spin_unlock(mock.pfns.lock);
    return count * MOCK_IO_PAGE_SIZE;
  },
);

const mock_domain_iova_to_phys = fn(
  'mock_domain_iova_to_phys',
  (domain: iommu_domain, iova: bigint, size: number): phys_extent => {
    WARN_ON(iova % IO_PAGE !== 0n, 'iova_to_phys: the IOVA is not aligned');
    const index = Number(iova / IO_PAGE);
    const entry = mock_of(domain).pfns.first(index, index + Math.ceil(size / MOCK_IO_PAGE_SIZE) - 1);
    if (entry === null || entry.start !== index) {
      WARN_ON(true, 'iova_to_phys: nothing is mapped there');
      return { phys: 0, bytes: MOCK_IO_PAGE_SIZE };
    }
    return { phys: entry.value.paddr, bytes: (entry.last - index + 1) * MOCK_IO_PAGE_SIZE };
  },
);

/** mock_ops.default_domain_ops. */
export const mock_domain_ops: iommu_domain_ops = {
  name: 'mock_ops.default_domain_ops',
  free: mock_domain_free,
  attach_dev: mock_domain_nop_attach,
  map_pages: mock_domain_map_pages,
  unmap_pages: mock_domain_unmap_pages,
  iova_to_phys: (domain, iova) => mock_domain_iova_to_phys(domain, iova, 1).phys,
  iova_to_phys_extent: mock_domain_iova_to_phys,
};
