// SPDX-License-Identifier: GPL-2.0-only

/** That state mode and trace mode see the same outcomes, on programs made up by the thousand. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { outcomes, STATEMENTS } from './programs.testing.ts';

const program = fc.array(fc.constantFrom(...STATEMENTS), { minLength: 1, maxLength: 3 });

test('state mode and trace mode see the same outcomes', { timeout: 600_000 }, () => {
  let states = 0;
  let traces = 0;
  fc.assert(
    fc.property(fc.array(program, { minLength: 2, maxLength: 3 }), (programs) => {
      const byTraces = outcomes(programs, 'reduced');
      fc.pre(byTraces.complete);
      const byStates = outcomes(programs, 'states');
      fc.pre(byStates.complete);
      expect(byStates.seen).toEqual(byTraces.seen);
      states += byStates.executions;
      traces += byTraces.executions;
    }),
    { numRuns: Number(process.env.RUNS ?? 100), seed: Number(process.env.SEED ?? 1) },
  );
  expect(states).toBeGreaterThan(0);
  expect(traces).toBeGreaterThan(0);
});
