// SPDX-License-Identifier: GPL-2.0-only

/** The lines of a golden, taken apart again: whose they are, and which calls they are inside of. */

export interface StoryLine {
  readonly task: string;
  readonly depth: number;
  readonly text: string;
}

const LINE = /^([A-Za-z_][\w.#@-]*): ( *)(.*)$/;

/** A line of a task; null for a title, an ending, or what the machine itself did. */
export function parseLine(line: string): StoryLine | null {
  const match = LINE.exec(line);
  if (match === null) return null;
  const [, task = '', indent = '', text = ''] = match;
  return { task, depth: indent.length / 2, text };
}

/** The calls that the line at `index` is inside of, outermost first, and its task. Empty for the title. */
export function enclosing(lines: readonly string[], index: number): { task: string; calls: string[] } {
  const at = parseLine(lines[index] ?? '');
  if (at === null) return { task: '', calls: [] };
  const calls: string[] = [];
  // An answer stands as far out as its call, and belongs to it.
  let depth = at.text.startsWith('= ') ? at.depth + 1 : at.depth;
  for (let i = index - 1; i >= 0 && depth > 0; i--) {
    const line = parseLine(lines[i] ?? '');
    if (line === null || line.task !== at.task || line.depth >= depth) continue;
    calls.unshift(line.text);
    depth = line.depth;
  }
  return { task: at.task, calls };
}
