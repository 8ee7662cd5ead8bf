// SPDX-License-Identifier: GPL-2.0-only

// What is said of each kind of bad case: its place, what was expected, and the nearest known word.
import { describe, expect, test } from 'vitest';
import { loadCase } from './load.ts';
import { CaseError } from './place.ts';

function complaints(text: string): string {
  try {
    loadCase('t', 't.jsonc', text);
  } catch (e) {
    if (e instanceof CaseError) return e.report();
    throw e;
  }
  return 'fine';
}

/** A case with these steps, each on a line of its own from line 2 on. */
const withSteps = (...steps: string[]): string =>
  `{ "title": "t", "tasks": { "vmm": [\n${steps.join(',\n')}\n] } }`;

const OPEN = '{ "open": "/dev/iommu", "as": "iommufd" }';
const ALLOC = '{ "ioas_alloc": "iommufd", "as": "ioas1" }';

test('a report is like a compiler’s: place, line, caret, hint', () => {
  expect(complaints(withSteps(OPEN, '\t{ "destory": "ioas1" }'))).toBe(
    [
      "t.jsonc:3:4: error: unknown verb 'destory'",
      '    3 | \t{ "destory": "ioas1" }',
      '      | \t  ^^^^^^^^^',
      "      = did you mean 'destroy'?",
    ].join('\n'),
  );
});

test('all problems of a file are told at once, in order', () => {
  const text = withSteps('{ "opne": "/dev/iommu" }', '{ "close": true }', '{ "close": 3, "erno": "EBADF" }');
  expect(complaints(text).match(/^t\.jsonc.*$/gm)).toEqual([
    "t.jsonc:2:3: error: unknown verb 'opne'",
    't.jsonc:3:12: error: expected a number or a name',
    "t.jsonc:4:15: error: unknown key 'erno'",
  ]);
});

test('a step that cannot be read keeps nobody from finding the name that it was to make', () => {
  const text = withSteps(
    '{ "opne": "/dev/iommu", "as": "fd" }',
    '{ "ioas_alloc": "fd", "as": "a" }',
    '{ "destroy": "b" }',
  );
  expect(complaints(text).match(/^t\.jsonc.*$/gm)).toEqual([
    "t.jsonc:2:3: error: unknown verb 'opne'",
    "t.jsonc:4:14: error: no step makes 'b'",
  ]);
});

describe('designs', () => {
  test.each([
    ['{ "bugs": ["e1"] }', 't.jsonc:1:12: error: expected ', "did you mean 'E1'?"],
    ['{ "variant": { "hnadle-order": "6.12" } }', "t.jsonc:1:16: error: unknown key 'hnadle-order'", ''],
  ])('%s', (text, message, hint) => {
    const said = complaints(text);
    expect(said).toContain(message);
    expect(said).toContain(hint);
  });

  test.each([
    [
      '[{}, { "variant": { "attach-handle": "6.12" } }]',
      'error: Linux 6.12 is named already, by variants[0]',
    ],
    [
      '[{ "bugs": ["E1"], "expect": { "end": { "ioas9": null } } }]',
      "error: nothing in this case is called 'ioas9'",
    ],
    ['[{ "schedule": [{ "run": "vm" }] }]', "error: no task is called 'vm'"],
  ])('several: %s', (variants, message) => {
    const text = withSteps(OPEN, ALLOC).replace(/\}$/, `, "variants": ${variants} }`);
    expect(complaints(text)).toContain(message);
  });
});

describe('not JSONC', () => {
  test.each([
    ['', 'the file is empty'],
    ['{', "expected '}' to close the object"],
    ['{ "title": 0x10 }', 'this is no JSON value'],
    ["{ 'title': 1 }", 'expected a string in double quotes'],
    ['{ "title": "t" "tasks": {} }', "expected ','"],
    ['{ "title": "t }', 'the string is not closed'],
    ['{ /* }', 'the comment is not closed'],
    ['{ "title": "t", "tasks": {} } }', 'the case ends before this'],
    ['{ "title": "t", "title": "t", "tasks": {} }', "the key 'title' is here twice"],
    ['{ "title": "t", "tasks": {}, "__proto__": {} }', "unknown key '__proto__'"],
    [`{ "tasks": ${'['.repeat(100_000)}`, 'nested more than 32 deep'],
    ['[]', 'expected an object { … }, found a list of 0'],
    ['"case"', 'expected an object { … }, found "case"'],
  ])('%s', (text, message) => {
    expect(complaints(text)).toContain(message);
  });
});

test('comments and trailing commas are fine', () => {
  expect(complaints(`// c\n{ /* c */ "title": "t", "tasks": { "vmm": [${OPEN},], }, }`)).toBe('fine');
});

