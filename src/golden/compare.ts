// SPDX-License-Identifier: GPL-2.0-only

/** What differs between a golden and a run: a unified diff under the enclosing calls, then words. */
import { structuredPatch } from 'diff';
import { enclosing, parseLine } from './story-lines.ts';

export interface Hunk {
  /** The calls that the first change is inside of: `vmm: ioctl(…) > iommufd_destroy`. */
  readonly heading: string;
  /** Lines of a unified diff, each with its sign. */
  readonly lines: readonly string[];
  /** Where it begins, from 1, and how many lines it has, in the golden and in the run. */
  readonly oldStart: number;
  readonly oldLines: number;
  readonly newStart: number;
  readonly newLines: number;
}

export interface Mismatch {
  readonly hunks: readonly Hunk[];
  /** The difference in words, a sentence each. */
  readonly words: readonly string[];
}

const CONTEXT = 3;

/** Null when they are the same. */
export function compare(golden: string, story: string): Mismatch | null {
  if (golden === story) return null;
  const patch = structuredPatch('golden', 'run', golden, story, '', '', { context: CONTEXT });
  const old = golden.split('\n');
  const now = story.split('\n');
  const hunks = patch.hunks.map((hunk): Hunk => {
    const before = hunk.lines.findIndex((line) => line.startsWith('-') || line.startsWith('+'));
    const isRemoval = hunk.lines[before]?.startsWith('-') === true;
    const at = isRemoval
      ? enclosing(old, hunk.oldStart - 1 + before)
      : enclosing(now, hunk.newStart - 1 + before);
    const { oldStart, oldLines, newStart, newLines, lines } = hunk;
    return { heading: headingOf(at), lines, oldStart, oldLines, newStart, newLines };
  });
  return { hunks, words: hunks.flatMap(wordsOf) };
}

function headingOf({ task, calls }: { task: string; calls: readonly string[] }): string {
  return [task, calls.join(' > ')].filter((part) => part !== '').join(': ');
}

/** The signed lines of a hunk without the context: what makes two changes equal. */
export const changed = ({ lines }: Hunk): string[] =>
  lines
    .filter((line) => /^[+-]/.test(line))
    .map((line) => `${line[0]}${line.slice(1).replace(/^(\S+: ) +/, '$1')}`);

const MOST_WORDS = 6;

function wordsOf(hunk: Hunk): string[] {
  const where = hunk.heading === '' ? '' : `in ${hunk.heading}: `;
  const removed = hunk.lines.filter((line) => line.startsWith('-')).map(bare);
  const added = hunk.lines.filter((line) => line.startsWith('+')).map(bare);
  const sentences: string[] = [];
  const left = [...added];
  for (const line of removed) {
    const at = left.findIndex((other) => subject(other) === subject(line));
    const partner = at < 0 ? undefined : left.splice(at, 1)[0];
    sentences.push(partner === undefined ? `no longer '${line}'` : pair(line, partner));
  }
  sentences.push(...left.map((line) => `new: '${line}'`));
  const rest = sentences.length - MOST_WORDS;
  const told = rest > 1 ? [...sentences.slice(0, MOST_WORDS), `and ${rest} more lines`] : sentences;
  return [`${where}${told.join('; ')}`];
}

const bare = (line: string): string => parseLine(line.slice(1))?.text ?? line.slice(1);

/** What a line is about: two lines about the same thing are one change. */
function subject(line: string): string {
  if (line.startsWith('= ')) return '=';
  if (line.startsWith('-')) return 'errno';
  if (line.startsWith('# ')) return '#';
  return /^([^\s:]+): .* -> /.exec(line)?.[1] ?? /^([a-z]+)\(/.exec(line)?.[1] ?? line;
}

function pair(before: string, after: string): string {
  if (before.startsWith('= ')) return `the answer is ${after.slice(2)}, was ${before.slice(2)}`;
  if (before.startsWith('# ')) return `'${after.slice(2)}', was '${before.slice(2)}'`;
  const [, what, from, to] = /^([^\s:]+): (.*) -> (.*)$/.exec(after) ?? [];
  const [, , oldFrom, oldTo] = /^([^\s:]+): (.*) -> (.*)$/.exec(before) ?? [];
  if (what !== undefined && oldTo !== undefined) {
    return from === oldFrom
      ? `${what} becomes ${to}, was ${oldTo}`
      : `${what} goes from ${from} to ${to}, was from ${oldFrom} to ${oldTo}`;
  }
  return `'${after}', was '${before}'`;
}
