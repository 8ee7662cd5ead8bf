// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/iommu/iommufd/pages.c (6.12), the pfn_batch: frames on their way from one store to another. Linux
 * goes page by page; here a run of consecutive frames goes at once, and batches are cut where Linux cuts them.
 */
import { memory, PAGE_SIZE, pfn } from '../../hw/memory.ts';
import { happens } from '../../sim/chance.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { ALLOCATION } from '../../sim/slab.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { oops, WARN_ON } from '../../sim/warn.ts';
import { type page_run, unpin_user_page_range_dirty_lock } from '../mm/page.ts';
import type { iopt_pages } from './io_pagetable.h.ts';
import { iopt_pages_sub_npinned } from './pages_account.ts';
import { iommufd_should_fail, iommufd_test_memory_limit } from './selftest_inject.ts';

const fn = sourceFile('drivers/iommu/iommufd/pages.c');

/** Bytes of a page pointer, as a temporary list of pages has them. */
export const PAGE_POINTER_SIZE = 8;
/** Bytes of an entry of a batch: an unsigned long and a u32. */
const ELEMENT_SIZE = 12;
/** Bytes on the stack for batches that must not fail: u64[BATCH_BACKUP_SIZE]. */
const BACKUP_LEN = 32 * 8;

/**
 * Allocates up to `size` bytes, as many as can be had easily. Returns how many bytes it got; null for none,
 * which with a backup (`backup_len` bytes, 0: there is none) does not happen.
 */
export function temp_kmalloc(size: number, backup_len: number): number | null {
  if (WARN_ON(size === 0, 'a temporary allocation of nothing')) return null;
  if (size < backup_len) return size;
  if (backup_len === 0 && iommufd_should_fail()) return null;
  if (kmalloc('a batch')) return Math.min(size, iommufd_test_memory_limit());
  // 6.12 does this: the limit does not hold for the second attempt.
  if (kmalloc('a smaller batch')) return PAGE_SIZE;
  return backup_len === 0 ? null : backup_len;
}

const kmalloc = (what: string): boolean =>
  !happens(ALLOCATION, (fails) => `${fails ? 'no memory for' : 'allocate'} ${what}`);

/**
 * Frames in the order of the page indexes they are for, as runs: `npfns[i]` frames from `pfns[i]` on. It
 * lives on the stack of one task. (Linux starts a new run after UINT_MAX frames: 16 TiB.)
 */
export interface pfn_batch {
  readonly pfns: number[];
  readonly npfns: number[];
  /** Runs that there is room for, and runs that there are. */
  array_size: number;
  end: number;
  total_pfns: number;
}

/** The run at `cur`, which must be below `end`: what lies beyond in memory is anything. */
export function batch_run(batch: pfn_batch, cur: number): page_run {
  const start = batch.pfns[cur];
  const count = batch.npfns[cur];
  if (start === undefined || count === undefined) oops(`a batch is read beyond its runs`);
  return { start: pfn(start), count };
}

export function batch_clear(batch: pfn_batch): void {
  batch.total_pfns = 0;
  batch.end = 0;
}

const bugB5a = bug('B5a', {
  at: 'drivers/iommu/iommufd/pages.c:batch_clear_carry',
  about: 'A batch of one run carries its first frames, where it has to carry its last',
  source: 'iommufd: Do not corrupt the pfn list when doing batch carry (6.2 to 6.2.10)',
  cure: 'The first frame that is kept is computed before the length of the run is overwritten',
});

const bugB5b = bug('B5b', {
  at: 'drivers/iommu/iommufd/pages.c:batch_clear_carry',
  about: 'What a batch carries does not count as a run of it, and is overwritten',
  source: 'iommufd: Set end correctly when doing batch carry (6.2 to 6.4.7)',
  cure: 'It is the first run',
});

/** Keeps the last `keep_pfns` frames, which must be of the last run. */
export function batch_clear_carry(batch: pfn_batch, keep_pfns: number): void {
  if (keep_pfns === 0) {
    batch_clear(batch);
    return;
  }
  const last = batch.end === 0 ? { start: 0, count: 0 } : batch_run(batch, batch.end - 1);
  WARN_ON(last.count < keep_pfns, 'a batch carries more than its last run');
  batch.total_pfns = keep_pfns;
  const skipped = batch.end === 1 && bugB5a() ? 0 : last.count - keep_pfns;
  batch.pfns[0] = last.start + skipped;
  batch.npfns[0] = keep_pfns;
  batch.end = bugB5b() ? 0 : 1;
}

