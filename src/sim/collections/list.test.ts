// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { int } from '../field.ts';
import type { Machine } from '../machine.ts';
import { root, struct } from '../struct.ts';
import {
  INIT_LIST_HEAD,
  LIST_HEAD,
  list,
  list_add,
  list_add_tail,
  list_count_nodes,
  list_del,
  list_del_init,
  list_empty,
  list_first_entry,
  list_first_entry_or_null,
  list_for_each_entry_reverse,
  type list_head,
  list_is_singular,
  list_last_entry,
  list_move,
  list_move_tail,
  list_next_entry,
  list_node,
  list_prev_entry,
  list_splice,
  list_splice_tail,
} from './list.ts';
import { accesses, boot, inTask, recorded } from './testing.ts';

class item extends struct('list_test_item', root, { n: int(), on: list_node<item>() }) {}
class owner extends struct('list_test_owner', root, {
  items: list<item>({ guardedBy: 'lock' }),
  others: list<item>(),
}) {}

let machine: Machine;
let it: owner;
let items: item[];

beforeEach(() => {
  machine = boot();
  it = new owner(machine.root, 'it');
  items = Array.from({ length: 6 }, (_, n) => {
    const made = new item(machine.root, 'item');
    made.n = n;
    return made;
  });
  recorded(machine);
});

const node = (n: number): list_node<item> => {
  const on = items[n]?.on;
  if (on === undefined) throw new Error(`there is no item ${n}`);
  return on;
};
const numbers = (head: Iterable<item>): number[] => Array.from(head, ({ n }) => n);

test('adds at either end, deletes and moves; each is recorded', () => {
  list_add_tail(node(0), it.items);
  list_add_tail(node(1), it.items);
  list_add(node(2), it.items);
  list_move_tail(node(0), it.items);
  list_move(node(1), it.others);
  list_del(node(2));
  expect(numbers(it.items)).toEqual([0]);
  expect(numbers(it.others)).toEqual([1]);
  expect(recorded(machine)).toEqual([
    'it.items += item',
    'it.items += item#2',
    'it.items += item#3 (first)',
    'it.items -= item',
    'it.items += item',
    'it.items -= item#2',
    'it.others += item#2',
    'it.items -= item#3',
  ]);
});

test('knows its lock', () => {
  expect(it.items.$guardedBy).toBe('lock');
  expect(it.others.$guardedBy).toBeUndefined();
});

test('a node is empty once it was set up, or deleted with list_del_init; not when zeroed or after list_del', () => {
  expect(list_empty(node(0))).toBe(false);
  INIT_LIST_HEAD(node(0));
  expect(list_empty(node(0))).toBe(true);
  list_add(node(0), it.items);
  expect(list_empty(node(0))).toBe(false);
  list_del_init(node(0));
  expect(list_empty(node(0))).toBe(true);
  list_del_init(node(0));
  list_add(node(0), it.items);
  list_del(node(0));
  expect(list_empty(node(0))).toBe(false);
  expect(recorded(machine).filter((line) => line.startsWith('WARN'))).toEqual([]);
});

test('what would corrupt a list warns and does nothing', () => {
  list_add(node(0), it.items);
  list_add_tail(node(0), it.others);
  list_del(node(1));
  INIT_LIST_HEAD(node(0));
  expect(numbers(it.items)).toEqual([0]);
  expect(list_empty(it.others)).toBe(true);
  expect(recorded(machine)).toEqual([
    'it.items += item',
    'WARN list_add double add: item.on is on it.items',
    'WARN list_del corruption: item#2.on is on no list',
    'WARN INIT_LIST_HEAD of item.on, which is on it.items',
  ]);
});

test('splices whole lists to either end, in order', () => {
  for (const n of [0, 1]) list_add_tail(node(n), it.items);
  for (const n of [2, 3]) list_add_tail(node(n), it.others);
  list_splice(it.others, it.items);
  expect(numbers(it.items)).toEqual([2, 3, 0, 1]);
  for (const n of [4, 5]) list_add_tail(node(n), it.others);
  list_splice_tail(it.others, it.items);
  expect(numbers(it.items)).toEqual([2, 3, 0, 1, 4, 5]);
  expect(list_empty(it.others)).toBe(true);
});

