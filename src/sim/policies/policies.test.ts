// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import type { Policy } from '../choice.ts';
import { done } from '../coroutine.ts';
import { embed } from '../field.ts';
import { Machine, type MachineOptions } from '../machine.ts';
import { ALLOCATION, kzalloc } from '../slab.ts';
import { root, struct } from '../struct.ts';
import { mutex, mutex_lock, mutex_unlock } from '../sync/mutex.ts';
import { SPURIOUS, wait_event, wait_queue_head, wake_up_all } from '../sync/wait.ts';
import type { Gen } from '../task.ts';
import { SeededRandom } from './random.ts';
import { Recorded } from './recorded.ts';
import { Replay, ScheduleMismatch } from './replay.ts';
import { RoundRobin } from './round-robin.ts';
import { runToBlock } from './run-to-block.ts';
import { Script } from './script.ts';
import { Scripting } from './scripting.ts';

class desk extends struct('policy_desk', root, { lock: embed(mutex), wait: embed(wait_queue_head) }) {}

/** Three tasks that take turns at a lock; returns who had it, in order. */
function turns(policy: Policy, names: readonly string[] = ['a', 'b', 'c']): string {
  const machine = new Machine(policy).powerOn();
  const it = new desk(machine.root, 'desk');
  let order = '';
  function* body(name: string): Gen<void> {
    for (let i = 0; i < 2; i++) {
      yield* mutex_lock(it.lock);
      order += name;
      yield* mutex_unlock(it.lock);
    }
  }
  for (const name of names) machine.spawn(name, body(name));
  expect(machine.run().status).toBe('finished');
  return order;
}

test('run-to-block lets a task finish, round robin takes turns', () => {
  expect(turns(runToBlock)).toBe('aabbcc');
  expect(turns(new RoundRobin())).toBe('abcabc');
});

test('a seed gives the same run again, and other seeds others', () => {
  expect(turns(new SeededRandom(7))).toBe(turns(new SeededRandom(7)));
  const orders = new Set(Array.from({ length: 50 }, (_, seed) => turns(new SeededRandom(seed))));
  expect(orders.size).toBeGreaterThan(5);
});

test('a recorded schedule replays; the first label that does not fit is named', () => {
  const recorded = new Recorded(new SeededRandom(3));
  const order = turns(recorded);
  const replay = new Replay(recorded.labels);
  expect(turns(replay)).toBe(order);
  expect(replay.left).toEqual([]);
  expect(recorded.labels[0]).toMatch(/^[abc]: start$/);

  const stale = recorded.labels.map((label) => label.replace('desk.lock', 'desk.mutex'));
  const first = stale.findIndex((label) => label.includes('desk.mutex'));
  expect(() => turns(new Replay(stale))).toThrow(ScheduleMismatch);
  expect(() => turns(new Replay(stale))).toThrow(`choice ${first + 1} of the schedule is '${stale[first]}'`);
});

test('a script says whom to let run how far', () => {
  expect(
    turns(
      new Script([{ run: 'b', until: 'mutex_unlock desk.lock' }, { run: 'c' }, { run: 'b' }, { run: 'a' }]),
    ),
  ).toBe('bbaacc');
  const unfit = new Script([{ run: 'nobody' }]);
  expect(turns(unfit)).toBe('aabbcc');
});

test('a script can stop at the nth time, and what was done can be written as a script', () => {
  const second = [{ run: 'a', until: 'mutex_lock desk.lock', nth: 2 }, { run: 'b' }] as const;
  expect(turns(new Script(second))).toBe('abbacc');
  const scripting = new Scripting(new Script(second), 3);
  expect(turns(scripting)).toBe('abbacc');
  expect(scripting.lines).toEqual([{ run: 'a' }]);
  for (let seed = 0; seed < 200; seed++) {
    const written = new Scripting(new SeededRandom(seed), Number.POSITIVE_INFINITY);
    const order = turns(written);
    const script = new Script(written.lines);
    expect(turns(script)).toBe(order);
  }
});

test('other choices are open only when the run says so, and a script can answer them', () => {
  const outcome = (policy: Policy, options: Partial<MachineOptions>): string => {
    const machine = new Machine(policy, options).powerOn();
    const it = new desk(machine.root, 'desk');
    const said: string[] = [];
    let looked = 0;
    machine.spawn(
      'a',
      (function* () {
        said.push(kzalloc(desk, it, 'child') === null ? 'no memory' : 'allocated');
        yield* wait_event(it.wait, () => done(looked++ > 2));
        said.push(`looked ${looked}`);
      })(),
    );
    machine.spawn(
      'b',
      (function* () {
        looked = 3;
        yield* wake_up_all(it.wait);
      })(),
    );
    said.push(machine.run().status);
    return said.join(', ');
  };
  expect(outcome(runToBlock, {})).toBe('allocated, looked 4, finished');
  const choices = new Set([ALLOCATION, SPURIOUS]);
  expect(outcome(runToBlock, { choices })).toBe('allocated, looked 4, finished');
  const script = new Script([
    { choose: 'no memory for child' },
    { choose: 'a wakes for nothing from desk.wait' },
  ]);
  expect(outcome(script, { choices })).toBe('no memory, looked 4, finished');
  expect(script.left).toEqual([]);
  for (let seed = 0; seed < 100; seed++) {
    const written = new Scripting(new SeededRandom(seed), Number.POSITIVE_INFINITY);
    const said = outcome(written, { choices });
    expect(outcome(new Script(written.lines), { choices })).toBe(said);
  }
});

test('a run without end is given up at the limit, and says so', () => {
  const machine = new Machine(runToBlock, { stepLimit: 1000 }).powerOn();
  const it = new desk(machine.root, 'desk');
  function* forever(): Gen<void> {
    for (;;) yield* wake_up_all(it.wait);
  }
  machine.spawn('a', forever());
  expect(machine.run()).toEqual({ status: 'limit', steps: 1000 });
});
