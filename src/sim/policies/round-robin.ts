// SPDX-License-Identifier: GPL-2.0-only
import type { Choice, Policy } from '../choice.ts';
import type { Task } from '../task.ts';

/** The tasks take turns, one operation each. */
export class RoundRobin implements Policy {
  #last: Task | null = null;

  choose(choice: Choice): number {
    if (choice.kind !== 'task') return choice.fallback;
    const last = this.#last;
    const after =
      last === null ? -1 : choice.tasks.findIndex((task, i) => i < choice.count && task.$id > last.$id);
    const option = Math.max(after, 0);
    this.#last = choice.tasks[option] ?? null;
    return option;
  }
}
