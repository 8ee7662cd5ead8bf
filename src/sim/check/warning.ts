// SPDX-License-Identifier: GPL-2.0-only

/** WARN_ON and BUG_ON, with who made it so; of a reference count that went wrong, with all its gets and puts. */
import type { Machine } from '../machine.ts';
import type { Observed } from '../observed.ts';
import { refcount_t } from '../sync/refcount.ts';
import { counting } from './counting.ts';
import type { Findings } from './finding.ts';
import { judged } from './history.ts';
import { type Checker, type Place, side } from './walk.ts';

export class WarningChecker implements Checker {
  readonly #findings: Findings;
  readonly #machine: Machine;

  constructor(findings: Findings, machine: Machine) {
    this.#findings = findings;
    this.#machine = machine;
  }

  warned(text: string, about: Observed | null, place: Place): void {
    this.#findings.add('warn', text, () => [side('at', place.stack()), ...this.#otherSide(about, place.at)]);
  }

  #otherSide(about: Observed | null, at: number): string[] {
    if (about instanceof refcount_t) return [counting(this.#machine, at, about)];
    const { errno, causes } = judged(this.#machine, at);
    return [
      ...(errno === null ? [] : [side(`which judged an errno (${errno.reason}) by`, errno.in)]),
      ...causes.map(({ text, by }) => side(`which had looked at ${text}, by`, by)),
    ];
  }
}
