// SPDX-License-Identifier: GPL-2.0-only

/** Each historical bug has a case that notices it: what is expected of Linux 6.12 fails when the bug is put back. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { onDesign } from '../case/designs.ts';
import { runCase } from '../case/run.ts';
import { verdictOf } from '../case/verdict.ts';
import { decisions, LINUX_6_12 } from '../sim/variant.ts';
import { load } from './evaluate.ts';
import { exploreCase } from './exploration.ts';
import { casePath } from './project.ts';

const root = join(import.meta.dirname, '../..');

test.each(decisions.bugs().map(({ id }) => id))('%s', (id) => {
  const name = `bugs/${id}`;
  const cured = onDesign(load({ name, path: casePath(root, name), shown: name, root }), LINUX_6_12);
  expect(verdictOf(runCase(cured))).toMatchObject({ status: 'passed', reasons: [] });
  const buggy = { ...cured, outline: { ...cured.outline, bugs: [id] } };
  if (verdictOf(runCase(buggy)).status === 'failed') return;
  // One run does not show it.
  const options = { mode: 'traces', executions: 5000 } as const;
  expect(exploreCase(cured, options)).toMatchObject({ status: 'passed', complete: true });
  expect(exploreCase(buggy, options).status).toBe('failed');
});
