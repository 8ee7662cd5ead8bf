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
    const inOrder = [...problems].sort((a, b) => a.offset - b.offset).slice(0, MOST_PROBLEMS);
    const lines = new Lines(text);
    super(inOrder.map((problem) => headline(path, lines, problem)).join('\n'));
    this.path = path;
    this.text = text;
    this.problems = inOrder;
  }

  /** Every problem with its line and a caret under it. */
  report(paint: Paint = plain): string {
    const lines = new Lines(this.text);
    const blocks = this.problems.map((problem) => block(this.path, this.text, lines, problem, paint));
    if (this.problems.length === MOST_PROBLEMS) blocks.push(`${this.path}: more may follow`);
    return blocks.join('\n');
  }
}

/** Nobody reads more. */
export const MOST_PROBLEMS = 50;
/** Longer lines are shown in part. */
const WIDEST = 140;

/** Where the lines of a text begin. */
export class Lines {
  readonly #starts: number[] = [0];

  constructor(text: string) {
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#starts.push(at + 1);
  }

  /** The line of an offset, from 1. */
  lineAt(offset: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  }

  startOf(line: number): number {
    return this.#starts[line - 1] ?? 0;
  }
}

function headline(path: string, lines: Lines, { offset, message }: Problem): string {
  const line = lines.lineAt(offset);
  const column = offset - lines.startOf(line) + 1;
  return `${path}:${line}:${column}: ${message}`;
}

/** What would move the cursor or ring the bell in a terminal becomes a dot. */
const printable = (text: string): string => text.replace(/[^\P{Cc}\t]/gu, '·');

function block(path: string, text: string, lines: Lines, problem: Problem, paint: Paint): string {
  const line = lines.lineAt(problem.offset);
  const start = lines.startOf(line);
  const column = problem.offset - start + 1;
  const end = text.indexOf('\n', start);
  const whole = printable(text.slice(start, end < 0 ? text.length : end).replace(/\r$/, ''));
  const cut = column > WIDEST - 40 ? column - 40 : 0;
  const shown = whole.slice(cut, cut + WIDEST);
  const indent = shown.slice(0, column - 1 - cut).replace(/[^\t]/g, ' ');
  const reach = Math.max(1, Math.min(problem.length, shown.length - indent.length));
  const margin = String(line).padStart(5);
  const shownLines = [
    paint.bold(`${path}:${line}:${column}: `) + paint.red('error: ') + paint.bold(printable(problem.message)),
    `${margin} | ${shown}`,
    `${' '.repeat(margin.length)} | ${indent}${paint.green('^'.repeat(reach))}`,
  ];
  if (problem.hint !== undefined)
    shownLines.push(`${' '.repeat(margin.length)} = ${printable(problem.hint)}`);
  return shownLines.join('\n');
}
