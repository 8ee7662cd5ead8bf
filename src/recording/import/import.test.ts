// SPDX-License-Identifier: GPL-2.0-only

/** Recordings become cases that pass by themselves, and that fail where an answer is not the recorded one. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { loadCase } from '../../case/load.ts';
import { runCase } from '../../case/run.ts';
import { verdictOf } from '../../case/verdict.ts';
import { decode } from '../decode.ts';
import { findRecordings, readRecording } from '../files.ts';
import { type Imported, importRecording } from './import.ts';

const folder = fileURLToPath(new URL('../../../golden/recordings', import.meta.url));
/** Of the recordings with at most that many calls, every so many is imported. */
const SHORT = Number(process.env['CALLS'] ?? 200);
const SHARE = Number(process.env['SHARE'] ?? 40);

const text = (name: string): string =>
  gunzipSync(readFileSync(`${folder}/${name}.jsonl.gz`)).toString('utf8');
const imported = (name: string, from?: number, to?: number): Imported =>
  importRecording(decode(text(name), name), { from, to }, '');
const reasons = ({ text: it }: Imported): readonly string[] =>
  verdictOf(runCase(loadCase('t', 't', it))).reasons;
/** Its steps, one a line. */
const steps = ({ text: it }: Imported): string[] =>
  it.split('\n').flatMap((line) => /^ {6}(\{.*\}),$/.exec(line)?.[1] ?? []);

const short = ['selftest', 'mock-random']
  .flatMap((suite) => findRecordings([`${folder}/${suite}`]))
  .filter((path, i) => i % SHARE === 0 && readRecording(path).calls <= SHORT)
  .map((path) => path.slice(folder.length + 1).replace(/\.jsonl\.gz$/, ''));

test.each(short)('%s: passes by itself', (name) => {
  const it = imported(name);
  expect(it.reasons).toEqual([]);
  expect(reasons(it)).toEqual([]);
});

test('ids, descriptors, addresses and flags by name; the verdict is the recorded one', () => {
  expect(steps(imported('selftest/iommufd_ioas.mock_domain.alloc_hwpt_nested', 75, 79))).toEqual([
    '{ "open": "/dev/iommu", "as": "iommufd" }',
    '{ "ioas_alloc": "iommufd", "as": "ioas1" }',
    '{ "mock_domain": "ioas1", "as": { "out_stdev_id": "stdev1", "out_idev_id": "idev1" } }',
    '{ "hwpt_alloc": "idev1", "pt": "ioas1", "flags": "IOMMU_HWPT_ALLOC_NEST_PARENT", "as": "hwpt1" }',
    '{ "fault_queue": "iommufd", "as": { "out_fault_id": "fault1", "out_fault_fd": "fault_fd" } }',
    '{ "hwpt_alloc": "idev1", "pt": "hwpt1", "data_type": "IOMMU_HWPT_DATA_SELFTEST", "data": "ef be ad 0b", "as": "hwpt2" }',
    '{ "hwpt_alloc": "idev1", "pt": "hwpt1", "fault": "fault1", "data_type": "IOMMU_HWPT_DATA_SELFTEST", "data": "ef be ad 0b", "as": "hwpt3" }',
    '{ "mock_domain_replace": "stdev1", "pt": "hwpt3" }',
    '{ "trigger_iopf": "idev1", "pasid": 1, "grpid": 2, "perm": ["IOMMU_PGFAULT_PERM_READ", "IOMMU_PGFAULT_PERM_WRITE"], "addr": "0xdeadbeaf" }',
    '{ "read_faults": "fault_fd", "room": 1, "faults": [{ "flags": ["IOMMU_PGFAULT_FLAGS_PASID_VALID", "IOMMU_PGFAULT_FLAGS_LAST_PAGE"], "dev_id": "idev1", "pasid": 1, "grpid": 2, "perm": ["IOMMU_PGFAULT_PERM_READ", "IOMMU_PGFAULT_PERM_WRITE"], "addr": "0xdeadbeaf", "length": 0, "cookie": 1 }] }',
    '{ "respond": "fault_fd", "responses": [{ "cookie": 1, "code": "IOMMUFD_PAGE_RESP_SUCCESS" }], "ret": 8 }',
    '{ "mock_domain_replace": "stdev1", "pt": "hwpt1" }',
    '{ "destroy": "hwpt2" }',
    '{ "destroy": "hwpt3" }',
    '{ "exit": 0 }',
  ]);
});

