// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/iommu/iommufd/pages.c (6.12), the pfn_reader: the frames of a range of pages, batch by batch, from
 * wherever they are: from pinned_pfns, which accesses fill; from the domain of an area; or from the memory of
 * the process, which pins them.
 */
import { pfn } from '../../hw/memory.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { lockdep_assert_held } from '../../sim/sync/mutex.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EFAULT, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { FOLL_LONGTERM, FOLL_WRITE, pin_user_pages_fast, pin_user_pages_remote } from '../mm/gup.ts';
import { type page_run, unpin_user_pages } from '../mm/page.ts';
import { mmget_not_zero, mmput } from '../mm/util.ts';
import {
  type interval_tree_double_span_iter,
  interval_tree_double_span_iter_done,
  interval_tree_double_span_iter_first,
  interval_tree_double_span_iter_next,
  interval_tree_for_each_double_span,
} from './double_span.h.ts';
import { iopt_area_last_index, type iopt_pages } from './io_pagetable.h.ts';
import {
  current_mm_or_null,
  iopt_pages_add_npinned,
  iopt_pages_sub_npinned,
  type pfn_reader_user,
  pfn_reader_user_update_pinned,
  source_of,
  uptr_of,
} from './pages_account.ts';
import {
  batch_clear,
  batch_from_pages,
  batch_init,
  batch_unpin,
  PAGE_POINTER_SIZE,
  type pfn_batch,
  temp_kmalloc,
} from './pages_batch.ts';
import { batch_from_domain, iopt_pages_find_domain_area } from './pages_domain.ts';
import { batch_from_xarray } from './pages_xarray.ts';
import { iommufd_should_fail } from './selftest_inject.ts';

const fn = sourceFile('drivers/iommu/iommufd/pages.c');

export const pfn_reader_user_init = (pages: iopt_pages): pfn_reader_user => ({
  upages: null,
  upages_len: 0,
  upages_start: 0,
  upages_end: 0,
  gup_flags: FOLL_LONGTERM | (pages.writable ? FOLL_WRITE : 0),
  locked: -1,
});

/** Gives back the locks. What is pinned stays so. */
export const pfn_reader_user_destroy = fn(
  'pfn_reader_user_destroy',
  function* (user: pfn_reader_user, pages: iopt_pages): Gen<void> {
    if (user.locked !== -1) {
      const { mm } = source_of(pages);
      if (user.locked === 1) yield* up_read(mm.mmap_lock);
      if (mm !== current_mm_or_null()) yield* mmput(mm);
      user.locked = -1;
    }
    user.upages = null;
  },
);

/**
 * Pins pages from `start_index` on into `user.upages`, up to `last_index` or as many as there is memory to
 * point to. -EFAULT: the process has exited, or what pin_user_pages says; -ENOMEM.
 */
export const pfn_reader_user_pin = fn(
  'pfn_reader_user_pin',
  function* (user: pfn_reader_user, pages: iopt_pages, start_index: number, last_index: number): Gen<Rc> {
    const { mm } = source_of(pages);
    const remote_mm = mm !== current_mm_or_null();
    if (WARN_ON(last_index < start_index, 'nothing to pin')) return fail(EINVAL, 'nothing to pin');

    const wanted = last_index - start_index + 1;
    if (user.upages === null) {
      const upages_len = temp_kmalloc(wanted * PAGE_POINTER_SIZE, 0);
      if (upages_len === null) return fail(ENOMEM, 'no memory to point to the pages');
      user.upages_len = upages_len;
    }
    if (user.locked === -1) {
      if (remote_mm && !(yield* mmget_not_zero(mm))) {
        return fail(EFAULT, 'the process that the memory was of has exited');
      }
      user.locked = 0;
    }

    const npages = Math.min(wanted, Math.floor(user.upages_len / PAGE_POINTER_SIZE));
    if (iommufd_should_fail()) return fail(EFAULT, 'fault injection');

    const upages: page_run[] = [];
    user.upages = upages;
    const uptr = uptr_of(pages, start_index);
    if (remote_mm && user.locked === 0) {
      yield* down_read(mm.mmap_lock);
      user.locked = 1;
    }
    const rc = remote_mm
      ? yield* pin_user_pages_remote(mm, uptr, npages, user.gup_flags, upages)
      : yield* pin_user_pages_fast(uptr, npages, user.gup_flags, upages);
    if (IS_ERR(rc)) return rc;
    if (WARN_ON(rc === 0, 'nothing was pinned')) return fail(EFAULT, 'nothing was pinned');
    iopt_pages_add_npinned(pages, rc);
    user.upages_start = start_index;
    user.upages_end = start_index + rc;
    return 0;
  },
);

/** On the stack of one task. */
export interface pfn_reader {
  readonly pages: iopt_pages;
  readonly span: interval_tree_double_span_iter;
  readonly batch: pfn_batch;
  /** Page indexes that the batch is for, its end excluded. */
  batch_start_index: number;
  batch_end_index: number;
  readonly last_index: number;
  readonly user: pfn_reader_user;
}

/** Charges for what was pinned: see pfn_reader_user_update_pinned. */
export const pfn_reader_update_pinned = (pfns: pfn_reader): Co<Rc> =>
  pfn_reader_user_update_pinned(pfns.user, pfns.pages);

