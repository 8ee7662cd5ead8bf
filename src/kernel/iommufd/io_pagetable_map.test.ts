// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Policy } from '../../sim/choice.ts';
import { recorded } from '../../sim/collections/testing.ts';
import type { Err } from '../../sim/errno.ts';
import { Machine } from '../../sim/machine.ts';
import { SeededRandom } from '../../sim/policies/random.ts';
import { runToBlock } from '../../sim/policies/run-to-block.ts';
import type { Gen } from '../../sim/task.ts';
import { EBUSY, EEXIST, EINVAL, ENOENT, ENOMEM, EOVERFLOW, EPERM } from '../../uapi/errno.ts';
import { IOMMU_CACHE, IOMMU_READ, IOMMU_WRITE } from '../iommu/iommu.h.ts';
import { spawn, thread } from '../mm/testing.ts';
import {
  iopt_area,
  iopt_area_iter_first,
  iopt_area_iter_next,
  iopt_area_start_byte,
  iopt_pages,
  ULONG_MAX,
} from './io_pagetable.h.ts';
import { iopt_destroy_table, iopt_init_table } from './io_pagetable.ts';
import {
  IOPT_ALLOC_IOVA,
  iopt_free_pages_list,
  iopt_get_pages,
  iopt_map_pages,
  iopt_map_user_pages,
  type iopt_pages_list,
} from './io_pagetable_map.ts';
import { iopt_unmap_all, iopt_unmap_iova } from './io_pagetable_unmap.ts';
import { io_pagetable, iommufd_ctx } from './iommufd_private.h.ts';

const UNIT = 0x400n;
const PAGE = 0x1000n;
const READ = IOMMU_CACHE | IOMMU_READ;

/** An area: where it is, what memory is there, how it may be used and how it could be. */
interface Piece {
  readonly start: bigint;
  readonly last: bigint;
  readonly uptr: bigint;
  readonly prot: number;
  readonly writable: boolean;
}

/** An IOMMU context and its tables. */
interface Iommufd {
  readonly on: Machine;
  readonly ictx: iommufd_ctx;
  readonly tables: readonly [io_pagetable, io_pagetable];
}

function iommufd(policy: Policy = runToBlock, choices: readonly string[] = []): Iommufd {
  const on = new Machine(policy, { choices: new Set(choices) }).powerOn();
  const new_table = (): io_pagetable => {
    const iopt = new io_pagetable(on.root, 'iopt');
    iopt_init_table(iopt);
    return iopt;
  };
  return { on, ictx: new iommufd_ctx(on.root, 'iommufd'), tables: [new_table(), new_table()] };
}

/** Runs the tasks of one process to their end. */
function run({ on }: Iommufd, ...programs: (() => Gen<void>)[]): void {
  const [first, ...others] = programs;
  const group = spawn(on, 'p', () => first?.() ?? nothing());
  others.forEach((program, i) => void thread(on, group, `p.t${i + 2}`, program()));
  expect(on.run()).toEqual({ status: 'finished' });
}

function* nothing(): Gen<void> {}

/** What is in a table, in order. */
function mapped(iopt: io_pagetable): Piece[] {
  const found: Piece[] = [];
  let area = iopt_area_iter_first(iopt, 0n, ULONG_MAX);
  for (; area !== null; area = iopt_area_iter_next(area, 0n, ULONG_MAX)) {
    const { start, last } = area.node;
    const { uptr, writable } = area.pages ?? { uptr: 0n, writable: false };
    const prot = area.iommu_prot;
    found.push({ start, last, uptr: uptr + iopt_area_start_byte(area, start), prot, writable });
  }
  return found;
}

/** IOMMU_IOAS_COPY to a fixed IOVA. */
function* copy(
  from: io_pagetable,
  src_iova: bigint,
  length: bigint,
  to: io_pagetable,
  dst_iova: bigint,
  prot: number,
): Gen<bigint | Err> {
  const pages_list: iopt_pages_list[] = [];
  const rc = yield* iopt_get_pages(from, src_iova, length, pages_list);
  if (rc !== 0) return rc;
  const iova = yield* iopt_map_pages(to, pages_list, length, dst_iova, prot, 0);
  yield* iopt_free_pages_list(pages_list);
  return iova;
}

/** Areas that are in a table and pages that have references. */
const left_over = ({ on }: Iommufd): string[] =>
  on.objects
    .filter(
      (it) =>
        (it instanceof iopt_pages && it.kref.refs !== 0) ||
        (it instanceof iopt_area && it.node.$tree !== null),
    )
    .map(({ name }) => name);

/** Unmaps everything; then nothing may be left, and nothing may have warned. */
function finish(it: Iommufd): void {
  run(it, function* () {
    for (const iopt of it.tables) {
      expect((yield* iopt_unmap_all(iopt)).rc).toBe(0);
      yield* iopt_destroy_table(iopt);
    }
  });
  expect(left_over(it)).toEqual([]);
  expect(recorded(it.on).filter((line) => line.startsWith('WARN'))).toEqual([]);
}

