// SPDX-License-Identifier: GPL-2.0-only

import { PAGE_SIZE } from '../../hw/memory.ts';
/** Loads and stores by virtual address, as the processor does them for a program. */
import { opaque } from '../../sim/point.ts';
import { zeroed } from '../../sim/zeroed.ts';
import { FAULT_FLAG_WRITE, handle_mm_fault, pages_of } from './memory.ts';
import {
  type mm_struct,
  pte_write,
  VM_ACCESS_FLAGS,
  VM_IO,
  VM_PFNMAP,
  VM_WRITE,
  type vm_area_struct,
  vma_lookup,
} from './mm_types.ts';

/** Whether the processor may load from a mapping, or store to it: what it may do at all, it may read. */
function permits(vma: vm_area_struct, write: boolean): boolean {
  const flags = vma.vm_flags;
  return (flags & (VM_IO | VM_PFNMAP)) === 0 && (flags & (write ? VM_WRITE : VM_ACCESS_FLAGS)) !== 0;
}

/**
 * Moves bytes between a mapping and `data` from `done` on: the memory at `at` and after it is stored to
 * (`write`) or loaded from. Ends with the mapping, with `data`, or before what cannot be touched; returns how
 * many bytes it moved. What it touches is faulted in.
 */
export function access_vma(
  vma: vm_area_struct,
  at: number,
  data: Uint8Array,
  done: number,
  write: boolean,
): number {
  if (!permits(vma, write)) return 0;
  const end = Math.min(at + data.length - done, (vma.last + 1) * PAGE_SIZE);
  const last = Math.floor((end - 1) / PAGE_SIZE);
  for (let here = at; here < end; ) {
    const page = Math.floor(here / PAGE_SIZE);
    let pte = vma.pgtable.first(page, last);
    if (pte === null || pte.start > page || (write && !pte_write(pte.value))) {
      if (handle_mm_fault(vma, page, last, write ? FAULT_FLAG_WRITE : 0) !== 0) return here - at;
      pte = vma.pgtable.first(page, last);
    }
    const mapped = pte !== null && pte.start === page ? pte : null;
    const next = mapped === null ? (pte?.start ?? last + 1) : mapped.last + 1;
    const upTo = Math.min(end, next * PAGE_SIZE);
    const n = upTo - here;
    const from = done + here - at;
    if (mapped === null) {
      data.fill(0, from, from + n);
    } else {
      const { owner, index } = pages_of(vma, mapped);
      const offset = index * PAGE_SIZE + (here % PAGE_SIZE);
      if (write) owner.contents.store(offset, data, from, n);
      else owner.contents.load(offset, data, from, n);
    }
    here = upTo;
  }
  return end - at;
}

/** As access_vma, over whatever is mapped. Returns how many of the bytes of `data` were moved. */
function access_mm(mm: mm_struct, addr: bigint, data: Uint8Array, write: boolean): number {
  if (addr < 0n || addr > Number.MAX_SAFE_INTEGER) return 0;
  let done = 0;
  while (done < data.length) {
    const at = Number(addr) + done;
    const vma = vma_lookup(mm, Math.floor(at / PAGE_SIZE));
    if (vma === null) break;
    const n = access_vma(vma, at, data, done, write);
    if (n === 0) break;
    done += n;
  }
  return done;
}

/**
 * The program itself stores to its memory; no point at which others may go first. False when it would get a
 * signal for it; what lies before the first byte that it may not store is stored even so.
 */
export const user_store = (mm: mm_struct, addr: bigint, bytes: Uint8Array): boolean =>
  opaque(mm, () => access_mm(mm, addr, bytes, true)) === bytes.length;

/** What the program itself loads from its memory; null when it would get a signal for it. */
export function user_load(mm: mm_struct, addr: bigint, length: number): Uint8Array | null {
  const bytes = zeroed(length);
  return opaque(mm, () => access_mm(mm, addr, bytes, false)) === length ? bytes : null;
}
