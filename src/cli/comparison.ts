// SPDX-License-Identifier: GPL-2.0-only

/** A case on two designs: where their runs part, and how all that can happen differs. */
import { type Case, stepName } from '../case/case.ts';
import { designName } from '../case/designs.ts';
import { runCase } from '../case/run.ts';
import { linesOf } from '../case/story.ts';
import { type Verdict, verdictOf } from '../case/verdict.ts';
import { compare, type Hunk } from '../golden/compare.ts';
import { formatLine, type Level } from '../sim/text.ts';
import type { Claimed, Explored, ExploreOptions } from './exploration.ts';
import { exploreCase } from './exploration.ts';

/** What a case does on one design. */
export interface Side {
  readonly design: string;
  /** Of one run, by the schedule of the case. */
  readonly verdict: Verdict;
  readonly trace: string;
  /** How each step ended, by its name and what it does. */
  readonly results: ReadonlyMap<string, string>;
  /** Of all interleavings. */
  readonly explored: Explored;
}

export function sideOf(it: Case, level: Level, options: ExploreOptions): Side {
  const run = runCase(it);
  return {
    design: it.design ?? designName(it.outline),
    verdict: verdictOf(run),
    trace: [...linesOf(run, level)].map((line) => `${formatLine(line)}\n`).join(''),
    results: new Map(
      run.results.map(({ task, step, text }) => [`${stepName(task, step)}  ${step.text}`, text]),
    ),
    explored: exploreCase(it, options),
  };
}

/** What is in both, in their order, and what only one has. */
export interface Split<T> {
  readonly both: readonly T[];
  readonly onlyA: readonly T[];
  readonly onlyB: readonly T[];
}

function split(a: readonly string[], b: readonly string[]): Split<string> {
  const [inA, inB] = [new Set(a), new Set(b)];
  return {
    both: [...inA].filter((each) => inB.has(each)),
    onlyA: [...inA].filter((each) => !inB.has(each)),
    onlyB: [...inB].filter((each) => !inA.has(each)),
  };
}

export interface Comparison {
  readonly a: Side;
  readonly b: Side;
  /** Lines of the traces that are the same before they part; null: they do not. */
  readonly same: number | null;
  readonly hunks: readonly Hunk[];
  /** Steps of the one run that ended differently. */
  readonly results: readonly {
    readonly step: string;
    readonly a: string | null;
    readonly b: string | null;
  }[];
  /** In short: without what every outcome of both has. */
  readonly outcomes: Split<string>;
  /** What the checkers found, over all interleavings. */
  readonly findings: Split<string>;
  readonly claims: readonly {
    readonly text: string;
    readonly a: Claimed | null;
    readonly b: Claimed | null;
  }[];
}

/** What is the same on both is left out, but where it says what is not. */
export function compareSides(a: Side, b: Side): Comparison {
  const mismatch = compare(a.trace, b.trace);
  const outcomes = [a, b].map(({ explored }) => explored.outcomes.map(({ key }) => key.split('; ')));
  const everywhere = common(outcomes.flat());
  const [ofA = [], ofB = []] = outcomes.map((each) =>
    each.map((parts) => parts.filter((part) => !everywhere.has(part)).join('; ') || 'as every other'),
  );
  const found = ({ explored }: Side): string[] =>
    explored.findings.map(({ finding }) => `${finding.kind}: ${finding.title}`);
  return {
    a,
    b,
    same: mismatch === null ? null : sameLines(a.trace, b.trace),
    hunks: mismatch?.hunks ?? [],
    results: union(a.results, b.results)
      .map((step) => ({ step, a: a.results.get(step) ?? null, b: b.results.get(step) ?? null }))
      .filter((each) => each.a !== each.b),
    outcomes: split(ofA, ofB),
    findings: split(found(a), found(b)),
    claims: claimsOf(a, b),
  };
}

/** Whether the designs do the same, as far as this case shows. */
export const isSame = ({ same, outcomes, findings, claims }: Comparison): boolean =>
  same === null &&
  [outcomes, findings].every(({ onlyA, onlyB }) => onlyA.length + onlyB.length === 0) &&
  claims.every(({ a, b }) => a?.answer === b?.answer);

function claimsOf(a: Side, b: Side): Comparison['claims'] {
  const [inA, inB] = [a, b].map(({ explored }) => new Map(explored.claims.map((each) => [each.text, each])));
  if (inA === undefined || inB === undefined) return [];
  return union(inA, inB).map((text) => ({ text, a: inA.get(text) ?? null, b: inB.get(text) ?? null }));
}

const union = <T>(a: ReadonlyMap<string, T>, b: ReadonlyMap<string, T>): string[] => [
  ...new Set([...a.keys(), ...b.keys()]),
];

/** What is part of all. */
function common(all: readonly (readonly string[])[]): Set<string> {
  const [first = [], ...others] = all;
  // Of a single one, everything would be.
  return new Set(
    others.length === 0 ? [] : first.filter((part) => others.every((parts) => parts.includes(part))),
  );
}

function sameLines(a: string, b: string): number {
  const other = b.split('\n');
  return a.split('\n').findIndex((line, i) => line !== other[i]);
}
