// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/pages.c (6.12): pages for drivers that access them from the CPU. */
import { PAGE_SIZE } from '../../hw/memory.ts';
import {
  interval_tree_insert,
  interval_tree_iter_first,
  interval_tree_iter_next,
  interval_tree_remove,
} from '../../sim/collections/interval-tree.ts';
import { fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { Unsupported } from '../../sim/errors.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { lockdep_assert_held, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EFAULT, EINVAL, ENOMEM, EPERM } from '../../uapi/errno.ts';
import { FOLL_WRITE, pin_user_pages_remote } from '../mm/gup.ts';
import { add_pages, type page_run, unpin_user_page, unpin_user_pages } from '../mm/page.ts';
import { copy_from_user, copy_to_user } from '../mm/uaccess.ts';
import { mmget_not_zero, mmput } from '../mm/util.ts';
import { interval_tree_for_each_double_span } from './double_span.h.ts';
import {
  type iopt_area,
  iopt_area_last_index,
  type iopt_pages,
  iopt_pages_access,
} from './io_pagetable.h.ts';
import {
  __IOMMUFD_ACCESS_RW_SLOW_PATH,
  IOMMUFD_ACCESS_RW_KTHREAD,
  IOMMUFD_ACCESS_RW_WRITE,
} from './iommufd_private.h.ts';
import {
  current_mm_or_null,
  iopt_pages_sub_npinned,
  type pfn_reader_user,
  pfn_reader_user_update_pinned,
  source_of,
  update_unpinned,
  uptr_of,
} from './pages_account.ts';
import {
  batch_clear,
  batch_init_backup,
  batch_rw,
  batch_unpin,
  copy_data_page,
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
import {
  pfn_reader_destroy,
  pfn_reader_done,
  pfn_reader_first,
  pfn_reader_next,
  pfn_reader_unpin,
  pfn_reader_user_destroy,
  pfn_reader_user_init,
  pfn_reader_user_pin,
} from './pfn_reader.ts';
import { iommufd_should_fail } from './selftest_inject.ts';

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
export const iopt_pages_unfill_xarray = fn(
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
    // The caller's list is used: nothing is allocated.
    user.upages ??= [];
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
export const iopt_pages_fill_xarray = fn(
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

/** Copies by way of the pfn_reader: whatever the pages are in, as a device would see them. */
const iopt_pages_rw_slow = fn(
  'iopt_pages_rw_slow',
  function* (
    pages: iopt_pages,
    start_index: number,
    last_index: number,
    offset: number,
    data: Uint8Array,
    write: boolean,
  ): Gen<Rc> {
    yield* mutex_lock(pages.mutex);
    const rc = yield* rw_slow_locked(pages, start_index, last_index, offset, data, write);
    yield* mutex_unlock(pages.mutex);
    return rc;
  },
);

function* rw_slow_locked(
  pages: iopt_pages,
  start_index: number,
  last_index: number,
  offset: number,
  data: Uint8Array,
  write: boolean,
): Gen<Rc> {
  const pfns = yield* pfn_reader_first(pages, start_index, last_index);
  if (IS_ERR(pfns)) return pfns;
  let copied = 0;
  let rc: Rc = 0;
  while (rc === 0 && !pfn_reader_done(pfns)) {
    copied += yield* batch_rw(pfns.batch, data.subarray(copied), copied === 0 ? offset : 0, write);
    yield* pfn_reader_unpin(pfns);
    rc = yield* pfn_reader_next(pfns);
  }
  if (rc === 0 && WARN_ON(copied !== data.length, 'a copy ends early'))
    rc = fail(EINVAL, 'the copy ended early');
  yield* pfn_reader_destroy(pfns);
  return rc;
}

/** Copies within one page, pinned for the purpose; what the domains have may be another page. */
const iopt_pages_rw_page = fn(
  'iopt_pages_rw_page',
  function* (pages: iopt_pages, index: number, offset: number, data: Uint8Array, write: boolean): Gen<Rc> {
    const { mm } = source_of(pages);
    if (!(yield* mmget_not_zero(mm))) {
      return yield* iopt_pages_rw_slow(pages, index, index, offset, data, write);
    }
    const rc = yield* rw_page_of_mm(pages, index, offset, data, write);
    yield* mmput(mm);
    return rc;
  },
);

function* rw_page_of_mm(
  pages: iopt_pages,
  index: number,
  offset: number,
  data: Uint8Array,
  write: boolean,
): Gen<Rc> {
  const { mm } = source_of(pages);
  if (iommufd_should_fail()) return fail(EINVAL, 'fault injection');
  const page_list: page_run[] = [];
  yield* down_read(mm.mmap_lock);
  const rc = yield* pin_user_pages_remote(mm, uptr_of(pages, index), 1, write ? FOLL_WRITE : 0, page_list);
  yield* up_read(mm.mmap_lock);
  if (IS_ERR(rc)) return rc;
  const page = page_list[0]?.start;
  if (WARN_ON(rc !== 1, 'one page was asked for') || page === undefined) {
    return fail(EINVAL, 'one page was asked for');
  }
  yield* copy_data_page(page, data, offset, write);
  yield* unpin_user_page(page);
  return 0;
}

/**
 * Copies between `data` and the pages, from `start_byte` of them on. `flags`: IOMMUFD_ACCESS_RW_*. In the
 * process that the memory is of it is a user copy. -EPERM: to write what is mapped for reading only; -EFAULT:
 * the memory cannot be accessed; errors of pfn_reader_first.
 */
export const iopt_pages_rw_access = fn(
  'iopt_pages_rw_access',
  function* (pages: iopt_pages, start_byte: bigint, data: Uint8Array, flags: number): Gen<Rc> {
    const page = BigInt(PAGE_SIZE);
    const start_index = Number(start_byte / page);
    const last_index = Number((start_byte + BigInt(data.length) - 1n) / page);
    const slow = (flags & __IOMMUFD_ACCESS_RW_SLOW_PATH) !== 0;
    const change_mm = slow || current_mm_or_null() !== source_of(pages).mm;
    const write = (flags & IOMMUFD_ACCESS_RW_WRITE) !== 0;
    if (write && !pages.writable) return fail(EPERM, 'the memory is mapped for reading only');

    if (change_mm) {
      if ((flags & IOMMUFD_ACCESS_RW_KTHREAD) !== 0) throw new Unsupported('IOMMUFD_ACCESS_RW_KTHREAD');
      const offset = Number(start_byte % page);
      if (start_index === last_index)
        return yield* iopt_pages_rw_page(pages, start_index, offset, data, write);
      return yield* iopt_pages_rw_slow(pages, start_index, last_index, offset, data, write);
    }
    const uptr = pages.uptr + start_byte;
    const left = write ? yield* copy_to_user(uptr, data) : yield* copy_from_user(data, uptr);
    return left === 0 ? 0 : fail(EFAULT, 'the memory cannot be accessed');
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
