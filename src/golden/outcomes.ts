// SPDX-License-Identifier: GPL-2.0-only

/**
 * What all interleavings of a case come to, as a golden: how its steps can end, and what checkers find. Nothing of
 * how many runs there were, or of which showed what: that changes with the engine, not with the kernel.
 */

/** A case on one design. */
export interface Part {
  /** Null: the case names none. */
  readonly design: string | null;
  /** Of each, what every step was told, by step. */
  readonly outcomes: readonly (readonly string[])[];
  /** One line each. */
  readonly findings: readonly string[];
}

export const outcomesText = (title: string, parts: readonly Part[]): string =>
  [`# ${title}`, ...parts.flatMap(sectionsOf)].join('\n');

function sectionsOf({ design, outcomes, findings }: Part): string[] {
  const [first = [], ...others] = outcomes;
  const same = first.filter((line) => others.every((outcome) => outcome.includes(line)));
  const differing = outcomes.map((outcome) => outcome.filter((line) => !same.includes(line)));
  return [
    ...(design === null ? [] : [`## on ${design}`]),
    section('in every run', same),
    ...(others.length === 0 ? [] : differing.map((lines) => section('in some run', lines)).sort()),
    ...(findings.length === 0 ? [] : [section('found', [...findings].sort())]),
  ];
}

const section = (heading: string, lines: readonly string[]): string =>
  `${[heading, ...lines.map((line) => `  ${line}`)].join('\n')}\n`;
