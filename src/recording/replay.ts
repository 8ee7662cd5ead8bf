// SPDX-License-Identifier: GPL-2.0-only

import { sys_close, sys_ioctl, sys_open, sys_read, sys_write } from '../kernel/fs/syscalls.ts';
import type { mm_struct } from '../kernel/mm/mm.ts';
import {
  do_mmap,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  user_load,
  user_store,
  vm_mmap,
  vm_munmap,
} from '../kernel/mm/mm.ts';
import type { process } from '../kernel/sched/task.ts';
/**
 * Feeds a recording's calls to the model, one after the other, and compares every answer. The model sees what
 * the program did and never what the kernel answered.
 */
import { IS_ERR } from '../sim/errno.ts';
import { Unsupported } from '../sim/errors.ts';
import { Machine } from '../sim/machine.ts';
import { runToBlock } from '../sim/policies/run-to-block.ts';
import type { Gen } from '../sim/task.ts';
import { Trace } from '../sim/trace.ts';
import { errnoName } from '../uapi/errno.ts';
import { type Ioctl, ioctlByName } from '../uapi/ioctls.ts';
import { boot, isPlatform } from '../user/boot.ts';
import { encode, field_of, ioctl_struct } from '../user/ioctl.ts';
import { create_process, Thread } from '../user/process.ts';
import {
  type ComparedCall,
  type Event,
  type IoctlCall,
  isCompared,
  type Recording,
  type StructArgument,
} from './event.ts';

/** How far a recording and the model agree. Of `calls` that could be compared, `matched` were alike. */
export interface ReplayResult {
  readonly recording: string;
  readonly status: 'matched' | 'diverged' | 'unsupported';
  readonly calls: number;
  readonly matched: number;
  /** Line of the recording at which it ended early. */
  readonly at?: number;
  /** The call there. */
  readonly cmd?: string;
  /** What is not modelled, or the field that differs (`ret`, `errno`, a struct's field, `buffer`). */
  readonly field?: string;
  readonly expected?: string;
  readonly actual?: string;
}

/** The first answer that is not the recorded one. */
class Divergence extends Error {
  readonly field: string;
  readonly expected: string;
  readonly actual: string;

  constructor(field: string, expected: string, actual: string) {
    super(`${field}: recorded ${expected}, modelled ${actual}`);
    this.field = field;
    this.expected = expected;
    this.actual = actual;
  }
}

/** Replays until the first difference or the first thing that is not modelled: what follows is unknown. */
export function replay({ header, events, source }: Recording, trace = new Trace()): ReplayResult {
  const calls = events.reduce((n, event) => n + Number(isCompared(event)), 0);
  const verdict = { recording: source, calls };
  if (!isPlatform(header.platform)) {
    return { ...verdict, status: 'unsupported', matched: 0, field: `platform ${header.platform}` };
  }
  const machine = new Machine(runToBlock, {}, trace).powerOn();
  boot(machine, header.platform);
  const processes = new Map([[1, create_process(machine.root, 'p1')]]);
  let matched = 0;
  for (const event of events) {
    try {
      perform(machine, processes, event);
    } catch (e) {
      const cmd = event.call === 'ioctl' ? event.cmd : event.call;
      const place = { ...verdict, matched, at: event.line, cmd };
      if (e instanceof Unsupported) return { ...place, status: 'unsupported', field: e.what };
      if (!(e instanceof Divergence)) throw e;
      return { ...place, status: 'diverged', field: e.field, expected: e.expected, actual: e.actual };
    }
    matched += Number(isCompared(event));
  }
  return { ...verdict, status: 'matched', matched };
}

/** Runs one event to its end, as the only thing that happens. */
function perform(machine: Machine, processes: ReadonlyMap<number, process>, event: Event): void {
  const group = processes.get(event.pid);
  if (group === undefined) throw new Divergence('pid', String(event.pid), 'no such process');
  machine.trace.clear();
  group.files.count = 0;
  new Thread(group, 'call', isCompared(event) ? compared(group, event) : program(group, event));
  const ending = machine.run();
  if (ending.status === 'finished') return;
  throw new Divergence(
    'ret',
    isCompared(event) ? shown(event.ret, event.errno) : '0',
    `no answer: ${ending.status}`,
  );
}

function* compared(group: process, event: ComparedCall): Gen<void> {
  switch (event.call) {
    case 'open':
      return sameAnswer(event, yield* sys_open(event.path, event.flags));
    case 'close':
      return sameAnswer(event, yield* sys_close(event.fd));
    case 'read': {
      const buffer = scratch(memory(group), event.len);
      const got = yield* sys_read(event.fd, buffer, event.len);
      sameAnswer(event, got);
      if (got > 0) sameBytes('data', event.data, user_load(memory(group), buffer, got));
      return;
    }
    case 'write': {
      const buffer = scratch(memory(group), event.data.length);
      user_store(memory(group), buffer, event.data);
      return sameAnswer(event, yield* sys_write(event.fd, buffer, event.len));
    }
    case 'ioctl':
      return yield* ioctl(group, event);
  }
}

