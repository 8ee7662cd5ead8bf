// SPDX-License-Identifier: GPL-2.0-only

/** That state mode and trace mode see the same outcomes, on programs made up by the thousand. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { outcomes, programs } from './programs.testing.ts';

test('state mode, reduced and unreduced, sees the same outcomes as trace mode', { timeout: 600_000 }, () => {
  let states = 0;
  let unreduced = 0;
  fc.assert(
    fc.property(programs, ([tasks, early]) => {
      const byTraces = outcomes(tasks, early, 'reduced');
      fc.pre(byTraces.complete);
      const all = outcomes(tasks, early, 'all states');
      fc.pre(all.complete);
      const byStates = outcomes(tasks, early, 'states');
      expect(byStates.complete).toBe(true);
      expect(byStates.seen).toEqual(byTraces.seen);
      expect(all.seen).toEqual(byTraces.seen);
      states += byStates.executions;
      unreduced += all.executions;
    }),
    { numRuns: Number(process.env.RUNS ?? 200), seed: Number(process.env.SEED ?? 1) },
  );
  expect(states).toBeLessThan(unreduced);
});
