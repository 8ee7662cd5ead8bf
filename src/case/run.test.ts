// SPDX-License-Identifier: GPL-2.0-only

// What a case means when it runs: names, expectations, conditions, schedules, findings, and what is not modelled.
import { expect, test } from 'vitest';
import { loadCase } from './load.ts';
import { type Run, runCase } from './run.ts';
import { storyOf } from './story.ts';
import { verdictOf } from './verdict.ts';

const run = (body: object): Run => runCase(loadCase('t', 't.jsonc', JSON.stringify({ title: 't', ...body })));
const verdict = (body: object) => verdictOf(run(body));
const reasons = (body: object): string => verdict(body).reasons.join('\n');
const api = (body: object): string[] => storyOf(run(body), 'api').trimEnd().split('\n').slice(1);

const OPEN = { open: '/dev/iommu', as: 'iommufd' };
const ALLOC = { ioas_alloc: 'iommufd', as: 'ioas1' };
const vmm = (...steps: object[]) => ({ tasks: { vmm: steps } });

test('the trace speaks by name, in the words of strace', () => {
  expect(
    api(
      vmm(
        OPEN,
        ALLOC,
        { option: 'IOMMU_OPTION_HUGE_PAGES', of: 'ioas1', set: 0 },
        { mmap: '8K', as: 'buf' },
        { map: 'buf+0x1000', length: '4K', into: 'ioas1', at: '0x10000', as: 'iova' },
        { destroy: 7, on: 'iommufd', errno: 'ENOENT' },
        { close: 'iommufd' },
      ),
    ),
  ).toEqual([
    'vmm: open("/dev/iommu")',
    'vmm: = iommufd',
    'vmm: ioctl(iommufd, IOMMU_IOAS_ALLOC)',
    'vmm: = 0 {out_ioas_id=ioas1}',
    'vmm: ioctl(iommufd, IOMMU_OPTION, {option_id=IOMMU_OPTION_HUGE_PAGES, op=IOMMU_OPTION_OP_SET, object_id=ioas1, val64=0})',
    'vmm: = 0',
    'vmm: mmap(0x2000)',
    'vmm: = buf',
    'vmm: ioctl(iommufd, IOMMU_IOAS_MAP, {flags=IOMMU_IOAS_MAP_READABLE|IOMMU_IOAS_MAP_WRITEABLE|IOMMU_IOAS_MAP_FIXED_IOVA, ioas_id=ioas1, user_va=buf+0x1000, length=0x1000, iova=0x10000})',
    'vmm: = 0',
    'vmm: ioctl(iommufd, IOMMU_DESTROY, {id=7})',
    'vmm: = -ENOENT',
    'vmm: close(iommufd)',
    'vmm: = 0',
  ]);
});

test('addresses of user space are shown by the name of their buffer', () => {
  const story = storyOf(
    run(vmm(OPEN, ALLOC, { mmap: '8K', as: 'buf' }, { map: 'buf+0x1000', length: '4K', into: 'ioas1' })),
  );
  expect(story).toContain('uptr: 0x0 -> buf+0x1000');
  expect(story).not.toMatch(/0x7f/);
});

test('a step must succeed, unless it says otherwise', () => {
  expect(reasons(vmm(OPEN, { destroy: 1, on: 'iommufd' }))).toBe(
    't.jsonc:1: vmm[1]: ioctl(iommufd, IOMMU_DESTROY, {id=1}): expected success, got ENOENT',
  );
  expect(reasons(vmm({ ...OPEN, errno: 'ENOENT' }))).toContain('expected ENOENT, got success');
  expect(reasons(vmm({ close: 3, errno: ['EBADF', 0] }, { close: 3, any: true }))).toBe('');
  expect(reasons(vmm({ close: 3, errno: ['ENOENT', 0] }))).toContain('expected ENOENT or success, got EBADF');
  expect(reasons(vmm({ ...OPEN, ret: 4 }))).toContain('expected to return 4, got 3');
  expect(reasons(vmm(OPEN, { ...ALLOC, out: { out_ioas_id: 2 } }))).toContain(
    'expected out_ioas_id to be 2, got 1',
  );
  expect(
    reasons(vmm({ mmap: '4K', as: 'b' }, { store: 'b', data: '01 02' }, { load: 'b', data: '01 03' })),
  ).toContain('byte 1 is 02, expected 03');
});

test('a name whose maker failed: the step is not run, and that is a failure unless the case allows for it', () => {
  const missing = vmm({ open: '/dev/none', as: 'fd' }, { close: 'fd' });
  expect(reasons(missing)).toContain('expected success, got ENOENT');
  expect(reasons(missing)).toContain("close(fd) was not run: there is no 'fd'");
  expect(
    reasons(
      vmm(
        { open: '/dev/none', as: 'fd', errno: ['ENOENT', 0] },
        { ioas_alloc: 'fd', as: 'x' },
        { destroy: 'x' },
      ),
    ),
  ).toBe('');
});

