// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import { BadRecording, decode } from './decode.ts';
import { type ReplayResult, replay } from './replay.ts';

const header = { recording: 1, suite: 'test', name: 't', platform: 'mock' };

/** Replays events of the mock platform. */
function play(...events: object[]): Omit<ReplayResult, 'recording'> {
  const { recording: _, ...rest } = replay(
    decode([header, ...events].map((line) => JSON.stringify(line)).join('\n'), 'r'),
  );
  return rest;
}

const open = { call: 'open', path: '/dev/iommu', flags: '0x2', ret: 3 };
const ioas = (out: string) => ({
  call: 'ioctl',
  fd: 3,
  cmd: 'IOMMU_IOAS_ALLOC',
  in: { size: '0xc', flags: '0x0', out_ioas_id: '0x0' },
  out: { out_ioas_id: out },
  ret: 0,
});

test('answers that are alike', () => {
  expect(play(open, ioas('0x1'), { call: 'close', fd: 3, ret: 0 })).toEqual({
    status: 'matched',
    calls: 3,
    matched: 3,
  });
});

test('the first answer that is not alike ends it', () => {
  const end = { call: 'close', fd: 3, ret: 0 };
  expect(play(open, ioas('0x2'), end)).toEqual({
    status: 'diverged',
    calls: 3,
    matched: 1,
    at: 3,
    cmd: 'IOMMU_IOAS_ALLOC',
    field: 'out_ioas_id',
    expected: '0x2',
    actual: '0x1',
  });
  expect(play({ ...open, ret: 4 })).toMatchObject({ field: 'ret', expected: '4', actual: '3' });
  expect(play({ ...open, path: '/dev/nothing', ret: -1, errno: 13 })).toMatchObject({
    status: 'diverged',
    field: 'errno',
    expected: '-EACCES',
    actual: '-ENOENT',
  });
});

test('what is not modelled ends it, and is named', () => {
  expect(
    play({ ...open, path: '/proc/self/exe' }, { call: 'read', fd: 3, len: 1, ret: 1, data: '7f' }),
  ).toMatchObject({
    status: 'unsupported',
    at: 3,
    field: "reading the program's own file",
  });
  expect(play(open, { ...ioas('0x1'), in: { size: '0xc', wings: '0x2' } })).toMatchObject({
    status: 'unsupported',
    field: 'wings = 0x2 in a struct iommu_ioas_alloc',
  });
  const other = decode(JSON.stringify({ ...header, platform: 'abacus' }), 'r');
  expect(replay(other)).toMatchObject({ status: 'unsupported', field: 'platform abacus' });
});

test('processes, each with its own memory and descriptors', () => {
  const page = { addr: '0x10000', len: '0x1000', prot: 3, fd: -1, off: '0x0', ret: '0x10000' };
  const rw = { call: 'ioctl', fd: 3, cmd: 'IOMMU_TEST_OP_MD_CHECK_REFS' };
  const check = {
    size: '0x48',
    op: '0x4',
    id: '0x0',
    'check_refs.length': '0x1000',
    'check_refs.uptr': '0x10000',
  };
  expect(
    play(
      open,
      { call: 'mmap', flags: '0x32', ...page },
      { call: 'pipe2', fds: [4, 5], flags: '0x80000', ret: 0 },
      { call: 'eventfd', initval: 0, flags: '0x80000', ret: 6 },
      { call: 'fork', child: 2 },
      { call: 'close', fd: 4, ret: 0 },
      { call: 'close', fd: 5, ret: 0, pid: 2 },
      { call: 'write', fd: 6, len: 8, ret: 8, data: '0300000000000000', pid: 2 },
      { call: 'read', fd: 6, len: 8, ret: 8, data: '0300000000000000' },
      { call: 'store', addr: '0x10000', data: 'ff' },
      { ...rw, in: { ...check, 'check_refs.refs': '0x0' }, ret: 0, pid: 2 },
      { ...rw, in: { ...check, 'check_refs.refs': '0x1' }, ret: -1, errno: 5, pid: 2 },
      { call: 'close', fd: 5, ret: 0 },
      { call: 'read', fd: 4, len: 1, ret: 0, data: '', pid: 2 },
      { call: 'exit', status: 0, pid: 2 },
      { call: 'waitpid', child: 2 },
      { call: 'close', fd: 5, ret: -1, errno: 9 },
    ),
  ).toMatchObject({ status: 'matched', calls: 10, matched: 10 });
});

