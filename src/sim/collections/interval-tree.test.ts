// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import type { Machine } from '../machine.ts';
import { root, struct } from '../struct.ts';
import type { Key } from './interval-index.ts';
import {
  interval_tree,
  interval_tree_index_node,
  interval_tree_insert,
  interval_tree_iter_first,
  interval_tree_iter_next,
  interval_tree_node,
  interval_tree_remove,
  RB_EMPTY_ROOT,
  RB_ROOT_CACHED,
} from './interval-tree.ts';
import { accesses, boot, inTask, recorded } from './testing.ts';

class area extends struct('tree_test_area', root, {
  node: interval_tree_node<area>(),
  pages_node: interval_tree_index_node<area>(),
}) {}
class owner extends struct('tree_test_owner', root, {
  areas: interval_tree<area>({ guardedBy: 'sem' }),
  pages: interval_tree<area, number>(),
}) {}

let machine: Machine;
let it: owner;

beforeEach(() => {
  machine = boot();
  it = new owner(machine.root, 'it');
});

function newArea(start: bigint, last: bigint): area {
  const made = new area(machine.root, 'area');
  made.node.start = start;
  made.node.last = last;
  made.pages_node.start = Number(start);
  made.pages_node.last = Number(last);
  return made;
}

function within<K extends Key>(tree: interval_tree<area, K>, start: K, last: K): area[] {
  const found: area[] = [];
  for (let at = interval_tree_iter_first(tree, start, last); at !== null; ) {
    found.push(at.item);
    at = interval_tree_iter_next(at, start, last);
  }
  return found;
}

test('addresses and page indexes; each gain and loss is recorded', () => {
  const a = newArea(0x1000n, 0x1fffn);
  interval_tree_insert(a.node, it.areas);
  interval_tree_insert(a.pages_node, it.pages);
  expect(interval_tree_iter_first(it.areas, 0x1fffn, 0x2fffn)?.item).toBe(a);
  expect(interval_tree_iter_first(it.areas, 0x2000n, 0x2fffn)).toBeNull();
  interval_tree_remove(a.node, it.areas);
  expect(RB_EMPTY_ROOT(it.areas)).toBe(true);
  expect(RB_EMPTY_ROOT(it.pages)).toBe(false);
  expect(recorded(machine)).toEqual([
    'it.areas += [0x1000-0x1fff] area',
    'it.pages += [4096-8191] area',
    'it.areas -= [0x1000-0x1fff] area',
  ]);
});

test('what would corrupt a tree warns and does nothing', () => {
  const a = newArea(1n, 2n);
  interval_tree_remove(a.node, it.areas);
  interval_tree_insert(a.node, it.areas);
  interval_tree_insert(a.node, it.areas);
  expect(interval_tree_iter_next(newArea(3n, 4n).node, 0n, 9n)).toBeNull();
  expect(recorded(machine)).toEqual([
    'WARN interval_tree_remove of area.node, which is not in it.areas',
    'it.areas += [0x1-0x2] area',
    'WARN interval_tree_insert of area.node, which is in it.areas',
    'WARN interval_tree_iter_next from area#2.node, which is in no tree',
  ]);
});

test('a tree on the stack belongs to the task', () => {
  const a = newArea(1n, 1n);
  recorded(machine);
  inTask(machine, function* () {
    const local = RB_ROOT_CACHED<area>('local');
    interval_tree_insert(a.node, local);
    interval_tree_remove(a.node, local);
  });
  expect(recorded(machine)).toEqual(['t.local += [0x1] area', 't.local -= [0x1] area']);
});

test('accesses are reported for the tree, not for the nodes that a search passes', () => {
  const [a, b] = [newArea(1n, 5n), newArea(3n, 9n)];
  expect(it.areas.$guardedBy).toBe('sem');
  expect(accesses(() => interval_tree_insert(a.node, it.areas))).toEqual(['write it.areas']);
  interval_tree_insert(b.node, it.areas);
  expect(accesses(() => within(it.areas, 4n, 4n))).toEqual(['read it.areas']);
  expect(accesses(() => RB_EMPTY_ROOT(it.areas))).toEqual(['read it.areas']);
  expect(accesses(() => interval_tree_remove(a.node, it.areas))).toEqual(['write it.areas']);
});

test('areas may be taken out while iterating, if one goes on from what is left', () => {
  for (let i = 0n; i < 200n; i++) interval_tree_insert(newArea(i, i).node, it.areas);
  let count = 0;
  for (;;) {
    const node = interval_tree_iter_first(it.areas, 0n, 0xffff_ffff_ffff_ffffn);
    if (node === null) break;
    expect(node.start).toBe(BigInt(count++));
    interval_tree_remove(node, it.areas);
  }
  expect(count).toBe(200);
});

/** Inserts and removes as told, and compares with a sorted array at every step. */
function agrees(steps: readonly (readonly [bigint, bigint, number])[]): void {
  const tree = new owner(machine.root, 'it');
  const model: area[] = [];
  for (const [start, length, choice] of steps) {
    if (choice < model.length) {
      const [gone] = model.splice(choice, 1);
      if (gone === undefined) throw new Error('it is there');
      interval_tree_remove(gone.node, tree.areas);
      interval_tree_remove(gone.pages_node, tree.pages);
    } else {
      const made = newArea(start, start + length);
      const after = model.findIndex((each) => each.node.start > start);
      model.splice(after < 0 ? model.length : after, 0, made);
      interval_tree_insert(made.node, tree.areas);
      interval_tree_insert(made.pages_node, tree.pages);
    }
    const expected = model.filter(({ node }) => node.start <= start + length && start <= node.last);
    expect(within(tree.areas, start, start + length)).toEqual(expected);
    if (start + length <= Number.MAX_SAFE_INTEGER) {
      expect(within(tree.pages, Number(start), Number(start + length))).toEqual(expected);
    }
  }
  expect(within(tree.areas, 0n, 1n << 65n)).toEqual(model);
}

const step = (max: bigint, base = 0n): fc.Arbitrary<[bigint, bigint, number]> =>
  fc.tuple(fc.bigInt(base, base + max), fc.bigInt(0n, max / 8n), fc.nat(150));

test('agrees with a sorted array: order, ties, overlaps', () => {
  fc.assert(fc.property(fc.array(step(300n), { maxLength: 250, size: 'max' }), agrees), { numRuns: 40 });
});

test('agrees with a sorted array where keys round to the same double', () => {
  const steps = fc.array(step(40n, (1n << 64n) - 80n), { maxLength: 200, size: 'max' });
  fc.assert(fc.property(steps, agrees), { numRuns: 40 });
});

test('thousands, grown and shrunk in every order', () => {
  for (const order of [(i: number) => i, (i: number) => -i, (i: number) => (i * 7919) % 2003]) {
    const all = Array.from({ length: 2003 }, (_, i) => newArea(BigInt(i) * 10n, BigInt(i) * 10n + 9n));
    const shuffled = [...all.keys()].sort((a, b) => order(a) - order(b)).map((i) => all[i]);
    for (const each of shuffled) if (each !== undefined) interval_tree_insert(each.node, it.areas);
    expect(within(it.areas, 0n, 1n << 60n)).toEqual(all);
    for (const each of shuffled) {
      if (each === undefined) continue;
      expect(interval_tree_iter_first(it.areas, each.node.start, each.node.last)).toBe(each.node);
      interval_tree_remove(each.node, it.areas);
    }
    expect(RB_EMPTY_ROOT(it.areas)).toBe(true);
  }
});
