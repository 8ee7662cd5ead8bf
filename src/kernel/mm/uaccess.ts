// SPDX-License-Identifier: GPL-2.0-only

/**
 * Copies between kernel and user space (include/linux/uaccess.h, lib/usercopy.c, arch/x86, 6.12), by the task
 * that runs. Each is a point at which others may go first, announced on the memory that is copied: copies
 * that read commute, and so do copies of different mappings. A copy across mappings has a point at each.
 */
import { PAGE_SIZE } from '../../hw/memory.ts';
import { reads } from '../../sim/collections/collection.ts';
import { current } from '../../sim/context.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import type { Observed } from '../../sim/observed.ts';
import { type OpKind, op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { lock_acquired, lock_released } from '../../sim/sync/lock.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { E2BIG, EFAULT } from '../../uapi/errno.ts';
import { current_process } from '../sched/task.ts';
import { access_vma } from './access.ts';
import { type mm_struct, TASK_SIZE_MAX, vma_lookup } from './mm_types.ts';

const READS: readonly string[] = ['copy_from_user', 'get_user', 'check_zeroed_user', 'load'];
const COPY_FROM = op<Observed>('copy_from_user', {
  sleeps: true,
  commutes: READS,
  opaque: true,
  orders: false,
});
const GET = op<Observed>('get_user', { sleeps: true, commutes: READS, opaque: true, orders: false });
const CHECK = op<Observed>('check_zeroed_user', {
  sleeps: true,
  commutes: READS,
  opaque: true,
  orders: false,
});
const COPY_TO = op<Observed>('copy_to_user', { sleeps: true, opaque: true, orders: false });
const PUT = op<Observed>('put_user', { sleeps: true, opaque: true, orders: false });
const CLEAR = op<Observed>('clear_user', { sleeps: true, opaque: true, orders: false });
const LOAD = op<Observed>('load', { commutes: READS, opaque: true, orders: false });
const STORE = op<Observed>('store', { opaque: true, orders: false });

/** The address space of the running task. Throws (a bug of ours) in a task that has none. */
export function current_mm(): mm_struct {
  const { mm, name } = current_process();
  if (mm === null) throw new Error(`${name} has exited and copies from or to its memory`);
  return mm;
}

/** Whether `size` bytes at `addr` end within user space (arch/x86/include/asm/uaccess_64.h: __access_ok). */
const access_ok = (addr: bigint, size: number): boolean => addr + BigInt(size) <= TASK_SIZE_MAX;

/** Not to be mistaken for a number of bytes: what lies there has changed since the copy was announced. */
const CHANGED = -1;

/**
 * What may have to wait for mmap_lock, though it rarely does: for the checkers of lock order, and a warning
 * where the task itself holds it (mm/memory.c: __might_fault).
 */
export function might_fault({ mmap_lock }: mm_struct, what: string): void {
  const task = current();
  const held = mmap_lock.writer === task || mmap_lock.readers.includes(task);
  WARN_ON(held, `${what} by a holder of ${mmap_lock.name}, which a fault may take`);
  lock_acquired(mmap_lock, true);
  lock_released(mmap_lock);
}

/** Copies in order of addresses until it cannot go on. Returns how many bytes it copied. */
function* copy(kind: OpKind, addr: bigint, data: Uint8Array, write: boolean): Gen<number> {
  const mm = current_mm();
  might_fault(mm, kind.name);
  let done = 0;
  while (addr <= TASK_SIZE_MAX && done < data.length) {
    const at = Number(addr) + done;
    const page = Math.floor(at / PAGE_SIZE);
    const on = vma_lookup(mm, page)?.order ?? mm;
    const from = done;
    const n = yield* operation(kind, on, () => {
      const vma = vma_lookup(mm, page);
      if ((vma?.order ?? mm) !== on) return CHANGED;
      if (vma !== null) return access_vma(vma, at, data, from, write);
      reads(mm);
      return 0;
    });
    if (n === 0) break;
    if (n !== CHANGED) done += n;
  }
  return done;
}

/**
 * Fills `to` from user memory. Returns how many bytes could not be copied: those from the first byte on that
 * is not readable. They are zeroed.
 */
export function* copy_from_user(to: Uint8Array, from: bigint): Gen<number> {
  const n = yield* copy(COPY_FROM, from, to, false);
  if (n < to.length) to.fill(0, n);
  return to.length - n;
}

/**
 * Copies `from` to user memory. Returns how many bytes could not be copied: those from the first byte on that
 * is not writable; all of them when the end is no address of user space.
 */
export function* copy_to_user(to: bigint, from: Uint8Array): Gen<number> {
  if (!access_ok(to, from.length)) return from.length;
  return from.length - (yield* copy(COPY_TO, to, from, true));
}

/** Bytes. */
const CLEARED_AT_ONCE = 1 << 20;

/** Zeroes `n` bytes of user memory. Returns how many bytes could not be, as copy_to_user. */
export function* clear_user(to: bigint, n: number): Gen<number> {
  if (!access_ok(to, n)) return n;
  for (let done = 0; done < n; ) {
    // User space may have asked for gigabytes.
    const zeros = new Uint8Array(Math.min(n - done, CLEARED_AT_ONCE));
    const cleared = yield* copy(CLEAR, to + BigInt(done), zeros, true);
    done += cleared;
    if (cleared < zeros.length) return n - done;
  }
  return 0;
}

/**
 * Whether `size` bytes at `from` are zero: 1 or 0; -EFAULT when that takes a byte that is not readable. What
 * lies behind the first word that is not zero does not matter.
 */
export function* check_zeroed_user(from: bigint, size: number): Gen<Err | 0 | 1> {
  const align = from % 8n;
  if (size === 0) return 1;
  if (!access_ok(from - align, size + Number(align))) return fail(EFAULT, 'beyond the address space');
  for (let done = 0; done < size; ) {
    const at = from + BigInt(done);
    const data = new Uint8Array(Math.min(size - done, PAGE_SIZE - Number(at % BigInt(PAGE_SIZE))));
    const n = yield* copy(CHECK, at, data, false);
    if (data.some((byte) => byte !== 0)) return 0;
    if (n < data.length) return fail(EFAULT, 'the user buffer is not readable');
    done += n;
  }
  return 1;
}

/**
 * Copies a struct of which user space knows `usize` bytes, at `src`, to `dst`, as long as the kernel knows it;
 * what user space does not know is zero. 0, -E2BIG: what the kernel does not know is not zero; -EFAULT. With
 * an error, some of `dst` may have been copied.
 */
export function* copy_struct_from_user(dst: Uint8Array, src: bigint, usize: number): Gen<Rc> {
  const size = Math.min(dst.length, usize);
  if (usize < dst.length) {
    dst.fill(0, size);
  } else if (usize > dst.length) {
    const zeroed = yield* check_zeroed_user(src + BigInt(size), usize - size);
    if (IS_ERR(zeroed)) return zeroed;
    if (zeroed === 0) return fail(E2BIG, 'bytes behind the known struct are not zero');
  }
  const left = yield* copy_from_user(size === dst.length ? dst : dst.subarray(0, size), src);
  return left === 0 ? 0 : fail(EFAULT, 'the user struct is not readable');
}

/** Little-endian, as the machine is. */
const u32At = (data: Uint8Array, at: number): number =>
  ((data[at] ?? 0) |
    ((data[at + 1] ?? 0) << 8) |
    ((data[at + 2] ?? 0) << 16) |
    ((data[at + 3] ?? 0) << 24)) >>>
  0;

function store(data: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) data[at + i] = value >>> (8 * i);
}

