// SPDX-License-Identifier: GPL-2.0-only

/** All interleavings of a case of the model, and the answers to its claims. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadCase } from '../case/load.ts';
import { scheduled } from '../case/schedule.ts';
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
  expect(traces.outcomes.every(({ schedule }) => schedule.replay.length > 0)).toBe(true);
});

test('a run that is given up as endless, or as time is over, leaves the exploration incomplete', () => {
  // With the bug, the read goes round until the other task lets it end, which it does not have to.
  const path = join(import.meta.dirname, '../../cases/bugs/E4a.jsonc');
  const read = loadCase('bugs/E4a', path, readFileSync(path, 'utf8'));
  const endless = { ...read, outline: { ...read.outline, bugs: ['E4a' as const], variants: undefined } };
  const givenUp = exploreCase(endless, all);
  expect(givenUp).toMatchObject({ endless: 1, complete: false, status: 'incomplete' });
  const unlimited = { ...endless, outline: { ...endless.outline, limits: {} } };
  let asked = 0;
  const stopped = exploreCase(unlimited, { ...all, stop: () => ++asked > 1 });
  expect(stopped).toMatchObject({ endless: 0, executions: 1, complete: false, status: 'incomplete' });
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
  // The shortest way to what fails, as a person would write it.
  const [{ script, schedule, departures } = {}] = explored.claims;
  expect(schedule?.replay.length).toBeGreaterThan(10);
  expect(departures).toEqual({ count: 2, fewest: true });
  expect(script).toEqual([
    { run: 'a', until: 'step destroy' },
    { run: 'b', until: expect.stringMatching(/ioas1/) },
    { run: 'a' },
  ]);
});

test('what was not seen of an unfinished exploration is unknown', () => {
  const it = raced('{ "sometimes": [{ "results": { "option": "EINVAL" } }], "never": ["hang"] }');
  for (const mode of ['traces', 'states', 'random', 'pct'] as const) {
    const explored = exploreCase(it, { mode, executions: 3 });
    expect(explored).toMatchObject({ complete: false, status: 'incomplete' });
    expect(explored.claims.map(({ answer }) => answer)).toEqual(['unknown', 'unknown']);
  }
});

test('what is about paths is left open by states, whatever is claimed of it', () => {
  const it = raced('{ "always": ["data-race"], "sometimes": ["lock-order"], "never": ["use-after-free"] }');
  const byState = exploreCase(it, { ...all, mode: 'states' });
  expect(byState.claims.map(({ answer }) => answer)).toEqual(['unknown', 'unknown', 'unknown']);
  expect(exploreCase(it, all).claims.map(({ answer }) => answer)).toEqual(['fails', 'fails', 'holds']);
});

test('conditions at every state: states decide them, traces only refute them', () => {
  const it = raced(`{
    "always": [{ "at": "every-state", "ioas1.users": { "ge": 0 } }],
    "sometimes": [{ "at": "every-state", "ioas1.users": 2 }],
    "never": [{ "at": "every-state", "ioas1.users": 3 }, { "at": "every-state", "ioas1.users": 2 }],
  }`);
  const byState = exploreCase(it, { ...all, mode: 'states' });
  expect(answers(byState)).toEqual([
    'holds always {"at":"every-state","ioas1.users":{"ge":0}}',
    'holds sometimes {"at":"every-state","ioas1.users":2}',
    'holds never {"at":"every-state","ioas1.users":3}',
    'fails never {"at":"every-state","ioas1.users":2}',
  ]);
  const byTraces = exploreCase(it, all);
  expect(byTraces.claims.map(({ answer }) => answer)).toEqual(['unknown', 'holds', 'unknown', 'fails']);
  // The schedule of the failing claim leads to a run that refutes it by itself.
  const { schedule } = byTraces.claims[3] ?? {};
  if (schedule === undefined) throw new Error('what fails has a schedule');
  const again = exploreCase(it, replay(schedule));
  expect(again.claims[3]).toMatchObject({ answer: 'fails' });
});

const replay = (schedule: { replay: readonly string[] }): ExploreOptions => ({
  mode: 'schedule',
  executions: 1,
  schedule: scheduled({ replay: [...schedule.replay] }),
});

test('a schedule leads to its outcome again; one that does not fit is named by its first label', () => {
  const it = raced('{}');
  for (const { key, schedule } of exploreCase(it, all).outcomes) {
    const again = exploreCase(it, replay(schedule));
    expect(again).toMatchObject({ misfit: null, executions: 1, complete: false });
    expect(again.outcomes.map((outcome) => outcome.key)).toEqual([key]);
    const broken = { replay: schedule.replay.with(2, 'b: mutex_lock nowhere') };
    const misfit = exploreCase(it, replay(broken));
    expect(misfit.status).toBe('failed');
    expect(misfit.misfit).toMatch(
      /^choice 3 of the schedule is 'b: mutex_lock nowhere', but here the options are:/,
    );
  }
});

/** One thread does this, with other choices open than those between tasks. */
const opened = (inject: string, steps: string): ReturnType<typeof loadCase> =>
  loadCase(
    'test/opened',
    'opened.jsonc',
    `{ "title": "t", "inject": ["${inject}"], "tasks": { "a": [{ "open": "/dev/iommu", "as": "iommufd" }, ${steps}] } }`,
  );

