// SPDX-License-Identifier: GPL-2.0-only

// The mock domain, which keeps runs, against one that keeps an entry an I/O page, as Linux does.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { boot, inTask, recorded } from '../../sim/collections/testing.ts';
import type { Rc } from '../../sim/errno.ts';
import type { Gen } from '../../sim/task.ts';
import { EINVAL } from '../../uapi/errno.ts';
import { IOMMU_DIRTY_NO_CLEAR } from '../iommu/iommu.h.ts';
import {
  dirty_ops,
  MOCK_IO_PAGE_SIZE,
  mock_domain_alloc_paging,
  mock_domain_ops,
  type mock_iommu_domain,
} from './selftest_domain.ts';

const HUGE = 512;

interface Entry {
  readonly pfn: number;
  readonly end: boolean;
  readonly huge: boolean;
  dirty: boolean;
}

/** Entries by I/O page, and whether anything has warned. */
class PageByPage {
  readonly entries = new Map<number, Entry>();
  readonly huge: boolean;
  warned = false;

  constructor(huge: boolean) {
    this.huge = huge;
  }

  map(first: number, pfn: number, count: number, huge: boolean): void {
    for (let i = 0; i < count; i++) {
      if (this.entries.has(first + i)) this.warned = true;
      const end = i === 0 || i === count - 1;
      this.entries.set(first + i, { pfn: pfn + i, end, huge, dirty: false });
    }
  }

  unmap(first: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const entry = this.entries.get(first + i);
      this.entries.delete(first + i);
      const end = i === 0 || i === count - 1;
      if (!this.huge && end && entry !== undefined && !entry.end) this.warned = true;
    }
  }

  /** I/O pages that are reported, as the mock's read_and_clear_dirty goes through them. */
  read(first: number, count: number, clear: boolean): Set<number> {
    const found = new Set<number>();
    for (let at = first; at < first + Math.max(count, 1); ) {
      const entry = this.entries.get(at);
      const size = entry?.huge === true ? HUGE : 1;
      const head = at - (at % size);
      let dirty = false;
      for (let i = head; entry !== undefined && i < head + size; i++) {
        const page = this.entries.get(i);
        if (page === undefined || !page.dirty) continue;
        dirty = true;
        if (clear) page.dirty = false;
      }
      for (let i = 0; dirty && i < size; i++) found.add(at + i);
      at += size;
    }
    return found;
  }
}

/** Runs a body with a new domain; returns what warned. */
function withDomain(huge: boolean, body: (mock: mock_iommu_domain) => Gen<void>): string[] {
  const machine = boot();
  inTask(machine, function* () {
    const mock = yield* mock_domain_alloc_paging(null, machine.root, 'domain');
    if (mock === null) throw new Error('no memory');
    if (huge) mock.pgsize_bitmap |= BigInt(HUGE * MOCK_IO_PAGE_SIZE);
    mock.dirty_ops = dirty_ops;
    yield* body(mock);
  });
  return recorded(machine).filter((line) => line.startsWith('WARN'));
}

function* map(mock: mock_iommu_domain, first: number, pfn: number, count: number, size: number): Gen<Rc> {
  const iova = BigInt(first) * BigInt(MOCK_IO_PAGE_SIZE);
  const pgsize = size * MOCK_IO_PAGE_SIZE;
  const mapped = { bytes: 0 };
  const { map_pages } = mock_domain_ops;
  if (map_pages === undefined) throw new Error('no map_pages');
  const rc = yield* map_pages(mock, iova, pfn * MOCK_IO_PAGE_SIZE, pgsize, count / size, 0, mapped);
  expect(mapped.bytes).toBe(count * MOCK_IO_PAGE_SIZE);
  return rc;
}

function* unmap(mock: mock_iommu_domain, first: number, count: number): Gen<void> {
  const iova = BigInt(first) * BigInt(MOCK_IO_PAGE_SIZE);
  const gather = { start: 0n, end: 0n, pgsize: 0, queued: false };
  const { unmap_pages } = mock_domain_ops;
  if (unmap_pages === undefined) throw new Error('no unmap_pages');
  expect(yield* unmap_pages(mock, iova, MOCK_IO_PAGE_SIZE, count, gather)).toBe(count * MOCK_IO_PAGE_SIZE);
}

