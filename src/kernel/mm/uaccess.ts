// SPDX-License-Identifier: GPL-2.0-only

/** Copies between kernel and user space (include/linux/uaccess.h). FIRST LANDING, interface as it will stay. */
import { type Err, fail, type Rc } from '../../sim/errno.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { E2BIG, EFAULT } from '../../uapi/errno.ts';
import { current_process } from '../sched/task.ts';
import { accessible, type mm_struct, PROT_READ, PROT_WRITE, TASK_SIZE_MAX } from './mm.ts';

const FROM = op<mm_struct>('copy_from_user', { sleeps: true, commutes: ['copy_from_user'] });
const TO = op<mm_struct>('copy_to_user', { sleeps: true });

function current_mm(): mm_struct {
  const mm = current_process().mm;
  if (mm === null) throw new Error('a user copy by a process that has exited');
  return mm;
}

export const access_ok = (addr: bigint, size: number): boolean =>
  addr >= 0n && addr + BigInt(size) <= TASK_SIZE_MAX;

/** Returns the bytes that could not be copied; the rest of `to` is zeroed. */
export function copy_from_user(to: Uint8Array, from: bigint): Co<number> {
  return operation(FROM, current_mm(), (mm) => {
    const n =
      from > TASK_SIZE_MAX
        ? 0
        : accessible(mm, from, to.length, PROT_READ, (page, offset, at, n) => {
            to.set(page.subarray(offset, offset + n), at);
          });
    to.fill(0, n);
    return to.length - n;
  });
}

/** Returns the bytes that could not be copied. */
export function copy_to_user(to: bigint, from: Uint8Array): Co<number> {
  return operation(TO, current_mm(), (mm) => {
    if (!access_ok(to, from.length)) return from.length;
    const n = accessible(mm, to, from.length, PROT_WRITE, (page, offset, at, n) => {
      page.set(from.subarray(at, at + n), offset);
    });
    return from.length - n;
  });
}

/** As copy_to_user of `n` zero bytes. */
export const clear_user = (to: bigint, n: number): Co<number> => copy_to_user(to, new Uint8Array(n));

/** 1: all zero; 0: not; -EFAULT. */
export function* check_zeroed_user(from: bigint, size: number): Gen<Err | 0 | 1> {
  if (size === 0) return 1;
  const bytes = new Uint8Array(size);
  if ((yield* copy_from_user(bytes, from)) !== 0) return fail(EFAULT, 'user memory is not readable');
  return bytes.every((b) => b === 0) ? 1 : 0;
}

/**
 * Copies a struct of `usize` bytes at `src` into `dst`, whose length is the size that the kernel knows; the
 * rest of `dst` is zeroed. -E2BIG: bytes that the kernel does not know are not zero; -EFAULT.
 */
export function* copy_struct_from_user(dst: Uint8Array, src: bigint, usize: number): Gen<Rc> {
  const size = Math.min(dst.length, usize);
  if (usize < dst.length) {
    dst.fill(0, size);
  } else if (usize > dst.length) {
    const zeroed = yield* check_zeroed_user(src + BigInt(size), usize - size);
    if (zeroed === 0) return fail(E2BIG, 'non-zero bytes after the known struct');
    if (zeroed !== 1) return zeroed;
  }
  if ((yield* copy_from_user(dst.subarray(0, size), src)) !== 0) return fail(EFAULT, 'the struct is not readable');
  return 0;
}

/** The u32 at `from`, or -EFAULT. */
export function* get_user_u32(from: bigint): Gen<number | Err> {
  const bytes = new Uint8Array(4);
  if ((yield* copy_from_user(bytes, from)) !== 0) return fail(EFAULT, 'not readable');
  return new DataView(bytes.buffer).getUint32(0, true);
}

/** The u64 at `from`, or -EFAULT. */
export function* get_user_u64(from: bigint): Gen<bigint | Err> {
  const bytes = new Uint8Array(8);
  if ((yield* copy_from_user(bytes, from)) !== 0) return fail(EFAULT, 'not readable');
  return new DataView(bytes.buffer).getBigUint64(0, true);
}

/** Stores a u32; 0 or -EFAULT. */
export function* put_user_u32(to: bigint, value: number): Gen<Rc> {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return (yield* copy_to_user(to, bytes)) === 0 ? 0 : fail(EFAULT, 'not writable');
}

/** Stores a u64; 0 or -EFAULT. */
export function* put_user_u64(to: bigint, value: bigint): Gen<Rc> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return (yield* copy_to_user(to, bytes)) === 0 ? 0 : fail(EFAULT, 'not writable');
}
