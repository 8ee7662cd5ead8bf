// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/io_pagetable.c (6.12): the domains and accesses that a table serves. */
import { PAGE_SIZE } from '../../hw/memory.ts';
import {
  interval_tree_insert,
  interval_tree_remove,
  RB_EMPTY_ROOT,
} from '../../sim/collections/interval-tree.ts';
import { LIST_HEAD, type list_head } from '../../sim/collections/list.ts';
import {
  xa_alloc,
  xa_empty,
  xa_erase,
  xa_for_each,
  xa_limit_16b,
  xa_load,
  xa_release,
  xa_reserve,
  xa_store,
} from '../../sim/collections/xarray.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { WRITE_ONCE } from '../../sim/sync/rcu.ts';
import { down_write, lockdep_assert_held_write, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EADDRINUSE, EBUSY, EEXIST, EINVAL } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import { type iommu_domain, type iommu_resv_region, iommu_resv_type } from '../iommu/iommu.h.ts';
import { iommu_get_resv_regions, iommu_put_resv_regions } from '../iommu/iommu.ts';
import {
  type iopt_area,
  iopt_area_iova,
  iopt_area_iter_first,
  iopt_area_iter_next,
  iopt_area_length,
  ULONG_MAX,
} from './io_pagetable.h.ts';
import { __iopt_remove_reserved_iova, iopt_reserve_iova, lowest_bit } from './io_pagetable_iova.ts';
import type { io_pagetable, iommufd_access } from './iommufd_private.h.ts';
import { iopt_area_fill_domain, iopt_area_unfill_domain, iopt_area_unmap_domain } from './pages.ts';
import { iommufd_should_fail } from './selftest_inject.ts';

const fn = sourceFile('drivers/iommu/iommufd/io_pagetable.c');

const PAGE = BigInt(PAGE_SIZE);

/** Every area of the table, in order. The body must not take areas out. */
function* areas(iopt: io_pagetable): Generator<iopt_area, void> {
  let area = iopt_area_iter_first(iopt, 0n, ULONG_MAX);
  for (; area !== null; area = iopt_area_iter_next(area, 0n, ULONG_MAX)) yield area;
}

/** Takes every area out of a domain that is not on `domains` any more, and unpins if it was the last. */
const iopt_unfill_domain = fn(
  'iopt_unfill_domain',
  function* (iopt: io_pagetable, domain: iommu_domain): Gen<void> {
    lockdep_assert_held_write(iopt.domains_rwsem);
    if (iopt.next_domain_id !== 0) {
      // The others go on holding the PFNs, any of them will do as storage.
      const storage_domain = xa_load(iopt.domains, 0);
      for (const area of areas(iopt)) {
        const { pages } = area;
        if (pages === null) continue;
        yield* mutex_lock(pages.mutex);
        WARN_ON(area.storage_domain === null, 'no domain stores the PFNs of an area');
        if (area.storage_domain === domain) area.storage_domain = storage_domain;
        yield* mutex_unlock(pages.mutex);
        yield* iopt_area_unmap_domain(area, domain);
      }
      return;
    }
    for (const area of areas(iopt)) {
      const { pages } = area;
      if (pages === null) continue;
      yield* mutex_lock(pages.mutex);
      interval_tree_remove(area.pages_node, pages.domains_itree);
      WARN_ON(area.storage_domain !== domain, 'not the last domain stores the PFNs of an area');
      area.storage_domain = null;
      yield* iopt_area_unfill_domain(area, pages, domain);
      yield* mutex_unlock(pages.mutex);
    }
  },
);

/** Puts every area into a domain that is not on `domains` yet; on error none. */
const iopt_fill_domain = fn(
  'iopt_fill_domain',
  function* (iopt: io_pagetable, domain: iommu_domain): Gen<Rc> {
    lockdep_assert_held_write(iopt.domains_rwsem);
    for (const area of areas(iopt)) {
      const { pages } = area;
      if (pages === null) continue;
      yield* mutex_lock(pages.mutex);
      const rc = yield* iopt_area_fill_domain(area, domain);
      if (rc !== 0) {
        yield* mutex_unlock(pages.mutex);
        yield* undo_fill(iopt, domain, area);
        return rc;
      }
      if (area.storage_domain === null) {
        WARN_ON(iopt.next_domain_id !== 0, 'there are domains, but none stores the PFNs of an area');
        area.storage_domain = domain;
        interval_tree_insert(area.pages_node, pages.domains_itree);
      }
      yield* mutex_unlock(pages.mutex);
    }
    return 0;
  },
);

