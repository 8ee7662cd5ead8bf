// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import type { Machine } from '../machine.ts';
import { root, struct } from '../struct.ts';
import {
  __clear_bit,
  __set_bit,
  __test_and_clear_bit,
  __test_and_set_bit,
  bitmap,
  bitmap_clear,
  bitmap_empty,
  bitmap_set,
  bitmap_weight,
  bitmap_zero,
  find_first_bit,
  find_first_zero_bit,
  find_next_bit,
  find_next_zero_bit,
  for_each_set_bit,
  test_bit,
} from './bitmap.ts';
import { ida, ida_alloc, ida_alloc_max, ida_alloc_range, ida_free } from './ida.ts';
import { accesses, boot, inTask, recorded } from './testing.ts';

class owner extends struct('bitmap_test_owner', root, { bits: bitmap({ guardedBy: 'lock' }), ids: ida() }) {}

let machine: Machine;
let it: owner;

beforeEach(() => {
  machine = boot();
  it = new owner(machine.root, 'it');
  recorded(machine);
});

test('runs are recorded, and only bits that change', () => {
  bitmap_set(it.bits, 3, 3);
  __set_bit(4, it.bits);
  bitmap_set(it.bits, 0, 10);
  expect(__test_and_set_bit(9, it.bits)).toBe(true);
  expect(__test_and_set_bit(11, it.bits)).toBe(false);
  expect(__test_and_clear_bit(11, it.bits)).toBe(true);
  expect(__test_and_clear_bit(11, it.bits)).toBe(false);
  __clear_bit(5, it.bits);
  bitmap_clear(it.bits, 4, 3);
  bitmap_set(it.bits, 0, 0);
  bitmap_zero(it.bits, 2);
  expect(recorded(machine)).toEqual([
    'it.bits += [3-5]',
    'it.bits += [0-2]',
    'it.bits += [6-9]',
    'it.bits += [11]',
    'it.bits -= [11]',
    'it.bits -= [5]',
    'it.bits -= [4]',
    'it.bits -= [6]',
    'it.bits -= [0-1]',
  ]);
  expect(it.bits.$guardedBy).toBe('lock');
});

test('iterating, bits may be cleared', () => {
  bitmap_set(it.bits, 0, 6);
  const seen: number[] = [];
  for (const bit of for_each_set_bit(it.bits, 5)) {
    seen.push(bit);
    bitmap_clear(it.bits, bit, 2);
  }
  expect(seen).toEqual([0, 2, 4]);
});

test('accesses are reported', () => {
  expect(accesses(() => __set_bit(1, it.bits))).toEqual(['write it.bits']);
  expect(accesses(() => test_bit(1, it.bits))).toEqual(['read it.bits']);
});

test('agrees with an array of bits, whatever is done', () => {
  const size = 200;
  const step = fc.tuple(fc.boolean(), fc.nat(size), fc.nat(20));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const { bits } = new owner(machine.root, 'it');
      const model = Array.from({ length: size + 20 }, () => false);
      for (const [set, start, length] of steps) {
        (set ? bitmap_set : bitmap_clear)(bits, start, length);
        model.fill(set, start, start + length);
        const next = (wanted: boolean): number => {
          const found = model.findIndex((bit, at) => at >= start && at < size && bit === wanted);
          return found < 0 ? size : found;
        };
        expect(find_next_bit(bits, size, start)).toBe(next(true));
        expect(find_next_zero_bit(bits, size, start)).toBe(next(false));
      }
      const below = model.slice(0, size);
      const on = below.flatMap((bit, at) => (bit ? [at] : []));
      expect([...for_each_set_bit(bits, size)]).toEqual(on);
      expect(bitmap_weight(bits, size)).toBe(on.length);
      expect(bitmap_empty(bits, size)).toBe(on.length === 0);
      expect(find_first_bit(bits, size)).toBe(on[0] ?? size);
      expect(find_first_zero_bit(bits, size)).toBe(below.includes(false) ? below.indexOf(false) : size);
      expect(below.map((_, at) => test_bit(at, bits))).toEqual(below);
    }),
  );
});

test('ida: the lowest free number, null when there is none, a warning for what was not taken', () => {
  inTask(machine, function* () {
    expect(yield* ida_alloc(it.ids)).toBe(0);
    expect(yield* ida_alloc(it.ids)).toBe(1);
    expect(yield* ida_alloc_range(it.ids, 5, 5)).toBe(5);
    expect(yield* ida_alloc_range(it.ids, 5, 5)).toBeNull();
    expect(yield* ida_alloc_max(it.ids, 1)).toBeNull();
    yield* ida_free(it.ids, 0);
    yield* ida_free(it.ids, 0);
    expect(yield* ida_alloc_max(it.ids, 1)).toBe(0);
  });
  expect(recorded(machine)).toEqual([
    'it.ids += [0]',
    'it.ids += [1]',
    'it.ids += [5]',
    'it.ids -= [0]',
    'WARN ida_free called for id=0 of it.ids which is not allocated',
    'it.ids += [0]',
  ]);
});
