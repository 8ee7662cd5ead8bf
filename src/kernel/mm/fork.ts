// SPDX-License-Identifier: GPL-2.0-only

/** A child's address space (kernel/fork.c: dup_mm; mm/memory.c: copy_page_range, 6.12). */
import { HPAGE_PMD_NR, type page_owner } from '../../hw/memory.ts';
import type { Extent } from '../../sim/collections/extent-map.ts';
import { type Err, fail } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named, Observed } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { down_write, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { ENOMEM } from '../../uapi/errno.ts';
import { anon_vma } from './anon_vma.ts';
import { ihold } from './filemap.ts';
import { alloc_hugetlb_folio, copyHugePage, copyPages, pages_of } from './memory.ts';
import {
  mm_struct,
  PTE_ANON,
  PTE_EXCLUSIVE,
  PTE_STEP,
  PTE_WRITE,
  VM_DONTCOPY,
  VM_WRITE,
  type vm_area_struct,
} from './mm_types.ts';
import { mmput } from './util.ts';
import { vm_area_alloc, vma_link, vmas_within } from './vma.ts';

const COPY = op<Observed>('copy_page_range', { opaque: true });

const fn = sourceFile('kernel/fork.c');

/** Beyond the last page of any address space. */
const END = 2 ** 47;

/**
 * A copy of an address space for a child, in use by the caller. Shared memory is shared; what is private is
 * shown to both until one of them writes, except pages that may be pinned, which the child gets copies of at
 * once. Nothing is charged to it. -ENOMEM: no huge page for such a copy.
 */
export const dup_mm = fn('dup_mm', function* (oldmm: mm_struct, creator: Named, role: string): Gen<
  mm_struct | Err
> {
  const mm = new mm_struct(creator, role);
  yield* down_write(oldmm.mmap_lock);
  yield* down_write(mm.mmap_lock);
  let ok = true;
  for (const vma of vmas_within(oldmm, 0, END)) {
    if ((vma.vm_flags & VM_DONTCOPY) !== 0) continue;
    ok = yield* operation(COPY, vma.order, () => dup_vma(mm, vma));
    if (!ok) break;
  }
  yield* up_write(mm.mmap_lock);
  yield* up_write(oldmm.mmap_lock);
  if (ok) return mm;
  yield* mmput(mm);
  return fail(ENOMEM, 'no huge page is left for the copy of a pinned one');
});

function dup_vma(mm: mm_struct, vma: vm_area_struct): boolean {
  const { first, last, vm_file, anon_vma: anon } = vma;
  const child = vm_area_alloc(mm, vma.$role, first, last, vma.vm_flags, vma.vm_pgoff, (it) => {
    if (vm_file !== null) ihold(vm_file);
    const own = anon === null ? null : new anon_vma(it, first, last - first + 1, anon, anon.pool);
    return { vm_file, anon_vma: own, resv: null };
  });
  vma_link(child);
  // What only shows a file is faulted in again when it is needed.
  if (anon === null) return true;
  for (const pte of vma.pgtable.within(first, last)) {
    if (!copy_ptes(child, vma, pte)) return false;
  }
  return true;
}

/** Shows the child a stretch of pages, or copies of those that are pinned (mm/memory.c: copy_present_ptes). */
function copy_ptes(child: vm_area_struct, vma: vm_area_struct, pte: Extent<number>): boolean {
  if ((pte.value & PTE_ANON) === 0) {
    child.pgtable.set(pte.start, pte.last, pte.value);
    return true;
  }
  const { owner, index } = pages_of(vma, pte);
  const end = index + pte.last - pte.start;
  const unit = owner.compound ? HPAGE_PMD_NR : 1;
  for (let at = index; at <= end; ) {
    // Only what is exclusive can be pinned; of a huge page, all is that any part of is.
    const pin = (pte.value & PTE_EXCLUSIVE) === 0 ? null : owner.pins.first(at, end);
    const from = pin === null ? end + 1 : pin.start - (pin.start % unit);
    const page = pte.start + at - index;
    if (at < from) {
      const value = pte.value + (at - index) * PTE_STEP - (pte.value & (PTE_EXCLUSIVE | PTE_WRITE));
      owner.hold(at, from - 1);
      vma.pgtable.set(page, page + from - at - 1, value);
      child.pgtable.set(page, page + from - at - 1, value);
      at = from;
      continue;
    }
    const last = owner.compound ? at + unit - 1 : (pin?.last ?? at);
    if (!copyPinned(child, page, owner, at, last)) return false;
    at = last + 1;
  }
  return true;
}

/** False: the pool has no huge page left (mm/memory.c: copy_present_page; mm/hugetlb.c: copy_hugetlb_page_range). */
function copyPinned(
  child: vm_area_struct,
  page: number,
  owner: page_owner,
  index: number,
  last: number,
): boolean {
  const bits = PTE_ANON | PTE_EXCLUSIVE | ((child.vm_flags & VM_WRITE) === 0 ? 0 : PTE_WRITE);
  if (!owner.compound) {
    copyPages(child, page, page + last - index, owner, index, bits);
    return true;
  }
  if (!alloc_hugetlb_folio(child, page)) return false;
  copyHugePage(child, page, owner, index, bits);
  return true;
}