/** A table as a list, on which everything is done the long way. */
class Naive {
  pieces: Piece[] = [];
  readonly #alignment: bigint;

  constructor(alignment: bigint) {
    this.#alignment = alignment;
  }

  map(pieces: readonly Piece[], iova: bigint, length: bigint): bigint | number {
    if ((length | iova) % this.#alignment !== 0n) return -EINVAL;
    if (iova + length - 1n > ULONG_MAX) return -EOVERFLOW;
    if (this.pieces.some(({ start, last }) => start <= iova + length - 1n && iova <= last)) return -EEXIST;
    for (const { uptr, prot, writable } of pieces) {
      if ((prot & IOMMU_WRITE) !== 0 && !writable) return -EPERM;
      if ((uptr % PAGE) % this.#alignment !== 0n) return -EINVAL;
    }
    this.pieces = [...this.pieces, ...pieces].sort((a, b) => (a.start < b.start ? -1 : 1));
    return iova;
  }

  /** The pieces of what is at [iova, iova + length), moved to `dst`; null: a part is not mapped. */
  slice(iova: bigint, length: bigint, dst: bigint, prot: number): Piece[] | null {
    const found: Piece[] = [];
    const last = iova + length - 1n;
    let at = iova;
    for (const piece of this.pieces) {
      if (piece.start > at || piece.last < at || at > last) continue;
      const end = piece.last < last ? piece.last : last;
      const uptr = piece.uptr + (at - piece.start);
      found.push({ ...piece, start: dst + (at - iova), last: dst + (end - iova), uptr, prot });
      at = end + 1n;
    }
    return at > last ? found : null;
  }

  unmap(iova: bigint, length: bigint): { rc: number; unmapped: bigint } {
    const last = iova + length - 1n;
    let unmapped = 0n;
    for (const piece of this.pieces) {
      if (piece.last < iova || piece.start > last) continue;
      if (piece.start < iova || piece.last > last) return { rc: -ENOENT, unmapped };
      this.pieces = this.pieces.filter((other) => other !== piece);
      unmapped += piece.last - piece.start + 1n;
    }
    return { rc: 0, unmapped };
  }
}

const units = (min: number, max: number): fc.Arbitrary<bigint> =>
  fc.integer({ min, max }).map((n) => BigInt(n) * UNIT);
const place = fc.oneof({ weight: 9, arbitrary: units(0, 40) }, fc.constant(ULONG_MAX - PAGE + 1n));
const call = fc.record({
  verb: fc.constantFrom('map', 'map', 'copy', 'unmap'),
  from: fc.constantFrom(0, 1),
  to: fc.constantFrom(0, 1),
  iova: place,
  src_iova: place,
  uptr: units(0x1000, 0x1010),
  length: units(1, 16),
  prot: fc.constantFrom(READ, READ | IOMMU_WRITE),
});
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

/** Performs a call on a context. */
function* perform({ ictx, tables }: Iommufd, c: Call): Gen<unknown> {
  const to = tables[c.to === 0 ? 0 : 1];
  switch (c.verb) {
    case 'map':
      return yield* iopt_map_user_pages(ictx, to, c.iova, c.uptr, c.length, c.prot, 0);
    case 'copy':
      return yield* copy(tables[c.from === 0 ? 0 : 1], c.src_iova, c.length, to, c.iova, c.prot);
    default:
      return yield* iopt_unmap_iova(to, c.iova, c.length);
  }
}

/** What a call gives on the lists. */
function naively([a, b]: readonly [Naive, Naive], c: Call): unknown {
  const to = c.to === 0 ? a : b;
  switch (c.verb) {
    case 'map': {
      const { iova, length, uptr, prot } = c;
      const last = iova + length - 1n;
      return to.map([{ start: iova, last, uptr, prot, writable: (prot & IOMMU_WRITE) !== 0 }], iova, length);
    }
    case 'copy': {
      const pieces = (c.from === 0 ? a : b).slice(c.src_iova, c.length, c.iova, c.prot);
      if (c.src_iova + c.length - 1n > ULONG_MAX) return -EOVERFLOW;
      return pieces === null ? -ENOENT : to.map(pieces, c.iova, c.length);
    }
    default:
      if (c.iova + c.length - 1n > ULONG_MAX) return { rc: -EOVERFLOW, unmapped: 0n };
      return to.unmap(c.iova, c.length);
  }
}

test('map, copy and unmap do what they do to lists', () => {
  const alignment = fc.constantFrom(1n, UNIT, 2n * UNIT, PAGE);
  fc.assert(
    fc.property(fc.array(call, { maxLength: 20 }), alignment, alignment, (calls, first, second) => {
      const it = iommufd();
      const lists = [new Naive(first), new Naive(second)] as const;
      it.tables[0].iova_alignment = first;
      it.tables[1].iova_alignment = second;
      run(it, function* () {
        for (const each of calls) {
          expect(yield* perform(it, each)).toEqual(naively(lists, each));
          expect(it.tables.map(mapped)).toEqual(lists.map(({ pieces }) => pieces));
        }
      });
      finish(it);
    }),
    { numRuns: 200 },
  );
});

test('threads that do all this at once break nothing', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(call, { maxLength: 6 }), { minLength: 2, maxLength: 3 }),
      fc.integer(),
      (threads, seed) => {
        const it = iommufd(new SeededRandom(seed));
        const bodies = threads.map(
          (calls) =>
            function* (): Gen<void> {
              for (const each of calls) yield* perform(it, each);
            },
        );
        run(it, ...bodies);
        for (const iopt of it.tables) {
          const pieces = mapped(iopt);
          pieces.forEach(({ start }, i) => void expect(start > (pieces[i - 1]?.last ?? -1n)).toBe(true));
        }
        finish(it);
      },
    ),
    { numRuns: 200 },
  );
});