test('a call that gets no answer, and a process that is not there', () => {
  const pipe = { call: 'pipe2', fds: [3, 4], flags: '0x0', ret: 0 };
  expect(play(pipe, { call: 'read', fd: 3, len: 1, ret: 0, data: '' })).toMatchObject({
    status: 'diverged',
    at: 3,
    field: 'ret',
    expected: '0',
    actual: 'no answer: hang',
  });
  expect(play({ ...open, pid: 7 })).toMatchObject({ field: 'pid', expected: '7', actual: 'no such process' });
});

test('a buffer of which only the beginning is recorded', () => {
  const head = { size: '0x48', __reserved: '0x0', last: '0x0' };
  const map = {
    size: '0x28',
    flags: '0x7',
    ioas_id: '0x1',
    __reserved: '0x0',
    length: '0x2000',
    iova: '0x1000000',
  };
  const rw = { 'access_rw.iova': '0x1000000', 'access_rw.length': '0x2000', 'access_rw.flags': '0x0' };
  const text = 'ab'.repeat(512);
  const events = (uptr: string, answer: object) => [
    open,
    ioas('0x1'),
    {
      call: 'mmap',
      addr: '0x20000',
      len: '0x2000',
      prot: 3,
      flags: '0x32',
      fd: -1,
      off: '0x0',
      ret: '0x20000',
    },
    { call: 'store', addr: '0x20000', len: '0x2000', fill: '0xab' },
    { call: 'ioctl', fd: 3, cmd: 'IOMMU_IOAS_MAP', in: { ...map, user_va: '0x20000' }, ret: 0 },
    {
      call: 'ioctl',
      fd: 3,
      cmd: 'IOMMU_TEST_OP_CREATE_ACCESS',
      in: {
        ...head,
        op: '0x5',
        id: '0x1',
        'create_access.out_access_fd': '0x0',
        'create_access.flags': '0x0',
      },
      out: { 'create_access.out_access_fd': '0x4' },
      ret: 0,
    },
    {
      call: 'ioctl',
      fd: 3,
      cmd: 'IOMMU_TEST_OP_ACCESS_RW',
      in: { ...head, op: '0x8', id: '0x4', ...rw, 'access_rw.uptr': uptr },
      buf_in: '00'.repeat(512),
      ...answer,
    },
  ];
  // On the heap, of which nothing is recorded, the rest is taken to be there; in a recorded mapping it ends.
  expect(play(...events('0x700010', { buf_out: text, ret: 0 }))).toMatchObject({ status: 'matched' });
  expect(play(...events('0x21000', { buf_out: text, ret: -1, errno: 14 }))).toMatchObject({
    status: 'matched',
  });
});

test('a struct with capabilities behind it', () => {
  const set = { size: '0xc', ioas_id: '0x1', op: '0x1', __reserved: '0x0' };
  const chain = (next: string) =>
    `48000000 03000000 00f0ffffffffffff 18000000 00000000
     03000100 ${next} ffffffff 77777777
     01000100 00000000 01000000 00000000 0000000000000000 ffffffffffffffff`.replace(/\s/g, '');
  const info = (next: string) => ({
    call: 'ioctl',
    fd: 3,
    cmd: 'VFIO_IOMMU_GET_INFO',
    in: { argsz: '0x60', flags: '0x0', iova_pgsizes: '0x0', cap_offset: '0x0' },
    out: { argsz: '0x48', flags: '0x3', iova_pgsizes: '0xfffffffffffff000', cap_offset: '0x18' },
    // What the kernel does not write, between them and behind them, was there before: anything.
    raw_out: `${chain(next)}${'6b'.repeat(24)}`,
    ret: 0,
  });
  const events = [open, ioas('0x1'), { call: 'ioctl', fd: 3, cmd: 'IOMMU_VFIO_IOAS', in: set, ret: 0 }];
  expect(play(...events, info('28000000'))).toMatchObject({ status: 'matched', matched: 4 });
  expect(play(...events, info('29000000'))).toMatchObject({
    status: 'diverged',
    field: 'raw_out[28]',
    expected: '29000000ffffffff',
    actual: '28000000ffffffff',
  });
});

test('a line that is no event is told when it is reached', () => {
  const lines = (second: object): string =>
    [header, second, { call: 'dance' }].map((it) => JSON.stringify(it)).join('\n');
  expect(() => replay(decode(lines(open), 'r'))).toThrow(BadRecording);
  expect(() => replay(decode(lines(open), 'r'))).toThrow(
    "r:3: 'dance' is no call of recordings of version 1",
  );
  expect(replay(decode(lines({ ...open, ret: 9 }), 'r'))).toMatchObject({ status: 'diverged', calls: 1 });
});
