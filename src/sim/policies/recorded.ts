// SPDX-License-Identifier: GPL-2.0-only
import { ABANDON, type Choice, type Policy } from '../choice.ts';

/** Asks another policy and writes down what it answered: the schedule of the run, for Replay. */
export class Recorded implements Policy {
  readonly labels: string[] = [];
  readonly #policy: Policy;

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  choose(choice: Choice): number {
    const option = this.#policy.choose(choice);
    if (option !== ABANDON) this.labels.push(choice.label(option));
    return option;
  }
}