test('a step that uses what another task makes waits until it is made', () => {
  const body = { tasks: { b: [{ destroy: 'ioas1' }], a: [OPEN, ALLOC] } };
  expect(verdict(body).status).toBe('passed');
  expect(api(body).at(-2)).toBe('b: ioctl(iommufd, IOMMU_DESTROY, {id=ioas1})');
});

test('conditions on the end of a run', () => {
  const ends = (end: object, ...steps: object[]) =>
    reasons({ ...vmm(OPEN, ALLOC, ...steps), expect: { end } });
  expect(
    ends({ 'ioas1.id': 1, 'ioas1.users': 1, 'ioas1.type': 'IOMMUFD_OBJ_IOAS', 'iommufd.vfio_ioas': null }),
  ).toBe('');
  expect(ends({ 'ioas1.id': { ge: 1, lt: 2 }, 'iommufd.file': 'iommufd.filp', iommufd: 'iommufd' })).toBe('');
  expect(ends({ 'ioas1.iopt.disable_large_pages': true })).toContain(
    'ioas1.iopt.disable_large_pages is false, expected',
  );
  expect(ends({ ioas1: null })).toContain('ioas1 is ioas1');
  expect(ends({ ioas1: null }, { destroy: 'ioas1' })).toBe('');
  expect(ends({ 'ioas1.idd': 1 })).toContain("ioas1 has no field 'idd'; did you mean 'id'?");
  expect(ends({ 'ioas1.id': 1 }, { destroy: 'ioas1' })).toContain('ioas1 is null, which has no fields');
  expect(ends({ results: { d: 'EBUSY' } }, { destroy: 'ioas1', label: 'd' })).toContain(
    'step d ended with success',
  );
  expect(
    ends({
      any: [{ 'ioas1.id': 2 }, { 'ioas1.id': 1 }],
      not: { 'ioas1.id': 3 },
      all: [{ 'ioas1.id': { in: [1, 2] } }],
    }),
  ).toBe('');
});

test('a claim about all interleavings is not decided by one run, but may be refuted by it', () => {
  const claims = (expected: object) => verdict({ ...vmm(OPEN, ALLOC), expect: expected });
  expect(
    claims({
      always: [{ 'ioas1.id': 1 }],
      sometimes: [{ 'ioas1.id': 2 }],
      never: ['hang', { 'ioas1.id': 3 }],
    }),
  ).toEqual({
    status: 'passed',
    reasons: [],
    undecided: ['always {"ioas1.id":1}', 'sometimes {"ioas1.id":2}', 'never hang', 'never {"ioas1.id":3}'],
  });
  expect(claims({ always: [{ 'ioas1.id': 2 }] }).reasons.join()).toContain('not in this run, ioas1.id is 1');
  expect(claims({ never: [{ 'ioas1.id': 1 }] }).reasons.join()).toContain('it holds at the end of this run');
  expect(claims({ always: ['hang'] }).reasons.join()).toContain('always hang: not in this run');
});

const RACE = {
  tasks: {
    a: [OPEN, ALLOC, { destroy: 'ioas1', label: 'first', any: true }],
    b: [{ destroy: 'ioas1', label: 'second', any: true }],
  },
};

test('a schedule that does not fit is told of', () => {
  const scripted = (...schedule: object[]) => reasons({ ...RACE, schedule });
  expect(scripted({ run: 'a', until: 'step first' }, { run: 'b' }, { run: 'a' })).toBe('');
  expect(scripted({ run: 'a', until: 'mutex_lock ioas9.mutex' })).toContain(
    'does not fit: the run ended before {"run":"a","until":',
  );
  expect(scripted({ choose: 'fail_iommufd' })).toContain('the run ended before {"choose":"fail_iommufd"}');
  expect(reasons({ ...RACE, schedule: { replay: ['c: start'] } })).toContain(
    "choice 1 of the schedule is 'c: start'",
  );
});

test('who goes first decides who gets it', () => {
  const results = (schedule: object[]) =>
    run({ ...RACE, schedule }).results.flatMap(({ step, answer }) =>
      step.label === undefined ? [] : [`${step.label} ${answer?.ret}`],
    );
  expect(results([{ run: 'a', until: 'step first' }, { run: 'b' }])).toEqual(['second 0', 'first -2']);
  expect(results([])).toEqual(['first 0', 'second -2']);
});

test('the same seed gives the same run', () => {
  const story = (random: number) => storyOf(run({ ...RACE, schedule: { random } }), 'sync');
  expect(story(7)).toBe(story(7));
  expect(new Set([1, 2, 3, 4, 5, 6].map(story)).size).toBeGreaterThan(1);
});

test('what is not modelled is said, not passed over', () => {
  for (const [body, what] of [
    [{ platform: { iommu: 'vt-d' } }, 'platform vt-d'],
    [{ platform: { groups: { g0: ['dev1'] } } }, 'devices of its own behind the mock IOMMU'],
  ] as const) {
    expect(verdict({ ...vmm(), ...body })).toMatchObject({
      status: 'unsupported',
      reasons: [`${what} is not modelled`],
    });
  }
});

test('a step limit is its own verdict', () => {
  expect(verdict({ ...vmm(OPEN, ALLOC), limits: { steps: 3 } })).toMatchObject({
    status: 'incomplete',
    reasons: ['given up after 3 steps, the limit of the case'],
  });
});

