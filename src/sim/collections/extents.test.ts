// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import type { Machine } from '../machine.ts';
import { root, struct } from '../struct.ts';
import { type ExtentKind, extents, frames } from './extents.ts';
import { accesses, boot, recorded } from './testing.ts';

/** As the mock domain's entries: a flag on the first page of each mapping, so that mappings stay apart. */
const mappings: ExtentKind<{ readonly pfn: number; readonly first: boolean }> = {
  along: (value, distance) => (distance === 0 ? value : { pfn: value.pfn + distance, first: false }),
  same: (x, y) => x.pfn === y.pfn && x.first === y.first,
  show: ({ pfn, first }, length) => `${frames.show(pfn, length)}${first ? ' first' : ''}`,
  unit: 4096,
};

class owner extends struct('extents_test_owner', root, {
  pinned: extents(frames, { guardedBy: 'mutex' }),
  ptes: extents(mappings),
}) {}

let machine: Machine;
let it: owner;

beforeEach(() => {
  machine = boot();
  it = new owner(machine.root, 'it');
  recorded(machine);
});

test('what follows from its neighbour is one extent; only what changes is recorded', () => {
  it.pinned.set(0, 3, 0x10);
  it.pinned.set(8, 9, 0x18);
  it.pinned.set(4, 7, 0x14);
  expect([...it.pinned.within(0, 100)]).toEqual([{ start: 0, last: 9, value: 0x10 }]);
  expect([...it.pinned.within(2, 4)]).toEqual([{ start: 2, last: 4, value: 0x12 }]);
  expect(it.pinned.get(9)).toBe(0x19);
  expect(it.pinned.get(10)).toBeUndefined();
  it.pinned.set(0, 9, 0x10);
  expect(it.pinned.clear(5, 5)).toBe(1);
  expect(it.pinned.firstHole(2, 9)).toBe(5);
  expect(it.pinned.firstHole(6, 9)).toBeNull();
  expect(it.pinned.first(5, 9)).toEqual({ start: 6, last: 9, value: 0x16 });
  expect(recorded(machine)).toEqual([
    'it.pinned[0-3]: - -> pfn 0x10-0x13',
    'it.pinned[8-9]: - -> pfn 0x18-0x19',
    'it.pinned[4-7]: - -> pfn 0x14-0x17',
    'it.pinned[5]: pfn 0x15 -> -',
  ]);
  expect(it.pinned.$guardedBy).toBe('mutex');
});

test('overwriting changes each old piece, fills the holes, and leaves alone what stays the same', () => {
  it.pinned.set(0, 1, 0x10);
  it.pinned.set(4, 5, 0x14);
  it.pinned.set(6, 7, 0x50);
  recorded(machine);
  it.pinned.set(0, 9, 0x10);
  expect(recorded(machine)).toEqual([
    'it.pinned[2-3]: - -> pfn 0x12-0x13',
    'it.pinned[6-7]: pfn 0x50-0x51 -> pfn 0x16-0x17',
    'it.pinned[8-9]: - -> pfn 0x18-0x19',
  ]);
  expect([...it.pinned.within(0, 9)]).toEqual([{ start: 0, last: 9, value: 0x10 }]);
});

test('a page table: keys are shown in bytes, mappings stay apart though their pages follow', () => {
  it.ptes.set(1, 4, { pfn: 0x10, first: true });
  it.ptes.set(5, 5, { pfn: 0x14, first: true });
  it.ptes.set(2 ** 52 - 1, 2 ** 52 - 1, { pfn: 1, first: false });
  expect([...it.ptes.within(0, 9)].map(({ start, last }) => [start, last])).toEqual([
    [1, 4],
    [5, 5],
  ]);
  it.ptes.clear(0, 2);
  expect(recorded(machine)).toEqual([
    'it.ptes[0x1000-0x4fff]: - -> pfn 0x10-0x13 first',
    'it.ptes[0x5000-0x5fff]: - -> pfn 0x14 first',
    'it.ptes[0xfffffffffffff000-0xffffffffffffffff]: - -> pfn 0x1',
    'it.ptes[0x1000-0x2fff]: pfn 0x10-0x11 first -> -',
  ]);
  expect(it.ptes.isEmpty).toBe(false);
});

