// SPDX-License-Identifier: GPL-2.0-only

/** All interleavings of a case of the model, and the answers to its claims. */
import { expect, test } from 'vitest';
import { loadCase } from '../case/load.ts';
import { type ExploreOptions, exploreCase } from './exploration.ts';

/** Two threads: one destroys an IOAS while the other sets an option of it. */
function raced(expectation: string, lock = ''): ReturnType<typeof loadCase> {
  return loadCase(
    'test/raced',
    'raced.jsonc',
    `{
      "title": "an ioctl and a destroy",
      "tasks": {
        "a": [
          { "open": "/dev/iommu", "as": "iommufd" },
          { "ioas_alloc": "iommufd", "as": "ioas1" },
          { "destroy": "ioas1", "label": "destroy", "errno": [0, "EBUSY"] },
        ],
        "b": [{ "option": "IOMMU_OPTION_HUGE_PAGES", "of": "ioas1", "set": 0, "label": "option", "errno": [0, "ENOENT"] }${lock}],
      },
      "expect": ${expectation},
    }`,
  );
}

const all: ExploreOptions = { mode: 'traces', executions: 10_000 };
const answers = (it: ReturnType<typeof exploreCase>): string[] =>
  it.claims.map((c) => `${c.answer} ${c.text}`);

test('traces and states find the same outcomes, and each outcome has a schedule', () => {
  const it = raced(
    '{ "sometimes": [{ "results": { "destroy": "EBUSY" } }], "never": ["warn", "data-race"] }',
  );
  const traces = exploreCase(it, all);
  const states = exploreCase(it, { ...all, mode: 'states' });
  expect(traces).toMatchObject({ complete: true, status: 'passed', findings: [] });
  expect(traces.outcomes.map(({ key }) => key.split('; ').slice(2).join())).toEqual([
    'destroy = -EBUSY,option = 0',
    'destroy = 0,option = -ENOENT',
    'destroy = 0,option = 0',
  ]);
  expect(states.outcomes.map(({ key }) => key)).toEqual(traces.outcomes.map(({ key }) => key));
  expect(states.complete).toBe(true);
  expect(traces.outcomes.every(({ schedule }) => schedule.length > 0)).toBe(true);
});

test('claims are answered: what always, sometimes and never happens', () => {
  const it = raced(`{
    "always": [{ "results": { "destroy": 0 } }],
    "sometimes": [{ "results": { "option": "ENOENT" } }, { "results": { "option": "EINVAL" } }],
    "never": [{ "results": { "destroy": "EBUSY", "option": "ENOENT" } }, "hang"],
  }`);
  const explored = exploreCase(it, all);
  expect(explored.status).toBe('failed');
  expect(answers(explored)).toEqual([
    'fails always {"results":{"destroy":0}}',
    'holds sometimes {"results":{"option":"ENOENT"}}',
    'fails sometimes {"results":{"option":"EINVAL"}}',
    'holds never {"results":{"destroy":"EBUSY","option":"ENOENT"}}',
    'holds never hang',
  ]);
  expect(explored.claims[0]?.schedule?.length).toBeGreaterThan(0);
});

test('what was not seen of an unfinished exploration is unknown', () => {
  const it = raced('{ "sometimes": [{ "results": { "option": "EINVAL" } }], "never": ["hang"] }');
  for (const mode of ['traces', 'states', 'random', 'pct'] as const) {
    const explored = exploreCase(it, { mode, executions: 3 });
    expect(explored).toMatchObject({ complete: false, status: 'incomplete' });
    expect(explored.claims.map(({ answer }) => answer)).toEqual(['unknown', 'unknown']);
  }
});