describe('unknown keys and words', () => {
  test.each([
    ['{ "titel": "t", "tasks": {} }', "unknown key 'titel'", "did you mean 'title'?"],
    ['{ "tasks": {} }', "the key 'title' is missing", 'One line: what the case shows.'],
    [
      '{ "title": "t", "tasks": {}, "trace": "States" }',
      'expected api, state or sync',
      "did you mean 'state'?",
    ],
    [
      '{ "title": "t", "tasks": {}, "platform": { "iommu": "vtd" } }',
      'expected mock, generic, vt-d',
      "did you mean 'vt-d'?",
    ],
    ['{ "title": "t", "tasks": {}, "expect": { "never": ["hnag"] } }', 'a checker finds', ''],
    [withSteps(OPEN, '{ "close": "iommufd", "errno": "EBUZY" }'), '"EBUZY"', "did you mean 'EBUSY'?"],
    [
      withSteps(OPEN, '{ "ioctl": "IOMMU_DESTORY", "on": "iommufd" }'),
      "no such ioctl: 'IOMMU_DESTORY'",
      "'IOMMU_DESTROY'?",
    ],
    [
      withSteps(OPEN, '{ "ioctl": "IOMMU_DESTROY", "on": "iommufd", "with": { "idd": 1 } }'),
      "struct iommu_destroy has no field 'idd'",
      "did you mean 'id'?",
    ],
    [
      withSteps(OPEN, '{ "option": "HUGE_PAGES", "on": "iommufd" }'),
      "no such constant: 'HUGE_PAGES'",
      'IOMMU_OPTION_HUGE_PAGES',
    ],
    [
      withSteps(OPEN, '{ "ioas_alloc": "iommufd", "out": { "id": 1 } }'),
      "no such field: 'id'",
      'out_ioas_id',
    ],
    [
      '{ "title": "t", "tasks": { "a": [] }, "schedule": [{ "run": "b" }] }',
      "no task is called 'b'",
      'known: a',
    ],
    ['{ "title": "t", "tasks": { "a": [] }, "schedule": [{ "runn": "a" }] }', 'expected { "run": task', ''],
    ['{ "title": "t", "tasks": { "a": [] }, "schedule": "robin" }', '"robin"', ''],
  ])('%s', (text, message, hint) => {
    const told = complaints(text);
    expect(told).toContain(message);
    expect(told).toContain(hint);
  });
});

describe('numbers', () => {
  test.each([
    [withSteps('{ "mmap": -1, "as": "b" }'), 'out of range: expected 0 to 0x800000000000'],
    [withSteps('{ "mmap": "0x1000000000000" }'), 'out of range'],
    [withSteps('{ "mmap": "4KB" }'), 'expected a whole number, such as 4096, "0x1000" or "4K"; found "4KB"'],
    [withSteps('{ "mmap": 1.5 }'), 'expected a whole number'],
    [withSteps('{ "mmap": 1e400 }'), 'out of range'],
    [
      withSteps(OPEN, '{ "destroy": "0x100000000", "on": "iommufd" }'),
      'out of range: id has 32 bits, 0 to 0xffffffff',
    ],
    [withSteps('{ "ioctl": "0x1ffffffff", "on": 3 }'), 'out of range: expected 0 to 0xffffffff'],
    ['{ "title": "t", "tasks": {}, "limits": { "steps": 0 } }', '0 is out of range: expected at least 1'],
    ['{ "title": "t", "tasks": {}, "schedule": { "random": 4294967296 } }', 'expected at most 4294967295'],
    [withSteps('{ "store": 0, "data": "abc" }'), 'expected bytes in hex'],
    [withSteps('{ "store": 0, "data": { "fill": 256, "length": 1 } }'), 'expected at most 255'],
    [withSteps('{ "store": 0, "data": { "fill": 0, "length": "1G" } }'), 'out of range'],
  ])('%s', (text, message) => {
    expect(complaints(text)).toContain(message);
  });
});

