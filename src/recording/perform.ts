// SPDX-License-Identifier: GPL-2.0-only

/** Does what a recorded event says that the program did. Throws Divergence when the kernel answers otherwise. */
import { do_eventfd } from '../kernel/fs/eventfd.ts';
import type { file_operations } from '../kernel/fs/file.ts';
import { do_pipe2 } from '../kernel/fs/pipe.ts';
import { sys_close, sys_ioctl, sys_open, sys_read, sys_write } from '../kernel/fs/syscalls.ts';
import {
  do_mmap,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  type mm_struct,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  user_load,
  user_store,
  vm_mmap,
  vm_munmap,
} from '../kernel/mm/mm.ts';
import { vma_lookup } from '../kernel/mm/mm_types.ts';
import type { process } from '../kernel/sched/task.ts';
import { xa_load } from '../sim/collections/xarray.ts';
import { IS_ERR } from '../sim/errno.ts';
import { Unsupported } from '../sim/errors.ts';
import type { Gen } from '../sim/task.ts';
import { type Ioctl, ioctlByName } from '../uapi/ioctls.ts';
import { ioctl_struct } from '../user/ioctl.ts';
import { Divergence, hex, sameAnswer, sameBytes, shownReturn } from './divergence.ts';
import type { ComparedCall, IoctlCall, MemoryEvent, StructArgument } from './event.ts';
import { sameFields, structBytes } from './struct.ts';

/** Makes a call and compares its answer. */
export function* call(group: process, event: ComparedCall): Gen<void> {
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
  const pointer = buffer === undefined ? undefined : arg.in[buffer];
  const at = pointer === undefined || arg.bufIn === null ? null : BigInt(pointer);
  if (at !== null && arg.bufIn !== null) {
    provide(memory(group), at, arg.bufIn, bufferLength(arg, arg.bufIn));
  }
  const passed = structBytes(layout, arg);
  const length = Math.max(passed.length, arg.rawOut?.length ?? 0);
  if (length > PAGE_SIZE) throw new Unsupported(`${name} with a struct of more than a page`);
  const room = new Uint8Array(length).fill(NOT_RECORDED);
  room.set(passed);
  const { ret, bytes } = yield* ioctl_struct(event.fd, cmd, room);
  sameAnswer(event, ret);
  sameFields(layout, arg, passed, bytes);
  if (arg.rawOut !== null) sameRaw(arg.rawOut, bytes, passed.length);
  if (at !== null && arg.bufIn !== null) {
    sameBytes('buffer', arg.bufOut ?? arg.bufIn, user_load(memory(group), at, arg.bufIn.length));
  }
}

/** In memory behind a struct, of which a recording does not say what it held before the call. */
const NOT_RECORDED = 0xa5;

/** Compares a struct and what the kernel wrote behind its first `passed` bytes; what it left alone is not known. */
function sameRaw(recorded: Uint8Array, bytes: Uint8Array, passed: number): void {
  const actual = bytes.slice(0, recorded.length);
  for (let at = passed; at < actual.length; at++) {
    if (actual[at] === NOT_RECORDED) actual[at] = recorded[at] ?? 0;
  }
  sameBytes('raw_out', recorded, actual);
}

/** What the program maps of itself: of the file only its pages matter, not what is in them. */
export const program_fops: file_operations = {
  name: 'program_fops',
  read: () => {
    throw new Unsupported("reading the program's own file");
  },
};

/** Does what is no call to be compared, but leaves memory or descriptors behind. */
export function* prepare(group: process, event: MemoryEvent): Gen<void> {
  const mm = memory(group);
  switch (event.call) {
    case 'mmap': {
      const mapped = event.fd < 0 ? null : xa_load(group.files.fdt, event.fd);
      if (mapped !== null && mapped.f_op !== program_fops) throw new Unsupported('mmap of a descriptor');
      const at = yield* vm_mmap(mm, event.addr, event.len, event.prot, event.flags, { placeAt: event.at });
      if (IS_ERR(at)) throw new Divergence('ret', hex(event.at), shownReturn(at));
      return;
    }
    case 'munmap':
      yield* vm_munmap(mm, event.addr, event.len);
      return;
    case 'store':
      if (user_store(mm, event.addr, event.data)) return;
      throw new Divergence('store', hex(event.addr), 'not writable');
    case 'pipe2': {
      const fds = yield* do_pipe2(event.flags);
      const actual = typeof fds === 'number' ? shownReturn(fds) : String(fds);
      if (actual !== String(event.fds)) throw new Divergence('fds', String(event.fds), actual);
      return;
    }
    case 'eventfd': {
      const fd = yield* do_eventfd(event.initval, event.flags);
      if (fd !== event.fd) throw new Divergence('ret', String(event.fd), shownReturn(fd));
      return;
    }
  }
}

function memory(group: process): mm_struct {
  if (group.mm === null) throw new Error(`${group.name} has exited and goes on calling`);
  return group.mm;
}

const PAGE = BigInt(PAGE_SIZE);

/** Memory of the program whose place is not recorded: buffers of read and write. */
const SCRATCH = 0x7ffc_0000_0000n;

function scratch(mm: mm_struct, length: number): bigint {
  provide(mm, SCRATCH, new Uint8Array(length), length);
  return SCRATCH;
}

/** Of the buffer of ACCESS_RW a recording has no more than this; of others, all. */
const RECORDED = 512;
/** The kernel refuses a longer one before it looks at it. */
const LONGEST = 16 << 20;

/** How long the buffer behind a struct's pointer is, of which a recording has `bytes`. */
function bufferLength(arg: StructArgument, bytes: Uint8Array): number {
  const length = bytes.length < RECORDED ? undefined : arg.in['access_rw.length'];
  return length === undefined || Number(length) > LONGEST ? bytes.length : Number(length);
}

/** What holds memory of which no mapping was recorded. */
const UNRECORDED = 'unrecorded';

/**
 * Puts what a struct's pointer points to into memory: the first `bytes` of `length`. Heap and stack are not
 * recorded as mappings, but the recorded buffer shows that they were there.
 */
function provide(mm: mm_struct, at: bigint, bytes: Uint8Array, length: number): void {
  if (length === bytes.length && user_store(mm, at, bytes)) return;
  map(mm, at, bytes.length);
  if (vma_lookup(mm, Number(at / PAGE))?.$role === UNRECORDED) map(mm, at, length);
  user_store(mm, at, bytes);
}

/** Maps what is not mapped of [at, at + length). */
function map(mm: mm_struct, at: bigint, length: number): void {
  for (let start = at - (at % PAGE); start < at + BigInt(length); start += PAGE) {
    if (vma_lookup(mm, Number(start / PAGE)) !== null) continue;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    do_mmap(mm, start, PAGE, PROT_READ | PROT_WRITE, flags, { role: UNRECORDED });
  }
}
