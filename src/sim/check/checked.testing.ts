// SPDX-License-Identifier: GPL-2.0-only

/** What the tests of the checkers share: an object with one of everything, and programs on it. */
import type { Policy } from '../choice.ts';
import { list, list_node } from '../collections/list.ts';
import { context } from '../context.ts';
import { embed, int, ref } from '../field.ts';
import { sourceFile } from '../fn.ts';
import { Machine } from '../machine.ts';
import { root, struct } from '../struct.ts';
import { mutex, mutex_lock, mutex_unlock } from '../sync/mutex.ts';
import { READ_ONCE, WRITE_ONCE } from '../sync/rcu.ts';
import { refcount_init, refcount_t } from '../sync/refcount.ts';
import { rw_semaphore } from '../sync/rwsem.ts';
import { spinlock } from '../sync/spinlock.ts';
import { wait_event, wait_event_timeout, wait_queue_head, wake_up_all } from '../sync/wait.ts';
import { work_struct } from '../sync/workqueue.ts';
import type { Gen } from '../task.ts';
import { recordReads } from '../watch.ts';
import { Check } from './check.ts';
import type { Finding } from './finding.ts';

export class checked extends struct('checked', root, {
  a: embed(mutex),
  b: embed(mutex),
  c: embed(mutex),
  spin: embed(spinlock),
  sem: embed(rw_semaphore),
  refs: embed(refcount_t),
  work: embed(work_struct),
  x: int(),
  guarded: int({ guardedBy: 'a' }),
  items: list<checked>({ guardedBy: 'a' }),
  item: list_node<checked>(),
  next: ref<checked>(),
  wait: embed(wait_queue_head),
}) {}

export type Body = (it: checked, machine: Machine) => Gen<void>;

export const findings = (policy: Policy, ...bodies: Body[]): string[] =>
  found(policy, ...bodies).map((f) => `${f.kind}: ${f.title}`);

export function found(policy: Policy, ...bodies: Body[]): readonly Finding[] {
  const machine = new Machine(policy).powerOn();
  const it = new checked(machine.root, 'it');
  it.next = new checked(it, 'other');
  refcount_init(it.refs, 1);
  for (const [i, body] of bodies.entries()) machine.spawn(`t${i}`, body(it, machine));
  context.watch = recordReads;
  const ending = machine.run();
  context.watch = null;
  return new Check().run(machine, ending);
}

export function* locked(it: checked, ...locks: ('a' | 'b' | 'c')[]): Gen<void> {
  for (const lock of locks) yield* mutex_lock(it[lock]);
  for (const lock of locks.reverse()) yield* mutex_unlock(it[lock]);
}

/** Waits for x, in a function of its own; `timeout` 0: for ever. */
export const waiter = (timeout = 0): Body => {
  const waits = sourceFile('check.test.ts')('waits', function* (it: checked): Gen<void> {
    const isSet = function* (): Gen<boolean> {
      return (yield* READ_ONCE(it, 'x')) === 1;
    };
    if (timeout === 0) yield* wait_event(it.wait, isSet);
    else yield* wait_event_timeout(it.wait, isSet, timeout);
  });
  return function* (it) {
    yield* waits(it);
  };
};
export const setter = (value: number, ...order: ('set' | 'wake')[]): Body => {
  const sets = sourceFile('check.test.ts')('sets', function* (it: checked): Gen<void> {
    for (const what of order) {
      if (what === 'wake') yield* wake_up_all(it.wait);
      else yield* WRITE_ONCE(it, 'x', value);
    }
  });
  return function* (it) {
    yield* sets(it);
  };
};
