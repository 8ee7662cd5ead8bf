// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/selftest.c (6.12): test ops that look into mock domains and at pages. */
import type { pfn } from '../../hw/memory.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kvzalloc } from '../../sim/slab.ts';
import { spin_lock, spin_unlock } from '../../sim/sync/spinlock.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EFAULT, EINVAL, EIO, ENOMEM, EOVERFLOW } from '../../uapi/errno.ts';
import { iommu_test_cmd_dirty } from '../../uapi/iommufd_test.ts';
import { type ViewOf, view } from '../../uapi/layout.ts';
import { get_user_pages_fast } from '../mm/gup.ts';
import { PAGE_SIZE } from '../mm/mm.ts';
import { GUP_PIN_COUNTING_BIAS, PageCompound, page_ref_count, type page_run, put_page } from '../mm/page.ts';
import { copy_from_user } from '../mm/uaccess.ts';
import {
  iommufd_hw_pagetable,
  iommufd_object_type,
  iommufd_put_object,
  type iommufd_ucmd,
  iommufd_ucmd_respond,
} from './iommufd_private.h.ts';
import { iommufd_get_object } from './main.ts';
import { MOCK_DIRTY_TRACK, MOCK_IO_PAGE_SIZE, mock_iommu_domain } from './selftest_domain.ts';
import { iotlb_entry, mock_iommu_domain_nested } from './selftest_nested.ts';

const fn = sourceFile('drivers/iommu/iommufd/selftest.c');

const PAGE = BigInt(PAGE_SIZE);
const IO_PAGE = BigInt(MOCK_IO_PAGE_SIZE);
const ULONG_MAX = 0xffff_ffff_ffff_ffffn;

interface Found<D> {
  readonly hwpt: iommufd_hw_pagetable;
  readonly domain: D;
}

/** A page table with a short reference, and the mock driver's domain in it. -ENOENT; -EINVAL: another driver's. */
function* get_pagetable<D>(
  { ictx }: iommufd_ucmd,
  id: number,
  type: iommufd_object_type,
  kind: abstract new (...args: never[]) => D,
): Gen<Found<D> | Err> {
  const hwpt = yield* iommufd_get_object(ictx, id, type);
  if (IS_ERR(hwpt)) return hwpt;
  if (!(hwpt instanceof iommufd_hw_pagetable)) throw new Error(`${hwpt.name} says it is a page table`);
  const { domain } = hwpt;
  if (domain instanceof kind) return { hwpt, domain };
  yield* iommufd_put_object(ictx, hwpt);
  return fail(EINVAL, 'the domain is not of the mock driver');
}

const get_md_pagetable = (ucmd: iommufd_ucmd, id: number): Gen<Found<mock_iommu_domain> | Err> =>
  get_pagetable(ucmd, id, iommufd_object_type.IOMMUFD_OBJ_HWPT_PAGING, mock_iommu_domain);

const get_md_pagetable_nested = (
  ucmd: iommufd_ucmd,
  id: number,
): Gen<Found<mock_iommu_domain_nested> | Err> =>
  get_pagetable(ucmd, id, iommufd_object_type.IOMMUFD_OBJ_HWPT_NESTED, mock_iommu_domain_nested);

/** The page behind a user address, with a reference to be put. -EFAULT. */
function* get_user_page(uptr: bigint): Gen<pfn | Err> {
  const pages: page_run[] = [];
  const npages = yield* get_user_pages_fast(uptr, 1, 0, pages);
  if (IS_ERR(npages)) return npages;
  const [page] = pages;
  if (WARN_ON(npages !== 1, 'get_user_pages_fast of one page gave another number') || page === undefined) {
    return fail(EFAULT, 'another number of pages than asked for');
  }
  return page.start;
}

/** As get_user_page, with the reference put already. */
export function* get_user_frame(uptr: bigint): Gen<pfn | Err> {
  const page = yield* get_user_page(uptr);
  if (!IS_ERR(page)) yield* put_page(page);
  return page;
}

/** IOMMU_TEST_OP_MD_CHECK_MAP: every IOVA leads to the frame behind its user address. -EINVAL: not so; -EFAULT. */
export const iommufd_test_md_check_pa = fn(
  'iommufd_test_md_check_pa',
  function* (ucmd: iommufd_ucmd, id: number, iova: bigint, length: bigint, uptr: bigint): Gen<Rc> {
    if (iova % IO_PAGE !== 0n || length % IO_PAGE !== 0n || uptr % IO_PAGE !== 0n) {
      return fail(EINVAL, 'not aligned to an I/O page');
    }
    if (uptr + length > ULONG_MAX) return fail(EINVAL, 'the user addresses wrap');
    const found = yield* get_md_pagetable(ucmd, id);
    if (IS_ERR(found)) return found;
    const rc = yield* check_pa(found.domain, iova, length, uptr);
    yield* iommufd_put_object(ucmd.ictx, found.hwpt);
    return rc;
  },
);

function* check_pa({ pfns }: mock_iommu_domain, iova: bigint, length: bigint, uptr: bigint): Gen<Rc> {
  for (let done = 0n; done < length; done += IO_PAGE) {
    const at = uptr + done;
    const pfn = yield* get_user_frame(at - (at % PAGE));
    if (IS_ERR(pfn)) return pfn;
    const entry = pfns.get(Number(BigInt.asUintN(64, iova + done) / IO_PAGE));
    if (entry === undefined) return fail(EINVAL, 'nothing is mapped there');
    if (entry.paddr !== pfn * PAGE_SIZE + Number(at % PAGE)) return fail(EINVAL, 'it leads elsewhere');
  }
  return 0;
}

