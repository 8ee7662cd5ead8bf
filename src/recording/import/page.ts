// SPDX-License-Identifier: GPL-2.0-only

/** A case file around its steps. */

export interface Head {
  readonly schema: string;
  readonly comment: readonly string[];
  readonly title: string;
  readonly hugePages: boolean;
  /** What checkers found in its run. */
  readonly found?: readonly string[];
}

/** Huge pages of 2 MiB that the recorded machine had set aside. */
const HUGE_PAGES = 80;

const PLAIN: Head = { schema: '', comment: [], title: 'imported', hugePages: true };

/** A step of a task, or a comment between them. */
export interface Line {
  readonly text: string;
  readonly task: string;
  readonly forks: string | null;
}

/** The lines by task, in the order in which the tasks begin. A process that does nothing ends. */
function byTask(lines: readonly Line[]): ReadonlyMap<string, readonly string[]> {
  const tasks = new Map<string, string[]>();
  const ofTask = (task: string): string[] => {
    const steps = tasks.get(task) ?? [];
    tasks.set(task, steps);
    return steps;
  };
  for (const { text, task, forks } of lines) {
    ofTask(task).push(text);
    if (forks !== null) ofTask(forks);
  }
  for (const steps of tasks.values()) if (steps.length === 0) steps.push('{ "exit": 0 }');
  return tasks;
}

export function caseText(lines: readonly Line[], head: Head = PLAIN): string {
  const { schema, comment, title, hugePages, found = [] } = head;
  return [
    '{',
    ...(schema === '' ? [] : [`  "$schema": ${JSON.stringify(schema)},`]),
    ...comment.map((line) => `  // ${line}`),
    `  "title": ${JSON.stringify(title)},`,
    ...(hugePages ? [`  "platform": { "memory": { "huge_pages": ${HUGE_PAGES} } },`] : []),
    '  "tasks": {',
    ...[...byTask(lines)].flatMap(([task, steps]) => [
      `    ${JSON.stringify(task)}: [`,
      ...steps.map((step) => `      ${step}${step.startsWith('//') ? '' : ','}`),
      '    ],',
    ]),
    '  },',
    ...(found.length === 0
      ? []
      : [
          '  // What the checkers find, which a recording cannot tell.',
          `  "expect": { "sometimes": ${JSON.stringify(found)} },`,
        ]),
    '}',
    '',
  ].join('\n');
}