test('addresses and lengths at the edge', () => {
  const it = iommufd();
  const { ictx, tables } = it;
  const [iopt] = tables;
  const map = (iova: bigint, uptr: bigint, length: bigint, flags = 0) =>
    iopt_map_user_pages(ictx, iopt, iova, uptr, length, READ, flags);
  run(it, function* () {
    expect(yield* map(0n, 0n, 0n)).toBe(-EINVAL);
    expect(yield* map(0n, 0n, ULONG_MAX)).toBe(-EINVAL);
    expect(yield* map(0n, 1n, ULONG_MAX - PAGE)).toBe(0n);
    expect(yield* iopt_unmap_iova(iopt, 0n, ULONG_MAX - PAGE)).toEqual({ rc: 0, unmapped: ULONG_MAX - PAGE });
    expect(yield* map(0n, PAGE, ULONG_MAX - PAGE + 1n)).toBe(-EINVAL);
    expect(yield* map(0n, 2n * PAGE, ULONG_MAX - PAGE)).toBe(-EOVERFLOW);
    expect(yield* map(ULONG_MAX, PAGE, 1n)).toBe(ULONG_MAX);
    expect(yield* map(ULONG_MAX - PAGE, PAGE, PAGE, IOPT_ALLOC_IOVA)).toBe(PAGE);
    expect(yield* iopt_unmap_iova(iopt, 0n, 0n)).toEqual({ rc: -EINVAL, unmapped: 0n });
    expect(yield* iopt_unmap_iova(iopt, 1n, ULONG_MAX)).toEqual({ rc: 0, unmapped: PAGE + 1n });
    expect(yield* copy(iopt, 0n, 0n, iopt, 0n, READ)).toBe(-EINVAL);

    // Offsets beyond 2^53 keep their last bit.
    const far = (1n << 60n) + 1n;
    expect(yield* map(PAGE, 0n, 1n << 61n)).toBe(PAGE);
    expect(yield* copy(iopt, PAGE + far, 2n, tables[1], 0n, READ)).toBe(0n);
    expect(mapped(tables[1])).toEqual([{ start: 0n, last: 1n, uptr: far, prot: READ, writable: false }]);
  });
  finish(it);
});

test('an area that another thread is mapping is busy', () => {
  const seen = new Set<number>();
  for (let seed = 0; seed < 200; seed++) {
    const it = iommufd(new SeededRandom(seed));
    const [iopt] = it.tables;
    run(
      it,
      function* () {
        expect(yield* iopt_map_user_pages(it.ictx, iopt, PAGE, PAGE, PAGE, READ, 0)).toBe(PAGE);
      },
      function* () {
        seen.add((yield* iopt_unmap_all(iopt)).rc);
      },
    );
    finish(it);
  }
  expect([...seen].sort()).toEqual([-EBUSY, 0]);
});

test.each([
  ['a copy', 0],
  ['a copy', 1],
  ['a map', 0],
  ['a map', 1],
])('%s whose allocation %i fails changes nothing', (what, failing) => {
  let counting = false;
  let allocations = 0;
  const policy: Policy = { choose: () => (counting && allocations++ === failing ? 1 : 0) };
  const it = iommufd(policy, ['allocation']);
  const [a, b] = it.tables;
  run(it, function* () {
    expect(yield* iopt_map_user_pages(it.ictx, a, 0n, PAGE, PAGE, READ, 0)).toBe(0n);
    counting = true;
    const got =
      what === 'a copy'
        ? yield* copy(a, 0n, PAGE, b, 0n, READ)
        : yield* iopt_map_user_pages(it.ictx, b, 0n, PAGE, PAGE, READ, 0);
    counting = false;
    expect(got).toBe(-ENOMEM);
    expect(mapped(a).length).toBe(1);
    expect(mapped(b)).toEqual([]);
  });
  finish(it);
});
