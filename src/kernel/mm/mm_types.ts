// SPDX-License-Identifier: GPL-2.0-only

import { memory, PAGE_SIZE } from '../../hw/memory.ts';
/**
 * Address spaces and what they are made of (include/linux/mm_types.h, include/linux/mm.h, 6.12).
 *
 * Who may touch what: the set of mappings, and their extent, belongs to who holds mmap_lock; it is looked up
 * without the lock too, as by RCU. What a mapping shows (its page table, the pages behind it) is touched only
 * in a step that began with an operation on the mapping's `order`; what no mapping covers, on the mm itself.
 * Mappings of the same pages share one `order`, those of others do not: so copies to one thread's buffer
 * commute with copies to another's, if the buffers are mappings of their own.
 */
import { type ExtentKind, extents } from '../../sim/collections/extents.ts';
import { context } from '../../sim/context.ts';
import { count, embed, flags32 } from '../../sim/field.ts';
import type { Named, Observed } from '../../sim/observed.ts';
import { root, struct } from '../../sim/struct.ts';
import { refcount_init, refcount_t } from '../../sim/sync/refcount.ts';
import { rw_semaphore } from '../../sim/sync/rwsem.ts';
import type { anon_vma } from './anon_vma.ts';
import { atomic64_t } from './atomic64.ts';
import type { address_space } from './filemap.ts';
import type { resv_map } from './hugetlb.ts';

declare const brand: unique symbol;
/** An address of user space, bytes: below 2^47, so exact as a number. */
export type va = number & { readonly [brand]: 'va' };

/** The first address that is not user space's: a page below the end of its half (47 bits). */
export const TASK_SIZE_MAX = 0x7ffffffff000n;
const TASK_SIZE = 0x7ffffffff000;

const isVa = (n: number): n is va => Number.isInteger(n) && n >= 0 && n <= TASK_SIZE;

/** Says that a number is an address of user space, or its end. Throws (a bug of ours) when it is not. */
export function va(n: number): va {
  if (!isVa(n)) throw new RangeError(`${n} is no address of user space`);
  return n;
}

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_SHARED_VALIDATE = 3;
/** The bits of `flags` that hold one of the three above. */
export const MAP_TYPE = 0xf;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_LOCKED = 0x2000;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MAP_NONBLOCK = 0x10000;
export const MAP_HUGETLB = 0x40000;
export const MAP_FIXED_NOREPLACE = 0x100000;

export const VM_READ = 0x1;
export const VM_WRITE = 0x2;
export const VM_EXEC = 0x4;
export const VM_SHARED = 0x8;
export const VM_MAYREAD = 0x10;
export const VM_MAYWRITE = 0x20;
export const VM_MAYEXEC = 0x40;
export const VM_MAYSHARE = 0x80;
export const VM_PFNMAP = 0x400;
export const VM_IO = 0x4000;
export const VM_DONTCOPY = 0x20000;
export const VM_NORESERVE = 0x200000;
export const VM_HUGETLB = 0x400000;
export const VM_ACCESS_FLAGS = VM_READ | VM_WRITE | VM_EXEC;

/** Bits of a page table entry, below its frame number: see `pte`. */
export const PTE_WRITE = 1;
/** The page is the mapping's own copy, not a file's. */
export const PTE_ANON = 2;
/** PageAnonExclusive: no other mapping shows the page. Linux keeps this with the page. */
export const PTE_EXCLUSIVE = 4;
/** By how much entries of consecutive frames differ. */
export const PTE_STEP = 8;

/** A page table entry that is present: frame number and bits. */
export const mk_pte = (frame: number, bits: number): number => frame * PTE_STEP + bits;
export const pte_pfn = (pte: number): number => Math.floor(pte / PTE_STEP);
export const pte_bits = (pte: number): number => pte % PTE_STEP;
export const pte_write = (pte: number): boolean => (pte & PTE_WRITE) !== 0;

