// SPDX-License-Identifier: GPL-2.0-only

/** A run as text: what stands in its golden. */
import { Observed } from '../sim/observed.ts';
import { formatLine, type Level, type Line, traceLines } from '../sim/text.ts';
import { nameOfErrno } from './constants.ts';
import type { Run } from './run.ts';

const DEFAULT_LEVEL: Level = 'state';

/** The title, the trace, and how the run ended if it did not finish. Ends with a newline. */
export function storyOf(run: Run, level: Level = run.it.outline.trace ?? DEFAULT_LEVEL): string {
  const { outline, design } = run.it;
  const lines = [`# ${outline.title}`, ...(design === null ? [] : [`## ${design}`])];
  for (const line of linesOf(run, level)) lines.push(formatLine(line));
  lines.push(...endingOf(run));
  return `${lines.join('\n')}\n`;
}

/**
 * The lines of its trace up to the end of its last step, without those about the memory that system calls'
 * arguments are put into.
 */
export function* linesOf(run: Run, level: Level): Generator<Line> {
  const known: (boolean | undefined)[] = [];
  const isHidden = (object: Observed): boolean => {
    const { $id, $creator } = object;
    const hidden =
      known[$id] ?? (run.scratch.has(object) || ($creator instanceof Observed && isHidden($creator)));
    known[$id] = hidden;
    return hidden;
  };
  const { hasMemory } = run.names;
  for (const line of traceLines(run.machine, level, nameOfErrno, isHidden)) {
    if (line.at >= run.end) return;
    yield hasMemory && ADDRESS.test(line.text) ? { ...line, text: withNames(line, run) } : line;
  }
}

/** Long enough to be an address of user space. */
const ADDRESS = /0x[0-9a-f]{9,}/;
const ADDRESSES = /0x[0-9a-f]{9,}/g;

/** Addresses in memory that the case named are shown by that name: what else is mapped where moves no line. */
const withNames = ({ text, at }: Line, { names }: Run): string =>
  text.replace(ADDRESSES, (hex) => names.addressAt(BigInt(hex), at) ?? hex);

function endingOf({ ending, unsupported }: Run): string[] {
  if (unsupported !== null) return [`# not modelled: ${unsupported}`];
  switch (ending?.status) {
    case 'hang':
      return ['# hang', ...ending.report.split('\n')];
    case 'limit':
      return [`# given up after ${ending.steps} steps`];
    case 'abandoned':
      return ['# abandoned'];
    default:
      return [];
  }
}
