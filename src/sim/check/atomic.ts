// SPDX-License-Identifier: GPL-2.0-only

/** Sleeping in atomic context: an operation that may sleep, while a spinlock is held or in an RCU section. */
import type { Observed } from '../observed.ts';
import type { OpKind } from '../op.ts';
import { spinlock } from '../sync/spinlock.ts';
import type { Task } from '../task.ts';
import type { Findings } from './finding.ts';
import { HeldLocks, lockClass } from './locks.ts';
import { type Checker, type Place, type Stack, side } from './walk.ts';

export class AtomicChecker implements Checker {
  readonly #findings: Findings;
  readonly #held = new HeldLocks();
  /** The sections that tasks are in, and where each began. */
  readonly #rcu = new Map<Task | null, Stack[]>();

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
    const sections = this.#rcu.get(task) ?? [];
    if (kind.name === 'rcu_read_lock') this.#rcu.set(task, [...sections, place.stack()]);
    if (kind.name === 'rcu_read_unlock') sections.pop();
    if (!kind.sleeps) return;
    const [held] = this.#held.of(task);
    const [inside, since] =
      held === undefined ? ['rcu_read_lock', sections[0]] : [lockClass(held.lock), held.stack];
    if (since === undefined) return;
    this.#findings.add('sleep-in-atomic', `${kind.name} ${lockClass(object)} while holding ${inside}`, () => [
      side(`${kind.name} ${object.name} by`, place.stack()),
      side(`${held?.lock.name ?? inside} taken by`, since),
    ]);
  }
}
