// SPDX-License-Identifier: GPL-2.0-only

/** Threads of cases that do the same: who is taken for one, and that exploration sees all the same. */
import { describe, expect, test, vi } from 'vitest';
import type { Case } from '../case/case.ts';
import { loadCase } from '../case/load.ts';
import { interchangeable } from '../case/symmetry.ts';
import { type Explored, exploreCase } from './exploration.ts';

vi.setConfig({ testTimeout: 120_000 });

const SETUP = `"setup": [{ "open": "/dev/iommu", "as": "iommufd" }, { "ioas_alloc": "iommufd", "as": "ioas1" }]`;

function loaded(tasks: Readonly<Record<string, string>>, rest = ''): Case {
  const list = Object.entries(tasks).map(([name, steps]) => `"${name}": [${steps}]`);
  const text = `{ "title": "threads", "tasks": { ${[SETUP, ...list].join(', ')} } ${rest} }`;
  return loadCase('test/threads', 'threads.jsonc', text);
}

const each = (names: readonly string[], steps: (name: string) => string): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, steps(name)]));

const destroy = (name: string): string =>
  `{ "destroy": "ioas1", "label": "destroy-${name}", "errno": [0, "ENOENT", "EBUSY"] }`;
const allocAndDestroy = (name: string): string =>
  `{ "ioas_alloc": "iommufd", "as": "ioas-${name}" }, { "destroy": "ioas-${name}" }`;
describe('exploration sees all that it sees without', () => {
  const claims = `, "expect": {
    "always": [{ "any": [{ "results": { "destroy-a": 0 } }, { "results": { "destroy-b": 0 } }] }],
    "sometimes": [{ "results": { "destroy-a": "ENOENT" } }, { "results": { "destroy-b": "ENOENT" } }],
    "never": ["warn", "leak"] }`;
  const cases: Record<string, Case> = {
    'two that destroy': loaded(each(['a', 'b'], destroy), claims),
    'three that destroy': loaded(each(['a', 'b', 'c'], destroy)),
    'threads of processes of their own': loaded(
      each(
        ['a', 'b'],
        (name) =>
          `{ "open": "/dev/iommu", "as": "iommufd-${name}" }, { "ioas_alloc": "iommufd-${name}", "as": "ioas-${name}" }`,
      ),
      `, "processes": { "pa": { "threads": ["a"] }, "pb": { "threads": ["b"] } }`,
    ),
    'two that make something of their own': loaded(each(['a', 'b'], allocAndDestroy)),
  };
  const told = ({ outcomes, findings, claims, complete }: Explored): unknown => ({
    complete,
    outcomes: outcomes.map(({ key }) => key),
    findings: findings.map(({ finding }) => `${finding.kind}: ${finding.title}`).sort(),
    claims: claims.map(({ text, answer }) => `${answer} ${text}`),
  });
  const options = { mode: 'states', executions: 20_000 } as const;

  test.each(Object.entries(cases))('%s', (_, it) => {
    const orbits = exploreCase(it, options);
    const states = exploreCase(it, { ...options, symmetry: false });
    expect(told(orbits)).toEqual(told(states));
    expect(orbits.asymmetry).toBeUndefined();
    expect(orbits.interchangeable).toBeDefined();
    expect(orbits.states).toBeLessThanOrEqual((states.states ?? 0) * 0.8);
  });
});

test('what is claimed of one must be claimed of all', () => {
  const claims = `, "expect": { "sometimes": [{ "results": { "destroy-a": "ENOENT" } }] }`;
  const { asymmetry } = exploreCase(loaded(each(['a', 'b'], destroy), claims), {
    mode: 'states',
    executions: 20_000,
  });
  expect(asymmetry).toBe('of others the case does not claim {"results":{"destroy-a":"ENOENT"}}');
});

describe('who does not do the same', () => {
  const map = (at: string, errno: string) => (name: string) =>
    `{ "mmap": "4K", "as": "buf-${name}" }, { "map": "buf-${name}", "length": "4K", "into": "ioas1", "at": "${at}", "errno": ${errno} }`;
  const like = map('0x10000', '[0, "EEXIST"]');
  const cases: Record<string, readonly [Case, readonly (readonly string[])[]]> = {
    'nobody but the others': [
      loaded({ ...each(['a', 'c'], like), b: map('0x20000', '[0, "EEXIST"]')('b') }),
      [['a', 'c']],
    ],
    'who maps elsewhere': [loaded({ a: like('a'), b: map('0x20000', '[0, "EEXIST"]')('b') }), []],
    'who expects something else': [loaded({ a: like('a'), b: map('0x10000', '0')('b') }), []],
    'whom another task knows by name': [
      loaded({
        ...each(['a', 'b'], allocAndDestroy),
        c: '{ "destroy": "ioas-a", "errno": [0, "ENOENT", "EBUSY"] }',
      }),
      [],
    ],
    'who is in the process of another': [
      loaded(
        each(['a', 'b'], like),
        `, "processes": { "p": { "threads": ["a", "setup"] }, "q": { "threads": ["b"] } }`,
      ),
      [],
    ],
  };
  test.each(Object.entries(cases))('%s', (_, [it, expected]) => {
    expect(interchangeable(it)?.tasks ?? []).toEqual(expected);
  });
});
