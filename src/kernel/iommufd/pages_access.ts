// SPDX-License-Identifier: GPL-2.0-only

import {
  interval_tree_insert,
  interval_tree_iter_first,
  interval_tree_iter_next,
  interval_tree_remove,
} from '../../sim/collections/interval-tree.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { lockdep_assert_held, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EINVAL, ENOMEM, EPERM } from '../../uapi/errno.ts';
import { add_pages, type page_run, unpin_user_pages } from '../mm/page.ts';
import { interval_tree_for_each_double_span } from './double_span.h.ts';
import {
  type iopt_area,
  iopt_area_last_index,
  type iopt_pages,
  iopt_pages_access,
} from './io_pagetable.h.ts';
import { IOMMUFD_ACCESS_RW_WRITE } from './iommufd_private.h.ts';
import {
  iopt_pages_sub_npinned,
  type pfn_reader_user,
  pfn_reader_user_update_pinned,
  update_unpinned,
} from './pages_account.ts';
import {
  batch_clear,
  batch_init_backup,
  batch_unpin,
  PAGE_POINTER_SIZE,
  type pfn_batch,
} from './pages_batch.ts';
import { frames_of_domain, iopt_pages_find_domain_area } from './pages_domain.ts';
import {
  batch_from_xarray_clear,
  clear_xarray,
  iopt_pages_fill_from_xarray,
  pages_to_xarray,
} from './pages_xarray.ts';
import { pfn_reader_user_destroy, pfn_reader_user_init, pfn_reader_user_pin } from './pfn_reader.ts';

const fn = sourceFile('drivers/iommu/iommufd/pages.c');

function* iopt_pages_unpin_xarray(
  batch: pfn_batch,
  pages: iopt_pages,
  first_index: number,
  last_index: number,
): Gen<void> {
  for (let start_index = first_index; start_index <= last_index; ) {
    yield* batch_from_xarray_clear(batch, pages.pinned_pfns, start_index, last_index);
    yield* batch_unpin(batch, pages, 0, batch.total_pfns);
    start_index += batch.total_pfns;
    batch_clear(batch);
  }
}

/**
 * Takes out of pinned_pfns what no access covers any more, and unpins it where no domain has it either. The
 * caller holds the mutex and has removed the access from access_itree.
 */
const iopt_pages_unfill_xarray = fn(
  'iopt_pages_unfill_xarray',
  function* (pages: iopt_pages, start_index: number, last_index: number): Gen<void> {
    const { access_itree, domains_itree, pinned_pfns } = pages;
    let batch: pfn_batch | null = null;
    lockdep_assert_held(pages.mutex);
    for (const span of interval_tree_for_each_double_span(
      access_itree,
      domains_itree,
      start_index,
      last_index,
    )) {
      if (span.is_used === 0) {
        batch ??= batch_init_backup(last_index - start_index + 1);
        yield* iopt_pages_unpin_xarray(batch, pages, span.start, span.last);
      } else if (span.is_used === 2) {
        yield* clear_xarray(pinned_pfns, span.start, span.last);
      }
    }
    yield* update_unpinned(pages);
  },
);

/** Appends to `out_pages` what the domains of areas have. -EINVAL: they do not have all. */
function iopt_pages_fill_from_domain(
  pages: iopt_pages,
  first_index: number,
  last_index: number,
  out_pages: page_run[],
): Rc {
  for (let start_index = first_index; start_index <= last_index; ) {
    const area = iopt_pages_find_domain_area(pages, start_index);
    const domain = area?.storage_domain ?? null;
    if (area === null || domain === null) {
      WARN_ON(true, 'no area has the pages');
      return fail(EINVAL, 'no area has the pages');
    }
    const domain_last = Math.min(iopt_area_last_index(area), last_index);
    for (const { start, count } of frames_of_domain(domain, area, start_index, domain_last)) {
      add_pages(out_pages, start, count);
    }
    start_index = domain_last + 1;
  }
  return 0;
}

/** The pages go into a list of the caller's: nothing is to be allocated for them. */
const CALLERS_LIST: readonly page_run[] = [];

function* iopt_pages_err_unpin(pages: iopt_pages, npages: number, page_list: readonly page_run[]): Gen<void> {
  yield* unpin_user_pages(page_list);
  iopt_pages_sub_npinned(pages, npages);
}

/** Pins and appends to `out_pages`. Errors of pfn_reader_user_pin; nothing is pinned then. */
function* iopt_pages_fill_from_mm(
  pages: iopt_pages,
  user: pfn_reader_user,
  start_index: number,
  last_index: number,
  out_pages: page_run[],
): Gen<Rc> {
  let cur_index = start_index;
  while (cur_index !== last_index + 1) {
    user.upages ??= CALLERS_LIST;
    const rc = yield* pfn_reader_user_pin(user, pages, cur_index, last_index);
    if (rc !== 0) {
      if (start_index !== cur_index) yield* iopt_pages_err_unpin(pages, cur_index - start_index, out_pages);
      return rc;
    }
    for (const { start, count } of user.upages) add_pages(out_pages, start, count);
    cur_index = user.upages_end;
  }
  return 0;
}

/** Appends the pages of one span that no access covers, and stores them in pinned_pfns. */
function* fill_span(
  pages: iopt_pages,
  user: pfn_reader_user,
  start: number,
  last: number,
  from_domain: boolean,
  out_pages: page_run[],
): Gen<Rc> {
  const cur_pages: page_run[] = [];
  let rc: Rc = 0;
  if (from_domain) iopt_pages_fill_from_domain(pages, start, last, cur_pages);
  else rc = yield* iopt_pages_fill_from_mm(pages, user, start, last, cur_pages);
  if (rc !== 0) return rc;
  rc = yield* pages_to_xarray(pages.pinned_pfns, start, last, cur_pages);
  if (rc === 0) for (const run of cur_pages) add_pages(out_pages, run.start, run.count);
  else if (!from_domain) yield* iopt_pages_err_unpin(pages, last - start + 1, cur_pages);
  return rc;
}

