// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/iommu/iommufd/pages.c (6.12): iopt_pages, the pinned memory behind areas, and how it gets into and out
 * of domains. A page is pinned once, while any area in a domain or any access covers its index: domains_itree
 * and access_itree. Its frame is then in pinned_pfns if accesses cover it, else only in the domains.
 *
 * Taking away must not fail for want of memory, and nothing is unpinned that a device can still reach.
 */
import { PAGE_SIZE } from '../../hw/memory.ts';
import {
  interval_tree_insert,
  interval_tree_remove,
  RB_EMPTY_ROOT,
} from '../../sim/collections/interval-tree.ts';
import { xa_empty, xa_for_each, xa_load } from '../../sim/collections/xarray.ts';
import { current } from '../../sim/context.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { lockdep_assert_held, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { refcount_dec_and_test, refcount_init } from '../../sim/sync/refcount.ts';
import type { rw_semaphore } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EINVAL, ENOMEM, EOVERFLOW } from '../../uapi/errno.ts';
import type { iommu_domain } from '../iommu/iommu.h.ts';
import { mmdrop, mmgrab } from '../mm/util.ts';
import { capable, current_process } from '../sched/task.ts';
import { interval_tree_for_each_double_span } from './double_span.h.ts';
import {
  type iopt_area,
  iopt_area_index,
  iopt_area_iova,
  iopt_area_last_index,
  iopt_area_length,
  iopt_pages,
  iopt_pages_account_mode,
  ULONG_MAX,
} from './io_pagetable.h.ts';
import type { io_pagetable } from './iommufd_private.h.ts';
import { source_of, update_unpinned } from './pages_account.ts';
import {
  batch_clear_carry,
  batch_init_backup,
  batch_skip_carry,
  batch_unpin,
  type pfn_batch,
} from './pages_batch.ts';
import {
  batch_from_domain,
  batch_from_domain_continue,
  batch_to_domain,
  iommu_unmap_nofail,
  iopt_area_unmap_domain_range,
} from './pages_domain.ts';
import {
  pfn_reader_destroy,
  pfn_reader_done,
  pfn_reader_first,
  pfn_reader_next,
  pfn_reader_release_pins,
  pfn_reader_update_pinned,
} from './pfn_reader.ts';

const fn = sourceFile('drivers/iommu/iommufd/pages.c');

const PAGE = BigInt(PAGE_SIZE);

const bugB3 = bug('B3', {
  at: 'drivers/iommu/iommufd/pages.c:iopt_alloc_pages',
  about: 'Memory is mapped that ends beyond 64 bits',
  source: 'iommufd: Check for uptr overflow (6.2 to 6.2.10)',
  cure: 'It is refused: -EOVERFLOW',
});

/**
 * Pages for `length` bytes of the calling process's memory from `uptr` on; nothing is pinned yet. The caller
 * has the first reference. -EINVAL: length is 0 or too large; -EOVERFLOW: beyond 64 bits; -ENOMEM.
 */
export const iopt_alloc_pages = fn(
  'iopt_alloc_pages',
  function* (creator: Named, uptr: bigint, length: bigint, writable: boolean): Gen<iopt_pages | Err> {
    if (length > ULONG_MAX - PAGE || length === 0n) return fail(EINVAL, 'the length is 0 or too large');
    if (uptr + length > ULONG_MAX && !bugB3()) return fail(EOVERFLOW, 'the range ends beyond 64 bits');
    const pages = kzalloc(iopt_pages, creator, 'pages');
    if (pages === null) return fail(ENOMEM, 'no memory for the pages');

    const group = current_process();
    const { mm } = group;
    if (mm === null) throw new Error(`${group.name} maps its memory, but has exited`);
    const { IOPT_PAGES_ACCOUNT_NONE, IOPT_PAGES_ACCOUNT_USER } = iopt_pages_account_mode;
    refcount_init(pages.kref, 1);
    pages.source_mm = mm;
    yield* mmgrab(mm);
    pages.uptr = uptr - (uptr % PAGE);
    pages.npages = Number((length + (uptr % PAGE) + PAGE - 1n) / PAGE);
    pages.writable = writable;
    pages.account_mode = capable('CAP_IPC_LOCK') ? IOPT_PAGES_ACCOUNT_NONE : IOPT_PAGES_ACCOUNT_USER;
    pages.source_task = group;
    pages.source_user = group.user;
    return pages;
  },
);

/** Frees pages of which nothing is pinned any more. */
const iopt_release_pages = fn('iopt_release_pages', function* (pages: iopt_pages): Gen<void> {
  WARN_ON(!RB_EMPTY_ROOT(pages.access_itree), 'pages are freed that an access covers');
  WARN_ON(!RB_EMPTY_ROOT(pages.domains_itree), 'pages are freed that are in a domain');
  WARN_ON(pages.npinned !== 0, 'pages are freed that are pinned');
  WARN_ON(!pages.pinned_pfns.isEmpty, 'pages are freed that still hold frames');
  yield* mmdrop(source_of(pages).mm);
  kfree(pages);
});

