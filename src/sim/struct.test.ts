// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { context } from './context.ts';
import { bool, count, embed, enumeration, flags32, int, ref, u32, u64, value } from './field.ts';
import { Machine } from './machine.ts';
import { runToBlock } from './policies/run-to-block.ts';
import { kfree } from './slab.ts';
import { root, struct } from './struct.ts';
import { type Level, traceText } from './text.ts';

const colour = { RED: 1, GREEN: 2 } as const;

class inner extends struct('test_inner', root, { n: int() }) {}
class base extends struct('test_base', root, { id: u32() }) {}
class outer extends struct('test_outer', base, {
  i: int(),
  u: u32(),
  f: flags32(),
  a: u64(),
  c: count(),
  b: bool(),
  e: enumeration(colour),
  t: value<string | null>(null, (v) => v ?? 'none'),
  p: ref<outer>(),
  inner: embed(inner),
}) {}

const errnoName = (n: number): string => `E${n}`;
const text = (machine: Machine, level: Level = 'state'): string[] => traceText(machine, level, errnoName);

function powered(): Machine {
  return new Machine(runToBlock).powerOn();
}

test('assigning a field records the transition, with names and no numbers of ours', () => {
  const machine = powered();
  const one = new outer(machine.root, 'thing');
  const two = new outer(machine.root, 'thing');
  one.i = -3;
  one.f = 0x80000001;
  one.a = 0xffff_ffff_ffff_f000n;
  one.c = 2 ** 40;
  one.b = true;
  one.e = colour.GREEN;
  one.t = 'x';
  one.p = two;
  one.p = null;
  one.inner.n = 1;
  one.id = 7;
  one.id = 7;
  kfree(two);
  expect(text(machine)).toEqual([
    'new thing',
    'new thing#2',
    'thing.i: 0 -> -3',
    'thing.f: 0x0 -> 0x80000001',
    'thing.a: 0x0 -> 0xfffffffffffff000',
    'thing.c: 0 -> 1099511627776',
    'thing.b: false -> true',
    'thing.e: 0 -> GREEN',
    'thing.t: none -> x',
    'thing.p: - -> thing#2',
    'thing.p: thing#2 -> -',
    'thing.inner.n: 0 -> 1',
    'thing.id: 0 -> 7',
    'free thing#2',
  ]);
});

test('any sequence of assignments reads back, and the trace holds every old and new value', () => {
  const assignment = fc.oneof(
    fc.record({ key: fc.constant('i' as const), v: fc.integer() }),
    fc.record({ key: fc.constant('u' as const), v: fc.integer({ min: 0, max: 0xffffffff }) }),
    fc.record({ key: fc.constant('a' as const), v: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
    fc.record({ key: fc.constant('b' as const), v: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(assignment, { maxLength: 40 }), (assignments) => {
      const machine = powered();
      const it = new outer(machine.root, 'it');
      const expected = ['new it'];
      const show = (v: unknown): string => (typeof v === 'bigint' ? `0x${v.toString(16)}` : String(v));
      for (const { key, v } of assignments) {
        if (it[key] !== v) expected.push(`it.${key}: ${show(it[key])} -> ${show(v)}`);
        Object.assign(it, { [key]: v });
        expect(it[key]).toBe(v);
      }
      expect(text(machine)).toEqual(expected);
    }),
  );
});

test('accesses are reported only while somebody watches', () => {
  const machine = powered();
  const it = new outer(machine.root, 'it');
  const seen: string[] = [];
  context.watch = {
    read: (object) => seen.push(`read ${object.name}`),
    write: (object) => seen.push(`write ${object.name}`),
  };
  it.i += 1;
  context.watch = null;
  it.i += 1;
  expect(seen).toEqual(['read it', 'write it']);
});

test('names: creator, role and ordinal; two tasks that create at once get the same names in either order', () => {
  const namesBy = (order: readonly string[]): string[] => {
    const machine = powered();
    const parent = new outer(machine.root, 'parent');
    for (const name of order) {
      machine.spawn(
        name,
        (function* () {
          new inner(parent, 'child');
          new inner(parent, 'child');
        })(),
      );
      machine.run();
    }
    return machine.objects.filter((o) => o.$role === 'child').map((o) => o.name);
  };
  expect(namesBy(['a', 'b'])).toEqual([
    'parent.child#a',
    'parent.child#a.2',
    'parent.child#b',
    'parent.child#b.2',
  ]);
  expect(namesBy(['b', 'a']).sort()).toEqual(namesBy(['a', 'b']).sort());
});

test('a case may name what a task creates next', () => {
  const machine = powered();
  const task = machine.spawn(
    'vmm',
    (function* () {
      new inner(machine.root, 'ioas');
      new inner(machine.root, 'ioas');
    })(),
  );
  task.expectName('ioas', 'ioas1');
  machine.run();
  expect(machine.objects.slice(1).map((o) => o.name)).toEqual(['ioas1', 'ioas#vmm']);
});

test('a struct cannot be declared twice, nor with a field that is no identifier', () => {
  expect(() => struct('test_base', root, {})).toThrow('declared twice');
  expect(() => struct('test_odd', root, { 'a-b': int() })).toThrow('no identifier');
});
