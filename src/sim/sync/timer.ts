// SPDX-License-Identifier: GPL-2.0-only

/** Timers and sleeps on virtual time (ms; HZ = 1000), which moves only when nothing else can happen. */
import { current } from '../context.ts';
import { Observed } from '../observed.ts';
import { op } from '../op.ts';
import { operation, scheduler } from '../point.ts';
import type { Co, Gen, Task } from '../task.ts';

export class timer_list extends Observed {
  func: ((timer: timer_list) => Co<void>) | null = null;
  /** The task that will run `func`, while the timer is pending. */
  pending: Task | null = null;

  override get $recorded(): boolean {
    return false;
  }

  override $state(see: (value: unknown) => void): void {
    see(this.pending);
  }
}

const never = (): boolean => false;
const MOD = op<timer_list>('mod_timer');
const DELETE = op<timer_list>('timer_delete');
const EXPIRE = op<timer_list>('timer expires', { ready: never });
const SLEEP = op<Task>('msleep', { ready: never, sleeps: true });

export function timer_setup(timer: timer_list, func: (timer: timer_list) => Co<void>): void {
  timer.func = func;
}

/** Softirq context: the callback must not sleep. */
function* expire(timer: timer_list, func: (timer: timer_list) => Co<void>): Gen<void> {
  current().preemptCount++;
  current().deadline = null;
  timer.pending = null;
  yield* func(timer);
}

function cancel(timer: timer_list): boolean {
  const task = timer.pending;
  if (task === null) return false;
  timer.pending = null;
  scheduler().discard(task);
  return true;
}

/** Sets the timer to expire at `expires` (absolute, ms). True when it was pending before. */
export function mod_timer(timer: timer_list, expires: number): Co<boolean> {
  return operation(MOD, timer, () => {
    const { func } = timer;
    if (func === null) throw new Error(`${timer.name} was armed before timer_setup`);
    const was = cancel(timer);
    const task = scheduler().spawn(timer, 'softirq', expire(timer, func), EXPIRE, timer);
    task.deadline = expires;
    timer.pending = task;
    return was;
  });
}

/** True when it was pending and will not run now. Does not wait for a callback that has started. */
export const timer_delete = (timer: timer_list): Co<boolean> => operation(DELETE, timer, cancel);

/** Sleeps for `ms` of virtual time. */
export function* msleep(ms: number): Gen<void> {
  const task = current();
  task.deadline = scheduler().now + ms;
  yield* operation(SLEEP, task, () => {});
  task.deadline = null;
}