/** Drops a reference; with the last one the pages are freed. */
export function* iopt_put_pages(pages: iopt_pages): Gen<void> {
  if (yield* refcount_dec_and_test(pages.kref)) yield* iopt_release_pages(pages);
}

function pages_of(area: iopt_area): iopt_pages {
  if (area.pages === null) throw new Error(`${area.name} has no pages now`);
  return area.pages;
}

function table_of(area: iopt_area): io_pagetable {
  if (area.iopt === null) throw new Error(`${area.name} is in no table`);
  return area.iopt;
}

function warn_unheld(sem: rw_semaphore): void {
  WARN_ON(!sem.holders.includes(current()), `${sem.name} is not held by the task that needs it`);
}

/** How far an area is unmapped from a domain, while it is unfilled. */
interface Unfill {
  readonly area: iopt_area;
  readonly pages: iopt_pages;
  readonly domain: iommu_domain;
  /** Where the part ends that is unfilled. */
  readonly real_last_index: number;
  unmapped_end_index: number;
}

/**
 * Unpins [first_index, last_index], and unmaps it before, if it is not yet. An unmap must end where the frames
 * stop being consecutive, as the maps did; so it may reach beyond last_index. What is unmapped, but not to be
 * unpinned now, is carried in the batch: the caller skips it, or passes it back for the next range.
 */
function* iopt_area_unpin_domain(
  batch: pfn_batch,
  to: Unfill,
  first_index: number,
  last_index: number,
): Gen<void> {
  const { area, pages, domain, real_last_index } = to;
  for (let start_index = first_index; start_index <= last_index; ) {
    let batch_last_index = last_index;
    if (to.unmapped_end_index <= last_index) {
      const start = Math.max(start_index, to.unmapped_end_index);
      const apart = batch.total_pfns !== 0 && to.unmapped_end_index - batch.total_pfns !== start_index;
      WARN_ON(apart, 'what was carried is not the start of what is unpinned');
      batch_from_domain(batch, domain, area, start, last_index);
      batch_last_index = start_index + batch.total_pfns - 1;
    }
    WARN_ON(batch_last_index > real_last_index, 'a batch reaches beyond what is unfilled');

    // 6.12 does this: where all was unmapped before, it asks the domain for what is not there any more.
    if (batch_last_index === last_index && last_index !== real_last_index) {
      batch_from_domain_continue(batch, domain, area, last_index + 1, real_last_index);
    }
    if (to.unmapped_end_index <= batch_last_index) {
      const end_index = start_index + batch.total_pfns;
      yield* iopt_area_unmap_domain_range(area, domain, to.unmapped_end_index, end_index - 1);
      to.unmapped_end_index = end_index;
    }
    yield* batch_unpin(batch, pages, 0, batch_last_index - start_index + 1);
    start_index = batch_last_index + 1;
    batch_clear_carry(batch, to.unmapped_end_index - batch_last_index - 1);
  }
}

const __iopt_area_unfill_domain = fn(
  '__iopt_area_unfill_domain',
  function* (area: iopt_area, pages: iopt_pages, domain: iommu_domain, last_index: number): Gen<void> {
    const start_index = iopt_area_index(area);
    const to: Unfill = {
      area,
      pages,
      domain,
      real_last_index: last_index,
      unmapped_end_index: start_index,
    };
    lockdep_assert_held(pages.mutex);
    const batch = batch_init_backup(last_index + 1);
    const { domains_itree, access_itree } = pages;
    for (const span of interval_tree_for_each_double_span(
      domains_itree,
      access_itree,
      start_index,
      last_index,
    )) {
      if (span.is_used !== 0) batch_skip_carry(batch, span.last - span.start + 1);
      else yield* iopt_area_unpin_domain(batch, to, span.start, span.last);
    }
    if (to.unmapped_end_index !== last_index + 1) {
      yield* iopt_area_unmap_domain_range(area, domain, to.unmapped_end_index, last_index);
    }
    WARN_ON(batch.total_pfns !== 0, 'an unfill ends with frames that were not unpinned');
    yield* update_unpinned(pages);
  },
);

function* iopt_area_unfill_partial_domain(
  area: iopt_area,
  pages: iopt_pages,
  domain: iommu_domain,
  end_index: number,
): Gen<void> {
  if (end_index === iopt_area_index(area)) return;
  yield* __iopt_area_unfill_domain(area, pages, domain, end_index - 1);
}

/** Unmaps the area from a domain. What is pinned stays so: the caller knows that others need it. */
export const iopt_area_unmap_domain = fn(
  'iopt_area_unmap_domain',
  function* (area: iopt_area, domain: iommu_domain): Gen<void> {
    yield* iommu_unmap_nofail(domain, iopt_area_iova(area), Number(iopt_area_length(area)));
  },
);

/**
 * Unmaps the area from a domain and unpins what neither an access nor another area in a domain covers. The
 * area must not be in domains_itree any more.
 */
export const iopt_area_unfill_domain = fn(
  'iopt_area_unfill_domain',
  function* (area: iopt_area, pages: iopt_pages, domain: iommu_domain): Gen<void> {
    yield* __iopt_area_unfill_domain(area, pages, domain, iopt_area_last_index(area));
  },
);

