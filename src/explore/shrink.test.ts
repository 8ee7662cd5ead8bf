// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import type { Policy } from '../sim/choice.ts';
import { embed, int } from '../sim/field.ts';
import { Machine } from '../sim/machine.ts';
import { Pct } from '../sim/policies/pct.ts';
import { SeededRandom } from '../sim/policies/random.ts';
import { root, struct } from '../sim/struct.ts';
import { mutex, mutex_lock, mutex_unlock } from '../sim/sync/mutex.ts';
import { READ_ONCE, WRITE_ONCE } from '../sim/sync/rcu.ts';
import type { Gen } from '../sim/task.ts';
import { Departing, shorten, shortest } from './shrink.ts';
import type { Run } from './traces.ts';

class cell extends struct('shrink_cell', root, { x: int(), a: embed(mutex), b: embed(mutex) }) {}

/** Two tasks that take two locks in opposite orders, among other work. */
function twoLocks(policy: Policy): Run {
  const machine = new Machine(policy).powerOn();
  const it = new cell(machine.root, 'it');
  function* body(first: mutex, second: mutex): Gen<void> {
    for (let i = 0; i < 3; i++) yield* WRITE_ONCE(it, 'x', (yield* READ_ONCE(it, 'x')) + 1);
    yield* mutex_lock(first);
    yield* mutex_lock(second);
    yield* mutex_unlock(second);
    yield* mutex_unlock(first);
  }
  machine.spawn('t0', body(it.a, it.b));
  machine.spawn('t1', body(it.b, it.a));
  return { machine, ending: machine.run() };
}

const hangs = ({ ending }: Run): boolean => ending.status === 'hang';

test('a hang is reached with one departure from run-to-block, and no fewer', () => {
  const [shrunk] = shortest(twoLocks, [hangs], 10_000);
  expect(shrunk?.departures).toBe(1);
  expect(hangs(twoLocks(new Departing(shrunk?.options ?? [])))).toBe(true);
});

test('one search finds the shortest of several; what never happens is not found, and the budget is kept', () => {
  let executions = 0;
  const found = shortest(
    (policy) => {
      executions++;
      return twoLocks(policy);
    },
    [hangs, () => false, ({ ending }) => ending.status === 'finished'],
    500,
  );
  expect(found.map((each) => each?.departures)).toEqual([1, undefined, 0]);
  expect(executions).toBe(500);
});

test('a known schedule is shortened by moving what a task does to where it goes on anyway', () => {
  for (let seed = 0, seen = 0; seen < 20; seed++) {
    if (!hangs(twoLocks(new SeededRandom(seed)))) continue;
    seen++;
    const shrunk = shorten(twoLocks, hangs, new SeededRandom(seed), 200);
    expect(shrunk?.departures).toBeLessThanOrEqual(2);
    expect(hangs(twoLocks(new Departing(shrunk?.options ?? [])))).toBe(true);
  }
});

test('what does not fail by itself is not shortened', () => {
  expect(shorten(twoLocks, () => false, new SeededRandom(1), 200)).toBeNull();
});

test('PCT finds what plain random runs find seldom', () => {
  /** A bug of depth 2: the second task has to run whole between two late steps of the first. */
  const rare = (policy: Policy): boolean => {
    const machine = new Machine(policy).powerOn();
    const it = new cell(machine.root, 'it');
    let hit = false;
    machine.spawn(
      't0',
      (function* () {
        for (let i = 0; i < 20; i++) yield* WRITE_ONCE(it, 'x', i);
        const before = yield* READ_ONCE(it, 'x');
        hit = (yield* READ_ONCE(it, 'x')) - before === 10;
      })(),
    );
    machine.spawn(
      't1',
      (function* () {
        for (let i = 0; i < 10; i++) yield* WRITE_ONCE(it, 'x', (yield* READ_ONCE(it, 'x')) + 1);
      })(),
    );
    machine.run();
    return hit;
  };
  const hits = (policy: (seed: number) => Policy): number =>
    Array.from({ length: 500 }, (_, seed) => rare(policy(seed))).filter(Boolean).length;
  const byPct = hits((seed) => new Pct(seed, 2, 40));
  expect(byPct).toBeGreaterThan(3);
  expect(byPct).toBeGreaterThan(3 * hits((seed) => new SeededRandom(seed)));
});
