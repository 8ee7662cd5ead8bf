// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import type { Machine } from '../machine.ts';
import { root, struct } from '../struct.ts';
import { bytes } from './bytes.ts';
import { accesses, boot, recorded } from './testing.ts';

class owner extends struct('bytes_test_owner', root, { memory: bytes({ guardedBy: 'lock' }) }) {}

let machine: Machine;
let it: owner;

beforeEach(() => {
  machine = boot();
  it = new owner(machine.root, 'it');
  recorded(machine);
});

test('zero until written; short writes are recorded with what was written', () => {
  expect([...it.memory.read(0x7fff_ffff_f000, 2)]).toEqual([0, 0]);
  it.memory.write(0xfff, Uint8Array.of(1, 0xab));
  it.memory.write(0x2000, new Uint8Array(4096));
  it.memory.write(0x2000, new Uint8Array(0));
  it.memory.setBits(0x3000, 6, 4);
  it.memory.setBits(0x3000, 16, 1);
  it.memory.setBits(0x3000, 9, 0);
  expect([...it.memory.read(0xffe, 4)]).toEqual([0, 1, 0xab, 0]);
  expect([...it.memory.read(0x3000, 4)]).toEqual([0xc0, 3, 1, 0]);
  expect(recorded(machine)).toEqual([
    'it.memory[0xfff-0x1000] = 01 ab',
    'it.memory[0x2000-0x2fff] = 4096 bytes',
    'it.memory[0x3000-0x3001] = c0 03',
    'it.memory[0x3002] = 01',
  ]);
  expect(it.memory.$guardedBy).toBe('lock');
});

test('what is read is a copy', () => {
  it.memory.write(0, Uint8Array.of(1));
  it.memory.read(0, 1)[0] = 2;
  expect([...it.memory.read(0, 1)]).toEqual([1]);
});

test('accesses are reported', () => {
  expect(accesses(() => it.memory.write(0, Uint8Array.of(1)))).toEqual(['write it.memory']);
  expect(accesses(() => it.memory.read(0, 1))).toEqual(['read it.memory']);
});

test('agrees with one long array, whatever is done', () => {
  const size = 3 * 4096;
  const step = fc.tuple(fc.nat(size - 5000), fc.uint8Array({ maxLength: 5000, size: 'max' }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 8 }), fc.nat(size), fc.nat(size), (steps, x, y) => {
      const { memory } = new owner(machine.root, 'it');
      const model = new Uint8Array(size);
      for (const [at, data] of steps) {
        memory.write(at, data);
        model.set(data, at);
      }
      const [from, to] = x < y ? [x, y] : [y, x];
      expect(Buffer.compare(memory.read(from, to - from), model.subarray(from, to))).toBe(0);
    }),
    { numRuns: 40 },
  );
});
