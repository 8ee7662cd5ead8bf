// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/pages.c (6.12): frames to and from iopt_pages.pinned_pfns. */
import { pfn } from '../../hw/memory.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { rcu_read_lock, rcu_read_unlock } from '../../sim/sync/rcu.ts';
import { spin_lock, spin_unlock } from '../../sim/sync/spinlock.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EINVAL } from '../../uapi/errno.ts';
import { add_pages, type page_run } from '../mm/page.ts';
import type { iopt_pages, pfn_xarray } from './io_pagetable.h.ts';
import { batch_add_pfn, type pfn_batch } from './pages_batch.ts';
import { iommufd_should_fail } from './selftest_inject.ts';

const fn = sourceFile('drivers/iommu/iommufd/pages.c');

/** What an xarray holds for [start_index, last_index], in runs. WARN, and frame 0 as in Linux, at a hole. */
function* frames_of_xarray(
  xa: pfn_xarray,
  start_index: number,
  last_index: number,
): Generator<page_run, void> {
  for (let index = start_index; index <= last_index; ) {
    const piece = xa.first(index, last_index);
    if (WARN_ON(piece?.start !== index, `${xa.name} lacks a page`) || piece === null) {
      yield { start: pfn(0), count: 1 };
      index += 1;
    } else {
      yield { start: pfn(piece.value), count: piece.last - index + 1 };
      index = piece.last + 1;
    }
  }
}

/** Fills the batch with what the xarray holds for [start_index, last_index], until it is full. */
export function* batch_from_xarray(
  batch: pfn_batch,
  xa: pfn_xarray,
  start_index: number,
  last_index: number,
): Gen<void> {
  yield* rcu_read_lock();
  for (const { start, count } of frames_of_xarray(xa, start_index, last_index)) {
    if (!batch_add_pfn(batch, start, count)) break;
  }
  yield* rcu_read_unlock();
}

/** As batch_from_xarray; what went into the batch is taken out of the xarray. */
export function* batch_from_xarray_clear(
  batch: pfn_batch,
  xa: pfn_xarray,
  start_index: number,
  last_index: number,
): Gen<void> {
  let index = start_index;
  yield* spin_lock(xa.xa_lock);
  for (const { start, count } of frames_of_xarray(xa, start_index, last_index)) {
    if (!batch_add_pfn(batch, start, count)) break;
    xa.clear(index, index + count - 1);
    index += count;
  }
  yield* spin_unlock(xa.xa_lock);
}

export function* clear_xarray(xa: pfn_xarray, start_index: number, last_index: number): Gen<void> {
  yield* spin_lock(xa.xa_lock);
  xa.clear(start_index, last_index);
  yield* spin_unlock(xa.xa_lock);
}

/**
 * Stores the pages of [start_index, last_index], where there is nothing. -EINVAL: fault injection, half way;
 * nothing is stored then.
 */
export const pages_to_xarray = fn(
  'pages_to_xarray',
  function* (xa: pfn_xarray, start_index: number, last_index: number, pages: readonly page_run[]): Gen<Rc> {
    yield* spin_lock(xa.xa_lock);
    const fails = iommufd_should_fail();
    const stored = Math.floor((last_index - start_index + 1) / 2);
    const end_index = fails ? start_index + stored : last_index + 1;
    let index = start_index;
    for (const { start, count } of pages) {
      const last = Math.min(index + count, end_index) - 1;
      if (last < index) break;
      WARN_ON(xa.first(index, last) !== null, `${xa.name} has a page already`);
      xa.set(index, last, start);
      index = last + 1;
    }
    yield* spin_unlock(xa.xa_lock);
    if (!fails) return 0;
    if (stored !== 0) yield* clear_xarray(xa, start_index, end_index - 1);
    return fail(EINVAL, 'fault injection');
  },
);

/** Appends to `out_pages` what is stored for [start_index, last_index]: an access must hold all of it. */
export const iopt_pages_fill_from_xarray = fn(
  'iopt_pages_fill_from_xarray',
  function* (pages: iopt_pages, start_index: number, last_index: number, out_pages: page_run[]): Gen<void> {
    yield* rcu_read_lock();
    for (const { start, count } of frames_of_xarray(pages.pinned_pfns, start_index, last_index)) {
      add_pages(out_pages, start, count);
    }
    yield* rcu_read_unlock();
  },
);