function* ioctl(group: process, event: IoctlCall): Gen<void> {
  const { arg, fd, cmd } = event;
  const known = ioctlByName.get(cmd);
  const request = event.request ?? known?.cmd;
  if (request === undefined) throw new Unsupported(`the ioctl ${cmd}`);
  switch (arg.kind) {
    case 'value':
      return sameAnswer(event, yield* sys_ioctl(fd, request, arg.value));
    case 'name':
    case 'descriptor':
      throw new Unsupported(cmd);
    case 'struct':
      if (known === undefined) throw new Unsupported(`the ioctl ${cmd}`);
      return yield* structIoctl(group, event, known, arg);
  }
}

function* structIoctl(
  group: process,
  event: IoctlCall,
  { cmd, layout, name, buffer }: Ioctl,
  arg: StructArgument,
): Gen<void> {
  if (layout === null) throw new Unsupported(`${name} with a struct`);
  const pointer = buffer === undefined ? undefined : arg.in.get(buffer);
  const { bufIn } = arg;
  if (pointer !== undefined && bufIn !== null) provide(memory(group), pointer, bufIn);
  const { ret, bytes } = yield* ioctl_struct(event.fd, cmd, encode(layout, arg.in, arg.tail));
  sameAnswer(event, ret);
  for (const [field, before] of arg.in) {
    const expected = arg.out.get(field) ?? before;
    const actual = field_of(layout, field, bytes);
    if (actual !== null && actual !== expected) throw new Divergence(field, hex(expected), hex(actual));
  }
  if (arg.rawOut !== null) sameBytes('raw_out', arg.rawOut, bytes.subarray(0, arg.rawOut.length));
  if (pointer !== undefined && bufIn !== null) {
    sameBytes('buffer', arg.bufOut ?? bufIn, user_load(memory(group), pointer, bufIn.length));
  }
}

function* program(group: process, event: Exclude<Event, ComparedCall>): Gen<void> {
  const mm = memory(group);
  switch (event.call) {
    case 'mmap': {
      const at = yield* vm_mmap(mm, event.addr, event.len, event.prot, event.flags, { placeAt: event.at });
      if (IS_ERR(at)) throw new Divergence('ret', hex(event.at), shown(-1, -at));
      return;
    }
    case 'munmap':
      yield* vm_munmap(mm, event.addr, event.len);
      return;
    case 'store':
      if (!user_store(mm, event.addr, event.data))
        throw new Divergence('store', hex(event.addr), 'not writable');
      return;
    default:
      throw new Unsupported(event.call);
  }
}

function memory(group: process): mm_struct {
  if (group.mm === null) throw new Error(`${group.name} has exited and goes on calling`);
  return group.mm;
}

/** Memory of the program whose place is not recorded: buffers of read and write. */
const SCRATCH = 0x7ffc_0000_0000n;

function scratch(mm: mm_struct, length: number): bigint {
  provide(mm, SCRATCH, new Uint8Array(length));
  return SCRATCH;
}

/**
 * Puts what a struct's pointer points to into memory. Heap and stack are not recorded as mappings, but the
 * recorded buffer shows that they were there.
 */
function provide(mm: mm_struct, at: bigint, bytes: Uint8Array): void {
  const page = BigInt(PAGE_SIZE);
  const end = at + BigInt(bytes.length);
  for (let start = at - (at % page); start < end; start += page) {
    if (user_load(mm, start, 1) !== null) continue;
    do_mmap(mm, start, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
  }
  user_store(mm, at, bytes);
}

function sameAnswer({ ret, errno }: ComparedCall, actual: number): void {
  const recorded = ret === -1 ? -errno : ret;
  if (recorded === actual) return;
  throw new Divergence(
    ret === -1 && actual < 0 ? 'errno' : 'ret',
    shown(ret, errno),
    shown(actual < 0 ? -1 : actual, -actual),
  );
}

function sameBytes(field: string, expected: Uint8Array, actual: Uint8Array | null): void {
  if (actual === null) throw new Divergence(field, `${expected.length} bytes`, 'not readable');
  const length = Math.min(expected.length, actual.length);
  let at = 0;
  while (at < length && expected[at] === actual[at]) at++;
  if (at === expected.length && at === actual.length) return;
  const some = (bytes: Uint8Array): string =>
    Array.from(bytes.subarray(at, at + 8), (b) => b.toString(16).padStart(2, '0')).join('');
  throw new Divergence(`${field}[${at}]`, some(expected), some(actual));
}

function shown(ret: number, errno: number): string {
  return ret === -1 && errno !== 0 ? `-${errnoName(errno) ?? errno}` : String(ret);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
