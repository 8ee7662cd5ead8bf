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

test.each(['selftest', 'mock-random'])('%s: every answer is the recorded one', (suite) => {
  const results = replayAll(suite);
  expect(results.length).toBeGreaterThan(100);
  expect(results.filter((r) => r.status !== 'matched')).toEqual([]);
});
