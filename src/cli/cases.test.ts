// SPDX-License-Identifier: GPL-2.0-only

// Every case of this repository, a test each.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { plain } from '../case/place.ts';
import { compare } from '../golden/compare.ts';
import { showMismatch } from '../golden/show.ts';
import { goldenNames } from '../golden/store.ts';
import { Trace } from '../sim/trace.ts';
import { evaluate, load, orphaned } from './evaluate.ts';
import { caseNames, casePath } from './project.ts';

const root = join(import.meta.dirname, '../..');
const names = caseNames(root);
const trace = new Trace();

describe('cases', () => {
  test.each(names)('%s', (name) => {
    const selected = { name, path: casePath(root, name), shown: `cases/${name}.jsonc`, root };
    const { status, reasons, golden, story } = evaluate(selected, load(selected), { trace });
    if (status === 'passed') return;
    const mismatch = golden === null || story === null ? null : compare(golden, story);
    const told = mismatch === null ? [] : [showMismatch(mismatch, plain)];
    expect.fail([...reasons, ...told].join('\n'));
  });
});

test('every golden has a case', () => {
  expect(
    goldenNames(root)
      .filter((name) => !names.includes(name))
      .map(orphaned),
  ).toEqual([]);
});