/**
 * Maps the area into a domain that comes to its table, pinning what is not pinned yet. The caller holds the
 * pages' mutex. On error nothing is mapped. Errors of pinning (see pfn_reader_first), charging and iommu_map.
 */
export const iopt_area_fill_domain = fn(
  'iopt_area_fill_domain',
  function* (area: iopt_area, domain: iommu_domain): Gen<Rc> {
    const pages = pages_of(area);
    lockdep_assert_held(pages.mutex);
    const pfns = yield* pfn_reader_first(pages, iopt_area_index(area), iopt_area_last_index(area));
    if (IS_ERR(pfns)) return pfns;
    let rc: Rc = 0;
    let done_end_index = pfns.batch_start_index;
    while (rc === 0 && !pfn_reader_done(pfns)) {
      done_end_index = pfns.batch_start_index;
      rc = yield* batch_to_domain(pfns.batch, domain, area, pfns.batch_start_index);
      if (rc !== 0) break;
      done_end_index = pfns.batch_end_index;
      rc = yield* pfn_reader_next(pfns);
    }
    if (rc === 0) rc = yield* pfn_reader_update_pinned(pfns);
    if (rc !== 0) {
      yield* pfn_reader_release_pins(pfns);
      yield* iopt_area_unfill_partial_domain(area, pages, domain, done_end_index);
    }
    yield* pfn_reader_destroy(pfns);
    return rc;
  },
);

/**
 * Maps a new area into all domains of its table and enters it in domains_itree. area.pages is not set yet. On
 * error nothing is mapped. Errors as iopt_area_fill_domain.
 */
export const iopt_area_fill_domains = fn(
  'iopt_area_fill_domains',
  function* (area: iopt_area, pages: iopt_pages): Gen<Rc> {
    const iopt = table_of(area);
    warn_unheld(iopt.domains_rwsem);
    if (xa_empty(iopt.domains)) return 0;
    yield* mutex_lock(pages.mutex);
    const rc = yield* fill_domains_locked(area, pages, iopt);
    yield* mutex_unlock(pages.mutex);
    return rc;
  },
);

function* fill_domains_locked(area: iopt_area, pages: iopt_pages, iopt: io_pagetable): Gen<Rc> {
  const pfns = yield* pfn_reader_first(pages, iopt_area_index(area), iopt_area_last_index(area));
  if (IS_ERR(pfns)) return pfns;
  let rc: Rc = 0;
  let failed_index = 0;
  let done_first_end_index = pfns.batch_end_index;
  let done_all_end_index = pfns.batch_start_index;
  while (rc === 0 && !pfn_reader_done(pfns)) {
    done_first_end_index = pfns.batch_end_index;
    done_all_end_index = pfns.batch_start_index;
    for (const [index, domain] of xa_for_each(iopt.domains)) {
      failed_index = index;
      rc = yield* batch_to_domain(pfns.batch, domain, area, pfns.batch_start_index);
      if (rc !== 0) break;
    }
    if (rc !== 0) break;
    done_all_end_index = done_first_end_index;
    rc = yield* pfn_reader_next(pfns);
  }
  if (rc === 0) rc = yield* pfn_reader_update_pinned(pfns);

  if (rc === 0) {
    area.storage_domain = xa_load(iopt.domains, 0);
    interval_tree_insert(area.pages_node, pages.domains_itree);
  } else {
    yield* pfn_reader_release_pins(pfns);
    for (const [index, domain] of xa_for_each(iopt.domains)) {
      const end_index = index < failed_index ? done_first_end_index : done_all_end_index;
      // The area is not in domains_itree, so nothing keeps its pins: the last domain's unmap drops them.
      if (index === iopt.next_domain_id - 1) {
        yield* iopt_area_unfill_partial_domain(area, pages, domain, end_index);
      } else if (end_index !== iopt_area_index(area)) {
        yield* iopt_area_unmap_domain_range(area, domain, iopt_area_index(area), end_index - 1);
      }
    }
  }
  yield* pfn_reader_destroy(pfns);
  return rc;
}

/**
 * Unmaps an area that goes from all domains of its table, and unpins what nobody else needs. area.pages is
 * null already.
 */
export const iopt_area_unfill_domains = fn(
  'iopt_area_unfill_domains',
  function* (area: iopt_area, pages: iopt_pages): Gen<void> {
    const { domains, domains_rwsem } = table_of(area);
    warn_unheld(domains_rwsem);
    yield* mutex_lock(pages.mutex);
    const { storage_domain } = area;
    if (storage_domain !== null) {
      for (const [, domain] of xa_for_each(domains)) {
        if (domain === storage_domain) continue;
        yield* iopt_area_unmap_domain_range(area, domain, iopt_area_index(area), iopt_area_last_index(area));
      }
      interval_tree_remove(area.pages_node, pages.domains_itree);
      yield* iopt_area_unfill_domain(area, pages, storage_domain);
      area.storage_domain = null;
    }
    yield* mutex_unlock(pages.mutex);
  },
);
