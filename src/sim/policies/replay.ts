// SPDX-License-Identifier: GPL-2.0-only
import type { Choice, Policy } from '../choice.ts';

/** A schedule that does not fit the run it is replayed on. */
export class ScheduleMismatch extends Error {
  override name = 'ScheduleMismatch';

  constructor(at: number, wanted: string, choice: Choice) {
    const options = Array.from({ length: choice.count }, (_, i) => `  ${choice.label(i)}`);
    super(
      `choice ${at + 1} of the schedule is '${wanted}', but here the options are:\n${options.join('\n')}`,
    );
  }
}

/** Answers as a recorded list of labels does, then as run-to-block. Throws ScheduleMismatch. */
export class Replay implements Policy {
  readonly #labels: readonly string[];
  #at = 0;

  constructor(labels: readonly string[]) {
    this.#labels = labels;
  }

  /** Labels that the run did not come to. */
  get left(): readonly string[] {
    return this.#labels.slice(this.#at);
  }

  choose(choice: Choice): number {
    const wanted = this.#labels[this.#at];
    if (wanted === undefined) return choice.fallback;
    for (let option = 0; option < choice.count; option++) {
      if (choice.label(option) === wanted) {
        this.#at++;
        return option;
      }
    }
    throw new ScheduleMismatch(this.#at, wanted, choice);
  }
}
