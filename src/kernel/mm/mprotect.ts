// SPDX-License-Identifier: GPL-2.0-only

/** mprotect(2) (mm/mprotect.c, 6.12). */
import { PAGE_SIZE } from '../../hw/memory.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { down_write, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { EINVAL, ENOMEM } from '../../uapi/errno.ts';
import {
  type mm_struct,
  PTE_EXCLUSIVE,
  PTE_WRITE,
  TASK_SIZE_MAX,
  VM_ACCESS_FLAGS,
  VM_HUGETLB,
  VM_SHARED,
  VM_WRITE,
  type vm_area_struct,
  vma_lookup,
} from './mm_types.ts';
import { may_split, split_vma } from './vma.ts';

const MPROTECT = op<Observed>('mprotect', { opaque: true });

/**
 * Changes what may be done in [addr, addr + len); takes mmap_lock. 0; -EINVAL: alignment, part of a huge page;
 * -ENOMEM: not all of it is mapped, what lies before the hole has been changed.
 */
export const do_mprotect = sourceFile('mm/mprotect.c')(
  'do_mprotect_pkey',
  function* (mm: mm_struct, addr: bigint, len: bigint, prot: number): Gen<Rc> {
    if (addr % BigInt(PAGE_SIZE) !== 0n) return fail(EINVAL, 'the address is not page-aligned');
    if (len === 0n) return 0;
    if (addr > TASK_SIZE_MAX || len > TASK_SIZE_MAX - addr) return fail(ENOMEM, 'beyond the address space');
    const first = Number(addr) / PAGE_SIZE;
    const last = first + Math.ceil(Number(len) / PAGE_SIZE) - 1;
    yield* down_write(mm.mmap_lock);
    let rc: Rc = 0;
    for (let at = first; at <= last && rc === 0; ) {
      const vma = vma_lookup(mm, at);
      if (vma === null) {
        rc = fail(ENOMEM, 'not all of it is mapped');
        break;
      }
      const page = at;
      const end = Math.min(last, vma.last);
      rc = yield* operation(MPROTECT, vma.order, () =>
        mprotect_fixup(vma, page, end, prot & VM_ACCESS_FLAGS),
      );
      at = end + 1;
    }
    yield* up_write(mm.mmap_lock);
    return rc;
  },
);

function mprotect_fixup(vma: vm_area_struct, first: number, last: number, prot: number): Rc {
  let part = vma;
  for (const page of [first, last + 1]) {
    if (page <= part.first || page > part.last) continue;
    if (!may_split(part, page)) return fail(EINVAL, 'the range ends within a huge page');
    const right = split_vma(part, page);
    if (page === first) part = right;
  }
  part.vm_flags = (part.vm_flags & ~VM_ACCESS_FLAGS) | prot;
  change_protection(part);
  return 0;
}

/** Entries become writable at once if no fault has anything left to do for it. */
function change_protection(vma: vm_area_struct): void {
  const { vm_flags } = vma;
  const writable = (vm_flags & VM_WRITE) !== 0;
  const shared = (vm_flags & VM_SHARED) !== 0;
  for (const { start, last, value } of vma.pgtable.within(vma.first, vma.last)) {
    const upgrade = shared || ((vm_flags & VM_HUGETLB) === 0 && (value & PTE_EXCLUSIVE) !== 0);
    const write = writable && upgrade ? PTE_WRITE : 0;
    vma.pgtable.set(start, last, value - (value & PTE_WRITE) + write);
  }
}
