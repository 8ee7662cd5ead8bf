// SPDX-License-Identifier: GPL-2.0-only

/** Equal changes of many goldens, put together, so that each is read once. */
import { changeOf, type Hunk, type Mismatch } from './compare.ts';

/** A change, and who has it. */
export interface Group {
  /** The cases in which it is, in order. */
  readonly cases: ReadonlySet<string>;
  /** How it looks in the first of them. */
  readonly hunk: Hunk;
}

/** Every change once, those of most cases first. */
export function group(mismatches: ReadonlyMap<string, Mismatch>): Group[] {
  const groups = new Map<string, { cases: Set<string>; hunk: Hunk }>();
  for (const [name, { hunks }] of mismatches) {
    for (const hunk of hunks) {
      const change = changeOf(hunk);
      const known = groups.get(change);
      if (known === undefined) groups.set(change, { cases: new Set([name]), hunk });
      else known.cases.add(name);
    }
  }
  return [...groups.values()].sort((a, b) => b.cases.size - a.cases.size);
}