const ptes: ExtentKind<number> = {
  along: (pte, distance) => pte + distance * PTE_STEP,
  same: (a, b) => a === b,
  unit: PAGE_SIZE,
  state(pte) {
    const found = memory().find(pte_pfn(pte));
    return [found === null ? pte_pfn(pte) : [found.owner, found.index], pte_bits(pte)];
  },
  show(pte, length) {
    const bits = pte_bits(pte);
    const found = memory().find(pte_pfn(pte));
    const where =
      found === null
        ? '?'
        : `${found.owner.name}[0x${(found.index * PAGE_SIZE).toString(16)}-0x${((found.index + length) * PAGE_SIZE - 1).toString(16)}]`;
    return `${where} ${(bits & PTE_WRITE) === 0 ? 'r' : 'rw'}${(bits & PTE_EXCLUSIVE) === 0 ? '' : ' exclusive'}`;
  },
};

/** What a mapping shows. It holds a reference on each. */
export interface vma_backing {
  readonly vm_file: address_space | null;
  readonly anon_vma: anon_vma | null;
  /** Huge pages reserved for this private mapping; shared by those that it is split into. */
  readonly resv: resv_map | null;
}

/**
 * A mapping of the pages [first, last] of an address space. Of `vm_file` and `anon_vma` a shared
 * mapping has the first, a private one of anonymous memory the second, a private one of a file both.
 */
export class vm_area_struct extends struct('vm_area_struct', root, {
  vm_flags: flags32(),
  /** The page table, by page number of the address. In Linux one for the whole mm. */
  pgtable: extents(ptes),
}) {
  readonly vm_mm: mm_struct;
  /** Page numbers. In Linux vm_start and vm_end, in bytes. */
  readonly first: number;
  last: number;
  /** Page of `vm_file` at `first`. */
  readonly vm_pgoff: number;
  readonly vm_file: address_space | null;
  readonly anon_vma: anon_vma | null;
  readonly resv: resv_map | null;

  /** `back`: makes or finds what it shows. */
  constructor(
    mm: mm_struct,
    role: string,
    first: number,
    last: number,
    flags: number,
    pgoff: number,
    back: (vma: Named) => vma_backing,
  ) {
    super(mm, role);
    this.vm_mm = mm;
    this.first = first;
    this.last = last;
    this.vm_pgoff = pgoff;
    const { vm_file, anon_vma, resv } = back(this);
    this.vm_file = vm_file;
    this.anon_vma = anon_vma;
    this.resv = resv;
    this.vm_flags = flags;
  }

  /** What operations on the memory behind it are announced on. */
  get order(): Observed {
    return this.vm_file?.order ?? this.anon_vma?.order ?? this.vm_mm;
  }
}

const mappings: ExtentKind<vm_area_struct> = {
  along: (vma) => vma,
  same: (a, b) => a === b,
  show: (vma) => vma.name,
  unit: PAGE_SIZE,
};

/**
 * The memory of a process. `mm_users`: who uses the address space; `mm_count`: who needs the struct, the
 * users together counting once. `locked_vm` and `pinned_vm` in pages.
 */
export class mm_struct extends struct('mm_struct', root, {
  mmap_lock: embed(rw_semaphore),
  mm_users: embed(refcount_t),
  mm_count: embed(refcount_t),
  locked_vm: count({ guardedBy: 'mmap_lock' }),
  pinned_vm: embed(atomic64_t),
  /** The mappings, by page number. */
  mm_mt: extents(mappings),
}) {
  /** The mapping that was looked up last; null when the mappings have changed since. */
  $found: vm_area_struct | null = null;

  constructor(creator: Named, role = 'mm') {
    super(creator, role);
    refcount_init(this.mm_users, 1);
    refcount_init(this.mm_count, 1);
  }
}

/**
 * The mapping that covers a page of the address space, or null (vma_lookup). Needs no lock, as by RCU: who
 * holds none must announce an operation on what it found, and look again when that is due.
 */
export function vma_lookup(mm: mm_struct, page: number): vm_area_struct | null {
  const last = mm.$found;
  if (last !== null && page >= last.first && page <= last.last) return last;
  const { watch } = context;
  context.watch = null;
  const vma = mm.mm_mt.get(page) ?? null;
  context.watch = watch;
  mm.$found = vma;
  return vma;
}