function* undo_fill(iopt: io_pagetable, domain: iommu_domain, end_area: iopt_area): Gen<void> {
  for (const area of areas(iopt)) {
    if (area === end_area) return;
    const { pages } = area;
    if (pages === null) continue;
    yield* mutex_lock(pages.mutex);
    if (iopt.next_domain_id === 0) {
      interval_tree_remove(area.pages_node, pages.domains_itree);
      area.storage_domain = null;
    }
    yield* iopt_area_unfill_domain(area, pages, domain);
    yield* mutex_unlock(pages.mutex);
  }
}

/** Whether all areas are as aligned as `new_iova_alignment` demands. -EADDRINUSE: not. */
const iopt_check_iova_alignment = fn(
  'iopt_check_iova_alignment',
  (iopt: io_pagetable, new_iova_alignment: bigint): Rc => {
    const align_mask = new_iova_alignment - 1n;
    for (const area of areas(iopt)) {
      const ends = iopt_area_iova(area) | iopt_area_length(area) | BigInt(area.page_offset);
      if ((ends & align_mask) !== 0n) return fail(EADDRINUSE, 'an area is less aligned than is needed now');
    }
    for (const [, access] of xa_for_each(iopt.access_list)) {
      if (WARN_ON(access.iova_alignment > new_iova_alignment, 'an access needs more than is granted')) {
        return fail(EADDRINUSE, 'an access needs a greater alignment');
      }
    }
    return 0;
  },
);

/**
 * Has the table keep a domain, filled with all that is mapped. -EEXIST: it does already; -EINVAL: the domain
 * has no page as small as the CPU's; -EADDRINUSE: areas do not go together with its page size or aperture;
 * errors of pinning and mapping.
 */
export const iopt_table_add_domain = fn(
  'iopt_table_add_domain',
  function* (iopt: io_pagetable, domain: iommu_domain): Gen<Rc> {
    yield* down_write(iopt.domains_rwsem);
    yield* down_write(iopt.iova_rwsem);
    const rc = yield* add_domain(iopt, domain);
    yield* up_write(iopt.iova_rwsem);
    yield* up_write(iopt.domains_rwsem);
    return rc;
  },
);

function* add_domain(iopt: io_pagetable, domain: iommu_domain): Gen<Rc> {
  for (const [, iter_domain] of xa_for_each(iopt.domains)) {
    if (WARN_ON(iter_domain === domain, 'the table has the domain already')) {
      return fail(EEXIST, 'the table has the domain already');
    }
  }
  const new_iova_alignment = greater(lowest_bit(domain.pgsize_bitmap), iopt.iova_alignment);
  if (new_iova_alignment > PAGE) return fail(EINVAL, 'the domain has no page as small as the CPU has');
  if (new_iova_alignment !== iopt.iova_alignment) {
    const rc = iopt_check_iova_alignment(iopt, new_iova_alignment);
    if (rc !== 0) return rc;
  }
  let rc = reserve_outside(iopt, domain);
  if (rc === 0) {
    yield* xa_reserve(iopt.domains, iopt.next_domain_id);
    rc = yield* iopt_fill_domain(iopt, domain);
    if (rc !== 0) yield* xa_release(iopt.domains, iopt.next_domain_id);
  }
  if (rc !== 0) {
    __iopt_remove_reserved_iova(iopt, domain);
    return rc;
  }
  iopt.iova_alignment = new_iova_alignment;
  yield* xa_store(iopt.domains, iopt.next_domain_id, domain);
  iopt.next_domain_id++;
  return 0;
}

/** Reserves what the domain cannot map. */
function reserve_outside(iopt: io_pagetable, domain: iommu_domain): Rc {
  const { aperture_start, aperture_end } = domain.geometry;
  if (aperture_start !== 0n) {
    const rc = iopt_reserve_iova(iopt, 0n, aperture_start - 1n, domain);
    if (rc !== 0) return rc;
  }
  return aperture_end === ULONG_MAX ? 0 : iopt_reserve_iova(iopt, aperture_end + 1n, ULONG_MAX, domain);
}

const greater = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/**
 * Makes the table demand what its domains and accesses need and no more. With both locks held, iova_rwsem for
 * writing. -EADDRINUSE: an area does not conform.
 */
