// SPDX-License-Identifier: GPL-2.0-only
import { ABANDON, type Choice, operationLabel, type Policy } from '../choice.ts';
import type { ScriptLine } from './script.ts';

/** Where a task goes on, and how often it was about to do each operation since then. */
interface Stretch {
  readonly run: string;
  readonly times: Map<string, number>;
  /** What it was about to do at the last choice. */
  next: string;
}

/**
 * Asks another policy and writes down what it answered, as a person would: whom it let run how far. A choice that
 * is not about tasks is written down where it departs from its fallback, with those since the last one about tasks.
 * The lines need not lead to the same run: two choices that a person cannot tell apart are one to a script.
 */
export class Scripting implements Policy {
  readonly #policy: Policy;
  /** How many choices are still to be written down. */
  #left: number;
  readonly #lines: ScriptLine[] = [];
  #stretch: Stretch | null = null;
  /** Answers since the last choice about tasks. */
  readonly #answers: string[] = [];
  #departs = false;

  /** `choices`: after so many, nothing is written down. */
  constructor(policy: Policy, choices: number) {
    this.#policy = policy;
    this.#left = choices;
  }

  /** What was done so far; the last task goes on until it waits. */
  get lines(): readonly ScriptLine[] {
    const open = this.#departs ? this.#answers.map((choose) => ({ choose })) : [];
    const last = this.#stretch === null ? [] : [{ run: this.#stretch.run }];
    return this.#departs ? [...this.#lines, ...this.#untilNow(), ...open] : [...this.#lines, ...last];
  }

  choose(choice: Choice): number {
    const option = this.#policy.choose(choice);
    if (option === ABANDON || this.#left-- <= 0) return option;
    if (choice.kind === 'task') this.#tookTask(choice, option);
    else {
      this.#answers.push(choice.label(option));
      this.#departs ||= option !== choice.fallback;
    }
    return option;
  }

  #tookTask(choice: Choice, option: number): void {
    if (this.#departs) {
      this.#lines.push(...this.#untilNow(), ...this.#answers.map((choose) => ({ choose })));
      this.#stretch = null;
    }
    this.#answers.length = 0;
    this.#departs = false;
    const taken = choice.tasks[option];
    const stretch = this.#stretch;
    if (taken === undefined) return;
    if (stretch !== null) {
      const waits = !this.#look(stretch, choice);
      if (stretch.run === taken.name) return;
      this.#lines.push(...(waits ? [{ run: stretch.run }] : this.#untilNow()));
    }
    this.#stretch = { run: taken.name, times: new Map(), next: '' };
    this.#look(this.#stretch, choice);
  }

  /** Counts what its task is about to do; false: it cannot go on. */
  #look(stretch: Stretch, choice: Choice): boolean {
    const task = choice.tasks.find((each, i) => i < choice.count && each.name === stretch.run);
    if (task === undefined) return false;
    stretch.next = operationLabel(task);
    stretch.times.set(stretch.next, (stretch.times.get(stretch.next) ?? 0) + 1);
    return true;
  }

  #untilNow(): ScriptLine[] {
    if (this.#stretch === null) return [];
    const { run, next: until, times } = this.#stretch;
    const nth = times.get(until) ?? 1;
    return [nth === 1 ? { run, until } : { run, until, nth }];
  }
}
