// SPDX-License-Identifier: GPL-2.0-only

/**
 * That reduced exploration of this repository's cases comes to what unreduced exploration comes to, and mode states
 * to what mode traces does; each case on its first design. Most are too large, and are reported as skipped: without
 * reduction, executions multiply with each operation. EXECUTIONS=10000 takes more, and minutes.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { onDesigns } from '../case/designs.ts';
import type { Progress } from '../explore/traces.ts';
import { load } from './evaluate.ts';
import { reachedBy } from './exploration.ts';
import { caseNames, casePath } from './project.ts';

const root = join(import.meta.dirname, '../..');
const BUDGET = Number(process.env['EXECUTIONS'] ?? 100);
/** What takes more in reduced traces is too large from the start. */
const REDUCED = Math.ceil(BUDGET / 8);
/** Executions after which it is estimated how many there will be. */
const PROBE = 4;

const seemsTooLarge = ({ executions, share }: Progress): boolean =>
  executions >= PROBE && executions > 2 * REDUCED * share();

/** Those of which every interleaving was run. */
const unreduced: string[] = [];

// Where there is one task alone there is little to reduce.
const cases = caseNames(root)
  .map((name) => load({ name, path: casePath(root, name), shown: `cases/${name}.jsonc`, root }))
  .filter(({ tasks }) => tasks.length > 1)
  .map((it) => onDesigns(it)[0] ?? it)
  .map((it) => [it.design === null ? it.name : `${it.name} on ${it.design}`, it] as const);

describe('reduced exploration comes to what more of it comes to', () => {
  for (const [title, it] of cases)
    test(title, ({ skip }) => {
      const reduced = reachedBy(it, { mode: 'traces', executions: REDUCED, stop: seemsTooLarge });
      if (reduced === null) return skip(`not compared: more than ${REDUCED} executions`);
      const states = reachedBy(it, { mode: 'states', executions: BUDGET });
      if (states !== null) expect(states.outcomes).toEqual(reduced.outcomes);
      const all = reachedBy(it, { mode: 'traces', executions: BUDGET, reduce: false });
      if (all !== null) {
        expect(reduced).toEqual({ ...all, executions: reduced.executions });
        unreduced.push(it.name);
      } else if (states === null)
        skip(`not compared: more than ${BUDGET} executions, by states and unreduced`);
    });

  test('and some are small enough', () => {
    expect(unreduced).toEqual(expect.arrayContaining(['ownership/litmus-1a', 'ownership/litmus-3']));
  });
});