/** Unpins what the batch has and nobody else holds. */
export const pfn_reader_unpin = fn('pfn_reader_unpin', function* (pfns: pfn_reader): Gen<void> {
  const { pages, batch, batch_start_index: start } = pfns;
  const last = pfns.batch_end_index - 1;
  lockdep_assert_held(pages.mutex);
  const { access_itree, domains_itree } = pages;
  for (const span of interval_tree_for_each_double_span(access_itree, domains_itree, start, last)) {
    if (span.is_used !== 0) continue;
    yield* batch_unpin(batch, pages, span.start - start, span.last - span.start + 1);
  }
});

/** Adds to the batch what one store has from batch_end_index on. */
function* pfn_reader_fill_span(pfns: pfn_reader): Gen<Rc> {
  const { pages, batch, span, user } = pfns;
  const start_index = pfns.batch_end_index;
  if (WARN_ON(span.last < start_index, 'the reader is beyond its span')) {
    return fail(EINVAL, 'the reader is beyond its span');
  }
  if (span.is_used === 1) {
    yield* batch_from_xarray(batch, pages.pinned_pfns, start_index, span.last);
    return 0;
  }
  if (span.is_used === 2) {
    const area = iopt_pages_find_domain_area(pages, start_index);
    const domain = area?.storage_domain ?? null;
    if (WARN_ON(area === null, 'no area has the pages') || area === null || domain === null) {
      return fail(EINVAL, 'no area has the pages');
    }
    const last = Math.min(iopt_area_last_index(area), span.last);
    batch_from_domain(batch, domain, area, start_index, last);
    return 0;
  }
  if (start_index >= user.upages_end) {
    const rc = yield* pfn_reader_user_pin(user, pages, start_index, span.last);
    if (rc !== 0) return rc;
  }
  batch_from_pages(batch, pages_from(user, start_index));
  return 0;
}

/** Of what was pinned last, the pages from an index on. */
function* pages_from(user: pfn_reader_user, index: number): Generator<page_run, void> {
  let skip = index - user.upages_start;
  for (const { start, count } of user.upages ?? []) {
    if (skip < count) yield { start: pfn(start + skip), count: count - skip };
    skip = Math.max(skip - count, 0);
  }
}

export const pfn_reader_done = (pfns: pfn_reader): boolean => pfns.batch_start_index === pfns.last_index + 1;

/** Goes on to the next batch. Errors of pfn_reader_user_pin. */
export const pfn_reader_next = fn('pfn_reader_next', function* (pfns: pfn_reader): Gen<Rc> {
  const { batch, span } = pfns;
  batch_clear(batch);
  pfns.batch_start_index = pfns.batch_end_index;
  while (pfns.batch_end_index !== pfns.last_index + 1) {
    const npfns = batch.total_pfns;
    if (WARN_ON(interval_tree_double_span_iter_done(span), 'the reader has run out of spans')) {
      return fail(EINVAL, 'the reader has run out of spans');
    }
    const rc = yield* pfn_reader_fill_span(pfns);
    if (rc !== 0) return rc;
    if (WARN_ON(batch.total_pfns === 0, 'a batch has no room')) return fail(EINVAL, 'a batch has no room');
    pfns.batch_end_index = pfns.batch_start_index + batch.total_pfns;
    if (pfns.batch_end_index === span.last + 1) interval_tree_double_span_iter_next(span);
    if (npfns === batch.total_pfns) return 0;
  }
  return 0;
});

/** Unpins what the reader has pinned and nobody has taken over: needed before pins of others can be dropped. */
export const pfn_reader_release_pins = fn('pfn_reader_release_pins', function* (pfns: pfn_reader): Gen<void> {
  const { pages, user, batch_end_index } = pfns;
  if (user.upages_end > batch_end_index) {
    yield* unpin_user_pages([...pages_from(user, batch_end_index)]);
    iopt_pages_sub_npinned(pages, user.upages_end - batch_end_index);
    user.upages_end = batch_end_index;
  }
  if (pfns.batch_start_index !== batch_end_index) {
    yield* pfn_reader_unpin(pfns);
    pfns.batch_start_index = batch_end_index;
  }
});

/** Ends the reader; what it pinned must be charged, or is unpinned. */
export function* pfn_reader_destroy(pfns: pfn_reader): Gen<void> {
  const { pages } = pfns;
  yield* pfn_reader_release_pins(pfns);
  yield* pfn_reader_user_destroy(pfns.user, pages);
  WARN_ON(pages.last_npinned !== pages.npinned, `${pages.name} have pinned pages that are not charged`);
}

/**
 * A reader of [start_index, last_index], with its first batch. pages.mutex is held until it is destroyed.
 * Errors of pfn_reader_user_pin; -ENOMEM.
 */
export const pfn_reader_first = fn(
  'pfn_reader_first',
  function* (pages: iopt_pages, start_index: number, last_index: number): Gen<pfn_reader | Err> {
    if (WARN_ON(last_index < start_index, 'nothing to read')) return fail(EINVAL, 'nothing to read');
    lockdep_assert_held(pages.mutex);
    const user = pfn_reader_user_init(pages);
    const batch = batch_init(last_index - start_index + 1);
    if (batch === null) return fail(ENOMEM, 'no memory for a batch');
    const { access_itree, domains_itree } = pages;
    const span = interval_tree_double_span_iter_first(access_itree, domains_itree, start_index, last_index);
    const pfns: pfn_reader = {
      pages,
      span,
      batch,
      batch_start_index: start_index,
      batch_end_index: start_index,
      last_index,
      user,
    };
    const rc = yield* pfn_reader_next(pfns);
    if (rc === 0) return pfns;
    yield* pfn_reader_destroy(pfns);
    return rc;
  },
);
