// SPDX-License-Identifier: GPL-2.0-only

/** That reduced and unreduced exploration agree, on programs made up by the thousand. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { outcomes, programs } from './programs.testing.ts';

test('reduced and unreduced exploration see the same outcomes', { timeout: 600_000 }, () => {
  let whole = 0;
  let reduced = 0;
  fc.assert(
    fc.property(programs, ([tasks, early]) => {
      const all = outcomes(tasks, early, 'all');
      fc.pre(all.complete);
      const some = outcomes(tasks, early, 'reduced');
      expect(some.seen).toEqual(all.seen);
      expect(some.executions).toBeLessThanOrEqual(all.executions);
      whole += all.executions;
      reduced += some.executions;
    }),
    { numRuns: Number(process.env.RUNS ?? 200), seed: Number(process.env.SEED ?? 1) },
  );
  expect(reduced).toBeLessThan(whole / 4);
});
