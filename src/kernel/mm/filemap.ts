// SPDX-License-Identifier: GPL-2.0-only

/** Pages of files (mm/filemap.c, mm/shmem.c, 6.12): what shared mappings show, and private ones copy. */
import { HPAGE_PMD_NR, memory, page_owner, type pfn } from '../../hw/memory.ts';
import { int } from '../../sim/field.ts';
import type { Named, Observed } from '../../sim/observed.ts';
import { kfree } from '../../sim/slab.ts';
import { struct } from '../../sim/struct.ts';
import type { hstate, resv_map } from './hugetlb.ts';

/**
 * The page cache of an inode, and the inode: shmem (shared anonymous memory, a file of its own), hugetlbfs,
 * or a file whose contents nobody stated: zeros. `i_count`: mappings, and whoever else has it open; with the
 * last, the cache drops its pages. Freed with the last of these, pinned ones included.
 */
export class address_space extends struct('address_space', page_owner, { i_count: int() }) {
  /** Size in pages; what lies behind is SIGBUS. */
  readonly npages: number;
  /** Null: ordinary pages. */
  readonly pool: hstate | null;
  /** Huge pages that are reserved for it and not taken yet. */
  resv: resv_map | null = null;

  /** The caller holds the first reference. */
  constructor(creator: Named, role: string, npages: number, pool: hstate | null = null) {
    super(creator, role);
    this.npages = npages;
    this.pool = pool;
    this.i_count = 1;
    memory().reserve(this, 0, npages);
  }

  get order(): Observed {
    return this.pool ?? this;
  }

  override get compound(): boolean {
    return this.pool !== null;
  }

  /** Makes the cache hold pages, zeroed where it did not; returns the frame of the first. */
  fill(first: number, last: number): pfn {
    for (let at = first; at <= last; ) {
      const hole = this.refs.firstHole(at, last);
      if (hole === null) break;
      const next = this.refs.first(hole, last);
      const end = next === null ? last : next.start - 1;
      this.take(hole, end);
      at = end + 1;
    }
    return this.frame(first);
  }

  has(index: number): boolean {
    return this.refs.get(index) !== undefined;
  }

  protected released(first: number, last: number): void {
    this.pool?.give_back(this, first, last);
    this.#freeIfUnused();
  }

  #freeIfUnused(): void {
    if (this.$freed || this.i_count > 0 || !this.isEmpty) return;
    kfree(this);
  }

  /** The last reference is gone: the cache lets go of its pages (fs/inode.c: evict). */
  evict(): void {
    this.resv?.put(0, this.npages / HPAGE_PMD_NR - 1);
    this.resv = null;
    // It is gone with its last page.
    while (!this.$freed) {
      const piece = this.refs.first(0, this.npages - 1);
      if (piece === null) break;
      this.drop(piece.start, piece.last);
    }
    this.#freeIfUnused();
  }
}

/** Takes a reference. */
export function ihold(inode: address_space): void {
  inode.i_count += 1;
}

/** Drops a reference; with the last the inode goes (fs/inode.c). */
export function iput(inode: address_space): void {
  inode.i_count -= 1;
  if (inode.i_count === 0) inode.evict();
}