/** Drops the first `skip_pfns` frames of what was carried. */
export function batch_skip_carry(batch: pfn_batch, skip_pfns: number): void {
  if (batch.total_pfns === 0) return;
  const { start, count } = batch_run(batch, 0);
  WARN_ON(batch.total_pfns !== count, 'a batch skips, but has more than what was carried');
  const skip = Math.min(batch.total_pfns, skip_pfns);
  batch.pfns[0] = start + skip;
  batch.npfns[0] = count - skip;
  batch.total_pfns -= skip;
}

function new_batch(array_size: number): pfn_batch {
  const pfns: number[] = [];
  const npfns: number[] = [];
  return { pfns, npfns, array_size, end: 0, total_pfns: 0 };
}

/** An empty batch with room for `max_pages` runs, or for as many as memory is given. Null: none (-ENOMEM). */
export function batch_init(max_pages: number): pfn_batch | null {
  const size = temp_kmalloc(max_pages * ELEMENT_SIZE, 0);
  return size === null ? null : new_batch(Math.floor(size / ELEMENT_SIZE));
}

/** As batch_init, where it must not fail. */
export function batch_init_backup(max_pages: number): pfn_batch {
  const size = temp_kmalloc(max_pages * ELEMENT_SIZE, BACKUP_LEN) ?? BACKUP_LEN;
  return new_batch(Math.floor(size / ELEMENT_SIZE));
}

/** Adds `count` frames from `start` on, to the last run where they continue it. False: no room for any. */
export const batch_add_pfn = fn(
  'batch_add_pfn',
  (batch: pfn_batch, start: number, count: number): boolean => {
    const { end } = batch;
    const last = end - 1;
    const length = batch.npfns[last] ?? 0;
    if (end > 0 && start === (batch.pfns[last] ?? 0) + length) {
      batch.npfns[last] = length + count;
    } else {
      if (end === batch.array_size) return false;
      batch.pfns[end] = start;
      batch.npfns[end] = count;
      batch.end = end + 1;
    }
    batch.total_pfns += count;
    return true;
  },
);

/** Fills the batch with pages, until it is full. */
export function batch_from_pages(batch: pfn_batch, pages: Iterable<page_run>): void {
  for (const { start, count } of pages) {
    if (!batch_add_pfn(batch, start, count)) return;
  }
}

/** Unpins `npages` frames of the batch from the one `first_page_off` on, and counts them as unpinned. */
export const batch_unpin = fn(
  'batch_unpin',
  function* (batch: pfn_batch, pages: iopt_pages, first_page_off: number, npages: number): Gen<void> {
    let cur = 0;
    let skip = first_page_off;
    for (; skip > 0 && batch_run(batch, cur).count <= skip; cur++) skip -= batch_run(batch, cur).count;
    for (let left = npages; left > 0; cur++) {
      const { start, count } = batch_run(batch, cur);
      const to_unpin = Math.min(left, count - skip);
      yield* unpin_user_page_range_dirty_lock(pfn(start + skip), to_unpin, pages.writable);
      iopt_pages_sub_npinned(pages, to_unpin);
      skip = 0;
      left -= to_unpin;
    }
  },
);

const COPY_TO = op<Observed>('copy_data_page', { sleeps: true, opaque: true, orders: false });
const READS: readonly string[] = ['copy_data_page (read)'];
const COPY_FROM = op<Observed>('copy_data_page (read)', {
  commutes: READS,
  opaque: true,
  orders: false,
});

/**
 * Copies between `data` and consecutive pages, from byte `offset` of the first on, as one operation on the
 * memory. `write`: to the pages.
 */
export const copy_data_page = (page: pfn, data: Uint8Array, offset: number, write: boolean): Co<void> => {
  const at = page * PAGE_SIZE + offset;
  const order = memory().order(page);
  if (write) return operation(COPY_TO, order, () => memory().write(at, data));
  return operation(COPY_FROM, order, () => data.set(memory().read(at, data.length)));
};

/**
 * Copies between `data` and the frames of the batch, from byte `offset` of the first on. Returns how many
 * bytes: as many as there are in both.
 */
export function* batch_rw(batch: pfn_batch, data: Uint8Array, offset: number, write: boolean): Gen<number> {
  let copied = 0;
  let skip = offset;
  for (let cur = 0; cur < batch.end && copied < data.length; cur++) {
    const { start, count } = batch_run(batch, cur);
    const bytes = Math.min(data.length - copied, count * PAGE_SIZE - skip);
    yield* copy_data_page(start, data.subarray(copied, copied + bytes), skip, write);
    copied += bytes;
    skip = 0;
  }
  return copied;
}
