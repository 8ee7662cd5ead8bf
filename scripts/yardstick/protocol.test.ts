// SPDX-License-Identifier: GPL-2.0-only

/** The protocol's classes of runs were counted by other means before: trace mode visits each once. */
import { expect, test } from 'vitest';
import { states, traces } from './ours.ts';

const ENOUGH = 60;

test.each([
  ['count', 2, 36, 'holds'],
  ['count', 3, 690, 'holds'],
  ['walk', 3, 4788, 'violated'],
] as const)('%s, %i devices: %i traces, the protocol %s', (design, devices, classes, verdict) => {
  const protocol = { design, devices, everyAccess: false };
  expect(traces(protocol, ENOUGH)).toMatchObject({ traces: classes, verdict });
  expect(states(protocol, ENOUGH)).toMatchObject({ verdict });
});
