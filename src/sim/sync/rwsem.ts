// SPDX-License-Identifier: GPL-2.0-only

/**
 * Linux's struct rw_semaphore (kernel/locking/rwsem.c). A writer that has queued keeps new readers out; so
 * queueing is a step of its own, and a reader that takes the lock twice with a writer between hangs, as it
 * does in Linux.
 */
import { current } from '../context.ts';
import { Observed } from '../observed.ts';
import { op } from '../op.ts';
import { operation } from '../point.ts';
import type { Co, Gen, Task } from '../task.ts';
import { Unordered } from '../unordered.ts';
import { WARN_ON } from '../warn.ts';
import { lock_acquired, lock_released } from './lock.ts';

export class rw_semaphore extends Observed {
  writer: Task | null = null;
  /** One entry a time held: a task may stand here twice. */
  readonly readers: Task[] = [];
  /** Writers that wait in the queue. */
  readonly queued: Task[] = [];
  /** How often it was given back by who did not read: Linux's count of readers is less by that. */
  excess = 0;

  override $state(see: (value: unknown) => void): void {
    see(this.writer);
    see(this.excess);
    // Who reads and who waits to write are sets: the order in which they came decides nothing.
    see(new Unordered(this.readers));
    see(new Unordered(this.queued));
  }

  get holders(): readonly Task[] {
    return this.writer === null ? this.readers : [this.writer];
  }
}

/** A count below 0 looks to a writer like readers: he waits, for ever unless others come to read and stay. */
const free = (sem: rw_semaphore): boolean => sem.writer === null && sem.readers.length === sem.excess;

const READ = op<rw_semaphore>('down_read', {
  ready: (sem) => sem.writer === null && sem.queued.length === 0,
  holders: (sem) => (sem.queued.length > 0 ? sem.queued : sem.holders),
  commutes: ['down_read', 'up_read', 'down_read_trylock'],
  sleeps: true,
});
const TRYREAD = op<rw_semaphore>('down_read_trylock', {
  commutes: ['down_read', 'up_read', 'down_read_trylock'],
});
const READ_DONE = op<rw_semaphore>('up_read', {
  enables: ['down_write (queued)'],
  commutes: ['down_read', 'up_read', 'down_read_trylock'],
});
const WRITE = op<rw_semaphore>('down_write', { sleeps: true });
const QUEUED = op<rw_semaphore>('down_write (queued)', {
  ready: free,
  holders: (sem) => sem.holders,
  sleeps: true,
});
const TRYWRITE = op<rw_semaphore>('down_write_trylock');
const WRITE_DONE = op<rw_semaphore>('up_write', { enables: ['down_read', 'down_write (queued)'] });
const DOWNGRADE = op<rw_semaphore>('downgrade_write', { enables: ['down_read'] });

function takeRead(sem: rw_semaphore): void {
  sem.readers.push(current());
  lock_acquired(sem, true);
}

function tryRead(sem: rw_semaphore): boolean {
  if (sem.writer !== null || sem.queued.length > 0) return false;
  takeRead(sem);
  return true;
}

function releaseRead(sem: rw_semaphore): void {
  const at = sem.readers.indexOf(current());
  if (WARN_ON(at < 0, `up_read of ${sem.name}, which the task does not hold`)) {
    sem.excess += 1;
    return;
  }
  sem.readers.splice(at, 1);
  lock_released(sem);
}

function tryWrite(sem: rw_semaphore): boolean {
  if (!free(sem)) return false;
  sem.writer = current();
  lock_acquired(sem);
  return true;
}

function writeOrQueue(sem: rw_semaphore): boolean {
  if (tryWrite(sem)) return true;
  sem.queued.push(current());
  return false;
}

function leaveQueue(sem: rw_semaphore): void {
  const task = current();
  sem.queued.splice(sem.queued.indexOf(task), 1);
  sem.writer = task;
  lock_acquired(sem);
}

function releaseWrite(sem: rw_semaphore): void {
  WARN_ON(sem.writer !== current(), `up_write of ${sem.name}, which the task does not hold`);
  sem.writer = null;
  lock_released(sem);
}

function toRead(sem: rw_semaphore): void {
  releaseWrite(sem);
  takeRead(sem);
}

export const down_read = (sem: rw_semaphore): Co<void> => operation(READ, sem, takeRead);
/** True when it was taken. */
export const down_read_trylock = (sem: rw_semaphore): Co<boolean> => operation(TRYREAD, sem, tryRead);
export const up_read = (sem: rw_semaphore): Co<void> => operation(READ_DONE, sem, releaseRead);
/** True when it was taken. */
export const down_write_trylock = (sem: rw_semaphore): Co<boolean> => operation(TRYWRITE, sem, tryWrite);
export const up_write = (sem: rw_semaphore): Co<void> => operation(WRITE_DONE, sem, releaseWrite);
export const downgrade_write = (sem: rw_semaphore): Co<void> => operation(DOWNGRADE, sem, toRead);

export function* down_write(sem: rw_semaphore): Gen<void> {
  if (yield* operation(WRITE, sem, writeOrQueue)) return;
  yield* operation(QUEUED, sem, leaveQueue);
}

export function lockdep_assert_held_write(sem: rw_semaphore): void {
  WARN_ON(sem.writer !== current(), `${sem.name} is not held for writing by the task that needs it`);
}
