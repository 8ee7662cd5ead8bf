// SPDX-License-Identifier: GPL-2.0-only
import type { Choice, Policy } from '../choice.ts';
import type { Task } from '../task.ts';
import { random32 } from './random.ts';

/**
 * Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte, 2010): tasks have random
 * priorities and the highest goes on; at `depth - 1` random steps the one that runs falls below all others. A
 * bug that needs d orderings is found by one run with a probability of at least 1 / (tasks * steps^(d - 1)).
 */
export class Pct implements Policy {
  readonly #random: () => number;
  readonly #drops: readonly number[];
  readonly #priorities = new Map<Task, number>();
  #choices = 0;
  #lowest = 0;

  /** `steps`: how many choices a run of the program has, about. */
  constructor(seed: number, depth: number, steps: number) {
    this.#random = random32(seed);
    this.#drops = Array.from({ length: depth - 1 }, () => this.#random() % Math.max(steps, 1));
  }

  choose(choice: Choice): number {
    if (choice.kind !== 'task') return this.#random() % choice.count;
    const option = this.#highest(choice);
    const task = choice.tasks[option];
    if (task !== undefined && this.#drops.includes(this.#choices++))
      this.#priorities.set(task, --this.#lowest);
    return this.#highest(choice);
  }

  #highest(choice: Choice): number {
    let best = 0;
    let bestPriority = Number.NEGATIVE_INFINITY;
    for (let option = 0; option < choice.count; option++) {
      const task = choice.tasks[option];
      if (task === undefined) continue;
      let priority = this.#priorities.get(task);
      if (priority === undefined) {
        priority = this.#random();
        this.#priorities.set(task, priority);
      }
      if (priority > bestPriority) {
        best = option;
        bestPriority = priority;
      }
    }
    return best;
  }
}
