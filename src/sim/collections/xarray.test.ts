// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { Machine } from '../machine.ts';
import { root, struct } from '../struct.ts';
import type { Gen } from '../task.ts';
import { accesses, boot, inTask, recorded } from './testing.ts';
import {
  __xa_alloc,
  __xa_cmpxchg,
  __xa_erase,
  __xa_insert,
  __xa_store,
  XA_FLAGS_ALLOC,
  XA_FLAGS_ALLOC1,
  XA_ZERO_ENTRY,
  xa_alloc,
  xa_cmpxchg,
  xa_destroy,
  xa_empty,
  xa_erase,
  xa_find,
  xa_for_each,
  xa_insert,
  xa_limit_16b,
  xa_limit_31b,
  xa_limit_32b,
  xa_load,
  xa_lock,
  xa_release,
  xa_reserve,
  xa_store,
  xa_unlock,
  xarray,
} from './xarray.ts';

class entry extends struct('xarray_test_entry', root, {}) {}
class owner extends struct('xarray_test_owner', root, {
  plain: xarray<entry>(0, { guardedBy: 'lock' }),
  ids: xarray<entry>(XA_FLAGS_ALLOC),
  ids1: xarray<entry>(XA_FLAGS_ALLOC1),
  values: xarray<number>(),
}) {}

let machine: Machine;
let it: owner;
let a: entry;
let b: entry;

beforeEach(() => {
  machine = boot();
  it = new owner(machine.root, 'it');
  a = new entry(machine.root, 'a');
  b = new entry(machine.root, 'b');
  recorded(machine);
});

test('stores, loads and erases; each is recorded', () => {
  inTask(machine, function* () {
    expect(yield* xa_store(it.plain, 7, a)).toBeNull();
    expect(yield* xa_store(it.plain, 7, b)).toBe(a);
    expect(xa_load(it.plain, 7)).toBe(b);
    expect(xa_load(it.plain, 6)).toBeNull();
    expect(yield* xa_erase(it.plain, 7)).toBe(b);
    expect(yield* xa_erase(it.plain, 7)).toBeNull();
    yield* xa_store(it.values, 2 ** 53 - 2, 0x1234);
    expect(yield* xa_store(it.values, 2 ** 53 - 2, null)).toBe(0x1234);
  });
  expect(recorded(machine)).toEqual([
    'it.plain[7]: - -> a',
    'it.plain[7]: a -> b',
    'it.plain[7]: b -> -',
    'it.values[9007199254740990]: - -> 0x1234',
    'it.values[9007199254740990]: 0x1234 -> -',
  ]);
  expect(it.plain.$guardedBy).toBe('lock');
});

test('a reserved index is neither empty nor free, but loads as null and is skipped', () => {
  inTask(machine, function* () {
    expect(yield* xa_alloc(it.ids1, XA_ZERO_ENTRY, xa_limit_31b)).toBe(1);
    expect(yield* xa_alloc(it.ids1, b, xa_limit_31b)).toBe(2);
    expect(xa_empty(it.ids1)).toBe(false);
    expect(xa_load(it.ids1, 1)).toBeNull();
    expect([...xa_for_each(it.ids1)]).toEqual([[2, b]]);
    expect(yield* xa_store(it.ids1, 1, a)).toBeNull();
    expect(xa_find(it.ids1, 0)).toEqual([1, a]);
    expect(xa_find(it.ids1, 2, 5)).toEqual([2, b]);
    expect(xa_find(it.ids1, 3)).toBeNull();
    expect(yield* xa_store(it.ids1, 2, null)).toBe(b);
    expect(xa_find(it.ids1, 2)).toBeNull();
    expect(yield* xa_alloc(it.ids1, b, xa_limit_32b)).toBe(3);
    expect(yield* xa_erase(it.ids1, 2)).toBeNull();
    expect(yield* xa_alloc(it.ids1, b, xa_limit_32b)).toBe(2);
  });
  expect(recorded(machine).slice(0, 3)).toEqual([
    'it.ids1[1]: - -> reserved',
    'it.ids1[2]: - -> b',
    'it.ids1[1]: reserved -> a',
  ]);
});

test('reserve and release leave entries alone', () => {
  inTask(machine, function* () {
    yield* xa_reserve(it.plain, 3);
    expect(xa_empty(it.plain)).toBe(false);
    expect(yield* xa_cmpxchg(it.plain, 3, null, a)).toBeNull();
    expect(xa_load(it.plain, 3)).toBeNull();
    yield* xa_release(it.plain, 3);
    expect(xa_empty(it.plain)).toBe(true);
    yield* xa_store(it.plain, 3, a);
    yield* xa_reserve(it.plain, 3);
    yield* xa_release(it.plain, 3);
    expect(xa_load(it.plain, 3)).toBe(a);
  });
});

test('compare and exchange, insert', () => {
  inTask(machine, function* () {
    expect(yield* xa_cmpxchg(it.plain, 0, a, b)).toBeNull();
    expect(xa_empty(it.plain)).toBe(true);
    expect(yield* xa_cmpxchg(it.plain, 0, null, a)).toBeNull();
    expect(yield* xa_cmpxchg(it.plain, 0, null, b)).toBe(a);
    expect(yield* xa_cmpxchg(it.plain, 0, a, b)).toBe(a);
    expect(yield* xa_insert(it.plain, 0, a)).toBe(false);
    expect(yield* xa_cmpxchg(it.plain, 0, b, null)).toBe(b);
    expect(xa_empty(it.plain)).toBe(true);
    expect(yield* xa_insert(it.plain, 0, a)).toBe(true);
  });
});

