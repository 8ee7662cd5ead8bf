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

export function caseText(steps: readonly string[], head: Head = PLAIN): string {
  const { schema, comment, title, hugePages, found = [] } = head;
  return [
    '{',
    ...(schema === '' ? [] : [`  "$schema": ${JSON.stringify(schema)},`]),
    ...comment.map((line) => `  // ${line}`),
    `  "title": ${JSON.stringify(title)},`,
    ...(hugePages ? [`  "platform": { "memory": { "huge_pages": ${HUGE_PAGES} } },`] : []),
    '  "tasks": {',
    '    "vmm": [',
    ...steps.map((step) => `      ${step}${step.startsWith('//') ? '' : ','}`),
    '    ],',
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
