// SPDX-License-Identifier: GPL-2.0-only

/** The protocol's classes of runs were counted by other means before: trace mode visits each once. */
import { expect, test } from 'vitest';
import { orbits, states, traces } from './ours.ts';

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

test('with interchangeable devices states grow by their number, not by their orders', () => {
  const states = [3, 4, 5, 6].map((devices) => {
    const { verdict, asymmetry, ...found } = orbits({ design: 'count', devices, everyAccess: true }, ENOUGH);
    expect({ verdict, asymmetry }).toEqual({ verdict: 'holds', asymmetry: null });
    return found.states;
  });
  expect(states).toEqual([22, 33, 46, 61]);
});

test('where a walk passes the devices in their order they are not interchangeable', () => {
  const protocol = { design: 'walk', devices: 3, everyAccess: false } as const;
  expect(orbits(protocol, ENOUGH)).toMatchObject({
    asymmetry: 'core.dev1 was not told of dev2, and goes for it',
    verdict: 'violated',
    states: states(protocol, ENOUGH).states,
  });
});
