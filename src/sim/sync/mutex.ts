// SPDX-License-Identifier: GPL-2.0-only

/** Linux's struct mutex (kernel/locking/mutex.c). Any waiter may be next: Linux lets a late comer steal it. */
import { current } from '../context.ts';
import { Observed } from '../observed.ts';
import { op } from '../op.ts';
import { operation } from '../point.ts';
import type { Co, Task } from '../task.ts';
import { WARN_ON } from '../warn.ts';
import { lock_acquired, lock_released } from './lock.ts';

export class mutex extends Observed {
  /** Who holds it. Written only here; the OP records say as much. */
  owner: Task | null = null;

  override $state(see: (value: unknown) => void): void {
    see(this.owner);
  }
}

const LOCK = op<mutex>('mutex_lock', {
  ready: (lock) => lock.owner === null,
  holders: (lock) => (lock.owner === null ? [] : [lock.owner]),
  sleeps: true,
});
const TRYLOCK = op<mutex>('mutex_trylock');
const UNLOCK = op<mutex>('mutex_unlock', { enables: ['mutex_lock'] });

function take(lock: mutex): void {
  lock.owner = current();
  lock_acquired(lock);
}

function tryTake(lock: mutex): boolean {
  if (lock.owner !== null) return false;
  take(lock);
  return true;
}

function release(lock: mutex): void {
  WARN_ON(lock.owner !== current(), `mutex_unlock of ${lock.name} by another task than its owner`);
  lock.owner = null;
  lock_released(lock);
}

export const mutex_lock = (lock: mutex): Co<void> => operation(LOCK, lock, take);
/** True when it was taken. */
export const mutex_trylock = (lock: mutex): Co<boolean> => operation(TRYLOCK, lock, tryTake);
export const mutex_unlock = (lock: mutex): Co<void> => operation(UNLOCK, lock, release);
export const mutex_is_locked = (lock: mutex): boolean => lock.owner !== null;

export function lockdep_assert_held(lock: mutex): void {
  WARN_ON(lock.owner !== current(), `${lock.name} is not held by the task that needs it`);
}
