// SPDX-License-Identifier: GPL-2.0-only
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { exploreCase } from '../src/cli/exploration.ts';
import { litmusCases, ownershipPage } from './ownership.ts';

test('docs/ownership.md is what the litmus cases say', async () => {
  const page = readFileSync(fileURLToPath(new URL('../docs/ownership.md', import.meta.url)), 'utf8');
  expect(await ownershipPage()).toBe(page);
});

test.each((await litmusCases()).flat().map((it) => [it.name, it.design, it] as const))(
  '%s on %s: every interleaving is as the case says',
  (_name, _design, it) => {
    const { status, claims } = exploreCase(it, { mode: 'traces', executions: 20_000, shrinking: 0 });
    expect(claims.filter(({ answer }) => answer !== 'holds')).toEqual([]);
    expect(status).toBe('passed');
  },
);
