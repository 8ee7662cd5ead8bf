// SPDX-License-Identifier: GPL-2.0-only

/** Where in a file something is wrong, and how that is told: as a compiler does. */

/** Something wrong with a case file. */
export interface Problem {
  /** Where it begins, and how far it reaches; in UTF-16 units of the text. */
  readonly offset: number;
  readonly length: number;
  /** What is wrong, and what was expected. */
  readonly message: string;
  /** What to do: the nearest known word, most often. */
  readonly hint?: string;
}

/** How a report stands out on a terminal; the identity where colour is not wanted. */
export interface Paint {
  bold(text: string): string;
  red(text: string): string;
  green(text: string): string;
  cyan(text: string): string;
  dim(text: string): string;
}

const same = (text: string): string => text;
export const plain: Paint = { bold: same, red: same, green: same, cyan: same, dim: same };

/** A file that cannot be used, with everything that is wrong with it. */
export class CaseError extends Error {
  override name = 'CaseError';
  readonly path: string;
  readonly text: string;
  readonly problems: readonly Problem[];

  constructor(path: string, text: string, problems: readonly Problem[]) {
    const inOrder = [...problems].sort((a, b) => a.offset - b.offset);
    super(inOrder.map((problem) => headline(path, text, problem)).join('\n'));
    this.path = path;
    this.text = text;
    this.problems = inOrder;
  }

  /** Every problem with its line and a caret under it. */
  report(paint: Paint = plain): string {
    const shown = this.problems.slice(0, MOST_SHOWN);
    const blocks = shown.map((problem) => block(this.path, this.text, problem, paint));
    const rest = this.problems.length - shown.length;
    if (rest > 0) blocks.push(`${this.path}: and ${rest} more`);
    return blocks.join('\n');
  }
}

const MOST_SHOWN = 50;
/** Longer lines are shown in part. */
const WIDEST = 140;

/** Line and column, from 1. */
export function lineAndColumn(text: string, offset: number): { line: number; column: number; start: number } {
  const before = text.slice(0, offset);
  const start = before.lastIndexOf('\n') + 1;
  let line = 1;
  for (let at = before.indexOf('\n'); at >= 0; at = before.indexOf('\n', at + 1)) line++;
  return { line, column: offset - start + 1, start };
}

function headline(path: string, text: string, { offset, message }: Problem): string {
  const { line, column } = lineAndColumn(text, offset);
  return `${path}:${line}:${column}: ${message}`;
}

/** What would move the cursor or ring the bell in a terminal becomes a dot. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
export const printable = (text: string): string => text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, '·');

function block(path: string, text: string, problem: Problem, paint: Paint): string {
  const { line, column, start } = lineAndColumn(text, problem.offset);
  const end = text.indexOf('\n', start);
  const whole = printable(text.slice(start, end < 0 ? text.length : end).replace(/\r$/, ''));
  const cut = column > WIDEST - 40 ? column - 40 : 0;
  const shown = whole.slice(cut, cut + WIDEST);
  const indent = shown.slice(0, column - 1 - cut).replace(/[^\t]/g, ' ');
  const reach = Math.max(1, Math.min(problem.length, shown.length - indent.length));
  const margin = String(line).padStart(5);
  const lines = [
    paint.bold(`${path}:${line}:${column}: `) + paint.red('error: ') + paint.bold(printable(problem.message)),
    `${margin} | ${shown}`,
    `${' '.repeat(margin.length)} | ${indent}${paint.green('^'.repeat(reach))}`,
  ];
  if (problem.hint !== undefined) lines.push(`${' '.repeat(margin.length)} = ${printable(problem.hint)}`);
  return lines.join('\n');
}
