// SPDX-License-Identifier: GPL-2.0-only
import { type Choice, operationLabel, type Policy } from '../choice.ts';
import type { Task } from '../task.ts';

/** One line of a case's schedule. */
export type ScriptLine =
  /** Let a task go on until it waits or ends, or until it is about to do the operation `until` the `nth` time (1). */
  | { readonly run: string; readonly until?: string; readonly nth?: number }
  /** Answer the next choice that is not about tasks with the option of this label. */
  | { readonly choose: string };

/**
 * A schedule as a person writes it: whom to let run how far. When it is used up, run-to-block goes on.
 */
export class Script implements Policy {
  readonly #lines: readonly ScriptLine[];
  #at = 0;
  /** How often the task of the line has been about to do what the line names. */
  #times = 0;

  constructor(lines: readonly ScriptLine[]) {
    this.#lines = lines;
  }

  /** Lines that the run did not come to: a script that does not fit. */
  get left(): readonly ScriptLine[] {
    return this.#lines.slice(this.#at);
  }

  choose(choice: Choice): number {
    return choice.kind === 'task' ? this.#task(choice) : this.#other(choice);
  }

  #other(choice: Choice): number {
    const line = this.#lines[this.#at];
    if (line === undefined || !('choose' in line)) return choice.fallback;
    for (let option = 0; option < choice.count; option++) {
      if (choice.label(option) === line.choose) {
        this.#at++;
        return option;
      }
    }
    return choice.fallback;
  }

  #task(choice: Choice): number {
    for (; this.#at < this.#lines.length; this.#at++, this.#times = 0) {
      const line = this.#lines[this.#at];
      if (line === undefined || !('run' in line)) break;
      const option = choice.tasks.findIndex((task, i) => i < choice.count && task.name === line.run);
      const task = choice.tasks[option];
      if (task !== undefined && !this.#hasCome(task, line.until, line.nth)) return option;
    }
    return choice.fallback;
  }

  #hasCome(task: Task, until: string | undefined, nth = 1): boolean {
    if (operationLabel(task) === until) this.#times++;
    return this.#times === nth;
  }
}
