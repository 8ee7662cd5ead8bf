// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import {
  type interval_tree,
  interval_tree_insert,
  interval_tree_iter_first,
  interval_tree_iter_next,
  type interval_tree_node,
} from '../../sim/collections/interval-tree.ts';
import { boot, inTask, recorded } from '../../sim/collections/testing.ts';
import { type Err, IS_ERR, type Rc } from '../../sim/errno.ts';
import type { Machine } from '../../sim/machine.ts';
import { refcount_init } from '../../sim/sync/refcount.ts';
import { down_write, up_write } from '../../sim/sync/rwsem.ts';
import { EADDRINUSE, EBUSY, EEXIST, EINVAL, ENOSPC, EOVERFLOW, EPERM } from '../../uapi/errno.ts';
import { IOMMU_CACHE, IOMMU_READ, IOMMU_WRITE, iommu_domain } from '../iommu/iommu.h.ts';
import {
  iopt_allowed,
  iopt_area,
  iopt_area_iova,
  iopt_area_iter_first,
  iopt_area_iter_next,
  iopt_area_length,
  iopt_area_start_byte,
  iopt_pages,
  iopt_reserved,
  ULONG_MAX,
} from './io_pagetable.h.ts';
import { iopt_init_table } from './io_pagetable.ts';
import {
  iopt_alloc_iova,
  iopt_check_iova,
  iopt_remove_reserved_iova,
  iopt_reserve_iova,
  iopt_set_allow_iova,
} from './io_pagetable_iova.ts';
import { iopt_insert_area } from './io_pagetable_map.ts';
import { iopt_cut_iova } from './io_pagetable_split.ts';
import { io_pagetable } from './iommufd_private.h.ts';

const PAGE = 0x1000n;
const HPAGE = 0x200000n;

interface Range {
  readonly start: bigint;
  readonly last: bigint;
}

const meets = (a: Range, b: Range): boolean => a.start <= b.last && b.start <= a.last;

let machine: Machine;
let iopt: io_pagetable;

beforeEach(reset);

function reset(): void {
  machine = boot();
  iopt = new io_pagetable(machine.root, 'iopt');
  iopt_init_table(iopt);
  recorded(machine);
}

function put<T extends { readonly node: interval_tree_node<T> }>(
  it: T,
  { start, last }: Range,
  tree: interval_tree<T>,
): T {
  it.node.start = start;
  it.node.last = last;
  interval_tree_insert(it.node, tree);
  return it;
}

const put_area = (range: Range): iopt_area => put(new iopt_area(iopt, 'area'), range, iopt.area_itree);
const put_reserved = (range: Range): iopt_reserved =>
  put(new iopt_reserved(iopt, 'reserved'), range, iopt.reserved_itree);
const put_allowed = (range: Range): iopt_allowed =>
  put(new iopt_allowed(iopt, 'allowed'), range, iopt.allowed_itree);

// Small blocks in a small window, so that they are often in the way; some at the very end of the IOVA space.
const UNIT = 0x400n;
const block = (units: number, most: number): fc.Arbitrary<Range> =>
  fc
    .tuple(fc.integer({ min: 0, max: units }), fc.integer({ min: 1, max: most }), fc.boolean())
    .map(([at, length, high]) => {
      const start = BigInt(at) * UNIT;
      const last = start + BigInt(length) * UNIT - 1n;
      return high ? { start: ULONG_MAX - last, last: ULONG_MAX - start } : { start, last };
    });

/** Those that meet none before them. */
function disjoint(ranges: readonly Range[]): Range[] {
  const kept: Range[] = [];
  for (const range of ranges) if (!kept.some((other) => meets(range, other))) kept.push(range);
  return kept;
}

