// SPDX-License-Identifier: GPL-2.0-only

/** The words by which cases speak of what checkers find. */
export const FINDING_KINDS = [
  'warn',
  'hang',
  'lock-order',
  'sleep-in-atomic',
  'unguarded-access',
  'data-race',
  'use-after-free',
  'double-free',
  'leak',
  'lost-wake-up',
  'foreign-page',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

export interface Finding {
  readonly kind: FindingKind;
  /** What is wrong in one line: the same line in every run that finds it. */
  readonly title: string;
  /** Both sides, with their stacks. */
  readonly detail: string;
}

/** Findings of a run or of many, each title once. */
export class Findings {
  readonly #found = new Map<string, Finding>();

  /** `sides`: those of its detail, in order; asked only where it is new. */
  add(kind: FindingKind, title: string, sides: () => readonly string[]): void {
    const key = `${kind}: ${title}`;
    if (!this.#found.has(key)) this.#found.set(key, { kind, title, detail: sides().join('\n') });
  }

  get all(): readonly Finding[] {
    return [...this.#found.values()];
  }
}
