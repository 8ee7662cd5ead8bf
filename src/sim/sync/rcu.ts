// SPDX-License-Identifier: GPL-2.0-only

/** RCU: read-side sections, grace periods, callbacks, and accesses marked as racing on purpose. */
import { current, machine } from '../context.ts';
import { type Named, Observed } from '../observed.ts';
import { op } from '../op.ts';
import { operation, scheduler } from '../point.ts';
import type { Co, Gen, Task } from '../task.ts';
import { Unordered } from '../unordered.ts';

/** Read-side sections that a grace period waits for: by task, which of its sections. */
type Readers = ReadonlyMap<Task, number>;

/** The machine's RCU state. */
class rcu_state extends Observed {
  /** Grace periods that were asked for, by ticket. */
  readonly periods: Readers[] = [];

  override get $recorded(): boolean {
    return false;
  }

  override $state(see: (value: unknown) => void): void {
    for (const readers of this.periods) {
      const inside = [...readers].filter(([task, n]) => task.rcuDepth > 0 && task.rcuSections === n);
      see(new Unordered(inside.map(([task]) => task)));
    }
  }
}

const rcu = (): rcu_state => machine().singleton(newState);
const newState = (creator: Named): rcu_state => new rcu_state(creator, 'rcu', true);

const readers = ['rcu_read_lock', 'rcu_read_unlock'];
const LOCK = op<rcu_state>('rcu_read_lock', { commutes: readers });
const UNLOCK = op<rcu_state>('rcu_read_unlock', { commutes: readers });
const SYNCHRONIZE = op<rcu_state>('synchronize_rcu', { sleeps: true });
const ELAPSED = op<rcu_state>('synchronize_rcu (waiting)', {
  ready: (state, task) => stillReading(state, task.operand).length === 0,
  holders: (state, task) => stillReading(state, task.operand),
  sleeps: true,
});
const CALL = op<rcu_state>('call_rcu');
const CALLBACK = op<rcu_state>('rcu callback', {
  ready: (state, task) => stillReading(state, task.operand).length === 0,
  holders: (state, task) => stillReading(state, task.operand),
});

function stillReading(state: rcu_state, period: number): Task[] {
  const waiting: Task[] = [];
  for (const [task, section] of state.periods[period] ?? []) {
    if (task.rcuDepth > 0 && task.rcuSections === section) waiting.push(task);
  }
  return waiting;
}

function newPeriod(state: rcu_state): number {
  const inside = scheduler().live.filter((task) => task.rcuDepth > 0);
  return state.periods.push(new Map(inside.map((task) => [task, task.rcuSections]))) - 1;
}

/** Enters a read-side section; they nest. The task must not sleep in it. */
export const rcu_read_lock = (): Co<void> =>
  operation(LOCK, rcu(), () => {
    const task = current();
    if (task.rcuDepth++ === 0) task.rcuSections++;
    task.preemptCount++;
  });

export const rcu_read_unlock = (): Co<void> =>
  operation(UNLOCK, rcu(), () => {
    const task = current();
    task.rcuDepth--;
    task.preemptCount--;
  });

/** Waits until every read-side section that is open now has been left. */
export function* synchronize_rcu(): Gen<void> {
  const state = rcu();
  const period = yield* operation(SYNCHRONIZE, state, newPeriod);
  yield* operation(ELAPSED, state, () => {}, period);
}

/** Runs `callback` in a task of its own after a grace period. */
export function call_rcu(object: Observed, callback: () => Co<void>): Co<void> {
  return operation(CALL, rcu(), (state) => {
    const task = scheduler().spawn(object, 'rcu', runCallback(callback), CALLBACK, state);
    task.operand = newPeriod(state);
  });
}

function* runCallback(callback: () => Co<void>): Gen<void> {
  yield* callback();
}

const READ_MARKED = op('READ_ONCE', { commutes: ['READ_ONCE'], orders: false, marks: true });
const WRITE_MARKED = op('WRITE_ONCE', { orders: false, marks: true });

/** Reads a field that others write meanwhile, on purpose: a point at which they may come first. */
export const READ_ONCE = <T extends Observed, K extends keyof T>(object: T, field: K): Co<T[K]> =>
  operation(READ_MARKED, object, () => object[field]);

/** Writes a field that others read meanwhile, on purpose. */
export const WRITE_ONCE = <T extends Observed, K extends keyof T>(
  object: T,
  field: K,
  value: T[K],
): Co<void> =>
  operation(WRITE_MARKED, object, () => {
    object[field] = value;
  });

const DEREFERENCE = op('rcu_dereference', { commutes: ['rcu_dereference'], marks: true });
const ASSIGN = op('rcu_assign_pointer', { marks: true });

/** Reads a pointer that rcu_assign_pointer publishes, and what was written before that; in a read-side section. */
export const rcu_dereference = <T extends Observed, K extends keyof T>(object: T, field: K): Co<T[K]> =>
  operation(DEREFERENCE, object, () => object[field]);

/** Publishes a pointer to readers, after all that was written before. */
export const rcu_assign_pointer = <T extends Observed, K extends keyof T>(
  object: T,
  field: K,
  value: T[K],
): Co<void> =>
  operation(ASSIGN, object, () => {
    object[field] = value;
  });
