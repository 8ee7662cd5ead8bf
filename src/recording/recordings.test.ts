// SPDX-License-Identifier: GPL-2.0-only

/** The model against a real kernel: every recording that ships, call by call. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Trace } from '../sim/trace.ts';
import { findRecordings, readRecording } from './files.ts';
import { type ReplayResult, replay } from './replay.ts';

const folder = fileURLToPath(new URL('../../golden/recordings', import.meta.url));

function replayAll(suite: string): ReplayResult[] {
  const trace = new Trace();
  return findRecordings([`${folder}/${suite}`]).map((path) => replay(readRecording(path), trace));
}

/** What is known not to be modelled yet. Whatever else stops a replay has been lost. */
const NOT_YET: ReadonlySet<string> = new Set([
  'IOMMU_HWPT_SET_DIRTY_TRACKING',
  'IOMMU_HWPT_GET_DIRTY_BITMAP',
]);

test.each(['selftest', 'mock-random'])('%s: nothing diverges', { timeout: 120_000 }, (suite) => {
  const results = replayAll(suite);
  expect(results.filter((r) => r.status === 'diverged')).toEqual([]);
  const lost = results.filter((r) => r.status === 'unsupported' && !NOT_YET.has(r.field ?? ''));
  expect(lost).toEqual([]);
});

test.each(['cmd_fail', 'cmd_ex_fail', 'global_options'])('selftest iommufd.%s replays whole', (name) => {
  const result = replay(readRecording(`${folder}/selftest/iommufd.${name}.jsonl.gz`));
  expect(result).toMatchObject({ status: 'matched', matched: result.calls });
});
