// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type interval_tree,
  interval_tree_insert,
  RB_ROOT_CACHED,
} from '../../sim/collections/interval-tree.ts';
import { boot } from '../../sim/collections/testing.ts';
import type { Machine } from '../../sim/machine.ts';
import {
  interval_tree_double_span_iter_done,
  interval_tree_double_span_iter_first,
  interval_tree_double_span_iter_next,
  interval_tree_for_each_double_span,
} from './double_span.h.ts';
import { iopt_allowed } from './io_pagetable.h.ts';

type Tree = interval_tree<iopt_allowed>;
type Ends = readonly (readonly [bigint, bigint])[];

const NAMES = ['hole', 'a', 'b'];

function tree({ root }: Machine, role: string, intervals: Ends): Tree {
  const it: Tree = RB_ROOT_CACHED(role, root);
  for (const [start, last] of intervals) {
    const { node } = new iopt_allowed(root, 'used');
    node.start = start;
    node.last = last;
    interval_tree_insert(node, it);
  }
  return it;
}

function spans(a: Ends, b: Ends, first: bigint, last: bigint): string[] {
  const machine = boot();
  const found: string[] = [];
  for (const span of interval_tree_for_each_double_span(
    tree(machine, 'a', a),
    tree(machine, 'b', b),
    first,
    last,
  )) {
    found.push(`${NAMES[span.is_used]} ${span.start}-${span.last}`);
  }
  return found;
}

test('of two trees the first goes before the second', () => {
  const a: Ends = [
    [4n, 5n],
    [10n, 11n],
  ];
  const b: Ends = [
    [2n, 7n],
    [11n, 12n],
  ];
  expect(spans(a, b, 0n, 14n)).toEqual([
    'hole 0-1',
    'b 2-3',
    'a 4-5',
    'b 6-7',
    'hole 8-9',
    'a 10-11',
    'b 12-12',
    'hole 13-14',
  ]);
});

test('once done it stays done', () => {
  const machine = boot();
  const [a, b] = [tree(machine, 'a', [[4n, 9n]]), tree(machine, 'b', [])];
  const iter = interval_tree_double_span_iter_first(a, b, 4n, 9n);
  interval_tree_double_span_iter_next(iter);
  interval_tree_double_span_iter_next(iter);
  expect(interval_tree_double_span_iter_done(iter)).toBe(true);
});

/** One letter an index, then its runs: what spans must be. */
function naive(a: Ends, b: Ends, first: bigint, last: bigint): string[] {
  const covers = (ends: Ends, at: bigint): boolean => ends.some(([start, end]) => start <= at && at <= end);
  const found: { name: string; start: bigint; last: bigint }[] = [];
  for (let at = first; at <= last; at++) {
    const name = NAMES[covers(a, at) ? 1 : covers(b, at) ? 2 : 0] ?? '';
    const open = found.at(-1);
    if (open?.name === name) open.last = at;
    else found.push({ name, start: at, last: at });
  }
  return found.map(({ name, start, last }) => `${name} ${start}-${last}`);
}

const intervals = (base: bigint): fc.Arbitrary<[bigint, bigint][]> =>
  fc.array(
    fc.tuple(fc.bigInt(0n, 60n), fc.bigInt(0n, 3n)).map(([start, length]): [bigint, bigint] => {
      return [base + start, base + start + length];
    }),
    { maxLength: 30, size: 'max' },
  );

test.each([0n, (1n << 64n) - 70n])('agrees with an index by index walk from %d on', (base) => {
  const bounds = fc.tuple(fc.bigInt(0n, 69n), fc.bigInt(0n, 69n));
  fc.assert(
    fc.property(intervals(base), intervals(base), bounds, (a, b, [x, y]) => {
      const [first, last] = x < y ? [base + x, base + y] : [base + y, base + x];
      expect(spans(a, b, first, last)).toEqual(naive(a, b, first, last));
    }),
    { numRuns: 60 },
  );
});
