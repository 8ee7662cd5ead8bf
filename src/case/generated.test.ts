// SPDX-License-Identifier: GPL-2.0-only

// What is generated from the definition of the case language is what is checked in.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { jsonSchemaText } from './json-schema.ts';
import { languagePage } from './language.ts';
import { loadCase } from './load.ts';
import { deviceVerbs, taskVerbs } from './verbs/index.ts';

const root = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

test('case.schema.json: npm run -s oracle -- schema > case.schema.json', () => {
  expect(read('case.schema.json') === jsonSchemaText()).toBe(true);
});

test('docs/case-language.md: npm run -s oracle -- schema --page > docs/case-language.md', () => {
  expect(read('docs/case-language.md') === languagePage()).toBe(true);
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

test.each([...taskVerbs, ...deviceVerbs].map(({ verb, example }) => [verb, example]))(
  'the example of %s is a step',
  (_, example) => {
    // What the examples use is made first.
    const before = [
      '{ "open": "/dev/iommu", "as": "iommufd" }',
      '{ "ioas_alloc": "iommufd", "as": "ioas1" }',
      '{ "mmap": "64K", "as": "buf" }',
      '{ "map": "buf", "length": "64K", "into": "ioas1", "as": "iova" }',
      '{ "eventfd": 0, "as": "fault_fd" }',
      '{ "mock_domain": "ioas1", "as": { "out_stdev_id": "dev0", "out_hwpt_id": "hwpt0" } }',
      '{ "create_access": "ioas1", "as": "access0" }',
    ];
    const steps = [...before, example.replace(/"as": "\w+"/, '"as": "made"')];
    expect(() =>
      loadCase('t', 't', `{ "title": "t", "tasks": { "vmm": [${steps.join(', ')}] } }`),
    ).not.toThrow();
  },
);
