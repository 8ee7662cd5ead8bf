// SPDX-License-Identifier: GPL-2.0-only

/**
 * Page faults (mm/memory.c, mm/hugetlb.c, 6.12). Pages that are in the same situation are served together:
 * what costs Linux a fault a page is one change of an extent here. Nothing is swapped, and memory never runs
 * out, but for huge pages. The caller's step must have begun with an operation on the mapping's `order`.
 */
import { HPAGE_PMD_NR, memory, PAGE_SIZE, type page_owner } from '../../hw/memory.ts';
import type { Extent } from '../../sim/collections/extent-map.ts';
import { Unsupported } from '../../sim/errors.ts';
import type { anon_vma } from './anon_vma.ts';
import type { address_space } from './filemap.ts';
import {
  mk_pte,
  PTE_ANON,
  PTE_EXCLUSIVE,
  PTE_WRITE,
  pte_bits,
  pte_pfn,
  pte_write,
  VM_HUGETLB,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_SHARED,
  VM_WRITE,
  type vm_area_struct,
} from './mm_types.ts';

export const FAULT_FLAG_WRITE = 1;
/** Make the page the mapping's own without making it writable: for a pin that only reads. */
export const FAULT_FLAG_UNSHARE = 0x400;

/** Bits of what a fault returns: 0, or why it failed. */
export type vm_fault_t = number;
const VM_FAULT_SIGBUS = 2;

