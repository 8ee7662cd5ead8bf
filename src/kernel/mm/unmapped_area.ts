// SPDX-License-Identifier: GPL-2.0-only

/** Where a mapping goes that was not told (mm/mmap.c, fs/hugetlbfs/inode.c, 6.12). */
import { HPAGE_PMD_NR, PAGE_SIZE } from '../../hw/memory.ts';
import { type Err, fail } from '../../sim/errno.ts';
import { ENOMEM } from '../../uapi/errno.ts';
import type { mm_struct } from './mm_types.ts';
import { vmas_within } from './vma.ts';

/** Where x86-64 starts to look, downwards, without randomisation: below the stack. In pages. */
const MMAP_BASE = 0x7ffff7fff;
/** TASK_SIZE in pages. */
const END = 0x7ffffffff;
/** /proc/sys/vm/mmap_min_addr, in pages. */
const MMAP_MIN = 0x10000 / PAGE_SIZE;

/**
 * The first page of `pages` pages where nothing is mapped: at the hint `addr` (bytes; 0: none) if there is
 * room, else the highest below mmap_base, else the lowest above. -ENOMEM when there is none.
 */
export function get_unmapped_area(mm: mm_struct, addr: bigint, pages: number, huge: boolean): number | Err {
  const align = huge || (addr === 0n && pages % HPAGE_PMD_NR === 0) ? HPAGE_PMD_NR : 1;
  const asked = Math.floor(Number(addr) / PAGE_SIZE);
  const hint = Math.ceil(Math.max(asked, MMAP_MIN) / align) * align;
  if (asked !== 0 && hint + pages <= END && isFree(mm, hint, pages)) return hint;
  let below: number | null = null;
  let above: number | null = null;
  let gap = 1;
  for (const [first, next] of [...taken(mm), [END, END] as const]) {
    const top = Math.floor((Math.min(first, MMAP_BASE) - pages) / align) * align;
    if (top >= gap) below = top;
    const bottom = Math.ceil(Math.max(gap, MMAP_BASE) / align) * align;
    if (bottom + pages <= first) above ??= bottom;
    gap = next;
  }
  return below ?? above ?? fail(ENOMEM, 'no room in the address space');
}

const isFree = (mm: mm_struct, first: number, pages: number): boolean =>
  mm.mm_mt.first(first, first + pages - 1) === null;

/** First page, and first page after, of each mapping. */
function* taken(mm: mm_struct): Generator<readonly [number, number], void> {
  for (const vma of vmas_within(mm, 0, END)) yield [vma.first, vma.last + 1];
}
