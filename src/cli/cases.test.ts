// SPDX-License-Identifier: GPL-2.0-only

// Every case of this repository, a test each.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { onDesigns } from '../case/designs.ts';
import { plain } from '../case/place.ts';
import type { Progress } from '../explore/traces.ts';
import { compare } from '../golden/compare.ts';
import { showMismatch } from '../golden/show.ts';
import { goldenNames } from '../golden/store.ts';
import { Trace } from '../sim/trace.ts';
import { evaluate, load, orphaned } from './evaluate.ts';
import { exploreCase, reachedBy } from './exploration.ts';
import { judge, orphanedOutcomes } from './outcomes.ts';
import { caseNames, casePath } from './project.ts';

const root = join(import.meta.dirname, '../..');
const names = caseNames(root);
const trace = new Trace();

describe('cases', () => {
  test.each(names)('%s', (name) => {
    const selected = { name, path: casePath(root, name), shown: `cases/${name}.jsonc`, root };
    const { status, reasons, golden, story } = evaluate(selected, load(selected), { trace });
    if (status === 'passed') return;
    const mismatch = golden === null || story === null ? null : compare(golden, story);
    const told = mismatch === null ? [] : [showMismatch(mismatch, plain)];
    expect.fail([...reasons, ...told].join('\n'));
  });
});

/** Executions that a case may take here. What takes more is compared by `explore`, or with EXECUTIONS=100000. */
const BUDGET = Number(process.env['EXECUTIONS'] ?? 300);

describe('explored cases', () => {
  const selectedOf = (name: string) => ({
    name,
    path: casePath(root, name),
    shown: `cases/${name}.jsonc`,
    root,
  });
  // Those that have a golden of outcomes: explore --update makes one.
  const explored = goldenNames(root, 'outcomes').filter((name) => names.includes(name));
  for (const name of explored)
    test(name, ({ skip }) => {
      const loaded = load(selectedOf(name));
      const { story, difference, results } = judge(
        selectedOf(name),
        onDesigns(loaded).map((it) => ({
          it,
          explored: exploreCase(it, { mode: 'traces', executions: BUDGET, shrinking: 0 }),
        })),
      );
      if (story === null) skip(`unknown: more than ${BUDGET} executions`);
      const failing = results.flatMap(({ explored }) =>
        explored.claims.filter(({ answer }) => answer === 'fails'),
      );
      expect(failing.map(({ text, why }) => `fails: ${text} (${why})`)).toEqual([]);
      if (difference !== null) expect.fail(difference);
    });
});

/** Executions up to which, on all its designs together, a case is small: it must have its golden of outcomes. */
const SMALL = 100;

/** Executions after which it is estimated how many there will be. */
const PROBE = 32;

/** Gives up what has, by the estimate, more than four times as many executions: it will not be over in so many. */
const seemsMoreThan =
  (most: number) =>
  ({ executions, share }: Progress): boolean =>
    executions >= PROBE && executions > 4 * most * share();

describe('small cases of several tasks have a golden of outcomes', () => {
  const explored = new Set(goldenNames(root, 'outcomes'));
  const open = names
    .filter((name) => !explored.has(name))
    .map((name) => load({ name, path: casePath(root, name), shown: `cases/${name}.jsonc`, root }))
    .filter(({ tasks }) => tasks.length > 1);
  test.each(open.map((it) => [it.name, it] as const))('%s', { timeout: 120_000 }, (name, loaded) => {
    let left = SMALL;
    for (const it of onDesigns(loaded)) {
      const stop = seemsMoreThan(left);
      const reached = reachedBy(it, { mode: 'traces', executions: left, stop });
      if (reached === null) return; // too large, or not modelled
      left -= reached.executions;
    }
    expect.fail(
      `there is no golden/${name}.outcomes: npm run -s oracle -- explore --update ${name} makes it`,
    );
  });
});

test('every golden has a case', () => {
  expect(orphanedOutcomes(root)).toEqual([]);
  expect(
    goldenNames(root)
      .filter((name) => !names.includes(name))
      .map(orphaned),
  ).toEqual([]);
});
