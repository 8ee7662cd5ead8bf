// SPDX-License-Identifier: GPL-2.0-only

/** What `run` says to a person: what went wrong, equal changes once, and the count. */
import type { Mismatch } from '../golden/compare.ts';
import { type Outcome, orphaned } from './evaluate.ts';
import { paint } from './paint.ts';
import type { Orphan } from './project.ts';
import { oracle } from './unusable.ts';

export async function tell(outcomes: readonly Outcome[], orphans: readonly Orphan[]): Promise<void> {
  const colours = paint(process.stdout);
  const bad = outcomes.filter(({ status }) => status !== 'passed');
  const mismatches = await mismatchesOf(bad);
  const differs = bad.filter(({ isAsExpected, golden }) => isAsExpected && golden !== null);
  const missing = bad.filter(({ isAsExpected, golden }) => isAsExpected && golden === null);
  // Where only the golden is wrong, and of many cases at once, they are named together.
  const together = new Set([differs, missing].filter((each) => each.length > FEW).flat());
  for (const outcome of bad) {
    if (together.has(outcome)) continue;
    console.log(`${colours.red(outcome.status)} ${colours.bold(outcome.name)}`);
    for (const reason of outcome.reasons) console.log(`  ${reason.replaceAll('\n', '\n  ')}`);
  }
  if (missing.length > FEW) {
    console.log(`${colours.red('failed')} ${missing.length} cases have no golden: ${namesOf(missing)}`);
    console.log(`  ${oracle()} run --update makes them`);
  }
  if (differs.length > FEW) {
    console.log(`${colours.red('failed')} the traces of ${differs.length} cases differ from their goldens`);
  }
  const [unexpected] = bad.filter((outcome) => outcome.status === 'failed' && !outcome.isAsExpected);
  if (unexpected !== undefined) console.log(`why: ${oracle()} explain ${unexpected.name}`);
  await tellMismatches(mismatches);
  for (const { name } of orphans) console.log(`${colours.red('failed')} ${orphaned(name)}`);
  const undecided = outcomes.reduce((n, outcome) => n + outcome.undecided.length, 0);
  if (undecided > 0) {
    console.log(
      `${undecided} ${undecided === 1 ? 'claim' : 'claims'} about all interleavings: not decided by single runs`,
    );
  }
  const of = (...wanted: Outcome['status'][]): number =>
    outcomes.filter(({ status }) => wanted.includes(status)).length;
  const unknown = of('incomplete', 'unsupported');
  const counts = `${of('passed')} passed, ${of('failed') + orphans.length} failed${unknown > 0 ? `, ${unknown} incomplete` : ''}`;
  console.log(bad.length + orphans.length === 0 ? colours.green(counts) : counts);
}

const FEW = 3;
const NAMED = 12;

function namesOf(outcomes: readonly Outcome[]): string {
  const named = outcomes.slice(0, NAMED).map(({ name }) => name);
  const rest = outcomes.length - named.length;
  return `${named.join(', ')}${rest > 0 ? `, and ${rest} more` : ''}`;
}

/** How goldens differ, by case: of those that have one. */
export async function mismatchesOf(outcomes: readonly Outcome[]): Promise<Map<string, Mismatch>> {
  const found = new Map<string, Mismatch>();
  for (const { name, golden, story } of outcomes) {
    if (golden === null || story === null || golden === story) continue;
    const { compare } = await import('../golden/compare.ts');
    const mismatch = compare(golden, story);
    if (mismatch !== null) found.set(name, mismatch);
  }
  return found;
}

const MOST_SHOWN = 30;

async function tellMismatches(mismatches: ReadonlyMap<string, Mismatch>): Promise<void> {
  if (mismatches.size === 0) return;
  const { group } = await import('../golden/group.ts');
  const { showGroup } = await import('../golden/show.ts');
  const groups = group(mismatches);
  for (const each of groups.slice(0, MOST_SHOWN)) console.log(`\n${showGroup(each, paint(process.stdout))}`);
  if (groups.length > MOST_SHOWN) console.log(`\nand ${groups.length - MOST_SHOWN} other changes`);
  console.log(`\nIf this is right: ${oracle()} run --update, or --review to go through it\n`);
}
