// SPDX-License-Identifier: GPL-2.0-only

/** Linux's wait queues and completions (kernel/sched/wait.c, completion.c). */
import { happens } from '../chance.ts';
import { context, current, machine } from '../context.ts';
import { int } from '../field.ts';
import { Observed } from '../observed.ts';
import { op } from '../op.ts';
import { operation, scheduler } from '../point.ts';
import { struct } from '../struct.ts';
import type { Co, Gen, Task } from '../task.ts';
import { MISSED } from '../trace.ts';
import { Unordered } from '../unordered.ts';

/** The kind of choice that lets a waiter wake though nobody woke it; open when the run's options say so. */
export const SPURIOUS = 'spurious wake-up';

export class wait_queue_head extends Observed {
  readonly waiters: Task[] = [];

  override get $recorded(): boolean {
    return false;
  }

  override $state(see: (value: unknown) => void): void {
    see(new Unordered(this.waiters));
  }
}

const PREPARE = op<wait_queue_head>('prepare_to_wait', { commutes: ['prepare_to_wait'] });
const SCHEDULE = op<wait_queue_head>('wait', {
  ready: (_, task) => task.woken,
  commutes: ['wait', 'prepare_to_wait'],
  sleeps: true,
});
const WAKE = op<wait_queue_head>('wake_up', { commutes: ['wake_up'] });

function enqueue(wq: wait_queue_head): void {
  const task = current();
  task.woken = false;
  if (!wq.waiters.includes(task)) wq.waiters.push(task);
}

function dequeue(wq: wait_queue_head): void {
  const at = wq.waiters.indexOf(current());
  if (at >= 0) wq.waiters.splice(at, 1);
}

function wake(wq: wait_queue_head): void {
  for (const task of wq.waiters) task.woken = true;
}

const nothing = (): void => {};

/**
 * Sleeps until `condition` holds. It is looked at before sleeping and after each wake-up, with no lock held for
 * it: what it reads it must read with marked operations (READ_ONCE, refcount_read).
 */
export function* wait_event(wq: wait_queue_head, condition: () => Co<boolean>): Gen<void> {
  if (yield* condition()) return;
  for (;;) {
    yield* operation(PREPARE, wq, enqueue);
    if (yield* condition()) break;
    yield* sleep(wq, condition);
  }
  dequeue(wq);
}

/**
 * As wait_event, for at most `timeout` ms of virtual time. Returns 0 when time ran out with the condition
 * false, else the time left, at least 1.
 */
export function* wait_event_timeout(
  wq: wait_queue_head,
  condition: () => Co<boolean>,
  timeout: number,
): Gen<number> {
  if (yield* condition()) return timeout;
  const task = current();
  const end = scheduler().now + timeout;
  let left = timeout;
  let timedOut = false;
  for (;;) {
    yield* operation(PREPARE, wq, enqueue);
    if (yield* condition()) {
      if (timedOut && !machine().options.earlyTimers) context.trace.push(MISSED, wq.$id, 0, 0);
      left = Math.max(left, 1);
      break;
    }
    if (left === 0) break;
    task.deadline = end;
    yield* sleep(wq, condition);
    task.deadline = null;
    timedOut = !task.woken;
    left = task.woken ? Math.max(end - scheduler().now, 0) : 0;
  }
  dequeue(wq);
  return left;
}

/** Whether a task sleeps in wait_event, not woken, though what it waits for holds. Not while a task runs. */
export const missedWakeUp = (task: Task): boolean =>
  task.op.id === SCHEDULE.id &&
  !task.woken &&
  task.condition !== null &&
  scheduler().peek(task, task.condition);

function sleep(wq: wait_queue_head, condition: () => Co<boolean>): Co<void> {
  const task = current();
  task.condition = condition;
  if (happens(SPURIOUS, (yes) => `${task.name} ${yes ? 'wakes for nothing from' : 'sleeps on'} ${wq.name}`)) {
    task.woken = true;
  }
  return operation(SCHEDULE, wq, nothing);
}

/** Wakes every waiter: each looks at its condition again. (There are no exclusive waiters here.) */
export const wake_up_all = (wq: wait_queue_head): Co<void> => operation(WAKE, wq, wake);

/** Linux's struct completion: `done` counts complete() calls not yet waited for. */
export class completion extends struct('completion', Observed, {
  done: int({ itself: true, atomic: true }),
}) {}

const COMPLETE = op<completion>('complete', { commutes: ['complete'] });
const COMPLETE_ALL = op<completion>('complete_all', {
  commutes: ['complete_all'],
});
const AWAIT = op<completion>('wait_for_completion', { ready: (x) => x.done > 0, sleeps: true });

/** complete_all leaves `done` at this for ever, as UINT_MAX in Linux. */
const FOR_ALL = 0x7fffffff;

function consume(x: completion): void {
  if (x.done !== FOR_ALL) x.done -= 1;
}

export const complete = (x: completion): Co<void> =>
  operation(COMPLETE, x, (it) => {
    if (it.done !== FOR_ALL) it.done += 1;
  });
export const complete_all = (x: completion): Co<void> =>
  operation(COMPLETE_ALL, x, (it) => {
    it.done = FOR_ALL;
  });
export const wait_for_completion = (x: completion): Co<void> => operation(AWAIT, x, consume);

/** Returns 0 when `timeout` ms went by first, else the time left, at least 1. */
export function* wait_for_completion_timeout(x: completion, timeout: number): Gen<number> {
  const task = current();
  const end = scheduler().now + timeout;
  task.deadline = end;
  const got = yield* operation(AWAIT, x, (it) => {
    if (it.done === 0) return false;
    consume(it);
    return true;
  });
  task.deadline = null;
  return got ? Math.max(end - scheduler().now, 1) : 0;
}
