// SPDX-License-Identifier: GPL-2.0-only

/**
 * The calls that binding, unbinding and claiming cause against those of a real kernel (see calltree.test.ts). No
 * recording tells what was done there, so cases do it; what surrounds the calls in the recorded tree is cut away.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { loadCase } from '../case/load.ts';
import { runCase } from '../case/run.ts';
import { declaredFunctions } from '../sim/fn.ts';
import { type Call, CallTrace, contract, parseCalls, showCalls } from './calltree.testing.ts';

const golden = fileURLToPath(new URL('../../golden/calltree', import.meta.url));
const read = (name: string): string => readFileSync(`${golden}/${name}`, 'utf8');
const traced = new Set(
  read('TRACED')
    .split('\n')
    .map((name) => name.replace(/\..*/, '')),
);
const files = new Map(declaredFunctions().map(({ name, file }) => [name, file]));

/** In the recorded kernel the callee is a part of the caller. */
const INLINED: ReadonlySet<string> = new Set([
  'iommu_group_release_dma_owner __iommu_group_set_domain_internal',
  'iommu_group_release_dma_owner __iommu_device_set_domain',
]);

const comparable = (calls: readonly Call[]): readonly Call[] =>
  contract(
    contract(calls, (name) => !traced.has(name) || !files.has(name)),
    (name, caller) => INLINED.has(`${caller} ${name}`),
  );

/** The recorded machine's groups 3: a bridge without a driver, and three e1000. */
const PLATFORM = (drivers: string): string =>
  `{ "iommu": "generic", "groups": { "g3": ["bridge", "dev1", "dev2", "dev3"] }, "devices": ${drivers} }`;

function calls_of(drivers: string, steps: string): readonly Call[] {
  const text = `{ "title": "t", "platform": ${PLATFORM(drivers)}, "tasks": { "admin": [${steps}] } }`;
  const trace = new CallTrace();
  const run = runCase(loadCase('t', 't.jsonc', text), { trace });
  expect(run.results.map(({ answer }) => answer?.ret)).not.toContain(undefined);
  return comparable(trace.calls);
}

/** ftrace showed what lies below these functions, and nothing beside. */
const ROOTS: ReadonlySet<string> = new Set(['driver_probe_device', 'device_release_driver_internal']);

const below = (calls: readonly Call[], roots: ReadonlySet<string>): readonly Call[] =>
  calls.flatMap((call): readonly Call[] => (roots.has(call.name) ? [call] : below(call.calls, roots)));

const recorded = (name: string, roots: ReadonlySet<string>): readonly Call[] =>
  below(comparable(parseCalls(read(`${name}.txt`))), roots);

const E1000 =
  '{ "dev1": { "driver": "e1000" }, "dev2": { "driver": "e1000" }, "dev3": { "driver": "e1000" } }';

test('probe-vfio-pci-with-native-siblings: the recorded calls embed', () => {
  const calls = calls_of(
    E1000,
    '{ "unbind_driver": "dev1" }, { "driver_override": "dev1", "set": "vfio-pci" }, { "drivers_probe": "dev1" }',
  );
  const name = 'probe-vfio-pci-with-native-siblings';
  expect(showCalls(below(calls, ROOTS))).toBe(showCalls(recorded(name, ROOTS)));
});

test('unbind-native-siblings: the recorded calls embed', () => {
  const calls = calls_of(E1000, '{ "unbind_driver": "dev2" }, { "unbind_driver": "dev3" }');
  expect(showCalls(below(calls, ROOTS))).toBe(showCalls(recorded('unbind-native-siblings', ROOTS)));
});

test('own-hold-group: the claim, the refused and the other probe, and the release embed', () => {
  const roots = new Set([...ROOTS, 'iommu_group_claim_dma_owner', 'iommu_group_release_dma_owner']);
  const calls = calls_of(
    '{ "dev1": { "driver": "vfio-pci" } }',
    `{ "claim_group": "dev1", "owner": "vfio" }, { "drivers_probe": "dev2", "errno": "EINVAL" },
     { "bind_driver": "dev2", "to": "e1000", "errno": "EBUSY" }, { "driver_override": "dev3", "set": "vfio-pci" },
     { "drivers_probe": "dev3" }, { "release_group": "dev1" }`,
  );
  expect(showCalls(below(calls, roots))).toBe(showCalls(recorded('own-hold-group', roots)));
});