function* read_dirty(mock: mock_iommu_domain, first: number, count: number, flags: number): Gen<Set<number>> {
  const found = new Set<number>();
  const bitmap = {
    *set(iova: bigint, length: number): Gen<void> {
      const at = Number(iova) / MOCK_IO_PAGE_SIZE;
      for (let i = 0; i < length / MOCK_IO_PAGE_SIZE; i++) found.add(at + i);
    },
  };
  const iova = BigInt(first) * BigInt(MOCK_IO_PAGE_SIZE);
  const size = count * MOCK_IO_PAGE_SIZE;
  expect(yield* dirty_ops.read_and_clear_dirty(mock, iova, size, flags, { bitmap, gather: null })).toBe(0);
  return found;
}

/** Every entry as a line. */
function contents({ pfns, dirty }: mock_iommu_domain): string[] {
  const lines: string[] = [];
  for (const { start, last, value } of pfns.within(0, 4 * HUGE)) {
    for (let i = 0; i <= last - start; i++) {
      const pfn = value.paddr / MOCK_IO_PAGE_SIZE + i;
      lines.push(`${start + i}: ${pfn}${dirty.get(start + i) === true ? ' dirty' : ''}`);
    }
  }
  return lines;
}

const place = fc.integer({ min: 0, max: 40 });
const length = fc.integer({ min: 1, max: 12 });
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('map' as const), at: place, pfn: fc.nat(4000), n: length }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('huge' as const), at: fc.nat(2), pfn: fc.nat(4000) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('unmap' as const), at: place, n: length }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('dirty' as const), at: place, n: length }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('read' as const),
      at: place,
      n: fc.nat(1100),
      clear: fc.boolean(),
    }),
  },
);

test('runs behave as entries do', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(step, { maxLength: 30 }), (huge, steps) => {
      const pages = new PageByPage(huge);
      const warned = withDomain(huge, function* (mock) {
        yield* dirty_ops.set_dirty_tracking(mock, true);
        for (const it of steps) {
          switch (it.op) {
            case 'map':
              yield* map(mock, it.at, it.pfn, it.n, 1);
              pages.map(it.at, it.pfn, it.n, false);
              break;
            case 'huge':
              if (!huge) break;
              yield* map(mock, it.at * HUGE, it.pfn, HUGE, HUGE);
              pages.map(it.at * HUGE, it.pfn, HUGE, true);
              break;
            case 'unmap':
              yield* unmap(mock, it.at, it.n);
              pages.unmap(it.at, it.n);
              break;
            case 'dirty':
              for (const entry of mock.pfns.within(it.at, it.at + it.n - 1)) {
                mock.dirty.set(entry.start, entry.last, true);
              }
              for (let i = it.at; i < it.at + it.n; i++) {
                const entry = pages.entries.get(i);
                if (entry !== undefined) entry.dirty = true;
              }
              break;
            case 'read': {
              const flags = it.clear ? 0 : IOMMU_DIRTY_NO_CLEAR;
              expect(yield* read_dirty(mock, it.at, it.n, flags)).toEqual(pages.read(it.at, it.n, it.clear));
              break;
            }
          }
        }
        expect(contents(mock)).toEqual(
          [...pages.entries]
            .sort(([a], [b]) => a - b)
            .map(([at, { pfn, dirty }]) => `${at}: ${pfn}${dirty ? ' dirty' : ''}`),
        );
      });
      expect(warned.length > 0).toBe(pages.warned);
    }),
  );
});

test('what warns, and what is refused', () => {
  const warned = withDomain(false, function* (mock) {
    const dirty = { bitmap: null, gather: null };
    expect(yield* dirty_ops.read_and_clear_dirty(mock, 0n, 1, 0, dirty)).toBe(0);
    const bitmap = { *set(): Gen<void> {} };
    expect(yield* dirty_ops.read_and_clear_dirty(mock, 0n, 1, 0, { bitmap, gather: null })).toBe(-EINVAL);
    mock.dirty_ops = null;
    expect(yield* dirty_ops.set_dirty_tracking(mock, true)).toBe(-EINVAL);
    expect(mock_domain_ops.iova_to_phys?.(mock, 1n)).toBe(0);
    yield* map(mock, 4, 0, 4, 1);
    yield* map(mock, 7, 0, 1, 1);
    yield* unmap(mock, 5, 1);
    const { free } = mock_domain_ops;
    if (free !== undefined) yield* free(mock);
  });
  expect(warned).toEqual([
    'WARN iova_to_phys: the IOVA is not aligned',
    'WARN iova_to_phys: nothing is mapped there',
    'WARN map_pages: something is mapped there already',
    'WARN unmap_pages: it does not begin where a map_pages did',
    'WARN unmap_pages: it does not end where a map_pages did',
    'WARN a mock domain is freed with something mapped',
  ]);
});
