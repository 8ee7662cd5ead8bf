// SPDX-License-Identifier: GPL-2.0-only

// What is generated from the definition of the case language is what is checked in.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decisions } from '../sim/variant.ts';
import { jsonSchemaText } from './json-schema.ts';
import { languagePage } from './language.ts';
import { loadCase } from './load.ts';
import { CaseError } from './place.ts';
import { variantsPage } from './variants.ts';
import { deviceVerbs, taskVerbs } from './verbs/index.ts';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

test('case.schema.json: npm run -s oracle -- schema > case.schema.json', () => {
  expect(read('case.schema.json') === jsonSchemaText()).toBe(true);
});

test('docs/case-language.md: npm run -s oracle -- schema --page > docs/case-language.md', () => {
  expect(read('docs/case-language.md') === languagePage()).toBe(true);
});

test('docs/variants.md: npm run -s oracle -- variants --page > docs/variants.md', () => {
  expect(read('docs/variants.md') === variantsPage()).toBe(true);
});

test('decision points name a function of a file of Linux, and say one line of each thing', () => {
  const places = [...decisions.points(), ...decisions.bugs()].map(({ at }) => at);
  expect(places.filter((at) => !/^[\w/-]+\.[ch]:\w+$/.test(at))).toEqual([]);
  const lines = [
    ...decisions
      .points()
      .flatMap(({ about, choices }) => [about, ...[...choices.values()].flatMap((c) => [c.about, c.source])]),
    ...decisions.bugs().flatMap(({ about, source, cure }) => [about, source, cure]),
  ];
  expect(lines.filter((line) => !/^[^\n]{4,200}[^.\n]$/.test(line))).toEqual([]);
});

test('every key is explained', () => {
  const unexplained: string[] = [];
  function visit(node: unknown, path: string): void {
    if (typeof node !== 'object' || node === null) return;
    if ('properties' in node && typeof node.properties === 'object' && node.properties !== null) {
      for (const [key, value] of Object.entries(node.properties)) {
        if (typeof value !== 'object' || value === null || !('description' in value))
          unexplained.push(`${path}.${key}`);
      }
    }
    for (const [key, value] of Object.entries(node)) visit(value, `${path}/${key}`);
  }
  visit(JSON.parse(jsonSchemaText()), '');
  expect(unexplained).toEqual([]);
});

function problemsWith(text: string): string[] {
  try {
    loadCase('t', 't', text);
  } catch (e) {
    if (!(e instanceof CaseError)) throw e;
    // It stands alone: other steps would make what it uses, a platform have it, a task be begun by it.
    const others = /^no (step makes|such (device|group):|task is called)/;
    return e.problems.map(({ message }) => message).filter((message) => !others.test(message));
  }
  return [];
}

test.each(taskVerbs.map(({ verb, example }) => [verb, example]))(
  'the example of %s is a step',
  (_, example) => {
    expect(problemsWith(`{ "title": "t", "tasks": { "vmm": [${example}] } }`)).toEqual([]);
  },
);

test.each(deviceVerbs.map(({ verb, example }) => [verb, example]))(
  'the example of %s is a step',
  (_, example) => {
    const make = '{ "mock_domain": 1, "on": 3, "as": "dev1" }';
    expect(
      problemsWith(`{ "title": "t", "tasks": { "vmm": [${make}] }, "hardware": { "dev1": [${example}] } }`),
    ).toEqual([]);
  },
);
