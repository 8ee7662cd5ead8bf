// SPDX-License-Identifier: GPL-2.0-only

/**
 * Pinning user memory (mm/gup.c, 6.12). Pages come as runs of consecutive frames, appended to the caller's
 * list. No page is movable, so that FOLL_LONGTERM never migrates; no fault drops mmap_lock, so that whoever
 * holds it on entry holds it afterwards; no signal is fatal meanwhile.
 */
import { PAGE_SIZE, pfn } from '../../hw/memory.ts';
import type { Extent } from '../../sim/collections/extent-map.ts';
import { type Err, fail, IS_ERR } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EFAULT, EINVAL, EOVERFLOW } from '../../uapi/errno.ts';
import { FAULT_FLAG_UNSHARE, FAULT_FLAG_WRITE, handle_mm_fault, is_cow_mapping, pages_of } from './memory.ts';
import {
  type mm_struct,
  PTE_ANON,
  PTE_EXCLUSIVE,
  pte_bits,
  pte_pfn,
  pte_write,
  TASK_SIZE_MAX,
  VM_ACCESS_FLAGS,
  VM_IO,
  VM_PFNMAP,
  VM_READ,
  VM_WRITE,
  type vm_area_struct,
  vma_lookup,
} from './mm_types.ts';
import { add_pages, type page_run, ZERO_PFN } from './page.ts';
import { current_mm, might_fault } from './uaccess.ts';

export const FOLL_WRITE = 1 << 0;
const FOLL_GET = 1 << 1;
export const FOLL_LONGTERM = 1 << 8;
const FOLL_PIN = 1 << 19;
/** What callers may ask for here. */
const KNOWN_FLAGS = FOLL_WRITE | FOLL_GET | FOLL_LONGTERM;

const FAST = op<Observed>('gup_fast', { opaque: true });
const SLOW = op<Observed>('__get_user_pages', { sleeps: true, opaque: true });

const fn = sourceFile('mm/gup.c');

/** Why a mapping gives no pages for this; null: it may (mm/gup.c: check_vma_flags). */
function check_vma_flags(vma: vm_area_struct, flags: number): string | null {
  const { vm_flags } = vma;
  if ((vm_flags & (VM_IO | VM_PFNMAP)) !== 0) return 'device memory has no pages';
  if ((flags & FOLL_WRITE) === 0) return (vm_flags & VM_READ) === 0 ? 'the mapping is not readable' : null;
  return (vm_flags & VM_WRITE) === 0 ? 'the mapping is not writable' : null;
}

/**
 * Whether a pin for reading must first make a page the mapping's own, so that it goes on to show what the
 * program writes; `cow`: the mapping's writes go to private copies (mm/internal.h: gup_must_unshare).
 */
function gup_must_unshare(flags: number, bits: number, cow: boolean): boolean {
  if ((flags & (FOLL_WRITE | FOLL_PIN)) !== FOLL_PIN) return false;
  if ((bits & PTE_ANON) === 0) return (flags & FOLL_LONGTERM) !== 0 && cow;
  return (bits & PTE_EXCLUSIVE) === 0;
}

/** Whether an entry can be followed as it is. */
function follows(pte: number, flags: number, cow: boolean): boolean {
  if ((flags & FOLL_WRITE) !== 0) return pte_write(pte);
  return pte_write(pte) || !gup_must_unshare(flags, pte_bits(pte), cow);
}

/** Takes the pages of a stretch of entries. */
function grab(vma: vm_area_struct, pte: Extent<number>, flags: number, pages: page_run[]): void {
  const { owner, index } = pages_of(vma, pte);
  const last = index + pte.last - pte.start;
  if ((flags & FOLL_PIN) === 0) owner.hold(index, last);
  else owner.pin(index, last);
  add_pages(pages, pfn(pte_pfn(pte.value)), pte.last - pte.start + 1);
}

/**
 * Takes pages [page, last] of a mapping as far as they are present and as they should be. Returns how many
 * (mm/gup.c: gup_fast_pgd_range).
 */
function walk_fast(
  vma: vm_area_struct,
  page: number,
  last: number,
  flags: number,
  pages: page_run[],
): number {
  if ((vma.vm_flags & VM_ACCESS_FLAGS) === 0 || (vma.vm_flags & (VM_IO | VM_PFNMAP)) !== 0) return 0;
  let at = page;
  while (at <= last) {
    const pte = vma.pgtable.first(at, last);
    // Without the mapping at hand Linux takes every file page for one that may be private.
    if (pte === null || pte.start > at || !follows(pte.value, flags, true)) break;
    grab(vma, pte, flags, pages);
    at = pte.last + 1;
  }
  return at - page;
}

/** As walk_fast, but makes present what is not. Ends early where that fails (mm/gup.c: __get_user_pages). */
function walk(vma: vm_area_struct, page: number, last: number, flags: number, pages: page_run[]): number {
  const cow = is_cow_mapping(vma.vm_flags);
  const write = (flags & FOLL_WRITE) !== 0;
  const showsZeros = vma.vm_file === null && !gup_must_unshare(flags, 0, cow);
  for (let at = page; at <= last; ) {
    const pte = vma.pgtable.first(at, last);
    if (pte !== null && pte.start === at) {
      if (follows(pte.value, flags, cow)) {
        grab(vma, pte, flags, pages);
        at = pte.last + 1;
        continue;
      }
    } else if (showsZeros && !write) {
      for (const end = pte?.start ?? last + 1; at < end; at++) add_pages(pages, ZERO_PFN, 1);
      continue;
    }
    if (handle_mm_fault(vma, at, last, write ? FAULT_FLAG_WRITE : FAULT_FLAG_UNSHARE) !== 0) return at - page;
  }
  return last - page + 1;
}