test('choices other than between tasks are explored where the case opens them, and have labels', () => {
  const alloc = opened('allocation', '{ "ioas_alloc": "iommufd", "errno": [0, "ENOMEM"], "label": "alloc" }');
  const memory = exploreCase(alloc, all);
  expect(memory.complete).toBe(true);
  const failing = memory.outcomes.find(({ key }) => key.includes('alloc = -ENOMEM'));
  expect(failing?.schedule.replay).toContainEqual(expect.stringMatching(/^no memory for /));
  expect(memory.outcomes.some(({ key }) => key.includes('alloc = 0'))).toBe(true);

  const fault = opened(
    'fail_iommufd',
    '{ "ioas_alloc": "iommufd", "as": "ioas1" }, { "mock_domain": "ioas1", "errno": [0, "ENOMEM", "ENOSPC"], "label": "domain" }',
  );
  const faults = exploreCase(fault, all);
  expect(faults.outcomes.length).toBeGreaterThan(1);
});

test('a wake-up for nothing, and a timer that is early', () => {
  const polled = (inject: string): ReturnType<typeof loadCase> =>
    loadCase(
      'test/polled',
      'polled.jsonc',
      `{
        "title": "polls that nobody answers",
        "inject": [${inject}],
        "tasks": {
          "a": [
            { "open": "/dev/iommu", "as": "iommufd" },
            { "fault_queue": "iommufd", "as": { "out_fault_id": "fault1", "out_fault_fd": "faultfd" } },
            { "poll": "faultfd", "events": ["POLLIN"], "timeout": 10, "label": "poll" },
          ],
          "b": [
            { "open": "/dev/iommu", "as": "other" },
            { "fault_queue": "other", "as": { "out_fault_id": "fault2", "out_fault_fd": "otherfd" } },
            { "poll": "otherfd", "events": ["POLLIN"], "timeout": 20 },
          ],
        },
      }`,
    );
  const labels = (inject: string): string[] => {
    const it = exploreCase(polled(inject), { mode: 'random', executions: 40 });
    return it.outcomes.flatMap(({ schedule }) => [...schedule.replay]);
  };
  const nothing = /^a wakes for nothing from|^a sleeps on /;
  const early = /^[ab]: wait .* \(time runs out\)$/;
  expect(labels('').some((label) => nothing.test(label) || early.test(label))).toBe(false);
  expect(labels('"spurious wake-up"')).toContainEqual(expect.stringMatching(nothing));
  const every = exploreCase(polled('"early timers"'), { mode: 'random', executions: 40 });
  expect(every.complete).toBe(false);
  expect(labels('"early timers"')).toContainEqual(expect.stringMatching(early));
});