const iopt_calculate_iova_alignment = fn('iopt_calculate_iova_alignment', (iopt: io_pagetable): Rc => {
  lockdep_assert_held_write(iopt.iova_rwsem);
  // Without large pages a domain is filled by whole pages of the CPU: see batch_iommu_map_small.
  let new_iova_alignment = iopt.disable_large_pages ? PAGE : 1n;
  for (const [, domain] of xa_for_each(iopt.domains)) {
    new_iova_alignment = greater(lowest_bit(domain.pgsize_bitmap), new_iova_alignment);
  }
  for (const [, access] of xa_for_each(iopt.access_list)) {
    new_iova_alignment = greater(access.iova_alignment, new_iova_alignment);
  }
  if (new_iova_alignment > iopt.iova_alignment) {
    const rc = iopt_check_iova_alignment(iopt, new_iova_alignment);
    if (rc !== 0) return rc;
  }
  iopt.iova_alignment = new_iova_alignment;
  return 0;
});

/** Has the table forget a domain, and take everything out of it. */
export const iopt_table_remove_domain = fn(
  'iopt_table_remove_domain',
  function* (iopt: io_pagetable, domain: iommu_domain): Gen<void> {
    yield* down_write(iopt.domains_rwsem);
    yield* down_write(iopt.iova_rwsem);
    const index = index_of(iopt, domain);
    WARN_ON(index === null, 'the table does not have the domain');
    if (index !== null && index < iopt.next_domain_id) {
      // The last one takes its place, so that there are no gaps.
      iopt.next_domain_id--;
      const last_domain = yield* xa_erase(iopt.domains, iopt.next_domain_id);
      if (index !== iopt.next_domain_id) yield* xa_store(iopt.domains, index, last_domain);
      yield* iopt_unfill_domain(iopt, domain);
      __iopt_remove_reserved_iova(iopt, domain);
      WARN_ON(iopt_calculate_iova_alignment(iopt) !== 0, 'an area does not conform to less alignment');
    }
    yield* up_write(iopt.iova_rwsem);
    yield* up_write(iopt.domains_rwsem);
  },
);

function index_of(iopt: io_pagetable, domain: iommu_domain): number | null {
  for (const [index, iter_domain] of xa_for_each(iopt.domains)) if (iter_domain === domain) return index;
  return null;
}

/** Large pages may be used in the domains again. */
export const iopt_enable_large_pages = fn(
  'iopt_enable_large_pages',
  function* (iopt: io_pagetable): Gen<void> {
    yield* down_write(iopt.domains_rwsem);
    yield* down_write(iopt.iova_rwsem);
    yield* WRITE_ONCE(iopt, 'disable_large_pages', false);
    WARN_ON(iopt_calculate_iova_alignment(iopt) !== 0, 'an area does not conform to less alignment');
    yield* up_write(iopt.iova_rwsem);
    yield* up_write(iopt.domains_rwsem);
  },
);

/**
 * No entry of a domain may span more than a page. -EINVAL: domains have pages mapped already; -EADDRINUSE: an
 * area is less aligned than a page.
 */
export const iopt_disable_large_pages = fn(
  'iopt_disable_large_pages',
  function* (iopt: io_pagetable): Gen<Rc> {
    yield* down_write(iopt.domains_rwsem);
    yield* down_write(iopt.iova_rwsem);
    const rc = iopt.disable_large_pages ? 0 : yield* disable_large_pages(iopt);
    yield* up_write(iopt.iova_rwsem);
    yield* up_write(iopt.domains_rwsem);
    return rc;
  },
);

function* disable_large_pages(iopt: io_pagetable): Gen<Rc> {
  if (!xa_empty(iopt.domains) && !RB_EMPTY_ROOT(iopt.area_itree)) {
    return fail(EINVAL, 'domains have pages mapped already');
  }
  yield* WRITE_ONCE(iopt, 'disable_large_pages', true);
  const rc = iopt_calculate_iova_alignment(iopt);
  if (rc !== 0) yield* WRITE_ONCE(iopt, 'disable_large_pages', false);
  return rc;
}

/**
 * Has the table ask an access before it unmaps. -EBUSY: 65536 are there; -EADDRINUSE: areas are not as
 * aligned as it needs.
 */
