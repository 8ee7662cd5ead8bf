// SPDX-License-Identifier: GPL-2.0-only

/**
 * That exploration which takes like tasks for interchangeable sees all that any other sees, on programs made up by
 * the thousand; and that tasks which only seem alike are told from each other.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { alikePrograms, outcomes, type Program, unlikePrograms } from './programs.testing.ts';

const RUNS = { numRuns: Number(process.env.RUNS ?? 150), seed: Number(process.env.SEED ?? 1) };

/** It has 630 outcomes; where hashes of what is said were added up unfinished, two of its states were one. */
const SPINNING: Program[] = [['spin', 'spin'], ['spin', 'spin'], ['spin', 'spin'], ['spin']];

test('of tasks that do the same it is enough to see who of them is who once', { timeout: 600_000 }, () => {
  let orbits = 0;
  let states = 0;
  fc.assert(
    fc.property(alikePrograms, ([tasks, early]) => {
      const byStates = outcomes(tasks, early, 'states');
      fc.pre(byStates.complete);
      const byOrbits = outcomes(tasks, early, 'orbits');
      expect(byOrbits.seen).toEqual(byStates.seen);
      expect(byOrbits.complete).toBe(true);
      expect(byOrbits.asymmetry).toBeUndefined();
      states += byStates.states;
      orbits += byOrbits.states;
      const byTraces = outcomes(tasks, early, 'reduced');
      if (byTraces.complete) expect(byOrbits.seen).toEqual(byTraces.seen);
    }),
    { ...RUNS, examples: [[[SPINNING, true]]] },
  );
  expect(orbits).toBeLessThan(states / 1.7);
});

test('tasks that only seem to do the same are told from each other', { timeout: 600_000 }, () => {
  let told = 0;
  let all = 0;
  fc.assert(
    fc.property(unlikePrograms, ([tasks, early]) => {
      const byStates = outcomes(tasks, early, 'states');
      fc.pre(byStates.complete);
      const byOrbits = outcomes(tasks, early, 'orbits');
      expect(byOrbits.seen).toEqual(byStates.seen);
      all++;
      if (byOrbits.asymmetry !== undefined) told++;
    }),
    RUNS,
  );
  // What is written over, or comes after a hang, makes no difference.
  expect(told).toBeGreaterThan(all * 0.9);
});
