// SPDX-License-Identifier: GPL-2.0-only

/** What differs between a golden and a run: a unified diff under the enclosing calls, then words. */
import { structuredPatch } from 'diff';
import { enclosing, parseLine } from './story-lines.ts';

/** A run of lines that changed, with what is around it. */
export interface Hunk {
  /** The calls that it is inside of, outermost first, and whose. Empty for the title. */
  readonly task: string;
  readonly calls: readonly string[];
  /** Lines of a unified diff, each with its sign. */
  readonly lines: readonly string[];
  /** Where it begins, from 1, in the golden and in the run. */
  readonly oldStart: number;
  readonly newStart: number;
  /** The difference in words. */
  readonly words: string;
}

export interface Mismatch {
  readonly hunks: readonly Hunk[];
}

const CONTEXT = 3;

/** Null when they are the same. */
export function compare(golden: string, story: string): Mismatch | null {
  if (golden === story) return null;
  const { hunks } = structuredPatch('golden', 'run', golden, story, '', '', { context: CONTEXT });
  const sides = { old: golden.split('\n'), now: story.split('\n') };
  return { hunks: hunks.flatMap(apart).map((piece) => hunkOf(piece, sides)) };
}

type Piece = Pick<Hunk, 'lines' | 'oldStart' | 'newStart'>;

const isChange = (line: string | undefined): boolean => line?.[0] === '-' || line?.[0] === '+';

/** Changes that stand so near that a diff shows them together, one by one: each may be shared by other cases. */
function apart({ lines, oldStart, newStart }: Piece): Piece[] {
  const pieces: Piece[] = [];
  let begin = 0;
  let old = oldStart;
  let now = newStart;
  for (let at = 0; at < lines.length; at++) {
    if (!isChange(lines[at]) || isChange(lines[at + 1])) continue;
    const next = lines.findIndex((line, i) => i > at && isChange(line));
    // What lies between two changes is shared out.
    const end = next < 0 ? lines.length : at + 1 + Math.ceil((next - at - 1) / 2);
    const piece = lines.slice(begin, end);
    pieces.push({ lines: piece, oldStart: old, newStart: now });
    old += piece.filter((line) => line[0] !== '+').length;
    now += piece.filter((line) => line[0] !== '-').length;
    begin = end;
  }
  return pieces;
}

function hunkOf(piece: Piece, { old, now }: { old: readonly string[]; now: readonly string[] }): Hunk {
  const before = piece.lines.findIndex(isChange);
  const isRemoval = piece.lines[before]?.[0] === '-';
  const around = isRemoval
    ? enclosing(old, piece.oldStart - 1 + before)
    : enclosing(now, piece.newStart - 1 + before);
  return { ...piece, ...around, words: wordsOf(piece, headingOf(around)) };
}

/** `vmm: ioctl(…) > iommufd_destroy`. */
export function headingOf({ task, calls }: Pick<Hunk, 'task' | 'calls'>): string {
  return [task, calls.join(' > ')].filter((part) => part !== '').join(': ');
}

/** What makes two changes equal: the function that they are in and the lines that go and come, however deep. */
export const changeOf = ({ calls, lines }: Hunk): string =>
  [
    calls.length > 1 ? calls.at(-1) : '',
    ...lines.filter(isChange).map((line) => `${line[0]}${line.slice(1).replace(/^(\S+: ) +/, '$1')}`),
  ].join('\n');

const MOST_WORDS = 6;

function wordsOf({ lines }: Piece, heading: string): string {
  const where = heading === '' ? '' : `in ${heading}: `;
  const removed = lines.filter((line) => line.startsWith('-')).map(bare);
  const added = lines.filter((line) => line.startsWith('+')).map(bare);
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
  return `${where}${told.join('; ')}`;
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