describe('names', () => {
  test.each([
    [
      'one that no step makes',
      withSteps(OPEN, '{ "close": "iommfd" }'),
      "no step makes 'iommfd'",
      "did you mean 'iommufd'?",
    ],
    [
      'none at all',
      withSteps('{ "close": "iommufd" }'),
      "no step makes 'iommufd'",
      'a name is given by "as"',
    ],
    [
      'used before it is made',
      withSteps('{ "close": "iommufd" }', OPEN),
      "'iommufd' is made only later, by vmm[1]",
      '',
    ],
    [
      'used by its own maker',
      withSteps(OPEN, '{ "ioctl": "IOMMU_FAULT_QUEUE_ALLOC", "on": "q", "as": { "out_fault_fd": "q" } }'),
      "'q' is made by this very step",
      '',
    ],
    ['made twice', withSteps(OPEN, OPEN), "the name 'iommufd' is taken: vmm[0] makes it already", ''],
    [
      'a task’s',
      withSteps('{ "open": "/dev/iommu", "as": "vmm" }'),
      "the name 'vmm' is taken: a task has it",
      '',
    ],
    [
      'a user’s',
      '{ "title": "t", "processes": { "guest": { "threads": ["vmm"], "user": "vmm" } }, "tasks": { "vmm": [] } }',
      "the name 'vmm' is taken: a task has it",
      '',
    ],
    [
      'the machine’s',
      withSteps('{ "open": "/dev/iommu", "as": "process" }'),
      "the name 'process' is taken",
      '',
    ],
    [
      'of another kind',
      withSteps(OPEN, ALLOC, '{ "close": "ioas1" }'),
      "expected a file descriptor: 'ioas1' is an id, made by vmm[1]",
      '',
    ],
    [
      'with an offset, though no address',
      withSteps(OPEN, '{ "store": "iommufd+1", "data": "" }'),
      'only addresses can be added to',
      '',
    ],
    [
      'with an offset that is no number',
      withSteps('{ "mmap": "4K", "as": "b" }', '{ "store": "b+x", "data": "" }'),
      "expected a number after 'b+'",
      '',
    ],
    ['an id without its descriptor', withSteps('{ "destroy": 1 }'), '"on" is missing', ''],
    ['that are none', withSteps('{ "open": "/dev/iommu", "as": "1st" }'), 'expected a name', ''],
    ['for what makes nothing', withSteps(OPEN, '{ "close": "iommufd", "as": "x" }'), "unknown key 'as'", ''],
    [
      'of a label that is taken',
      withSteps('{ "exit": 0, "label": "a" }').replace('[', '[{ "open": "/x", "label": "a" },'),
      "the label 'a' is taken",
      '',
    ],
  ])('%s', (_, text, message, hint) => {
    const told = complaints(text);
    expect(told).toContain(message);
    expect(told).toContain(hint);
  });

  test('that tasks wait for in a circle', () => {
    const text = `{ "title": "t", "tasks": {
      "a": [{ "ioas_alloc": "fdB", "as": "idA" }, { "open": "/dev/iommu", "as": "fdA" }],
      "b": [{ "destroy": "idA", "on": 3 }, { "open": "/dev/iommu", "as": "fdB" }] } }`;
    expect(complaints(text)).toContain(
      "a cycle: a[0] waits for 'fdB', which b[1] makes; b[0] waits for 'idA', which a[0] makes",
    );
  });
});

describe('conditions', () => {
  const ending = (end: string): string =>
    `{ "title": "t", "tasks": { "vmm": [${OPEN}, ${ALLOC}] }, "expect": { "end": ${end} } }`;
  test.each([
    ['{ "ioas2.id": 1 }', "nothing in this case is called 'ioas2'", "did you mean 'ioas1'?"],
    ['{ "results": { "first": 0 } }', "no step has the label 'first'", '"label": "name"'],
    ['{ "ioas1.id": { "gte": 1 } }', "unknown key 'gte'", "did you mean 'gt'?"],
    ['{ "ioas1.id": [1] }', 'expected true or false, a number, a string or null, found a list of 1', ''],
    ['{ "any": [] }', 'expected at least 1', ''],
    ['{ "not": { "ioas2": null } }', "nothing in this case is called 'ioas2'", ''],
  ])('%s', (end, message, hint) => {
    const told = complaints(ending(end));
    expect(told).toContain(message);
    expect(told).toContain(hint);
  });
});

describe('processes and devices', () => {
  test.each([
    ['"processes": { "p": { "threads": ["vm"] } }', "no task is called 'vm'"],
    [
      '"processes": { "p": { "threads": ["vmm"] }, "q": { "threads": ["vmm"] } }',
      "'vmm' is a thread of 'p' already",
    ],
    ['"processes": { "vmm": { "threads": ["vmm"] } }', "the name 'vmm' is taken"],
    [
      '"platform": { "groups": { "g0": ["dev1"], "g1": ["dev1"] } }',
      "the name 'dev1' is taken: a device has it",
    ],
    ['"platform": { "devices": { "dev1": {} } }', "no group of the platform has a device 'dev1'"],
    ['"hardware": { "dev1": [] }', "there is no device 'dev1'"],
  ])('%s', (part, message) => {
    expect(complaints(`{ "title": "t", "tasks": { "vmm": [] }, ${part} }`)).toContain(message);
  });
});

