// SPDX-License-Identifier: GPL-2.0-only

/** Goldens of explored cases: golden/<case>.outcomes. */
import type { Case } from '../case/case.ts';
import { plain } from '../case/place.ts';
import { compare } from '../golden/compare.ts';
import { outcomesText } from '../golden/outcomes.ts';
import { showMismatch } from '../golden/show.ts';
import { type Change, goldenNames, goldenPath, readGolden, writeGoldens } from '../golden/store.ts';
import type { Explored } from './exploration.ts';
import { caseNames, type Selected } from './project.ts';
import { EXIT, oracle } from './unusable.ts';

/** A case on one design, explored. */
export interface Result {
  readonly it: Case;
  readonly explored: Explored;
}

export interface Judged {
  readonly selected: Selected;
  readonly results: readonly Result[];
  /** The worst of the explorations; failed also where the golden differs. */
  readonly status: Explored['status'];
  /** Its golden, as it should be; null: the exploration does not say, or there is nothing to explore. */
  readonly story: string | null;
  readonly golden: string | null;
  /** How the golden differs; null when it does not, or there is none. */
  readonly difference: string | null;
}

/** Whether a case leaves anything to choose. */
const isOpen = ({ tasks, outline }: Case): boolean => tasks.length > 1 || (outline.inject ?? []).length > 0;

const WORST_FIRST = ['failed', 'unsupported', 'incomplete', 'passed'] as const;

/** Sets explorations of a case beside its golden. `ownDesigns`: on those that the case names, not on others. */
export function judge(selected: Selected, results: readonly Result[], ownDesigns = true): Judged {
  const { root, name } = selected;
  const worst =
    WORST_FIRST.find((each) => results.some(({ explored }) => explored.status === each)) ?? 'passed';
  const golden = root === null || !ownDesigns ? null : readGolden(root, name, 'outcomes');
  const story = storyOf(results);
  const base = { selected, results, story, golden };
  const mismatch = golden === null || story === null ? null : compare(golden, story);
  if (mismatch === null) return { ...base, status: worst, difference: null };
  const difference = `what ${name} comes to differs from ${goldenPath(name, 'outcomes')}: ${mend(name)} accepts that\n${showMismatch(mismatch, plain)}`;
  return { ...base, status: worst === 'passed' ? 'failed' : worst, difference };
}

function storyOf(results: readonly Result[]): string | null {
  const [first] = results;
  const isWhole = results.every(
    ({ it, explored: { mode, complete } }) => isOpen(it) && mode === 'traces' && complete,
  );
  if (first === undefined || !isWhole) return null;
  return outcomesText(
    first.it.outline.title,
    results.map(({ it: { design }, explored: { outcomes, findings } }) => ({
      design,
      outcomes: outcomes.map(({ results }) => results),
      findings: findings.map(({ finding }) => `${finding.kind}: ${finding.title}`),
    })),
  );
}

const mend = (name: string): string => `${oracle()} explore --update ${name}`;

/** Goldens of explorations that no case stands behind, as sentences. */
export function orphanedOutcomes(root: string): string[] {
  const cases = new Set(caseNames(root));
  return goldenNames(root, 'outcomes')
    .filter((name) => !cases.has(name))
    .map((name) => `${goldenPath(name, 'outcomes')} has no case: remove it`);
}

/** Writes the goldens of cases that are explored to the end and of which no claim fails. Returns the exit code. */
export function updateOutcomes(all: readonly Judged[]): number {
  const open = all.filter(({ results }) => results.some(({ it }) => isOpen(it)));
  // What this mode leaves unknown of the claims says nothing against what it decides.
  const hasFailed = ({ results }: Judged): boolean =>
    results.some(({ explored }) => explored.status === 'failed');
  const refused = open.filter((each) => each.story === null || hasFailed(each));
  const due = open.filter((each) => !refused.includes(each) && each.story !== each.golden);
  const changes = new Map<string, Change[]>();
  for (const { selected, story } of due) {
    if (selected.root === null) continue;
    const change: Change = { name: selected.name, text: story, kind: 'outcomes' };
    changes.set(selected.root, [...(changes.get(selected.root) ?? []), change]);
  }
  for (const [root, each] of changes) writeGoldens(root, each);
  for (const { selected, golden } of due)
    console.log(`${golden === null ? 'new    ' : 'changed'} ${goldenPath(selected.name, 'outcomes')}`);
  for (const { selected, results } of refused)
    console.log(
      `refused ${goldenPath(selected.name, 'outcomes')}: ${results.flatMap(complaints).join('; ')}`,
    );
  console.log(
    [
      `${due.length} written`,
      `${open.length - due.length - refused.length} as they were`,
      ...(refused.length > 0 ? [`${refused.length} refused`] : []),
    ].join(', '),
  );
  if (refused.some(({ status }) => status === 'failed')) return EXIT.failed;
  return refused.length > 0 ? EXIT.incomplete : EXIT.ok;
}

function complaints({ explored }: Result): string[] {
  if (explored.unsupported !== null) return [`${explored.unsupported} is not modelled`];
  if (!explored.complete) return [`not complete after ${explored.executions} executions`];
  return explored.claims
    .filter(({ answer }) => answer !== 'holds')
    .map(({ answer, text }) => `${answer}: ${text}`);
}
