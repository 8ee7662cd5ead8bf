// SPDX-License-Identifier: GPL-2.0-only

/** What software must never let happen and nothing in the run notices, with who let go of what it was done to. */
import { Bytes } from '../collections/bytes.ts';
import type { Machine } from '../machine.ts';
import type { Observed } from '../observed.ts';
import type { FindingKind, Findings } from './finding.ts';
import { type Change, changes } from './history.ts';
import { type Checker, type Place, side } from './walk.ts';

export class BreachChecker implements Checker {
  readonly #findings: Findings;
  readonly #machine: Machine;

  constructor(findings: Findings, machine: Machine) {
    this.#findings = findings;
    this.#machine = machine;
  }

  breached(kind: FindingKind, text: string, of: Observed | null, place: Place): void {
    this.#findings.add(kind, text, () => [side('by', place.stack()), ...this.#before(of, place.at)]);
  }

  /** The last change of each part of it; what is stored in it says nothing about whose it is. */
  #before(of: Observed | null, until: number): string[] {
    const last = new Map<Observed, Change>();
    const isPart = (it: Observed): boolean => it.$allocation === of && !(it instanceof Bytes);
    for (const change of changes(this.#machine, until, isPart)) last.set(change.object, change);
    return [...last.values()]
      .sort((a, b) => b.at - a.at)
      .map(({ text, by }) => side(`after ${text}, by`, by));
  }
}
