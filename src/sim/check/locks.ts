// SPDX-License-Identifier: GPL-2.0-only

/** Which locks each task holds: what several checkers ask. */
import type { Observed } from '../observed.ts';
import type { Task } from '../task.ts';
import type { Place, Stack } from './walk.ts';

export interface Held {
  readonly lock: Observed;
  /** Others may hold it, too. */
  readonly shared: boolean;
  /** Where it was taken. */
  readonly stack: Stack;
}

/**
 * A class of locks: those that play the same role in the same struct. An order of classes that no run violates
 * holds for every object.
 */
export function lockClass(lock: Observed): string {
  return lock.$embedded ? `${lock.$creator.constructor.name}.${lock.$role}` : lock.$role;
}

export class HeldLocks {
  readonly #held = new Map<Task | null, Held[]>();

  of(task: Task | null): readonly Held[] {
    return this.#held.get(task) ?? [];
  }

  /** By whom it is held; a lock that is shared by many. */
  ofLock(lock: Observed): readonly Held[] {
    return [...this.#held.values()].flatMap((all) => all.filter((held) => held.lock === lock));
  }

  taken(lock: Observed, shared: boolean, place: Place): void {
    const held = { lock, shared, stack: place.stack() };
    const others = this.#held.get(place.task);
    if (others === undefined) this.#held.set(place.task, [held]);
    else others.push(held);
  }

  given(lock: Observed, { task }: Place): void {
    const held = this.#held.get(task) ?? [];
    const at = held.findLastIndex((h) => h.lock === lock);
    if (at >= 0) held.splice(at, 1);
  }
}
