// SPDX-License-Identifier: GPL-2.0-only

/** Linux's spinlock_t. Holding one makes the task atomic: it must not sleep. */
import { current } from '../context.ts';
import { Observed } from '../observed.ts';
import { op } from '../op.ts';
import { operation } from '../point.ts';
import type { Co, Task } from '../task.ts';
import { WARN_ON } from '../warn.ts';
import { lock_acquired, lock_released } from './lock.ts';

export class spinlock extends Observed {
  owner: Task | null = null;

  override $state(see: (value: unknown) => void): void {
    see(this.owner);
  }
}

const LOCK = op<spinlock>('spin_lock', {
  ready: (lock) => lock.owner === null,
  holders: (lock) => (lock.owner === null ? [] : [lock.owner]),
});
const TRYLOCK = op<spinlock>('spin_trylock');
const UNLOCK = op<spinlock>('spin_unlock', { enables: ['spin_lock'] });

function take(lock: spinlock): void {
  const task = current();
  lock.owner = task;
  lock_acquired(lock);
  task.preemptCount++;
}

function tryTake(lock: spinlock): boolean {
  if (lock.owner !== null) return false;
  take(lock);
  return true;
}

function release(lock: spinlock): void {
  const task = current();
  WARN_ON(lock.owner !== task, `spin_unlock of ${lock.name} by another task than its owner`);
  lock.owner = null;
  lock_released(lock);
  task.preemptCount--;
}

export const spin_lock = (lock: spinlock): Co<void> => operation(LOCK, lock, take);
/** True when it was taken. */
export const spin_trylock = (lock: spinlock): Co<boolean> => operation(TRYLOCK, lock, tryTake);
export const spin_unlock = (lock: spinlock): Co<void> => operation(UNLOCK, lock, release);
