// SPDX-License-Identifier: GPL-2.0-only
import { type Choice, operationLabel, type Policy } from '../choice.ts';

/** One line of a case's schedule. */
export type ScriptLine =
  /** Let a task go on until it waits or ends, or until it is about to do the operation `until`. */
  | { readonly run: string; readonly until?: string }
  /** Answer the next choice that is not about tasks with the option of this label. */
  | { readonly choose: string };

/**
 * A schedule as a person writes it: whom to let run how far. When it is used up, run-to-block goes on.
 */
export class Script implements Policy {
  readonly #lines: readonly ScriptLine[];
  #at = 0;

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
    for (; this.#at < this.#lines.length; this.#at++) {
      const line = this.#lines[this.#at];
      if (line === undefined || !('run' in line)) break;
      for (let option = 0; option < choice.count; option++) {
        const task = choice.tasks[option];
        if (task?.name === line.run && operationLabel(task) !== line.until) return option;
      }
    }
    return choice.fallback;
  }
}