/** The lowest suitable IOVA for whole pages of memory, by trying one after the other. */
function naive_alloc(
  used: readonly Range[],
  allowed: readonly Range[],
  uptr: bigint,
  length: bigint,
): bigint | null {
  let align = 1n;
  while (align < HPAGE && align < length && (uptr === 0n || uptr % (2n * align) === 0n)) align *= 2n;
  const whole = { start: PAGE, last: ULONG_MAX - PAGE };
  for (const { start, last } of allowed.length === 0 ? [whole] : stretches(allowed, whole)) {
    for (let iova = start + ((align - (start % align)) % align); iova <= last; iova += align) {
      const range = { start: iova, last: iova + length - 1n };
      if (range.last > last) break;
      if (!used.some((other) => meets(range, other))) return iova;
    }
  }
  return null;
}

/** The union of ranges as ranges that do not touch each other, in order, as far as they lie in `whole`. */
function stretches(ranges: readonly Range[], whole: Range): Range[] {
  const joined: Range[] = [];
  for (const { start, last } of [...ranges].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    const before = joined.at(-1);
    if (before !== undefined && start <= before.last + 1n) {
      joined[joined.length - 1] = { start: before.start, last: last > before.last ? last : before.last };
    } else {
      joined.push({ start, last });
    }
  }
  return joined
    .map(({ start, last }) => ({
      start: start > whole.start ? start : whole.start,
      last: last < whole.last ? last : whole.last,
    }))
    .filter(({ start, last }) => start <= last);
}

const world = {
  areas: fc.array(block(64, 12), { maxLength: 12 }).map(disjoint),
  reserved: fc.array(block(64, 12), { maxLength: 4 }),
  allowed: fc.array(block(64, 40), { maxLength: 3 }).map(disjoint),
  iova_alignment: fc.constantFrom(1n, UNIT, 2n * UNIT, PAGE),
  length: fc.integer({ min: 1, max: 24 }).map((n) => BigInt(n) * UNIT),
};

test('an IOVA for whole pages is found where trying them all finds it', () => {
  const uptr = fc.integer({ min: 0, max: 16 }).map((n) => BigInt(n) * PAGE);
  fc.assert(
    fc.property(
      fc.record({ ...world, uptr }),
      ({ areas, reserved, allowed, iova_alignment, length, uptr }) => {
        reset();
        iopt.iova_alignment = iova_alignment;
        areas.forEach(put_area);
        reserved.forEach(put_reserved);
        allowed.forEach(put_allowed);
        const expected = naive_alloc([...areas, ...reserved], allowed, uptr, length);
        const suits = naive_alignment(length) >= iova_alignment;
        expect(iopt_alloc_iova(iopt, uptr, length)).toBe(suits ? (expected ?? -ENOSPC) : -EINVAL);
      },
    ),
    { numRuns: 1000 },
  );
});

test('an IOVA for parts of pages is free, allowed and aligned', () => {
  const uptr = fc.integer({ min: 0, max: 64 }).map((n) => BigInt(n) * UNIT);
  fc.assert(
    fc.property(
      fc.record({ ...world, uptr }),
      ({ areas, reserved, allowed, iova_alignment, length, uptr }) => {
        reset();
        iopt.iova_alignment = iova_alignment;
        areas.forEach(put_area);
        reserved.forEach(put_reserved);
        allowed.forEach(put_allowed);
        const found = iopt_alloc_iova(iopt, uptr, length);
        if (IS_ERR(found)) return;
        expect(iopt_check_iova(iopt, found, length)).toBe(0);
        const whole = { start: PAGE, last: ULONG_MAX - PAGE };
        const last = found + length - 1n;
        const may = allowed.length === 0 ? [whole] : stretches(allowed, whole);
        expect(may.some((range) => range.start <= found && last <= range.last)).toBe(true);
      },
    ),
    { numRuns: 1000 },
  );
});

test('6.12 does not always keep the offset within the page', () => {
  put_area({ start: 0x1000n, last: 0x33ffn });
  expect(iopt_alloc_iova(iopt, 0x1800n, 0x400n)).toBe(0x3c00n);
  expect(iopt_alloc_iova(iopt, 0x1800n, 0x800n)).toBe(0x3800n);
});

function naive_alignment(length: bigint): bigint {
  let align = 1n;
  while (align < length) align *= 2n;
  return align;
}

