// SPDX-License-Identifier: GPL-2.0-only

/** The anonymous memory of mappings (include/linux/rmap.h, mm/rmap.c, 6.12). */
import { HPAGE_PMD_NR, memory, page_owner } from '../../hw/memory.ts';
import { int } from '../../sim/field.ts';
import type { Named, Observed } from '../../sim/observed.ts';
import { kfree } from '../../sim/slab.ts';
import { struct } from '../../sim/struct.ts';
import { address_space, ihold, iput } from './filemap.ts';
import type { hstate } from './hugetlb.ts';

/**
 * The private pages of one mapping and of what it was split into. A child's mapping has its own, whose
 * operations are announced on the parent's: they show the same pages until one of them writes. So are those
 * of a mapping of a file on the file. `refcount`: the mappings, and the other anon_vmas whose `order` it is.
 * Freed with the last of them and its last page.
 *
 * Pages are numbered from the start of the mapping; a page that is copied while its number is still in use
 * (the child shows it) gets a number of the next round.
 */
export class anon_vma extends struct('anon_vma', page_owner, { refcount: int() }) {
  readonly order: Observed;
  /** The page of address space whose memory is page 0. */
  readonly base: number;
  readonly npages: number;
  /** Null: ordinary pages. */
  readonly pool: hstate | null;

  /** `alike`: whose order it shares; null: nobody's. The caller holds the first reference. */
  constructor(
    creator: Named,
    base: number,
    npages: number,
    alike: anon_vma | address_space | null,
    pool: hstate | null,
  ) {
    super(creator, 'anon_vma');
    this.base = base;
    this.npages = npages;
    this.pool = pool;
    const order = alike?.order ?? this;
    this.order = order;
    this.refcount = 1;
    memory().reserve(this, 0, npages);
    if (order instanceof address_space) ihold(order);
    else if (order instanceof anon_vma && order !== this) order.refcount += 1;
  }

  override get compound(): boolean {
    return this.pool !== null;
  }

  /** A page that is free, for `page` of the address space; of huge pages the first of a free block. */
  slot(page: number): number {
    const length = this.compound ? HPAGE_PMD_NR : 1;
    for (let index = page - this.base; ; index += this.npages) {
      this.#makeRoom(index);
      if (!this.holdsAny(index, index + length - 1)) return index;
    }
  }

  /** As slot, for pages one after the other; null when some are not free in the first round. */
  slots(first: number, last: number): number | null {
    const index = first - this.base;
    this.#makeRoom(index);
    return this.holdsAny(index, last - this.base) ? null : index;
  }

  #makeRoom(index: number): void {
    if (this.hasRoom(index)) return;
    memory().reserve(this, index - (index % this.npages), this.npages);
  }

  protected released(first: number, last: number): void {
    this.pool?.give_back(this, first, last);
    this.#freeIfUnused();
  }

  /** Drops a reference. */
  put(): void {
    this.refcount -= 1;
    this.#freeIfUnused();
  }

  #freeIfUnused(): void {
    if (this.refcount > 0 || this.$freed || !this.isEmpty) return;
    kfree(this);
    const { order } = this;
    if (order instanceof address_space) iput(order);
    else if (order instanceof anon_vma && order !== this) order.put();
  }
}
