// SPDX-License-Identifier: GPL-2.0-only

/** That reduced and unreduced exploration agree, on programs made up by the thousand. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { outcomes, STATEMENTS } from './programs.testing.ts';

const program = fc.array(fc.constantFrom(...STATEMENTS), { minLength: 1, maxLength: 3 });

test('reduced and unreduced exploration see the same outcomes', { timeout: 600_000 }, () => {
  let whole = 0;
  let reduced = 0;
  fc.assert(
    fc.property(fc.array(program, { minLength: 2, maxLength: 3 }), (programs) => {
      const all = outcomes(programs, 'all');
      fc.pre(all.complete);
      const some = outcomes(programs, 'reduced');
      expect(some.seen).toEqual(all.seen);
      expect(some.executions).toBeLessThanOrEqual(all.executions);
      whole += all.executions;
      reduced += some.executions;
    }),
    { numRuns: Number(process.env.RUNS ?? 100), seed: Number(process.env.SEED ?? 1) },
  );
  expect(reduced).toBeLessThan(whole / 4);
});