test('entries: first, last, next, previous, backwards', () => {
  expect(list_first_entry_or_null(it.items)).toBeNull();
  for (const n of [0, 1, 2]) list_add_tail(node(n), it.items);
  expect(list_first_entry(it.items).n).toBe(0);
  expect(list_last_entry(it.items).n).toBe(2);
  expect(list_next_entry(node(1))?.n).toBe(2);
  expect(list_next_entry(node(2))).toBeNull();
  expect(list_prev_entry(node(1))?.n).toBe(0);
  expect(list_prev_entry(node(0))).toBeNull();
  expect(numbers(list_for_each_entry_reverse(it.items))).toEqual([2, 1, 0]);
  expect(list_count_nodes(it.items)).toBe(3);
});

test('an entry asked of an empty list kills the task', () => {
  inTask(machine, function* () {
    list_first_entry(it.items);
  });
  expect(recorded(machine)).toEqual(['WARN BUG: an entry is asked of it.items, which is empty']);
});

test('iterating, the current entry may go, to another list as well; new ones behind it are seen', () => {
  for (const n of [0, 1, 2]) list_add_tail(node(n), it.items);
  const seen: number[] = [];
  for (const { n, on } of it.items) {
    seen.push(n);
    if (n === 0) list_del(on);
    if (n === 1) list_move(on, it.others);
    if (n === 2) list_add_tail(node(3), it.items);
  }
  expect(seen).toEqual([0, 1, 2, 3]);
});

test('iterating, the current entry and the one after it must not both go', () => {
  for (const n of [0, 1, 2]) list_add_tail(node(n), it.items);
  const seen: number[] = [];
  for (const { n } of it.items) {
    seen.push(n);
    list_del(node(0));
    list_del(node(1));
  }
  expect(seen).toEqual([0]);
  expect(recorded(machine).at(-1)).toBe('WARN the next entry of it.items went away during an iteration');
});

test('lists on the stack belong to the task', () => {
  inTask(machine, function* () {
    const local = LIST_HEAD<item>('local');
    list_add(node(0), local);
    list_move_tail(node(0), it.items);
  });
  expect(recorded(machine)).toEqual(['t.local += item', 't.local -= item', 'it.items += item']);
});

test('accesses are reported for the list and for the node', () => {
  expect(accesses(() => list_add(node(0), it.items))).toEqual(['write it.items', 'write item.on']);
  expect(accesses(() => numbers(it.items))).toEqual(['read it.items']);
  expect(accesses(() => list_empty(it.items))).toEqual(['read it.items']);
  expect(accesses(() => list_empty(node(0)))).toEqual(['read item.on']);
  expect(accesses(() => list_is_singular(it.items))).toEqual(['read it.items']);
  expect(accesses(() => list_del(node(0)))).toEqual(['write it.items', 'write item.on']);
});

test('agrees with an array, whatever is done', () => {
  const n = fc.integer({ min: 0, max: 5 });
  const what = fc.constantFrom('add', 'addTail', 'del', 'move', 'moveTail', 'splice');
  fc.assert(
    fc.property(fc.array(fc.tuple(what, n, fc.boolean()), { maxLength: 60 }), (steps) => {
      for (const { on } of items) if (on.$list !== null) list_del(on);
      const heads: list_head<item>[] = [it.items, it.others];
      const models: number[][] = [[], []];
      for (const [step, i, second] of steps) {
        const [head, other] = second ? [it.others, it.items] : [it.items, it.others];
        const [model, otherModel] = second ? [models[1], models[0]] : models;
        if (model === undefined || otherModel === undefined) throw new Error('there are two');
        const on = node(i);
        const isOn = on.$list !== null;
        if (step === 'splice') {
          list_splice(other, head);
          model.unshift(...otherModel.splice(0));
          continue;
        }
        if (isOn === (step === 'add' || step === 'addTail')) continue;
        for (const each of models) if (each.includes(i)) each.splice(each.indexOf(i), 1);
        if (step === 'add') list_add(on, head);
        if (step === 'addTail') list_add_tail(on, head);
        if (step === 'del') list_del(on);
        if (step === 'move') list_move(on, head);
        if (step === 'moveTail') list_move_tail(on, head);
        if (step === 'add' || step === 'move') model.unshift(i);
        if (step === 'addTail' || step === 'moveTail') model.push(i);
        expect(heads.map(numbers)).toEqual(models);
        expect(heads.map((h) => [...list_for_each_entry_reverse(h)].map((x) => x.n).reverse())).toEqual(
          models,
        );
        expect(heads.map(list_is_singular)).toEqual(models.map((m) => m.length === 1));
        expect(heads.map(list_empty)).toEqual(models.map((m) => m.length === 0));
      }
    }),
  );
});