describe('what devices do', () => {
  const withHardware = (hardware: string, more = ''): string =>
    `{ "title": "t", "tasks": { "vmm": [
      { "open": "/dev/iommu", "as": "iommufd" },
      { "ioas_alloc": "iommufd", "as": "ioas1", "label": "made" },
      { "mock_domain": "ioas1", "as": "dev1" } ${more} ] }, "hardware": { ${hardware} } }`;
  test.each([
    ['"dev2": []', "there is no device 'dev2'", "did you mean 'dev1'?"],
    ['"ioas1": []', "vmm[1] makes no device 'ioas1'", ''],
    ['"dev1": [{ "dma_raed": 0 }]', "unknown verb 'dma_raed'", "did you mean 'dma_read'?"],
    ['"dev1": [{ "open": "/dev/iommu" }]', "unknown verb 'open'", ''],
    ['"dev1": [{ "dma_read": "0x1000" }]', '"length" or "data" is missing', ''],
    ['"dev1": [{ "dma_read": "nowhere", "length": 1 }]', "no step makes 'nowhere'", ''],
    ['"dev1": [{ "dma_write": 0, "data": "0" }]', 'expected bytes', ''],
    ['"dev1": [{ "dma_write": 0, "data": "00", "errno": "EFAULT" }]', "unknown key 'errno'", ''],
    ['"dev1": [{ "dma_write": 0, "data": "00", "fault": "unmapped" }]', 'expected blocked, not-mapped', ''],
    ['"dev1": [{ "dma_write": 0, "data": "00", "fault": "blocked", "any": true }]', 'either "any" or', ''],
    ['"dev1": [{ "dma_write": 0, "data": "00", "label": "made" }]', "the label 'made' is taken", ''],
    ['"dev1": [{ "dma_write": 0, "data": "00", "after": "mad" }]', "no step has the label 'mad'", "'made'?"],
    [
      '"dev1": [{ "dma_write": 0, "data": "00", "after": "b" }, { "dma_write": 0, "data": "00", "label": "b" }]',
      "'step b' is made only later",
      '',
    ],
  ])('%s', (hardware, message, hint) => {
    const told = complaints(withHardware(hardware));
    expect(told).toContain(message);
    expect(told).toContain(hint);
  });

  test('tasks and devices that wait for each other', () => {
    const dma = '"dev1": [{ "dma_write": 0, "data": "00", "after": "closed", "label": "wrote" }]';
    const close = ', { "close": "iommufd", "after": "wrote", "label": "closed" }';
    expect(complaints(withHardware(dma, close))).toContain('a cycle');
  });
});

test.each([
  ['"a": [{ "fork": "c" }]', "no task is called 'c'"],
  ['"a": [{ "fork": "a" }]', "'a' is the task that forks"],
  ['"a": [{ "fork": "b" }, { "fork": "b" }], "b": []', "'b' is forked already"],
])('a task is begun once: %s', (tasks, message) => {
  expect(complaints(`{ "title": "t", "tasks": { ${tasks} } }`)).toContain(message);
});

describe('absurd sizes are told of', () => {
  const many = <T>(n: number, each: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => each(i));
  test.each([
    ['a file', `{ "title": "${'t'.repeat(2 << 20)}" }`],
    ['a title', `{ "title": "${'t'.repeat(9000)}", "tasks": {} }`],
    ['a title of several lines', '{ "title": "a\\nb", "tasks": {} }'],
    ['tasks', `{ "title": "t", "tasks": { ${many(30_000, (i) => `"t${i}": []`).join()} } }`],
    ['bad tasks', `{ "title": "t", "tasks": { ${many(30_000, (i) => `"t${i}": 1`).join()} } }`],
    ['steps', withSteps(...many(60_000, () => '{"close":3}'))],
    ['bad steps', withSteps(...many(20_000, () => '{ "close": "x" }'))],
    ['unknown verbs', withSteps(...many(20_000, () => '{ "clos": "x" }'))],
    ['unknown keys', `{ "title": "t", "tasks": {}, ${many(30_000, (i) => `"k${i}": 1`).join()} }`],
    [
      'names',
      withSteps(...many(9_000, (i) => `{ "open": "/dev/iommu", "as": "n${i}" }`), '{ "close": "n1O" }'),
    ],
    [
      'waits',
      `{ "title": "t", "tasks": { ${many(60, (t) => `"t${t}": [${many(150, (i) => `{ "open": "/dev/iommu", "as": "n${t}_${i}" }, { "close": "n${(t + 1) % 60}_${i}" }`).join()}]`).join()} } }`,
    ],
  ])('%s', (what, text) => {
    const told = complaints(text);
    expect(told).toEqual(what === 'waits' ? 'fine' : expect.stringContaining('t.jsonc:'));
    expect(told.length).toBeLessThan(50_000);
  });
});
