// SPDX-License-Identifier: GPL-2.0-only

/** A mismatch as it is printed. */
import type { Mismatch } from './compare.ts';
import type { Group } from './group.ts';

export interface Colours {
  red(text: string): string;
  green(text: string): string;
  cyan(text: string): string;
}

/** The unified diff, then the words. No newline at the end. */
export function showMismatch({ hunks, words }: Mismatch, paint: Colours): string {
  const diff = hunks.flatMap((hunk) => [
    paint.cyan(
      `@@ -${hunk.oldStart},${hunk.oldLines} +${hunk.newStart},${hunk.newLines} @@${hunk.heading === '' ? '' : ` ${hunk.heading}`}`,
    ),
    ...hunk.lines.map((line) =>
      line.startsWith('-') ? paint.red(line) : line.startsWith('+') ? paint.green(line) : line,
    ),
  ]);
  return [...diff, ...words.map((sentence) => `=> ${sentence}`)].join('\n');
}

const NAMED = 12;

/** A change that several cases share: whose it is, and how it looks in the first of them. */
export function showGroup({ cases, mismatch }: Group, paint: Colours): string {
  const [first = ''] = cases;
  if (cases.length === 1) return `${first} changed:\n${showMismatch(mismatch, paint)}`;
  const named = cases.length > NAMED ? [...cases.slice(0, NAMED), `and ${cases.length - NAMED} more`] : cases;
  return `${cases.length} cases changed the same way: ${named.join(', ')}\nin ${first}:\n${showMismatch(mismatch, paint)}`;
}