/** A page of an address, whatever the address. */
const pageOf = (addr: bigint): number => Number(BigInt.asUintN(64, addr) / BigInt(PAGE_SIZE));

/** Takes what gup_fast can take of pages [first, last]: all that are present as they should be up to one that is not. */
function* gup_fast(
  mm: mm_struct,
  first: number,
  last: number,
  flags: number,
  pages: page_run[],
): Gen<number> {
  let at = first;
  while (at <= last) {
    const page = at;
    const on = vma_lookup(mm, page)?.order ?? mm;
    const n = yield* operation(FAST, on, () => {
      const vma = vma_lookup(mm, page);
      return vma === null || vma.order !== on
        ? 0
        : walk_fast(vma, page, Math.min(last, vma.last), flags, pages);
    });
    if (n === 0) break;
    at += n;
  }
  return at - first;
}

/**
 * Takes pages [first, first + npages) of an address space whose mmap_lock is held. Returns how many, which may
 * be fewer, or -EFAULT when none (mm/gup.c: __get_user_pages).
 */
function* __get_user_pages(
  mm: mm_struct,
  first: number,
  npages: number,
  flags: number,
  pages: page_run[],
): Gen<number | Err> {
  let at = first;
  let why = 'nothing is mapped there';
  while (at < first + npages) {
    const vma = vma_lookup(mm, at);
    if (vma === null) break;
    const refusal = check_vma_flags(vma, flags);
    if (refusal !== null) {
      why = refusal;
      break;
    }
    const page = at;
    const last = Math.min(first + npages - 1, vma.last);
    at += yield* operation(SLOW, vma.order, () => walk(vma, page, last, flags, pages));
    if (at <= last) {
      why = 'the page cannot be faulted in';
      break;
    }
  }
  return at > first ? at - first : fail(EFAULT, why);
}

/** mm/gup.c: gup_fast_fallback. */
function* fast_or_slow(start: bigint, npages: number, flags: number, pages: page_run[]): Gen<number | Err> {
  const mm = current_mm();
  might_fault(mm, 'gup');
  const page = pageOf(start);
  const end = BigInt(page + npages) * BigInt(PAGE_SIZE);
  if (end >= 1n << 64n) return fail(EOVERFLOW, 'the range ends beyond 64 bits');
  if (end > TASK_SIZE_MAX) return fail(EFAULT, 'the range ends beyond user space');
  const fast = yield* gup_fast(mm, page, page + npages - 1, flags, pages);
  if (fast === npages) return fast;
  yield* down_read(mm.mmap_lock);
  const slow = yield* __get_user_pages(mm, page + fast, npages - fast, flags, pages);
  yield* up_read(mm.mmap_lock);
  if (IS_ERR(slow)) return fast > 0 ? fast : slow;
  return fast + slow;
}

/** Whether callers may pass these flags. */
const areValid = (flags: number): boolean =>
  !WARN_ON((flags & ~KNOWN_FLAGS) !== 0, 'gup flags that are not for callers, or not modelled');

/**
 * Pins `npages` pages of the running task's memory from `start` on (bytes, its page), without mmap_lock as
 * far as they are present. Returns how many pages were appended to `pages`: from the first one on, until one
 * cannot be had. When none: -EFAULT (not mapped, not permitted, beyond user space, beyond a file's end, no
 * huge page left), -EOVERFLOW (beyond 64 bits), -EINVAL (flags). 0 for no pages.
 */
export const pin_user_pages_fast = fn(
  'pin_user_pages_fast',
  function* (start: bigint, npages: number, gup_flags: number, pages: page_run[]): Gen<number | Err> {
    if (!areValid(gup_flags)) return fail(EINVAL, 'gup flags');
    return yield* fast_or_slow(start, npages, gup_flags | FOLL_PIN, pages);
  },
);

/** As pin_user_pages_fast, but takes references, which put_page drops. */
export const get_user_pages_fast = fn(
  'get_user_pages_fast',
  function* (start: bigint, npages: number, gup_flags: number, pages: page_run[]): Gen<number | Err> {
    if (!areValid(gup_flags)) return fail(EINVAL, 'gup flags');
    return yield* fast_or_slow(start, npages, gup_flags | FOLL_GET, pages);
  },
);

/**
 * Pins pages of any address space, whose mmap_lock the caller holds and keeps. As pin_user_pages_fast; of
 * errors only -EFAULT, for a range beyond user space too; 0 for flags that are not valid.
 */
export const pin_user_pages_remote = fn(
  'pin_user_pages_remote',
  function* (
    mm: mm_struct,
    start: bigint,
    npages: number,
    gup_flags: number,
    pages: page_run[],
  ): Gen<number | Err> {
    if (!areValid(gup_flags) || npages === 0) return 0;
    WARN_ON(mm.mmap_lock.holders.length === 0, `${mm.mmap_lock.name} is not held`);
    return yield* __get_user_pages(mm, pageOf(start), npages, gup_flags | FOLL_PIN, pages);
  },
);
