// SPDX-License-Identifier: GPL-2.0-only

/** Designs side by side: where they part, what can happen on one only, and what is left out because it is the same. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { onDesign, onDesigns } from '../case/designs.ts';
import { compareSides, isSame, sideOf } from './comparison.ts';
import { load } from './evaluate.ts';
import type { ExploreOptions } from './exploration.ts';
import { casePath } from './project.ts';

const root = join(import.meta.dirname, '../..');
const options: ExploreOptions = { mode: 'traces', executions: 1000 };
const caseOf = (name: string) => load({ name, path: casePath(root, name), shown: name, root });

test('a bug and its cure: the first difference under its calls, and everything that follows from it', () => {
  const [cured, buggy] = onDesigns(caseOf('bugs/E1')).map((it) => sideOf(it, 'state', options));
  if (cured === undefined || buggy === undefined) throw new Error('the case has two designs');
  const it = compareSides(cured, buggy);
  expect([it.a.design, it.b.design, isSame(it)]).toEqual(['Linux 6.12', 'bug E1', false]);
  expect(it.hunks[0]?.calls.slice(-2)).toEqual(['iommufd_device_do_replace', 'iommufd_auto_response_faults']);
  const lines = it.a.trace.split('\n');
  expect(lines.slice(0, it.same ?? 0)).toEqual(it.b.trace.split('\n').slice(0, it.same ?? 0));
  expect(it.results).toMatchObject([
    { step: 'vmm[11]  read(fault1_fd, 1 page requests)', a: '0' },
    { step: 'vmm[15]  close(iommufd)', a: '0', b: null },
  ]);
  expect(it.outcomes).toMatchObject({ both: [], onlyA: ['vmm[11] = 0; vmm[15] = 0'], onlyB: [{}] });
  expect(it.findings.onlyA).toEqual([]);
  expect(it.findings.onlyB).toContain(
    'use-after-free: idev1.handle#2.idev is read after idev1.handle#2 was freed',
  );
  expect(it.claims.map(({ text, a, b }) => [text, a?.answer, b?.answer])).toContainEqual([
    'always use-after-free',
    undefined,
    'holds',
  ]);
});

test('designs that a case does not tell apart', () => {
  const it = caseOf('iommufd/race-destroy-option');
  const [a, b] = [{}, { bugs: ['E1'] }].map((design) => sideOf(onDesign(it, design), 'sync', options));
  if (a === undefined || b === undefined) throw new Error('there are two');
  const compared = compareSides(a, b);
  expect(isSame(compared)).toBe(true);
  expect(compared.hunks).toEqual([]);
  // Three ways to end, without what is in all of them.
  expect(compared.outcomes).toEqual({
    both: ['destroy = -EBUSY; option = 0', 'destroy = 0; option = -ENOENT', 'destroy = 0; option = 0'],
    onlyA: [],
    onlyB: [],
  });
});
