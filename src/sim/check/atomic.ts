// SPDX-License-Identifier: GPL-2.0-only

/** Sleeping in atomic context: an operation that may sleep, while a spinlock is held or in an RCU section. */
import type { Observed } from '../observed.ts';
import type { OpKind } from '../op.ts';
import { spinlock } from '../sync/spinlock.ts';
import type { Task } from '../task.ts';
import type { Findings } from './finding.ts';
import { HeldLocks, lockClass } from './locks.ts';
import { type Checker, type Place, showStack } from './walk.ts';

export class AtomicChecker implements Checker {
  readonly #findings: Findings;
  readonly #held = new HeldLocks();
  readonly #rcu = new Map<Task | null, number>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  taken(lock: Observed, shared: boolean, place: Place): void {
    if (lock instanceof spinlock) this.#held.taken(lock, shared, place);
  }

  given(lock: Observed, place: Place): void {
    this.#held.given(lock, place);
  }

  operation(kind: OpKind, object: Observed, place: Place): void {
    const { task } = place;
    if (kind.name === 'rcu_read_lock') this.#rcu.set(task, (this.#rcu.get(task) ?? 0) + 1);
    if (kind.name === 'rcu_read_unlock') this.#rcu.set(task, (this.#rcu.get(task) ?? 0) - 1);
    if (!kind.sleeps) return;
    const [held] = this.#held.of(task);
    const inside =
      held !== undefined ? lockClass(held.lock) : (this.#rcu.get(task) ?? 0) > 0 ? 'rcu_read_lock' : null;
    if (inside === null) return;
    const taken = held === undefined ? '' : `\n${lockClass(held.lock)} taken by\n${showStack(held.stack)}`;
    this.#findings.add(
      'sleep-in-atomic',
      `${kind.name} ${lockClass(object)} while holding ${inside}`,
      `${kind.name} ${object.name} by\n${showStack(place.stack())}${taken}`,
    );
  }
}