/**
 * Appends the pages of [start_index, last_index] to `out_pages`, and sees to it that pinned_pfns has all of
 * them. The caller holds the mutex. Errors of pinning (pfn_reader_user_pin) and charging; -EINVAL: fault
 * injection. On error pinned_pfns is as before.
 */
const iopt_pages_fill_xarray = fn(
  'iopt_pages_fill_xarray',
  function* (pages: iopt_pages, start_index: number, last_index: number, out_pages: page_run[]): Gen<Rc> {
    const { access_itree, domains_itree } = pages;
    let xa_end = start_index;
    let rc: Rc = 0;
    lockdep_assert_held(pages.mutex);
    const user = pfn_reader_user_init(pages);
    user.upages_len = (last_index - start_index + 1) * PAGE_POINTER_SIZE;
    for (const span of interval_tree_for_each_double_span(
      access_itree,
      domains_itree,
      start_index,
      last_index,
    )) {
      if (span.is_used === 1) {
        yield* iopt_pages_fill_from_xarray(pages, span.start, span.last, out_pages);
        continue;
      }
      rc = yield* fill_span(pages, user, span.start, span.last, span.is_used === 2, out_pages);
      if (rc !== 0) break;
      xa_end = span.last + 1;
    }
    if (rc === 0) rc = yield* pfn_reader_user_update_pinned(user, pages);
    if (rc !== 0 && start_index !== xa_end) yield* iopt_pages_unfill_xarray(pages, start_index, xa_end - 1);
    yield* pfn_reader_user_destroy(user, pages);
    return rc;
  },
);

function iopt_pages_get_exact_access(
  pages: iopt_pages,
  index: number,
  last: number,
): iopt_pages_access | null {
  lockdep_assert_held(pages.mutex);
  let node = interval_tree_iter_first(pages.access_itree, index, last);
  while (node !== null && (node.start !== index || node.last !== last)) {
    node = interval_tree_iter_next(node, index, last);
  }
  return node?.item ?? null;
}

/**
 * Pins [start_index, last_index] for an access and appends the pages to `out_pages`. Pair with
 * iopt_area_remove_access. `flags`: IOMMUFD_ACCESS_RW_*. -EPERM: to write what is mapped for reading only;
 * -ENOMEM; errors of iopt_pages_fill_xarray.
 */
export const iopt_area_add_access = fn(
  'iopt_area_add_access',
  function* (
    area: iopt_area,
    start_index: number,
    last_index: number,
    out_pages: page_run[],
    flags: number,
  ): Gen<Rc> {
    const pages = pages_of(area);
    if ((flags & IOMMUFD_ACCESS_RW_WRITE) !== 0 && !pages.writable) {
      return fail(EPERM, 'the memory is mapped for reading only');
    }
    yield* mutex_lock(pages.mutex);
    const rc = yield* add_access_locked(area, pages, start_index, last_index, out_pages);
    yield* mutex_unlock(pages.mutex);
    return rc;
  },
);

function* add_access_locked(
  area: iopt_area,
  pages: iopt_pages,
  start_index: number,
  last_index: number,
  out_pages: page_run[],
): Gen<Rc> {
  const exact = iopt_pages_get_exact_access(pages, start_index, last_index);
  if (exact !== null) {
    area.num_accesses += 1;
    exact.users += 1;
    yield* iopt_pages_fill_from_xarray(pages, start_index, last_index, out_pages);
    return 0;
  }
  const access = kzalloc(iopt_pages_access, pages, 'access');
  if (access === null) return fail(ENOMEM, 'no memory for the access');
  const rc = yield* iopt_pages_fill_xarray(pages, start_index, last_index, out_pages);
  if (rc !== 0) {
    kfree(access);
    return rc;
  }
  access.node.start = start_index;
  access.node.last = last_index;
  access.users = 1;
  area.num_accesses += 1;
  interval_tree_insert(access.node, pages.access_itree);
  return 0;
}

function pages_of(area: iopt_area): iopt_pages {
  if (area.pages === null) throw new Error(`${area.name} has no pages now`);
  return area.pages;
}

/** Undoes an iopt_area_add_access of the same range; the caller uses the pages no more. */
export const iopt_area_remove_access = fn(
  'iopt_area_remove_access',
  function* (area: iopt_area, start_index: number, last_index: number): Gen<void> {
    const pages = pages_of(area);
    yield* mutex_lock(pages.mutex);
    yield* remove_access_locked(area, pages, start_index, last_index);
    yield* mutex_unlock(pages.mutex);
  },
);

function* remove_access_locked(
  area: iopt_area,
  pages: iopt_pages,
  start_index: number,
  last_index: number,
): Gen<void> {
  const access = iopt_pages_get_exact_access(pages, start_index, last_index);
  if (access === null) {
    WARN_ON(true, 'an access is removed that is not there');
    return;
  }
  WARN_ON(area.num_accesses === 0 || access.users === 0, 'an access is removed more often than added');
  area.num_accesses -= 1;
  access.users -= 1;
  if (access.users !== 0) return;
  interval_tree_remove(access.node, pages.access_itree);
  yield* iopt_pages_unfill_xarray(pages, start_index, last_index);
  kfree(access);
}
