// SPDX-License-Identifier: GPL-2.0-only

/** Equal changes of many goldens, put together, so that each is read once. */
import { changed, type Mismatch } from './compare.ts';

export interface Group {
  /** The cases that changed this way, in order. */
  readonly cases: readonly string[];
  /** The difference as it is in the first of them. */
  readonly mismatch: Mismatch;
}

/** Groups in order of size, largest first. Two cases are in one when the same lines go and come. */
export function group(mismatches: ReadonlyMap<string, Mismatch>): Group[] {
  const groups = new Map<string, { cases: string[]; mismatch: Mismatch }>();
  for (const [name, mismatch] of mismatches) {
    const key = [...new Set(mismatch.hunks.map((hunk) => changed(hunk).join('\n')))].sort().join('\n\n');
    const known = groups.get(key);
    if (known === undefined) groups.set(key, { cases: [name], mismatch });
    else known.cases.push(name);
  }
  return [...groups.values()].sort((a, b) => b.cases.length - a.cases.length);
}
