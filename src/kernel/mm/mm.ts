// SPDX-License-Identifier: GPL-2.0-only

/**
 * Address spaces (include/linux/mm_types.h). FIRST LANDING: the interface is meant to stay, the inside is
 * being replaced.
 */
import { count, embed, int } from '../../sim/field.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import type { Named } from '../../sim/observed.ts';
import { root, struct } from '../../sim/struct.ts';
import { down_write, rw_semaphore, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { EINVAL, ENOMEM } from '../../uapi/errno.ts';

declare const brand: unique symbol;
/** An address of user space, bytes: below 2^47, so exact as a number. */
export type va = number & { readonly [brand]: 'va' };

export const PAGE_SIZE = 4096;
export const TASK_SIZE_MAX = 0x7ffffffff000n;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_POPULATE = 0x8000;
export const MAP_HUGETLB = 0x40000;

interface Vma {
  start: number;
  end: number;
  prot: number;
}

/** Memory of a process. `locked_vm` and `pinned_vm` in pages. */
export class mm_struct extends struct('mm_struct', root, {
  mmap_lock: embed(rw_semaphore),
  mm_users: int(),
  mm_count: int(),
  locked_vm: count(),
  pinned_vm: count(),
}) {
  vmas: readonly Vma[] = [];
  readonly pages: Map<number, Uint8Array>;

  constructor(creator: Named, role = 'mm') {
    super(creator, role);
    this.pages = new Map();
    this.mm_users = 1;
    this.mm_count = 1;
  }
}

export interface MmapOptions {
  /** Where the recorded kernel put a mapping that asked for no address. */
  readonly placeAt?: bigint;
}

function cut(mm: mm_struct, start: number, end: number): void {
  const left: Vma[] = [];
  for (const vma of mm.vmas) {
    if (vma.start < start) left.push({ ...vma, end: Math.min(vma.end, start) });
    if (vma.end > end) left.push({ ...vma, start: Math.max(vma.start, end) });
  }
  mm.vmas = left.sort((a, b) => a.start - b.start);
  for (let page = start / PAGE_SIZE; page < end / PAGE_SIZE; page++) mm.pages.delete(page);
}

/** mmap without the lock: for setting up an mm that nobody else sees. */
export function do_mmap(
  mm: mm_struct,
  addr: bigint,
  len: bigint,
  prot: number,
  flags: number,
  options: MmapOptions = {},
): va | Err {
  if (len === 0n) return fail(EINVAL, 'length is 0');
  const size = (len + 4095n) & ~4095n;
  const at = (flags & MAP_FIXED) !== 0 ? addr : (options.placeAt ?? pick(mm, size));
  if ((at & 4095n) !== 0n) return fail(EINVAL, 'fixed address is not page-aligned');
  if (size > TASK_SIZE_MAX || at > TASK_SIZE_MAX - size) return fail(ENOMEM, 'beyond the address space');
  const start = Number(at);
  const end = start + Number(size);
  cut(mm, start, end);
  mm.vmas = [...mm.vmas, { start, end, prot }].sort((a, b) => a.start - b.start);
  return start as va;
}

function pick(mm: mm_struct, size: bigint): bigint {
  const lowest = mm.vmas.reduce((low, vma) => Math.min(low, vma.start), 0x7ffff7fff000);
  return BigInt(lowest) - size;
}

/** mmap(2) on `mm`: the address, or -EINVAL, -ENOMEM. Takes mmap_lock. */
export function* vm_mmap(
  mm: mm_struct,
  addr: bigint,
  len: bigint,
  prot: number,
  flags: number,
  options: MmapOptions = {},
): Gen<va | Err> {
  yield* down_write(mm.mmap_lock);
  const at = do_mmap(mm, addr, len, prot, flags, options);
  yield* up_write(mm.mmap_lock);
  return at;
}

/** munmap(2) on `mm`. Takes mmap_lock. */
export function* vm_munmap(mm: mm_struct, addr: bigint, len: bigint): Gen<Rc> {
  if ((addr & 4095n) !== 0n || addr + len > TASK_SIZE_MAX) return fail(EINVAL, 'bad range');
  yield* down_write(mm.mmap_lock);
  cut(mm, Number(addr), Number(addr + len));
  yield* up_write(mm.mmap_lock);
  return 0;
}

/** Bytes from `addr` on that allow `prot`, up to `len`; `each` gets them page by page. */
export function accessible(
  mm: mm_struct,
  addr: bigint,
  len: number,
  prot: number,
  each: (page: Uint8Array, offset: number, at: number, n: number) => void,
): number {
  let done = 0;
  while (done < len) {
    const at = Number(addr) + done;
    const vma = mm.vmas.find((v) => v.start <= at && at < v.end);
    if (vma === undefined || (vma.prot & prot) === 0) break;
    const number = Math.floor(at / PAGE_SIZE);
    let page = mm.pages.get(number);
    if (page === undefined) {
      page = new Uint8Array(PAGE_SIZE);
      mm.pages.set(number, page);
    }
    const offset = at % PAGE_SIZE;
    const n = Math.min(PAGE_SIZE - offset, len - done);
    each(page, offset, done, n);
    done += n;
  }
  return done;
}

/** The program stores to its own memory: false, with nothing stored, when it may not write all of it. */
export function user_store(mm: mm_struct, addr: bigint, bytes: Uint8Array): boolean {
  if (accessible(mm, addr, bytes.length, PROT_WRITE, () => {}) < bytes.length) return false;
  accessible(mm, addr, bytes.length, PROT_WRITE, (page, offset, at, n) => {
    page.set(bytes.subarray(at, at + n), offset);
  });
  return true;
}

/** The program's memory, as the program reads it: null when it may not read all of it. */
export function user_load(mm: mm_struct, addr: bigint, length: number): Uint8Array | null {
  const to = new Uint8Array(length);
  const got = accessible(mm, addr, length, PROT_READ, (page, offset, at, n) => {
    to.set(page.subarray(offset, offset + n), at);
  });
  return got === length ? to : null;
}

export { IS_ERR };