/** IOMMU_TEST_OP_MD_CHECK_REFS: every page is pinned `refs` times. -EIO: not so; -EINVAL, -EFAULT. */
export const iommufd_test_md_check_refs = fn(
  'iommufd_test_md_check_refs',
  function* (uptr: bigint, length: bigint, refs: number): Gen<Rc> {
    if (length % PAGE !== 0n || uptr % PAGE !== 0n) return fail(EINVAL, 'not aligned to a page');
    if (uptr + length > ULONG_MAX) return fail(EINVAL, 'the user addresses wrap');
    for (let done = 0n; done < length; done += PAGE) {
      const page = yield* get_user_page(uptr + done);
      if (IS_ERR(page)) return page;
      const count = PageCompound(page) ? null : yield* page_ref_count(page);
      yield* put_page(page);
      if (count !== null && Math.floor(count / GUP_PIN_COUNTING_BIAS) !== refs) {
        return fail(EIO, 'the page is pinned more or less often');
      }
    }
    return 0;
  },
);

/** IOMMU_TEST_OP_MD_CHECK_IOTLB: the entry of a nested domain's IOTLB is `iotlb`. -EINVAL: not so. */
export const iommufd_test_md_check_iotlb = fn(
  'iommufd_test_md_check_iotlb',
  function* (ucmd: iommufd_ucmd, id: number, iotlb_id: number, iotlb: number): Gen<Rc> {
    const found = yield* get_md_pagetable_nested(ucmd, id);
    if (IS_ERR(found)) return found;
    const same = iotlb_entry(found.domain, iotlb_id) === iotlb;
    yield* iommufd_put_object(ucmd.ictx, found.hwpt);
    return same ? 0 : fail(EINVAL, 'the entry is another, or none');
  },
);

type Dirty = ViewOf<typeof iommu_test_cmd_dirty>;

/** A bitmap of dirty pages may be as large as 16 MiB. */
const MAX_DIRTY = 8n << 24n;

/**
 * IOMMU_TEST_OP_DIRTY: the pages of a user bitmap become dirty, as if a device had written them, and those
 * that are mapped are counted. -EINVAL, -EOVERFLOW, -ENOMEM, -EFAULT.
 */
export const iommufd_test_dirty = fn('iommufd_test_dirty', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const cmd = view(iommu_test_cmd_dirty, ucmd.bytes);
  const iova = cmd['dirty.iova'];
  const length = cmd['dirty.length'];
  const page_size = cmd['dirty.page_size'];
  if (page_size === 0n || length === 0n || cmd['dirty.uptr'] === 0n) {
    return fail(EINVAL, 'page_size, length or uptr is 0');
  }
  if (iova % page_size !== 0n || length % page_size !== 0n) return fail(EINVAL, 'not aligned to page_size');
  const max = length / page_size;
  if (max > MAX_DIRTY) return fail(EOVERFLOW, 'the bitmap is too large');
  const found = yield* get_md_pagetable(ucmd, cmd.id);
  if (IS_ERR(found)) return found;
  const rc = yield* mark_dirty(ucmd, cmd, found.domain, Number(max));
  yield* iommufd_put_object(ucmd.ictx, found.hwpt);
  return rc;
});

function* mark_dirty(ucmd: iommufd_ucmd, cmd: Dirty, mock: mock_iommu_domain, max: number): Gen<Rc> {
  if ((mock.flags & MOCK_DIRTY_TRACK) === 0) return fail(EINVAL, 'dirty tracking is off');
  const tmp = kvzalloc(Math.ceil(max / 64) * 8, 'a bitmap');
  if (tmp === null) return fail(ENOMEM, 'no memory for the bitmap');
  if ((yield* copy_from_user(tmp.subarray(0, Math.ceil(max / 8)), cmd['dirty.uptr'])) !== 0) {
    return fail(EFAULT, 'the bitmap cannot be read');
  }
  let count = 0;
  yield* spin_lock(mock.pfns.lock);
  for (const { first, from, to } of spansOf(cmd['dirty.iova'], cmd['dirty.page_size'], max)) {
    for (const entry of mock.pfns.within(first, first + to - from)) {
      for (const [start, last] of runs(tmp, from + entry.start - first, from + entry.last - first)) {
        mock.dirty.set(first + start - from, first + last - from, true);
        count += last - start + 1;
      }
    }
  }
  yield* spin_unlock(mock.pfns.lock);
  cmd['dirty.out_nr_dirty'] = BigInt(count);
  return yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
}

interface DirtySpan {
  /** The index in the domain that the first of the bits is for. */
  readonly first: number;
  readonly from: number;
  readonly to: number;
}

/** Which entries of a domain the bits are for. 6.12 does this: it takes page_size for the I/O page size, and may wrap. */
function spansOf(iova: bigint, page_size: bigint, max: number): DirtySpan[] {
  const index = (bit: bigint): number => Number(BigInt.asUintN(64, iova + bit * page_size) / page_size);
  const wrap = (ULONG_MAX - iova) / page_size + 1n;
  if (wrap >= BigInt(max)) return [{ first: index(0n), from: 0, to: max - 1 }];
  const at = Number(wrap);
  return [
    { first: index(0n), from: 0, to: at - 1 },
    { first: index(wrap), from: at, to: max - 1 },
  ];
}

/** The runs of set bits among bits [from, to] of a bitmap. */
function* runs(
  bitmap: Uint8Array,
  from: number,
  to: number,
): Generator<readonly [start: number, last: number], void> {
  const isSet = (at: number): boolean => (((bitmap[at >> 3] ?? 0) >> (at & 7)) & 1) !== 0;
  for (let at = from; at <= to; at++) {
    if ((at & 7) === 0 && bitmap[at >> 3] === 0) {
      at += 7;
      continue;
    }
    if (!isSet(at)) continue;
    const start = at;
    while (at < to && isSet(at + 1)) at++;
    yield [start, at];
  }
}