test('alignment follows the memory, up to a huge page', () => {
  const at = (uptr: bigint, length: bigint): bigint | Err => iopt_alloc_iova(iopt, uptr, length);
  expect(at(0n, PAGE)).toBe(PAGE);
  expect(at(0n, 5n * PAGE)).toBe(8n * PAGE);
  expect(at(0x7f0000401000n, 5n * PAGE)).toBe(PAGE);
  expect(at(0x7f0000400000n, 1n << 30n)).toBe(HPAGE);
  expect(at(0n, 1n << 40n)).toBe(HPAGE);
  expect(at(0x7f0000400800n, PAGE)).toBe(PAGE + 0x800n);
  expect(at(0x7f0000400001n, 2n)).toBe(PAGE + 1n);
  expect(at(0n, 0n)).toBe(-EOVERFLOW);
  expect(at(0n, ULONG_MAX / 2n)).toBe(-EOVERFLOW);
  expect(at(0n, ULONG_MAX / 2n - 1n)).toBe(HPAGE);
});

test('a range that is exactly one byte is not found, one of two is', () => {
  put_allowed({ start: 0x5000n, last: 0x5000n });
  expect(iopt_alloc_iova(iopt, 1n, 1n)).toBe(-ENOSPC);
  put_allowed({ start: 0x5001n, last: 0x5001n });
  expect(iopt_alloc_iova(iopt, 0x5000n, 1n)).toBe(0x5000n);
});

test('what is asked for must be free and aligned', () => {
  iopt.iova_alignment = PAGE;
  put_area({ start: 0x5000n, last: 0x6fffn });
  put_reserved({ start: 0x9000n, last: 0x9fffn });
  put_reserved({ start: ULONG_MAX, last: ULONG_MAX });
  const check = (iova: bigint, length: bigint): Rc => iopt_check_iova(iopt, iova, length);
  expect(check(0x4000n, PAGE)).toBe(0);
  expect(check(0x4800n, PAGE)).toBe(-EINVAL);
  expect(check(0x4000n, 2n * PAGE)).toBe(-EEXIST);
  expect(check(0x6000n, PAGE)).toBe(-EEXIST);
  expect(check(0x7000n, 2n * PAGE)).toBe(0);
  expect(check(0x7000n, 3n * PAGE)).toBe(-EINVAL);
  expect(check(0x4000n, 16n * PAGE)).toBe(-EINVAL);
  expect(check(ULONG_MAX - 0xfffn, PAGE)).toBe(-EINVAL);
  expect(check(ULONG_MAX - 0xfffn, PAGE + 1n)).toBe(-EOVERFLOW);
});

test('what is reserved and what is allowed or mapped exclude each other', () => {
  const [dev, other] = [new iommu_domain(machine.root, 'dev'), new iommu_domain(machine.root, 'other')];
  const allow = (range: Range | null) =>
    function* () {
      const tree = new io_pagetable(machine.root, 'given').allowed_itree;
      if (range !== null) put(new iopt_allowed(iopt, 'allowed'), range, tree);
      const before = interval_tree_iter_first(iopt.allowed_itree, 0n, ULONG_MAX);
      const rc = yield* iopt_set_allow_iova(iopt, tree);
      const given_back = interval_tree_iter_first(tree, 0n, ULONG_MAX);
      expect(given_back?.start).toBe(rc === 0 ? before?.start : range?.start);
      return rc;
    };
  inTask(machine, function* () {
    yield* down_write(iopt.iova_rwsem);
    expect(iopt_reserve_iova(iopt, 0x1000n, 0x1fffn, dev)).toBe(0);
    expect(iopt_reserve_iova(iopt, 0x1000n, 0x2fffn, dev)).toBe(0);
    expect(iopt_reserve_iova(iopt, 0x2000n, 0x3fffn, other)).toBe(0);
    put_area({ start: 0x5000n, last: 0x5fffn });
    expect(iopt_reserve_iova(iopt, 0x5fffn, 0x6fffn, dev)).toBe(-EADDRINUSE);
    yield* up_write(iopt.iova_rwsem);

    expect(yield* allow({ start: 0x3fffn, last: 0x4fffn })()).toBe(-EADDRINUSE);
    expect(yield* allow({ start: 0x8000n, last: 0x8fffn })()).toBe(0);
    yield* iopt_remove_reserved_iova(iopt, other);
    expect(yield* allow({ start: 0x3000n, last: 0x4fffn })()).toBe(0);
    yield* down_write(iopt.iova_rwsem);
    expect(iopt_reserve_iova(iopt, 0x4000n, 0x4000n, null)).toBe(-EADDRINUSE);
    expect(iopt_reserve_iova(iopt, 0x8000n, 0x8000n, null)).toBe(0);
    yield* up_write(iopt.iova_rwsem);
    yield* iopt_remove_reserved_iova(iopt, dev);
    yield* iopt_remove_reserved_iova(iopt, null);
    expect(yield* allow(null)()).toBe(0);
  });
  expect(interval_tree_iter_first(iopt.reserved_itree, 0n, ULONG_MAX)).toBe(null);
  expect(recorded(machine).filter((line) => line.startsWith('WARN'))).toEqual([]);
});