/** Whether writes to the mapping go to private copies. */
export const is_cow_mapping = (flags: number): boolean => (flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;

/** Pages of one owner, from `index` on. */
interface owned_pages {
  readonly owner: page_owner;
  readonly index: number;
}

/**
 * Whose pages a stretch of present entries of a mapping shows: one owner's, as no two have neighbouring
 * frames. Throws (a bug of ours) when nobody's.
 */
export function pages_of(vma: vm_area_struct, pte: Extent<number>): owned_pages {
  const frame = pte_pfn(pte.value);
  const owner = (pte.value & PTE_ANON) === 0 ? vma.vm_file : vma.anon_vma;
  const index = owner === null ? -1 : owner.$quickIndex(frame);
  if (owner !== null && index >= 0) return { owner, index };
  const found = memory().find(frame);
  if (found === null) throw new Error(`${vma.name} shows what is no memory`);
  return found;
}

/**
 * Makes `page` (a page number of the mapping's addresses) present, for writing or as the flags say; and, where
 * that is the same work, pages after it up to `last`. A read of anonymous memory that was never written maps
 * nothing: it shows the zero page either way (mm/memory.c: handle_mm_fault). Returns 0 or VM_FAULT_SIGBUS.
 */
export function handle_mm_fault(vma: vm_area_struct, page: number, last: number, flags: number): vm_fault_t {
  const unshare = (flags & FAULT_FLAG_UNSHARE) !== 0 && is_cow_mapping(vma.vm_flags);
  const write = (flags & FAULT_FLAG_WRITE) !== 0;
  const pte = vma.pgtable.first(page, last);
  const huge = (vma.vm_flags & VM_HUGETLB) !== 0;
  if (pte === null || pte.start > page) {
    if (huge) return hugetlb_no_page(vma, page, write);
    return do_pte_missing(vma, page, pte === null ? last : pte.start - 1, write, unshare);
  }
  if (pte_write(pte.value) || !(write || unshare)) return 0;
  return huge ? hugetlb_wp(vma, page, unshare) : do_wp_page(vma, pte, unshare);
}

function do_pte_missing(
  vma: vm_area_struct,
  first: number,
  last: number,
  write: boolean,
  unshare: boolean,
): vm_fault_t {
  const { vm_file: file, anon_vma: anon } = vma;
  if (file !== null) return do_fault(vma, file, first, last, write);
  if (anon === null || !(write || unshare)) return 0;
  // As a read fault and then an unsharing copy of the zero page: no copy, and not writable yet.
  const bits = PTE_ANON | PTE_EXCLUSIVE | (unshare ? 0 : PTE_WRITE);
  const index = anon.slots(first, last);
  if (index !== null) {
    anon.take(index, index + last - first);
    vma.pgtable.set(first, last, mk_pte(anon.frame(index), bits));
    return 0;
  }
  for (let page = first; page <= last; page++) {
    const slot = anon.slot(page);
    anon.take(slot, slot);
    vma.pgtable.set(page, page, mk_pte(anon.frame(slot), bits));
  }
  return 0;
}

function do_fault(
  vma: vm_area_struct,
  file: address_space,
  first: number,
  upTo: number,
  write: boolean,
): vm_fault_t {
  const index = vma.vm_pgoff + first - vma.first;
  if (index >= file.npages) return VM_FAULT_SIGBUS;
  const last = Math.min(upTo, first + file.npages - 1 - index);
  const frame = file.fill(index, index + last - first);
  const shared = (vma.vm_flags & VM_SHARED) !== 0;
  const writable = shared && (vma.vm_flags & VM_WRITE) !== 0;
  if (!write || shared) {
    vma.pgtable.set(first, last, mk_pte(frame, writable ? PTE_WRITE : 0));
    return 0;
  }
  copyPages(vma, first, last, file, index, PTE_ANON | PTE_EXCLUSIVE | PTE_WRITE);
  return 0;
}

/** Present pages that are not writable: makes them so, or the mapping's own, by copies where others show them. */
function do_wp_page(vma: vm_area_struct, pte: Extent<number>, unshare: boolean): vm_fault_t {
  const bits = pte_bits(pte.value);
  const write = unshare ? 0 : PTE_WRITE;
  if ((vma.vm_flags & (VM_SHARED | VM_MAYSHARE)) !== 0 || (bits & PTE_EXCLUSIVE) !== 0) {
    vma.pgtable.set(pte.start, pte.last, pte.value + write);
    return 0;
  }
  const own = PTE_ANON | PTE_EXCLUSIVE | write;
  const anon = (bits & PTE_ANON) !== 0;
  const { owner, index: first } = pages_of(vma, pte);
  const end = first + pte.last - pte.start;
  for (let index = first; index <= end; ) {
    const page = pte.start + index - first;
    const last = anon ? alike(owner, index, end) : end;
    if (anon && isOnlyReference(owner, index)) {
      vma.pgtable.set(page, page + last - index, mk_pte(owner.frame(index), own));
    } else {
      copyPages(vma, page, page + last - index, owner, index, own);
      if (anon) owner.drop(index, last);
    }
    index = last + 1;
  }
  return 0;
}

/** mm/memory.c: wp_can_reuse_anon_folio. */
const isOnlyReference = (owner: page_owner, index: number): boolean =>
  owner.refs.get(index) === 1 && owner.pins.get(index) === undefined;

/** The last page up to `end` of those after `index` that are held and pinned as often. */
function alike(owner: page_owner, index: number, end: number): number {
  const last = owner.refs.first(index, end)?.last ?? end;
  const pin = owner.pins.first(index, last);
  if (pin === null) return last;
  return pin.start > index ? pin.start - 1 : pin.last;
}

function anonOf(vma: vm_area_struct): anon_vma {
  if (vma.anon_vma === null) throw new Error(`${vma.name} has no memory of its own`);
  return vma.anon_vma;
}

/** Gives the mapping copies of pages, the first of which is `index`, in place of whatever it shows there. */
export function copyPages(
  vma: vm_area_struct,
  first: number,
  last: number,
  from: page_owner,
  index: number,
  bits: number,
): void {
  const anon = anonOf(vma);
  const slot = anon.slots(first, last);
  if (slot === null && first < last) {
    for (let page = first; page <= last; page++) copyPages(vma, page, page, from, index + page - first, bits);
    return;
  }
  const to = slot ?? anon.slot(first);
  anon.take(to, to + last - first);
  copyContents(from, index, anon, to, last - first + 1);
  vma.pgtable.set(first, last, mk_pte(anon.frame(to), bits));
}

function copyContents(from: page_owner, index: number, to: page_owner, slot: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const data = from.contents.read((index + i) * PAGE_SIZE, PAGE_SIZE);
    // What was never written is zero already.
    if (!isEqual(to.contents.read((slot + i) * PAGE_SIZE, PAGE_SIZE), data)) {
      to.contents.write((slot + i) * PAGE_SIZE, data);
    }
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  const x = new Int32Array(a.buffer, a.byteOffset, a.length / 4);
  const y = new Int32Array(b.buffer, b.byteOffset, b.length / 4);
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false;
  return true;
}

/** Number of the huge page, within the mapping's file, that a page of the mapping belongs to. */
const hugeIndex = (vma: vm_area_struct, page: number): number =>
  Math.floor((vma.vm_pgoff + page - vma.first) / HPAGE_PMD_NR);

/** The first page of the mapping that is part of the same huge page. */
const hugeStart = (vma: vm_area_struct, page: number): number => page - ((page - vma.first) % HPAGE_PMD_NR);

function hugetlb_no_page(vma: vm_area_struct, page: number, write: boolean): vm_fault_t {
  const file = vma.vm_file;
  if (file === null || file.pool === null) throw new Error(`${vma.name} is no mapping of huge pages`);
  const start = hugeStart(vma, page);
  const index = hugeIndex(vma, page) * HPAGE_PMD_NR;
  if (index >= file.npages) return VM_FAULT_SIGBUS;
  const end = start + HPAGE_PMD_NR - 1;
  if ((vma.vm_flags & VM_MAYSHARE) !== 0) {
    if (!file.has(index)) {
      if (!alloc_hugetlb_folio(vma, page)) return VM_FAULT_SIGBUS;
      file.take(index, index + HPAGE_PMD_NR - 1);
    }
    vma.pgtable.set(start, end, mk_pte(file.frame(index), (vma.vm_flags & VM_WRITE) !== 0 ? PTE_WRITE : 0));
    return 0;
  }
  if (!alloc_hugetlb_folio(vma, page)) return VM_FAULT_SIGBUS;
  const anon = anonOf(vma);
  const slot = anon.slot(start);
  anon.take(slot, slot + HPAGE_PMD_NR - 1);
  const bits = PTE_ANON | PTE_EXCLUSIVE | (write ? PTE_WRITE : 0);
  vma.pgtable.set(start, end, mk_pte(anon.frame(slot), bits));
  return 0;
}

/** A private huge page that is present and not writable. */
function hugetlb_wp(vma: vm_area_struct, page: number, unshare: boolean): vm_fault_t {
  const start = hugeStart(vma, page);
  const end = start + HPAGE_PMD_NR - 1;
  const pte = vma.pgtable.first(start, end);
  if (pte === null) throw new Error(`${vma.name} lost a huge page`);
  const write = unshare ? 0 : PTE_WRITE;
  const { owner, index } = pages_of(vma, pte);
  if ((vma.vm_flags & VM_MAYSHARE) !== 0) {
    vma.pgtable.set(start, end, pte.value + write);
    return 0;
  }
  const bits = PTE_ANON | PTE_EXCLUSIVE | write;
  // Linux asks only for other mappings here, not for other references.
  if (owner.refs.get(index) === 1) {
    vma.pgtable.set(start, end, mk_pte(owner.frame(index), bits));
    return 0;
  }
  if (!alloc_hugetlb_folio(vma, page)) {
    if (vma.resv !== null) throw new Unsupported('taking a huge page away from a child');
    return VM_FAULT_SIGBUS;
  }
  copyHugePage(vma, start, owner, index, bits);
  owner.drop(index, index + HPAGE_PMD_NR - 1);
  return 0;
}

/** As copyPages, for a huge page that the caller took from the pool. */
export function copyHugePage(
  vma: vm_area_struct,
  start: number,
  from: page_owner,
  index: number,
  bits: number,
): void {
  const anon = anonOf(vma);
  const slot = anon.slot(start);
  anon.take(slot, slot + HPAGE_PMD_NR - 1);
  copyContents(from, index, anon, slot, HPAGE_PMD_NR);
  vma.pgtable.set(start, start + HPAGE_PMD_NR - 1, mk_pte(anon.frame(slot), bits));
}

/**
 * Takes the huge page for `page` of the mapping out of the pool: the one reserved for it, or one that nobody
 * has reserved. False: the pool has none left.
 */
export function alloc_hugetlb_folio(vma: vm_area_struct, page: number): boolean {
  const file = vma.vm_file;
  if (file === null || file.pool === null) return false;
  const resv = (vma.vm_flags & VM_MAYSHARE) !== 0 ? file.resv : vma.resv;
  const index = hugeIndex(vma, page);
  const reserved = resv?.has(index) === true;
  if (!file.pool.dequeue(reserved)) return false;
  if (reserved) resv?.consume(index);
  return true;
}