test('a child is a task; the steps of both come in the recorded order', () => {
  const it = imported('selftest/iommufd_ioas.no_domain.fork_gone');
  expect(it.reasons).toEqual([]);
  expect(it.text.split('\n').filter((line) => /^ {4}"|"fork"|"turn1"|"map"/.test(line))).toEqual([
    '    "vmm": [',
    '      { "fork": "child" },',
    '      { "mock_domain": "ioas1", "errno": "EFAULT", "after": "turn1" },',
    '    "child": [',
    '      { "map": "buf", "length": "64K", "into": "ioas1", "at": "0x1000000" },',
    '      { "exit": 0, "label": "turn1" },',
  ]);
});

test('pipes, files of its own, and what is done with them are left out', () => {
  const own = [
    '{"call":"pipe2","fds":[4,5],"flags":"0x0"}',
    '{"call":"open","path":"/proc/self/exe","flags":"0x0","ret":6}',
    '{"call":"mmap","addr":"0x0","len":"0x1000","prot":3,"flags":"0x2","fd":6,"off":"0x0","ret":"0x7f0000000000"}',
    '{"call":"close","fd":6,"ret":0}',
    '{"call":"close","fd":5,"ret":0}',
    '{"call":"read","fd":4,"len":1,"ret":0,"data":""}',
  ];
  const map =
    '{"call":"ioctl","fd":3,"cmd":"IOMMU_IOAS_MAP","in":{"size":"0x28","flags":"0x5","ioas_id":"0x1","__reserved":"0x0","user_va":"0x7f0000000000","length":"0x1000","iova":"0x1000000"},"ret":0}';
  const it = importText([OPEN, ...own, alloc('0x1'), map]);
  expect(it.reasons).toEqual([]);
  expect(steps(it)).toEqual([
    '{ "open": "/dev/iommu", "as": "iommufd" }',
    '{ "mmap": "4K", "flags": "MAP_PRIVATE", "as": "buf" }',
    '{ "ioas_alloc": "iommufd", "as": "ioas1" }',
    '{ "map": "buf", "length": "4K", "into": "ioas1", "at": "0x1000000", "flags": "IOMMU_IOAS_MAP_READABLE" }',
    '{ "exit": 0 }',
  ]);
});

const HEADER = '{"recording":1,"suite":"s","name":"n","platform":"mock"}';
const OPEN = '{"call":"open","path":"/dev/iommu","flags":"0x2","ret":3}';
const importText = (lines: readonly string[], from?: number, to?: number): Imported =>
  importRecording(decode([HEADER, ...lines].join('\n'), 'n.jsonl'), { from, to }, '');
const alloc = (id: string): string =>
  `{"call":"ioctl","fd":3,"cmd":"IOMMU_IOAS_ALLOC","in":{"size":"0xc","flags":"0x0","out_ioas_id":"0x0"},"out":{"out_ioas_id":"${id}"},"ret":0}`;
const GONE =
  '{"call":"ioctl","fd":3,"cmd":"IOMMU_DESTROY","in":{"size":"0x8","id":"0x9"},"ret":-1,"errno":2}';

test('calls that repeat the one before are folded, memory that nobody looks at goes', () => {
  const memory =
    '{"call":"mmap","addr":"0x20000000","len":"0x1000","prot":3,"flags":"0x31","fd":-1,"ret":"0x20000000"}';
  const it = importText([OPEN, memory, '{"call":"store","addr":"0x20000000","data":"01"}', GONE, GONE, GONE]);
  expect(steps(it)).toEqual([
    '{ "open": "/dev/iommu", "as": "iommufd" }',
    '{ "destroy": 9, "on": "iommufd", "errno": "ENOENT" }',
    '{ "exit": 0 }',
  ]);
  expect(it.text).toContain('// and again, with the same answer: 2 more');
});