export const iopt_add_access = fn(
  'iopt_add_access',
  function* (iopt: io_pagetable, access: iommufd_access): Gen<Rc> {
    yield* down_write(iopt.domains_rwsem);
    yield* down_write(iopt.iova_rwsem);
    const rc = yield* add_access(iopt, access);
    yield* up_write(iopt.iova_rwsem);
    yield* up_write(iopt.domains_rwsem);
    return rc;
  },
);

const bugC1 = bug('C1', {
  at: 'drivers/iommu/iommufd/io_pagetable.c:iopt_add_access',
  about: 'An access that another IOAS refuses keeps the number that it would have had there',
  source: 'iommufd: Fix iopt_access_list_id overwrite bug (CVE-2024-26786; 6.6 to 6.7.8)',
  cure: 'It gets the number only when nothing can go wrong any more',
});

function* add_access(iopt: io_pagetable, access: iommufd_access): Gen<Rc> {
  const new_id = yield* xa_alloc(iopt.access_list, access, xa_limit_16b);
  if (new_id === null) return fail(EBUSY, 'the table has as many accesses as it can');
  if (bugC1()) access.iopt_access_list_id = new_id;
  const rc = iopt_calculate_iova_alignment(iopt);
  if (rc !== 0) {
    yield* xa_erase(iopt.access_list, new_id);
    return rc;
  }
  access.iopt_access_list_id = new_id;
  return 0;
}

/** Undoes iopt_add_access. */
export const iopt_remove_access = fn(
  'iopt_remove_access',
  function* (iopt: io_pagetable, access: iommufd_access, iopt_access_list_id: number): Gen<void> {
    yield* down_write(iopt.domains_rwsem);
    yield* down_write(iopt.iova_rwsem);
    const erased = yield* xa_erase(iopt.access_list, iopt_access_list_id);
    WARN_ON(erased !== access, 'the table has another access under that id');
    WARN_ON(iopt_calculate_iova_alignment(iopt) !== 0, 'an area does not conform to less alignment');
    yield* up_write(iopt.iova_rwsem);
    yield* up_write(iopt.domains_rwsem);
  },
);

/**
 * Reserves what a device cannot use as IOVA; iopt_remove_reserved_iova with the device undoes it. `sw_msi`:
 * where to say at which IOVA software maps MSIs, if it does. -EADDRINUSE: some of it is mapped or allowed;
 * -EINVAL: the driver contradicts itself; -ENOMEM.
 */
export const iopt_table_enforce_dev_resv_regions = fn(
  'iopt_table_enforce_dev_resv_regions',
  function* (iopt: io_pagetable, dev: device, sw_msi: { sw_msi_start: bigint } | null): Gen<Rc> {
    if (iommufd_should_fail()) return fail(EINVAL, 'fault injection');
    yield* down_write(iopt.iova_rwsem);
    const resv_regions = LIST_HEAD<iommu_resv_region>('resv_regions');
    yield* iommu_get_resv_regions(dev, resv_regions);
    const rc = reserve_regions(iopt, dev, resv_regions, sw_msi);
    if (rc !== 0) __iopt_remove_reserved_iova(iopt, dev);
    iommu_put_resv_regions(dev, resv_regions);
    yield* up_write(iopt.iova_rwsem);
    return rc;
  },
);

function reserve_regions(
  iopt: io_pagetable,
  dev: device,
  resv_regions: list_head<iommu_resv_region>,
  sw_msi: { sw_msi_start: bigint } | null,
): Rc {
  const { IOMMU_RESV_DIRECT_RELAXABLE, IOMMU_RESV_MSI, IOMMU_RESV_SW_MSI } = iommu_resv_type;
  let num_hw_msi = 0;
  let num_sw_msi = 0;
  for (const { type, start, length } of resv_regions) {
    if (type === IOMMU_RESV_DIRECT_RELAXABLE) continue;
    if (sw_msi !== null && type === IOMMU_RESV_MSI) num_hw_msi++;
    if (sw_msi !== null && type === IOMMU_RESV_SW_MSI) {
      sw_msi.sw_msi_start = start;
      num_sw_msi++;
    }
    const rc = iopt_reserve_iova(iopt, start, length - 1n + start, dev);
    if (rc !== 0) return rc;
  }
  const contradiction =
    WARN_ON(num_sw_msi !== 0 && num_hw_msi !== 0, 'MSIs are mapped both by hardware and by software') ||
    WARN_ON(num_sw_msi > 1, 'MSIs are to be mapped at several places');
  return contradiction ? fail(EINVAL, 'the driver contradicts itself about MSIs') : 0;
}