test('iterating, pieces may be cleared', () => {
  for (const at of [0, 10, 20, 30]) it.pinned.set(at, at + 1, 0x100);
  const seen: number[] = [];
  for (const { start, last } of it.pinned.within(0, 99)) {
    seen.push(start);
    it.pinned.clear(start, last);
    if (start === 10) it.pinned.clear(20, 29);
  }
  expect(seen).toEqual([0, 10, 30]);
  expect(it.pinned.isEmpty).toBe(true);
});

test('accesses are reported', () => {
  expect(accesses(() => it.pinned.set(0, 1, 1))).toEqual(['write it.pinned']);
  expect(accesses(() => it.pinned.get(0))).toEqual(['read it.pinned']);
  expect(accesses(() => [...it.pinned.within(0, 9)])).toEqual(['read it.pinned']);
  expect(accesses(() => it.pinned.firstHole(0, 9))).toEqual(['read it.pinned']);
  expect(accesses(() => it.pinned.isEmpty)).toEqual(['read it.pinned']);
  expect(accesses(() => it.pinned.clear(0, 9))).toEqual(['write it.pinned']);
});

test('agrees with an array of values, whatever is done; extents are as few as can be', () => {
  const range = fc.tuple(fc.nat(120), fc.nat(20));
  // Few distinct values relative to the key, so that neighbours often follow each other.
  const step = fc.tuple(range, fc.option(fc.nat(2)));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const { pinned } = new owner(machine.root, 'it');
      const model: (number | undefined)[] = Array.from({ length: 150 });
      for (const [[start, length], choice] of steps) {
        const last = start + length;
        const had = model.slice(start, last + 1).filter((value) => value !== undefined).length;
        const value = choice === null ? undefined : start + choice * 1000;
        for (let at = start; at <= last; at++)
          model[at] = value === undefined ? undefined : value + at - start;
        if (value === undefined) expect(pinned.clear(start, last)).toBe(had);
        else pinned.set(start, last, value);
        const hole = model.findIndex((each, at) => at >= start && each === undefined);
        expect(pinned.firstHole(start, 149)).toBe(hole < 0 ? null : hole);
      }
      expect(model.map((_, at) => pinned.get(at))).toEqual(model);
      const pieces = [...pinned.within(0, 149)];
      const joints = model.filter((value, at) => value !== undefined && value - 1 !== model[at - 1]);
      expect(pieces.map(({ value }) => value)).toEqual(joints);
      expect(pinned.isEmpty).toBe(pieces.length === 0);
    }),
    { numRuns: 60 },
  );
});

test('the records tell the state: replayed, they give it again', () => {
  const range = fc.tuple(fc.nat(40), fc.nat(10));
  fc.assert(
    fc.property(fc.array(fc.tuple(range, fc.option(fc.nat(1))), { maxLength: 40 }), (steps) => {
      const { pinned } = new owner(machine.root, 'it');
      recorded(machine);
      const replayed: (number | undefined)[] = Array.from({ length: 60 });
      for (const [[start, length], choice] of steps) {
        if (choice === null) pinned.clear(start, start + length);
        else pinned.set(start, start + length, start + choice * 1000);
        for (const line of recorded(machine)) {
          const [, from = '', to = from, before = '', after = ''] =
            /\[(\d+)(?:-(\d+))?\]: (.*) -> (.*)/.exec(line) ?? [];
          const valueAt = (shown: string, distance: number): number | undefined =>
            shown === '-' ? undefined : Number.parseInt(shown.slice('pfn 0x'.length), 16) + distance;
          for (let at = Number(from); at <= Number(to); at++) {
            expect(replayed[at]).toBe(valueAt(before, at - Number(from)));
            replayed[at] = valueAt(after, at - Number(from));
          }
        }
      }
      expect(replayed).toEqual(replayed.map((_, at) => pinned.get(at)));
    }),
  );
});
