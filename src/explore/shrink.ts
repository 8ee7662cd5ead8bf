// SPDX-License-Identifier: GPL-2.0-only

/**
 * The shortest schedule on which something goes wrong: fewest departures from run-to-block, in which a task
 * goes on until it waits. Tries all schedules with none, then with one, then two: the first that fails needs
 * as few as possible.
 */
import type { Choice, Policy } from '../sim/choice.ts';
import type { Execute, Run } from './traces.ts';

export interface Shrunk {
  /** Options to take at the first choices; then run-to-block. */
  readonly options: readonly number[];
  /** Departures from run-to-block. */
  readonly departures: number;
  readonly executions: number;
}

/** Takes the given options, then falls back; notes what else could have been taken. */
export class Departing implements Policy {
  readonly #options: readonly number[];
  /** What was taken, and how many options there were. */
  readonly taken: number[] = [];
  readonly counts: number[] = [];

  constructor(options: readonly number[]) {
    this.#options = options;
  }

  choose(choice: Choice): number {
    const option = this.#options[this.taken.length] ?? choice.fallback;
    this.taken.push(option);
    this.counts.push(choice.count);
    return option;
  }
}

/**
 * Searches at most `budget` executions for a run on which `fails`. Null when none of them does: then the
 * schedule that is known is the best there is.
 */
export function shrink(execute: Execute, fails: (run: Run) => boolean, budget: number): Shrunk | null {
  let level: (readonly number[])[] = [[]];
  let executions = 0;
  for (let departures = 0; level.length > 0; departures++) {
    const next: (readonly number[])[] = [];
    for (const prefix of level) {
      if (executions++ === budget) return null;
      const policy = new Departing(prefix);
      if (fails(execute(policy)))
        return { options: policy.taken.slice(0, prefix.length), departures, executions };
      for (let at = prefix.length; at < policy.taken.length; at++) {
        for (let option = 0; option < (policy.counts[at] ?? 0); option++) {
          if (option !== policy.taken[at]) next.push([...policy.taken.slice(0, at), option]);
        }
      }
    }
    level = next;
  }
  return null;
}