test('ids: the lowest free within limits, null when none is', () => {
  inTask(machine, function* () {
    expect(yield* xa_alloc(it.ids, a, xa_limit_16b)).toBe(0);
    expect(yield* xa_alloc(it.ids, a, { min: 5, max: 6 })).toBe(5);
    expect(yield* xa_alloc(it.ids, a, { min: 5, max: 6 })).toBe(6);
    expect(yield* xa_alloc(it.ids, a, { min: 5, max: 6 })).toBeNull();
    expect(yield* xa_alloc(it.ids, a, xa_limit_16b)).toBe(1);
    expect(yield* xa_alloc(it.ids1, a, { min: 0, max: 0 })).toBeNull();
    expect(yield* xa_alloc(it.plain, a, xa_limit_16b)).toBeNull();
  });
  expect(recorded(machine).at(-1)).toBe('WARN xa_alloc from it.plain, which has no XA_FLAGS_ALLOC');
});

test('iterating, entries may be erased and stored', () => {
  inTask(machine, function* () {
    for (const i of [1, 3, 5, 900]) yield* xa_store(it.plain, i, a);
    const seen: number[] = [];
    for (const [index, found] of xa_for_each(it.plain)) {
      expect(found).toBe(a);
      seen.push(index);
      yield* xa_erase(it.plain, index);
      if (index === 3) {
        yield* xa_erase(it.plain, 5);
        yield* xa_store(it.plain, 2, a);
        yield* xa_store(it.plain, 700, a);
      }
    }
    expect(seen).toEqual([1, 3, 700, 900]);
    yield* xa_reserve(it.plain, 1000);
    yield* xa_destroy(it.plain);
    expect(xa_empty(it.plain)).toBe(true);
  });
});

test('the plain forms want the lock held', () => {
  inTask(machine, function* () {
    yield* xa_lock(it.plain);
    __xa_store(it.plain, 1, a);
    yield* xa_unlock(it.plain);
    __xa_erase(it.plain, 1);
  });
  expect(recorded(machine)).toEqual([
    'it.plain[1]: - -> a',
    'WARN it.plain.xa_lock is not held by the task that changes it.plain',
    'it.plain[1]: a -> -',
  ]);
});

test('the locking forms wait for the lock', () => {
  const order: string[] = [];
  function* holder(): Gen<void> {
    yield* xa_lock(it.plain);
    yield* xa_unlock(it.values);
    order.push('released');
    yield* xa_unlock(it.plain);
  }
  function* storer(): Gen<void> {
    yield* xa_store(it.plain, 1, a);
    order.push('stored');
  }
  machine = new Machine({ choose: (choice) => choice.count - 1 }).powerOn();
  it = new owner(machine.root, 'it');
  machine.spawn('storer', storer());
  machine.spawn('holder', holder());
  expect(machine.run().status).toBe('finished');
  expect(order).toEqual(['released', 'stored']);
});

test('accesses are reported', () => {
  expect(accesses(() => __xa_store(it.plain, 1, a))).toEqual(['write it.plain']);
  expect(accesses(() => xa_load(it.plain, 1))).toEqual(['read it.plain']);
  expect(accesses(() => [...xa_for_each(it.plain)])).toEqual(['read it.plain']);
  expect(accesses(() => xa_empty(it.plain))).toEqual(['read it.plain']);
  expect(accesses(() => __xa_erase(it.plain, 1))).toEqual(['write it.plain']);
});

test('agrees with a map, whatever is done', () => {
  const what = fc.constantFrom('store', 'erase', 'alloc', 'insert', 'cmpxchg', 'zero');
  const index = fc.nat(60).map((n) => (n > 50 ? n * 1000 : n));
  fc.assert(
    fc.property(fc.array(fc.tuple(what, index, fc.boolean()), { maxLength: 300, size: 'max' }), (steps) => {
      const { ids } = new owner(machine.root, 'it');
      const model = new Map<number, entry | null>();
      for (const [step, at, first] of steps) {
        const value = first ? a : b;
        const before = model.get(at);
        if (step === 'store') {
          expect(__xa_store(ids, at, value)).toBe(before ?? null);
          model.set(at, value);
        } else if (step === 'zero') {
          expect(__xa_store(ids, at, null)).toBe(before ?? null);
          model.set(at, null);
        } else if (step === 'erase') {
          expect(__xa_erase(ids, at)).toBe(before ?? null);
          model.delete(at);
        } else if (step === 'insert') {
          expect(__xa_insert(ids, at, value)).toBe(before === undefined);
          if (before === undefined) model.set(at, value);
        } else if (step === 'cmpxchg') {
          expect(__xa_cmpxchg(ids, at, a, value)).toBe(before ?? null);
          if (before === a) model.set(at, value);
        } else {
          let free = at;
          while (model.has(free)) free++;
          expect(__xa_alloc(ids, value, { min: at, max: 55_000 })).toBe(free <= 55_000 ? free : null);
          if (free <= 55_000) model.set(free, value);
        }
        expect(xa_load(ids, at)).toBe(model.get(at) ?? null);
        expect(xa_empty(ids)).toBe(model.size === 0);
      }
      const expected = [...model].filter(([, value]) => value !== null).sort(([x], [y]) => x - y);
      expect([...xa_for_each(ids)]).toEqual(expected);
    }),
    { numRuns: 40 },
  );
});