test('a store stays where one of its last bytes is read, and the stores beside it go', () => {
  const rw = (buffer: string): string =>
    `{"call":"ioctl","fd":3,"cmd":"IOMMU_TEST_OP_ACCESS_RW","in":{"size":"0x48","op":"0x8","id":"0x4","__reserved":"0x0","last":"0x0","access_rw.iova":"0x1000000","access_rw.length":"0x18","access_rw.uptr":"0x7ffc00000010","access_rw.flags":"0x0"},"buf_in":"${'00'.repeat(24)}","buf_out":"${buffer}","ret":0}`;
  const lines = [
    '{"call":"mmap","addr":"0x20000000","len":"0x1000","prot":3,"flags":"0x31","fd":-1,"ret":"0x20000000"}',
    OPEN,
    alloc('0x1'),
    '{"call":"ioctl","fd":3,"cmd":"IOMMU_TEST_OP_CREATE_ACCESS","in":{"size":"0x48","op":"0x5","id":"0x1","__reserved":"0x0","last":"0x0","create_access.out_access_fd":"0x0","create_access.flags":"0x0"},"out":{"create_access.out_access_fd":"0x4"},"ret":0}',
    '{"call":"ioctl","fd":3,"cmd":"IOMMU_IOAS_MAP","in":{"size":"0x28","flags":"0x7","ioas_id":"0x1","__reserved":"0x0","user_va":"0x20000000","length":"0x1000","iova":"0x1000000"},"ret":0}',
    '{"call":"store","addr":"0x20000000","data":"01"}',
    '{"call":"store","addr":"0x20000017","data":"ab"}',
    '{"call":"store","addr":"0x20000800","data":"cd"}',
    rw(`01${'00'.repeat(22)}ab`),
  ];
  const it = importText(lines, 10, 10);
  expect(it.reasons).toEqual([]);
  expect(steps(it).filter((step) => step.startsWith('{ "store"'))).toEqual([
    '{ "store": "buf", "data": "01" }',
    '{ "store": "buf+0x17", "data": "ab" }',
  ]);
});

/** What a recording says, otherwise. */
const SLIPS: readonly (readonly [name: string, from: string | RegExp, to: string])[] = [
  ['an error is another', '"errno":95', '"errno":22'],
  ['a success is an error', '"ret":0}', '"ret":-1,"errno":22}'],
  ['an id is another', '"out_hwpt_id":"0x5"', '"out_hwpt_id":"0x15"'],
  ['a field is another', '"out":{"entry_num":"0x1"}', '"out":{"entry_num":"0x2"}'],
  ['data that was read is other data', 'afbeadde0000', 'afbeaddf0000'],
  ['a length is another', '"len":8,"ret":8', '"len":8,"ret":4'],
];

test.each(SLIPS)('%s: the case fails', (_, from, to) => {
  const name = 'selftest/iommufd_ioas.mock_domain.alloc_hwpt_nested';
  const whole = text(name);
  const other = whole.replace(from, to);
  expect(other).not.toBe(whole);
  const it = importRecording(decode(other, name), {}, '');
  expect(it.reasons).not.toEqual([]);
  expect(reasons(it)).toHaveLength(it.reasons.length);
});

test.each([
  ['a span without calls', [OPEN], 3, 3, 'n.jsonl: lines 3 to 3: it has events on lines 2 to 2'],
  ['a span backwards', [OPEN, alloc('0x1')], 3, 2, 'n.jsonl: lines 3 to 2: it has events on lines 2 to 3'],
  [
    'no call',
    [OPEN, '{"call":"eventfd","initval":0,"flags":"0x0","ret":4}'],
    3,
    3,
    'n.jsonl: lines 3 to 3: there is no call among them',
  ],
  [
    'a word that is missing',
    [OPEN, '{"call":"close","fd":3,"ret":0,"pid":2}', alloc('0x1')],
    2,
    4,
    'n.jsonl:3: process 2, which nobody has forked: cases have no words for that; up to line 2 it can be imported',
  ],
])('%s', (_, lines, from, to, message) => {
  expect(() => importText(lines, from, to)).toThrow(message);
});

test('another platform is refused', () => {
  const vtd = `${HEADER.replace('mock', 'vt-d')}\n${OPEN}`;
  expect(() => importRecording(decode(vtd, 'n.jsonl'), {}, '')).toThrow('platform vt-d is not modelled');
});
