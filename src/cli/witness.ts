// SPDX-License-Identifier: GPL-2.0-only

/** `explore --save-witness`: a new case that fails as one did, by the schedule that leads there. */
import { readFileSync, writeFileSync } from 'node:fs';
import { applyEdits, modify } from 'jsonc-parser';
import type { Judged } from './outcomes.ts';

/** Writes the first case that failed, under its design, to a new file. Returns how that is called; null: nothing failed in a run. */
export function saveWitness(file: string, results: readonly Judged[]): string | null {
  for (const { selected, results: ofCase } of results) {
    const failed = ofCase.find(({ explored }) => explored.status === 'failed');
    if (failed === undefined) continue;
    const { it, explored } = failed;
    const witness = explored.claims.find(({ schedule }) => schedule !== undefined) ?? explored.findings[0];
    const schedule = witness?.script ?? witness?.schedule;
    if (schedule === undefined) break;
    let text = put(readFileSync(selected.path, 'utf8'), 'schedule', schedule);
    if (it.design !== null) {
      const { variant, bugs, expect } = it.outline;
      for (const [key, value] of Object.entries({ variants: undefined, variant, bugs, expect }))
        text = put(text, key, value);
    }
    writeFileSync(file, text, { flag: 'wx' });
    return it.design === null ? it.name : `${it.name} on ${it.design}`;
  }
  return null;
}

/** A string that no case has. */
const MARK = '\u0000';

/** The text of a case with another value; what a person wrote around it stays as it is. */
function put(text: string, key: string, value: unknown): string {
  if (value === undefined) return applyEdits(text, modify(text, [key], undefined, {}));
  const marked = applyEdits(text, modify(text, [key], MARK, {}));
  // A new key comes directly after a comma.
  return marked
    .replace(
      `,${JSON.stringify(key)}: ${JSON.stringify(MARK)}`,
      () => `,\n  ${JSON.stringify(key)}: ${written(value)}`,
    )
    .replace(JSON.stringify(MARK), () => written(value));
}

/** A list of objects with one a line, all else on one. */
function written(value: unknown): string {
  const isList = Array.isArray(value) && value.some((each) => typeof each === 'object');
  return isList ? `[\n${value.map((each) => `    ${inLine(each)},\n`).join('')}  ]` : inLine(value);
}

const inLine = (value: unknown): string => JSON.stringify(value, null, 1).replace(/\n\s*/g, ' ');
