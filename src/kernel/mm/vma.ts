// SPDX-License-Identifier: GPL-2.0-only

/** The mappings of an address space: putting in, splitting, taking out (mm/vma.c, 6.12). */
import { HPAGE_PMD_NR, PAGE_SIZE } from '../../hw/memory.ts';
import { kfree } from '../../sim/slab.ts';
import { ihold, iput } from './filemap.ts';
import { pages_of } from './memory.ts';
import {
  type mm_struct,
  PTE_ANON,
  va,
  VM_HUGETLB,
  vm_area_struct,
  type vma_backing,
} from './mm_types.ts';

/** Puts a mapping into place; nothing may be there. It takes over the references that `of` holds. */
export function vma_link(
  mm: mm_struct,
  role: string,
  first: number,
  last: number,
  of: vma_backing,
): vm_area_struct {
  const vma = new vm_area_struct(mm, role, va(first * PAGE_SIZE), va((last + 1) * PAGE_SIZE), of);
  mm.mm_mt.set(first, last, vma);
  return vma;
}

/** The mappings that cover some of the pages [first, last], in order; each may be taken away in turn. */
export function* vmas_within(mm: mm_struct, first: number, last: number): Generator<vm_area_struct, void> {
  for (let at = first; at <= last; ) {
    const vma = mm.mm_mt.first(at, last)?.value;
    if (vma === undefined) return;
    at = vma.last + 1;
    yield vma;
  }
}

/** Page of its file at a page of the mapping. */
const pgoffAt = (vma: vm_area_struct, page: number): number => vma.vm_pgoff + page - vma.first;

/** Whether a mapping can be split before `page`: huge pages stay whole (mm/hugetlb.c: hugetlb_vm_op_split). */
export const may_split = (vma: vm_area_struct, page: number): boolean =>
  (vma.vm_flags & VM_HUGETLB) === 0 || (page - vma.first) % HPAGE_PMD_NR === 0;

/** Makes the part from `page` on a mapping of its own (mm/vma.c: __split_vma). */
export function split_vma(vma: vm_area_struct, page: number): vm_area_struct {
  const { vm_mm: mm, first, last } = vma;
  const right = vma_link(mm, vma.$role, page, last, { ...backing(vma), vm_pgoff: pgoffAt(vma, page) });
  vma.vm_end = va(page * PAGE_SIZE);
  if (vma.vm_file !== null) ihold(vma.vm_file);
  if (vma.anon_vma !== null) vma.anon_vma.refcount += 1;
  if (vma.resv !== null) vma.resv.refs += 1;
  for (const pte of vma.pgtable.within(page, last)) right.pgtable.set(pte.start, pte.last, pte.value);
  vma.pgtable.clear(page, last);
  if (vma.first !== first) throw new Error(`${vma.name} moved`);
  return right;
}

function backing(vma: vm_area_struct): vma_backing {
  const { vm_flags, vm_pgoff, vm_file, anon_vma, resv } = vma;
  return { vm_flags, vm_pgoff, vm_file, anon_vma, resv };
}

/**
 * Takes the part of a mapping that lies in [first, last] out of its address space, and what it showed there
 * out of the page table. Pages that nothing else shows or pins are free then.
 */
export function unmap_vma(vma: vm_area_struct, first: number, last: number): void {
  let victim = vma;
  if (victim.first < first) victim = split_vma(victim, first);
  if (victim.last > last) split_vma(victim, last + 1);
  victim.vm_mm.mm_mt.clear(victim.first, victim.last);
  zap_page_range(victim);
  close(victim);
}

/** Empties a page table (mm/memory.c: zap_page_range_single). */
function zap_page_range(vma: vm_area_struct): void {
  for (const pte of vma.pgtable.within(vma.first, vma.last)) {
    if ((pte.value & PTE_ANON) === 0) continue;
    for (let at = pte.start; at <= pte.last; ) {
      const { owner, index, count } = pages_of({ ...pte, start: at, value: pte.value + step(at - pte.start) });
      owner.drop(index, index + count - 1);
      at += count;
    }
  }
  vma.pgtable.clear(vma.first, vma.last);
}
