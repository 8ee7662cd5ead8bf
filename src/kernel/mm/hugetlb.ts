// SPDX-License-Identifier: GPL-2.0-only

/**
 * Huge pages of 2 MiB out of a pool of fixed size (mm/hugetlb.c, 6.12). Every operation on hugetlb memory is
 * announced on the pool: here stands in for hugetlb_lock.
 */
import { HPAGE_PMD_NR, type page_owner } from '../../hw/memory.ts';
import {
  type bitmap,
  bitmap_clear,
  bitmap_set,
  bitmap as bits,
  test_bit,
} from '../../sim/collections/bitmap.ts';
import { machine } from '../../sim/context.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { int } from '../../sim/field.ts';
import type { Root } from '../../sim/observed.ts';
import { kfree } from '../../sim/slab.ts';
import { root, struct } from '../../sim/struct.ts';
import { ENOMEM } from '../../uapi/errno.ts';

/** Huge pages of the machine that the recordings were made on. */
const NR_HUGE_PAGES = 80;

/** The pool; counts in huge pages. Of `free_huge_pages`, `resv_huge_pages` are promised to mappings. */
export class hstate extends struct('hstate', root, {
  nr_huge_pages: int(),
  free_huge_pages: int(),
  resv_huge_pages: int(),
}) {
  /** Takes back those blocks of the pages [first, last] that are free now. */
  give_back(owner: page_owner, first: number, last: number): void {
    const start = first - (first % HPAGE_PMD_NR);
    for (let block = start; block <= last; block += HPAGE_PMD_NR) {
      if (!owner.holdsAny(block, block + HPAGE_PMD_NR - 1)) this.free_huge_pages += 1;
    }
  }

  /** Takes a page out of the pool, one of those reserved or one that nobody has reserved; false: none left. */
  dequeue(reserved: boolean): boolean {
    if (!reserved && this.free_huge_pages <= this.resv_huge_pages) return false;
    if (reserved) this.resv_huge_pages -= 1;
    this.free_huge_pages -= 1;
    return true;
  }
}

function make(creator: Root): hstate {
  const pool = new hstate(creator, 'hugetlb', true);
  set_max_huge_pages(pool, NR_HUGE_PAGES);
  return pool;
}

/** The pool of the machine that runs. */
export const default_hstate = (): hstate => machine().singleton(make);

/** Sets the size of the pool, while none of its pages is in use: /proc/sys/vm/nr_hugepages. */
export function set_max_huge_pages(pool: hstate, count: number): void {
  pool.nr_huge_pages = count;
  pool.free_huge_pages = count;
}

/**
 * The huge pages that are reserved for a mapping or a file and not taken yet, by number of the huge page:
 * the complement of what Linux keeps in a private mapping's resv_map. `refs`: the file, or the mappings that
 * the one which reserved was split into.
 */
export class resv_map extends struct('resv_map', root, { refs: int(), reserved: bits() }) {
  readonly pool: hstate;

  constructor(pool: hstate, count: number) {
    super(pool, 'resv_map');
    this.pool = pool;
    this.refs = 1;
    const map: bitmap = this.reserved;
    bitmap_set(map, 0, count);
    pool.resv_huge_pages += count;
  }

  has(index: number): boolean {
    return test_bit(index, this.reserved);
  }

  /** The reservation of a page is used up; the caller takes it from the pool. */
  consume(index: number): void {
    bitmap_clear(this.reserved, index, 1);
  }

  /** Drops a reference, and with it what is still reserved of [first, last]. */
  put(first: number, last: number): void {
    this.pool.resv_huge_pages -= this.reserved.clear(first, last);
    this.refs -= 1;
    if (this.refs === 0) kfree(this);
  }
}

/**
 * Whether `count` more huge pages can be promised: 0 or -ENOMEM (mm/hugetlb.c: hugetlb_acct_memory,
 * gather_surplus_pages; nr_overcommit_hugepages is 0).
 */
export function hugetlb_acct_memory(pool: hstate, count: number): Rc {
  if (pool.resv_huge_pages + count <= pool.free_huge_pages) return 0;
  return fail(ENOMEM, 'the pool has not as many huge pages left');
}
