// SPDX-License-Identifier: GPL-2.0-only

// A case on several designs: what each is called, what is expected there, and that the model does as it says.
import { expect, test } from 'vitest';
import { Trace } from '../sim/trace.ts';
import { onDesign, onDesigns } from './designs.ts';
import { loadCase } from './load.ts';
import { runCase } from './run.ts';
import { storyOf } from './story.ts';

const attach = (more: object) =>
  loadCase(
    't',
    't.jsonc',
    JSON.stringify({
      title: 'a device is attached',
      tasks: {
        vmm: [
          { open: '/dev/iommu', as: 'iommufd' },
          { ioas_alloc: 'iommufd', as: 'ioas1' },
          { mock_domain: 'ioas1', label: 'attach', as: 'stdev1' },
          { close: 'iommufd' },
        ],
      },
      ...more,
    }),
  );

const late = { variant: { 'attach-handle': 'after-driver' } };

test('each design is a case of its own, with what is expected of all and of it', () => {
  const it = attach({
    expect: { never: ['warn'] },
    variants: [{}, { ...late, bugs: ['E1'], schedule: 'round-robin', expect: { never: ['leak'], end: {} } }],
  });
  expect(onDesigns(it).map(({ design, outline }) => [design, outline.schedule, outline.expect])).toEqual([
    ['Linux 6.12', undefined, { end: [], always: [], sometimes: [], never: ['warn'] }],
    [
      'attach-handle=after-driver, bug E1',
      'round-robin',
      { end: [{}], always: [], sometimes: [], never: ['warn', 'leak'] },
    ],
  ]);
});

test('a case without is itself', () => {
  const it = attach({});
  expect(onDesigns(it)).toEqual([it]);
});

test('what is expected of a design counts when it is chosen from outside', () => {
  const it = attach({ variants: [{ ...late, expect: { never: ['leak'] } }] });
  expect(onDesign(it, late).outline.expect?.never).toEqual(['leak']);
  expect(onDesign(it, { bugs: ['E1'] })).toMatchObject({
    design: 'bug E1',
    outline: { expect: { never: [] } },
  });
});

test('a run is a function of its case: designs in turn, on one trace, differ only where they are to', () => {
  const trace = new Trace();
  const [plain, other] = onDesigns(attach({ variants: [{}, late] })).map(
    (each) => () => storyOf(runCase(each, { trace })),
  );
  const first = plain?.();
  const second = other?.();
  expect(first).toMatch(/^# a device is attached\n## Linux 6\.12\nvmm: open/);
  expect(second).toContain('\n## attach-handle=after-driver\n');
  const published = /pasid_array\[0\]: - -> .*handle\n.*__iommu_attach_group/;
  expect(first).toMatch(published);
  expect(second).not.toMatch(published);
  expect([plain?.(), other?.(), plain?.()]).toEqual([first, second, first]);
});
