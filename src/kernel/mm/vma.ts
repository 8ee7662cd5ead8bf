// SPDX-License-Identifier: GPL-2.0-only

/** The mappings of an address space: putting in, splitting, taking out (mm/vma.c, 6.12). */
import { HPAGE_PMD_NR } from '../../hw/memory.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree } from '../../sim/slab.ts';
import { ihold, iput } from './filemap.ts';
import { pages_of } from './memory.ts';
import { type mm_struct, PTE_ANON, VM_HUGETLB, vm_area_struct, type vma_backing } from './mm_types.ts';

/** A mapping of the pages [first, last] that is not in place yet. `back`: see vm_area_struct. */
export function vm_area_alloc(
  mm: mm_struct,
  role: string,
  first: number,
  last: number,
  flags: number,
  pgoff: number,
  back: (vma: Named) => vma_backing,
): vm_area_struct {
  return new vm_area_struct(mm, role, first, last, flags, pgoff, back);
}

/** Puts a mapping into place; nothing else may be there. */
export function vma_link(vma: vm_area_struct): void {
  vma.vm_mm.$found = null;
  vma.vm_mm.mm_mt.set(vma.first, vma.last, vma);
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

/** Whether a mapping can be split before `page`: huge pages stay whole (mm/hugetlb.c: hugetlb_vm_op_split). */
export const may_split = (vma: vm_area_struct, page: number): boolean =>
  (vma.vm_flags & VM_HUGETLB) === 0 || (page - vma.first) % HPAGE_PMD_NR === 0;

/** Makes the part from `page` on a mapping of its own (mm/vma.c: __split_vma). */
export function split_vma(vma: vm_area_struct, page: number): vm_area_struct {
  const { vm_mm: mm, last } = vma;
  const pgoff = vma.vm_pgoff + page - vma.first;
  const right = vm_area_alloc(mm, vma.$role, page, last, vma.vm_flags, pgoff, () => share(vma));
  vma.last = page - 1;
  vma_link(right);
  for (const pte of vma.pgtable.within(page, last)) right.pgtable.set(pte.start, pte.last, pte.value);
  vma.pgtable.clear(page, last);
  return right;
}

/** What a mapping shows, with a reference more on each. */
function share({ vm_file, anon_vma, resv }: vm_area_struct): vma_backing {
  if (vm_file !== null) ihold(vm_file);
  if (anon_vma !== null) anon_vma.refcount += 1;
  if (resv !== null) resv.refs += 1;
  return { vm_file, anon_vma, resv };
}

/**
 * Takes the part of a mapping that lies in [first, last] out of its address space, and what it showed there
 * out of the page table. Pages that nothing else shows or pins are free then.
 */
export function unmap_vma(vma: vm_area_struct, first: number, last: number): void {
  let victim = vma;
  if (victim.first < first) victim = split_vma(victim, first);
  if (victim.last > last) split_vma(victim, last + 1);
  victim.vm_mm.$found = null;
  victim.vm_mm.mm_mt.clear(victim.first, victim.last);
  zap_page_range(victim);
  close(victim);
}

/** Empties a page table (mm/memory.c: zap_page_range_single). */
function zap_page_range(vma: vm_area_struct): void {
  for (const pte of vma.pgtable.within(vma.first, vma.last)) {
    if ((pte.value & PTE_ANON) === 0) continue;
    const { owner, index } = pages_of(vma, pte);
    owner.drop(index, index + pte.last - pte.start);
  }
  vma.pgtable.clear(vma.first, vma.last);
}

/** The mapping lets go of what it held (mm/vma.c: remove_vma; mm/hugetlb.c: hugetlb_vm_op_close). */
function close(vma: vm_area_struct): void {
  const { vm_file, anon_vma, resv, vm_pgoff, first, last } = vma;
  const huge = vm_pgoff / HPAGE_PMD_NR;
  resv?.put(huge, huge + (last - first + 1) / HPAGE_PMD_NR - 1);
  if (vm_file !== null) iput(vm_file);
  anon_vma?.put();
  kfree(vma);
}
