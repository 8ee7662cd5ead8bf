// SPDX-License-Identifier: GPL-2.0-only

/** A mismatch as it is printed: unified diffs, then words. */
import { type Hunk, headingOf, type Mismatch } from './compare.ts';
import type { Group } from './group.ts';

export interface Colours {
  red(text: string): string;
  green(text: string): string;
  cyan(text: string): string;
}

/** All of it. No newline at the end. */
export function showMismatch({ hunks }: Mismatch, paint: Colours): string {
  return [...hunks.flatMap((hunk) => diffOf(hunk, paint)), ...hunks.map(({ words }) => `=> ${words}`)].join(
    '\n',
  );
}

/** The diff of one change, under its place and the calls that it is inside of. */
export function diffOf(hunk: Hunk, paint: Colours): string[] {
  const { lines, oldStart, newStart } = hunk;
  const count = (sign: string): number => lines.filter((line) => line[0] !== sign).length;
  const place = `@@ -${oldStart},${count('+')} +${newStart},${count('-')} @@`;
  const heading = headingOf(hunk);
  return [
    paint.cyan(heading === '' ? place : `${place} ${heading}`),
    ...lines.map((line) =>
      line.startsWith('-') ? paint.red(line) : line.startsWith('+') ? paint.green(line) : line,
    ),
  ];
}

const NAMED = 12;

/** A change, with the cases that share it. */
export function showGroup({ cases, hunk }: Group, paint: Colours): string {
  const [first = '', ...others] = cases;
  const diff = [...diffOf(hunk, paint), `=> ${hunk.words}`].join('\n');
  if (others.length === 0) return `${first} changed:\n${diff}`;
  const named = [first, ...others.slice(0, NAMED - 1)].join(', ');
  const rest = cases.size > NAMED ? `, and ${cases.size - NAMED} more` : '';
  return `${cases.size} cases changed the same way: ${named}${rest}\nin ${first}:\n${diff}`;
}
