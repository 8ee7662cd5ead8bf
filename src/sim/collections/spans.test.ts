// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import type { Machine } from '../machine.ts';
import { root, struct } from '../struct.ts';
import {
  interval_tree,
  interval_tree_insert,
  interval_tree_node,
  interval_tree_remove,
} from './interval-tree.ts';
import {
  interval_tree_for_each_span,
  interval_tree_span_iter,
  interval_tree_span_iter_advance,
  interval_tree_span_iter_done,
  interval_tree_span_iter_next,
} from './spans.ts';
import { accesses, boot } from './testing.ts';

class used extends struct('span_test_used', root, { node: interval_tree_node<used>() }) {}
const ALL = (1n << 64n) - 1n;

class owner extends struct('span_test_owner', root, { a: interval_tree<used>() }) {}

let machine: Machine;

beforeEach(() => {
  machine = boot();
});

type Ends = readonly (readonly [bigint, bigint])[];

function fill(tree: interval_tree<used>, intervals: Ends): void {
  for (const [start, last] of intervals) {
    const { node } = new used(machine.root, 'used');
    node.start = start;
    node.last = last;
    interval_tree_insert(node, tree);
  }
}

function trees(a: Ends): owner {
  const it = new owner(machine.root, 'it');
  fill(it.a, a);
  return it;
}

function spans({ a }: owner, first: bigint, last: bigint): string[] {
  const found: string[] = [];
  for (const span of interval_tree_for_each_span(a, first, last)) {
    found.push(`${span.is_hole === 1 ? 'hole' : 'used'} ${span.start_hole}-${span.last_used}`);
  }
  return found;
}

test('spans are as long as can be: touching and overlapping nodes are one', () => {
  const it = trees([
    [2n, 3n],
    [4n, 6n],
    [5n, 9n],
    [12n, 12n],
  ]);
  expect(spans(it, 0n, 20n)).toEqual(['hole 0-1', 'used 2-9', 'hole 10-11', 'used 12-12', 'hole 13-20']);
  expect(spans(it, 3n, 12n)).toEqual(['used 3-9', 'hole 10-11', 'used 12-12']);
  expect(spans(it, 4n, 5n)).toEqual(['used 4-5']);
  expect(spans(it, 10n, 10n)).toEqual(['hole 10-10']);
  expect(spans(trees([]), 0n, ALL)).toEqual(['hole 0-18446744073709551615']);
});

test('an iterator advances within a span and beyond; once done it stays done', () => {
  const it = trees([[4n, 9n]]);
  const iter = new interval_tree_span_iter(it.a, 0n, 20n);
  interval_tree_span_iter_advance(iter, 2n);
  expect([iter.is_hole, iter.start_hole, iter.last_hole]).toEqual([1, 2n, 3n]);
  interval_tree_span_iter_advance(iter, 7n);
  expect([iter.is_hole, iter.start_used, iter.last_used]).toEqual([0, 7n, 9n]);
  interval_tree_span_iter_next(iter);
  expect([iter.is_hole, iter.start_hole, iter.last_hole]).toEqual([1, 10n, 20n]);
  interval_tree_span_iter_next(iter);
  interval_tree_span_iter_advance(iter, 0n);
  expect(interval_tree_span_iter_done(iter)).toBe(true);
});

test('the span may be written to, as iopt_alloc_iova does', () => {
  const iter = new interval_tree_span_iter(trees([]).a, 1n, 9n);
  iter.start_used = 3n;
  iter.last_used = 9n;
  iter.is_hole = 0;
  interval_tree_span_iter_next(iter);
  expect(iter.start_hole).toBe(3n);
  expect(interval_tree_span_iter_done(iter)).toBe(true);
});

test('walking reads the tree', () => {
  const it = trees([[1n, 2n]]);
  expect(accesses(() => spans(it, 0n, 9n))).toEqual(['read it.a']);
});

test('holes that come and go among thousands of nodes that touch', () => {
  const count = 4000;
  const it = trees([]);
  const nodes = Array.from({ length: count }, (_, i) => {
    const { node } = new used(machine.root, 'used');
    node.start = BigInt(i) * 10n;
    node.last = node.start + 9n;
    interval_tree_insert(node, it.a);
    return node;
  });
  const holes = new Set<number>();
  for (let round = 0; round < 400; round++) {
    const at = (round * 1237) % (round < 300 ? 40 : count);
    const node = nodes[at];
    if (node === undefined) throw new Error('it is there');
    if (holes.delete(at)) {
      interval_tree_insert(node, it.a);
    } else {
      holes.add(at);
      interval_tree_remove(node, it.a);
    }
    const expected: string[] = [];
    let from = 0;
    for (const hole of [...holes].sort((x, y) => x - y)) {
      if (hole > from) expected.push(`used ${from * 10}-${hole * 10 - 1}`);
      const open = expected.at(-1)?.startsWith('hole') === true ? expected.pop() : undefined;
      const start = open?.match(/\d+/)?.[0] ?? hole * 10;
      expected.push(`hole ${start}-${hole * 10 + 9}`);
      from = hole + 1;
    }
    if (from < count) expected.push(`used ${from * 10}-${count * 10 - 1}`);
    expect(spans(it, 0n, BigInt(count * 10 - 1))).toEqual(expected);
  }
});

/** One letter an index, then its runs: what spans must be. */
function naive(a: Ends, first: bigint, last: bigint): string[] {
  const found: { name: string; start: bigint; last: bigint }[] = [];
  for (let at = first; at <= last; at++) {
    const name = a.some(([start, end]) => start <= at && at <= end) ? 'used' : 'hole';
    const open = found.at(-1);
    if (open?.name === name) open.last = at;
    else found.push({ name, start: at, last: at });
  }
  return found.map(({ name, start, last }) => `${name} ${start}-${last}`);
}

const intervals = (base: bigint): fc.Arbitrary<[bigint, bigint][]> =>
  fc.array(
    fc.tuple(fc.bigInt(0n, 200n), fc.bigInt(0n, 3n)).map(([start, length]): [bigint, bigint] => {
      return [base + start, base + start + length];
    }),
    { maxLength: 120, size: 'max' },
  );

test.each([0n, (1n << 64n) - 256n])('agrees with an index by index walk from %d on', (base) => {
  const bounds = fc.tuple(fc.bigInt(0n, 210n), fc.bigInt(0n, 210n));
  fc.assert(
    fc.property(intervals(base), bounds, (a, [x, y]) => {
      const it = trees(a);
      const [first, last] = x < y ? [base + x, base + y] : [base + y, base + x];
      expect(spans(it, first, last)).toEqual(naive(a, first, last));
    }),
    { numRuns: 60 },
  );
});