/** The u32 at `from`, or -EFAULT. */
export function* get_user_u32(from: bigint): Gen<number | Err> {
  const data = new Uint8Array(4);
  const n = yield* copy(GET, from, data, false);
  return n === 4 ? u32At(data, 0) : fail(EFAULT, 'the user variable is not readable');
}

/** The u64 at `from`, or -EFAULT. */
export function* get_user_u64(from: bigint): Gen<bigint | Err> {
  const data = new Uint8Array(8);
  const n = yield* copy(GET, from, data, false);
  if (n < 8) return fail(EFAULT, 'the user variable is not readable');
  return (BigInt(u32At(data, 4)) << 32n) | BigInt(u32At(data, 0));
}

function* put_user(to: bigint, data: Uint8Array): Gen<Rc> {
  const n = access_ok(to, data.length) ? yield* copy(PUT, to, data, true) : 0;
  return n === data.length ? 0 : fail(EFAULT, 'the user variable is not writable');
}

/** Stores a u32 at `to`: 0 or -EFAULT. */
export function put_user_u32(to: bigint, value: number): Gen<Rc> {
  const data = new Uint8Array(4);
  store(data, 0, value);
  return put_user(to, data);
}

/** Stores a u64 at `to`: 0 or -EFAULT. */
export function put_user_u64(to: bigint, value: bigint): Gen<Rc> {
  const data = new Uint8Array(8);
  store(data, 0, Number(value & 0xffffffffn));
  store(data, 4, Number(BigInt.asUintN(64, value) >> 32n));
  return put_user(to, data);
}

/**
 * The running program itself stores to its memory, a point at which others may go first at each mapping. False
 * when it gets a signal for it; what lies before the first byte that it may not store is stored even so.
 */
export function* program_store(addr: bigint, data: Uint8Array): Gen<boolean> {
  return (yield* copy(STORE, addr, data, true)) === data.length;
}

/** What the running program itself loads from its memory, as program_store; null when it gets a signal for it. */
export function* program_load(addr: bigint, length: number): Gen<Uint8Array | null> {
  const data = new Uint8Array(length);
  return (yield* copy(LOAD, addr, data, false)) === length ? data : null;
}