/** Pages of a process without one: enough for what never pins. */
function new_pages(npages: number): iopt_pages {
  const pages = new iopt_pages(machine.root, 'pages');
  refcount_init(pages.kref, 1);
  pages.npages = npages;
  return pages;
}

test('an area that does not suit the table is not inserted', () => {
  const pages = new_pages(4);
  const insert = (iova: bigint, start_byte: bigint, length: bigint, prot = IOMMU_READ): Rc =>
    iopt_insert_area(iopt, new iopt_area(iopt, 'area'), pages, iova, start_byte, length, prot);
  iopt.iova_alignment = 0x800n;
  inTask(machine, function* () {
    yield* down_write(iopt.iova_rwsem);
    expect(insert(PAGE, 0n, PAGE, IOMMU_WRITE)).toBe(-EPERM);
    expect(insert(PAGE, 0x400n, PAGE)).toBe(-EINVAL);
    expect(insert(ULONG_MAX - 0x7ffn, 0n, PAGE)).toBe(-EOVERFLOW);
    expect(insert(PAGE, 0x1800n, 3n * PAGE)).toBe(-EOVERFLOW);
    expect(iopt_area_iter_first(iopt, 0n, ULONG_MAX)).toBe(null);
    expect(insert(PAGE, 0x1800n, 2n * PAGE)).toBe(0);
    yield* up_write(iopt.iova_rwsem);
  });
  const area = iopt_area_iter_first(iopt, 0n, ULONG_MAX);
  expect([area?.pages_node.start, area?.pages_node.last, area?.page_offset]).toEqual([1, 3, 0x800]);
  expect(recorded(machine).filter((line) => line.startsWith('WARN'))).toEqual([
    'WARN the area ends beyond its pages',
  ]);
});

interface Piece extends Range {
  readonly start_byte: bigint;
}

/** What is mapped, in order. */
function pieces(): Piece[] {
  const found: Piece[] = [];
  let area = iopt_area_iter_first(iopt, 0n, ULONG_MAX);
  for (; area !== null; area = iopt_area_iter_next(area, 0n, ULONG_MAX)) {
    const start = iopt_area_iova(area);
    const last = start + iopt_area_length(area) - 1n;
    found.push({ start, last, start_byte: iopt_area_start_byte(area, start) });
  }
  return found;
}

/** The areas on a tree of pages, as page indexes. */
function on_domains_itree(pages: iopt_pages): string[] {
  const found: string[] = [];
  let node = interval_tree_iter_first(pages.domains_itree, 0, pages.npages);
  for (; node !== null; node = interval_tree_iter_next(node, 0, pages.npages)) {
    found.push(`${node.item.node.start}: ${node.start}-${node.last}`);
  }
  return found.sort();
}

