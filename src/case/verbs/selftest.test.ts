// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import { loadCase } from '../load.ts';
import { CaseError } from '../place.ts';

const load = (...steps: string[]) =>
  loadCase('t', 't', `{ "title": "t", "tasks": { "vmm": [${steps.join(', ')}] } }`);

const texts = (...steps: string[]): string[] =>
  load(...steps).tasks.flatMap((task) => task.steps.map((s) => s.text));

test('the descriptor follows from what an id was made of, over several steps', () => {
  const found = texts(
    '{ "open": "/dev/iommu", "as": "first" }',
    '{ "ioas_alloc": "first", "as": "ioas1" }',
    '{ "mock_domain": "ioas1", "as": "dev1" }',
    '{ "destroy": "dev1" }',
    '{ "create_access": "ioas1", "as": "access1" }',
    '{ "access_pages": "access1", "iova": 0, "length": 1, "as": "pin1" }',
    '{ "destroy_access_pages": "pin1", "of": "access1" }',
  );
  expect(found.slice(2)).toEqual([
    expect.stringContaining('ioctl(first, IOMMU_TEST_OP_MOCK_DOMAIN,'),
    'ioctl(first, IOMMU_DESTROY, {id=dev1})',
    expect.stringContaining('ioctl(first, IOMMU_TEST_OP_CREATE_ACCESS,'),
    expect.stringContaining('ioctl(first, IOMMU_TEST_OP_ACCESS_PAGES, {id=access1'),
    expect.stringContaining('ioctl(first, IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, {id=access1'),
  ]);
});

test('ids that are made of each other belong to nobody', () => {
  const steps = ['{ "mock_domain": "a", "as": "b" }', '{ "mock_domain": "b", "as": "a" }'];
  expect(() => load(...steps)).toThrow(CaseError);
});