test('a hang fails the case, and says who waits for what', () => {
  const hang = vmm({ eventfd: 0, as: 'ev' }, { read: 'ev', length: 8 });
  expect(reasons(hang)).toContain('vmm waits in eventfd_read');
  expect(verdict({ ...hang, expect: { always: ['hang'] } }).status).toBe('passed');
  expect(storyOf(run(hang))).toContain('# hang\nvmm waits in');
});

test('a process without rights is refused what takes them', () => {
  const set = { option: 'IOMMU_OPTION_RLIMIT_MODE', on: 'iommufd', set: 1 };
  expect(reasons(vmm(OPEN, set))).toBe('');
  expect(reasons({ ...vmm(OPEN, set), processes: { p: { threads: ['vmm'], capabilities: [] } } })).toContain(
    'got EPERM',
  );
});

const DEVICE = { mock_domain: 'ioas1', as: 'dev1' };
const mapped = (...steps: object[]) => [
  OPEN,
  ALLOC,
  { mmap: '8K', as: 'buf' },
  DEVICE,
  { map: 'buf', length: '4K', into: 'ioas1', at: '0x1000000', as: 'iova' },
  ...steps,
  { destroy: 'dev1', after: 'last' },
];

test('a device is a task of its own: who reads and writes which bytes where, or which fault', () => {
  const story = api({
    tasks: { vmm: mapped({ load: 'buf', data: '00 01 02', after: 'wrote' }) },
    hardware: {
      dev1: [
        { dma_write: 'iova+0x1', data: '01 02', label: 'wrote' },
        { dma_read: 'iova+0xffe', data: { fill: 0, length: 4 }, fault: 'not-mapped' },
        { dma_write: 0, data: '01', fault: ['not-mapped', 'blocked'], label: 'last' },
      ],
    },
  });
  const from = story.indexOf('dev1: dma_write(iova+1, 01 02)');
  expect(story.slice(from)).toEqual([
    'dev1: dma_write(iova+1, 01 02)',
    'dev1: = 2',
    'dev1: dma_read(iova+0xffe, 4)',
    'dev1: = 2 00 00 and then fault: not-mapped',
    'dev1: dma_write(0, 01)',
    'dev1: = fault: not-mapped',
    'vmm: load(buf, 3 bytes)',
    'vmm: = 0 00 01 02',
    'vmm: ioctl(iommufd, IOMMU_DESTROY, {id=dev1})',
    'vmm: = 0',
  ]);
});

test('what a device meets is held against what its step says', () => {
  const why = (...steps: object[]): string =>
    reasons({
      tasks: { vmm: mapped() },
      hardware: { dev1: [...steps, { dma_read: 'iova', length: 1, label: 'last' }] },
    });
  expect(why({ dma_read: 'iova', data: '01' })).toContain('byte 0 is 00, expected 01');
  expect(why({ dma_read: 'iova+0x1000', length: 1 })).toContain('expected success, got not-mapped');
  expect(why({ dma_write: 'iova', data: '01', fault: 'blocked' })).toContain(
    'expected blocked, got success (1)',
  );
  // What came before the fault is held against the beginning of what was expected.
  expect(why({ dma_read: 'iova+0xfff', data: '01 01', fault: 'not-mapped' })).toContain(
    'byte 0 is 00, expected 01',
  );
  expect(why({ dma_read: 'iova+0xfff', data: '00 01', fault: 'not-mapped' })).toBe('');
});

test('conditions on what a device met and got, and on what was never made', () => {
  const ends = (end: object): string =>
    reasons({
      tasks: { vmm: mapped() },
      hardware: {
        dev1: [
          { dma_read: 'iova', length: 2, label: 'read' },
          { dma_read: 0, length: 1, any: true, label: 'last' },
        ],
      },
      expect: { end },
    });
  expect(ends({ results: { read: 0, last: 'not-mapped' }, data: { read: '00 00' } })).toBe('');
  expect(ends({ results: { last: 'blocked' } })).toContain('step last ended with not-mapped');
  expect(ends({ data: { read: '00' } })).toContain('step read got 00 00');
  const never = {
    tasks: { vmm: [OPEN, ALLOC, { mock_domain: 7, on: 'iommufd', as: 'dev1', errno: 'ENOENT' }] },
    hardware: { dev1: [{ dma_read: 0, length: 1, label: 'read' }] },
    expect: { end: { dev1: null } },
  };
  expect(reasons(never)).toBe('');
  expect(api(never).slice(-2)).toEqual(['dev1: dma_read(0, 1)', "dev1: = not run: there is no 'dev1'"]);
});

test('"after" waits for a step, whatever came of it', () => {
  const story = api({
    tasks: {
      a: [{ close: 99, errno: 'EBADF', after: 'opened' }],
      b: [{ open: '/dev/nothing', errno: 'ENOENT', label: 'opened' }],
    },
  });
  expect(story.map((line) => line.slice(0, 7))).toEqual(['b: open', 'b: = -E', 'a: clos', 'a: = -E']);
});