test('cutting keeps what is mapped where, and cuts where a list of pieces is cut', () => {
  const IOVA = 0x100000n;
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 16 }),
      fc.constantFrom(0n, 0x400n, 0x800n),
      fc.constantFrom(1n, 0x400n, 0x800n, PAGE),
      fc.boolean(),
      fc.array(fc.array(fc.integer({ min: -1, max: 65 }), { maxLength: 3 }), { maxLength: 12 }),
      (npages, offset, iova_alignment, stored, cuts) => {
        reset();
        const pages = new_pages(npages);
        const length = BigInt(npages) * PAGE - offset;
        const area = new iopt_area(iopt, 'area');
        let expected: Piece[] = [{ start: IOVA, last: IOVA + length - 1n, start_byte: offset }];
        inTask(machine, function* () {
          yield* down_write(iopt.iova_rwsem);
          const prot = IOMMU_READ | IOMMU_CACHE;
          expect(iopt_insert_area(iopt, area, pages, IOVA, offset, length, prot)).toBe(0);
          yield* up_write(iopt.iova_rwsem);
          area.pages = pages;
          if (stored) {
            iopt.disable_large_pages = true;
            area.storage_domain = new iommu_domain(machine.root, 'domain');
            interval_tree_insert(area.pages_node, pages.domains_itree);
          }
          iopt.iova_alignment = iova_alignment;
          for (const iovas of cuts) {
            const at = iovas.map((unit) => IOVA + BigInt(unit) * UNIT - 1n);
            const [pieces_then, rc] = naive_cut(expected, at, iova_alignment);
            expect(yield* iopt_cut_iova(iopt, at)).toBe(rc);
            expect(pieces()).toEqual(pieces_then);
            expected = pieces_then;
          }
        });
        expect(pages.kref.refs).toBe(expected.length);
        const indexes = expected.map(({ start, last, start_byte }) => {
          return `${start}: ${start_byte / PAGE}-${(start_byte + last - start) / PAGE}`;
        });
        expect(on_domains_itree(pages)).toEqual(stored ? indexes.sort() : []);
        expect(recorded(machine).filter((line) => line.startsWith('WARN'))).toEqual([]);
      },
    ),
    { numRuns: 200 },
  );
});

function naive_cut(before: readonly Piece[], at: readonly bigint[], alignment: bigint): [Piece[], number] {
  const now = [...before];
  for (const iova of at) {
    const i = now.findIndex(({ start, last }) => start <= iova && iova <= last);
    const piece = now[i];
    if (piece === undefined || iova === piece.start || iova === piece.last) continue;
    const start = iova + 1n;
    const start_byte = piece.start_byte + (start - piece.start);
    if (start % alignment !== 0n || start_byte % alignment !== 0n) return [now, -EINVAL];
    now.splice(i, 1, { ...piece, last: iova }, { start, last: piece.last, start_byte });
  }
  return [now, 0];
}

test('an area that others use is not cut', () => {
  const pages = new_pages(4);
  const area = new iopt_area(iopt, 'area');
  inTask(machine, function* () {
    yield* down_write(iopt.iova_rwsem);
    expect(iopt_insert_area(iopt, area, pages, 0x4000n, 0n, 0x4000n, IOMMU_READ)).toBe(0);
    yield* up_write(iopt.iova_rwsem);
    expect(yield* iopt_cut_iova(iopt, [0x4fffn])).toBe(-EBUSY);
    area.pages = pages;
    area.num_accesses = 1;
    expect(yield* iopt_cut_iova(iopt, [0x4fffn])).toBe(-EINVAL);
    area.prevent_access = true;
    expect(yield* iopt_cut_iova(iopt, [0x4fffn])).toBe(-EBUSY);
    area.prevent_access = false;
    area.num_accesses = 0;
    area.storage_domain = new iommu_domain(machine.root, 'domain');
    expect(yield* iopt_cut_iova(iopt, [0x4fffn])).toBe(-EINVAL);
    area.storage_domain = null;
    expect(yield* iopt_cut_iova(iopt, [0x4fffn])).toBe(0);
    expect(yield* iopt_cut_iova(iopt, [0x1000n, 0x4fffn, 0x7fffn])).toBe(0);
  });
  expect(pieces().map(({ start }) => start)).toEqual([0x4000n, 0x5000n]);
});
