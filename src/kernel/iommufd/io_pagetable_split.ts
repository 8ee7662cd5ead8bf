// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/io_pagetable.c (6.12): cutting areas in two, for VFIO compatibility. */
import { interval_tree_insert, interval_tree_remove } from '../../sim/collections/interval-tree.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kfree } from '../../sim/slab.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { refcount_inc } from '../../sim/sync/refcount.ts';
import { down_write, lockdep_assert_held_write, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EBUSY, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import {
  type iopt_area,
  iopt_area_iova,
  iopt_area_iter_first,
  iopt_area_last_iova,
  iopt_area_start_byte,
  type iopt_pages,
} from './io_pagetable.h.ts';
import { iopt_area_alloc, iopt_insert_area } from './io_pagetable_map.ts';
import type { io_pagetable } from './iommufd_private.h.ts';

const fn = sourceFile('drivers/iommu/iommufd/io_pagetable.c');

/**
 * Cuts an area of the table behind `iova`. With iova_rwsem held for writing. -EBUSY: it is being mapped or
 * unmapped; -EINVAL: not where the table's alignment allows it, an access has pages of it, or a domain may
 * have them in a large page; -ENOMEM.
 */
const iopt_area_split = fn(
  'iopt_area_split',
  function* (iopt: io_pagetable, area: iopt_area, iova: bigint): Gen<Rc> {
    const mask = iopt.iova_alignment - 1n;
    const start_iova = iopt_area_iova(area);
    const last_iova = iopt_area_last_iova(area);
    const new_start = iova + 1n;
    const { pages } = area;
    lockdep_assert_held_write(iopt.iova_rwsem);

    // 6.12 does this: behind the first byte nothing is cut either.
    if (iova === start_iova || iova === last_iova) return 0;
    if (pages === null || area.prevent_access) return fail(EBUSY, 'the area is being mapped or unmapped');
    if (((new_start | iopt_area_start_byte(area, new_start)) & mask) !== 0n) {
      return fail(EINVAL, 'the cut is less aligned than the table demands');
    }

    const lhs = iopt_area_alloc(iopt);
    if (lhs === null) return fail(ENOMEM, 'no memory for the area');
    const rhs = iopt_area_alloc(iopt);
    if (rhs === null) {
      kfree(lhs);
      return fail(ENOMEM, 'no memory for the area');
    }

    yield* mutex_lock(pages.mutex);
    const rc = halve(iopt, area, pages, new_start, lhs, rhs);
    if (rc === 0) {
      yield* refcount_inc(pages.kref);
      kfree(area);
    }
    yield* mutex_unlock(pages.mutex);
    if (rc !== 0) {
      kfree(rhs);
      kfree(lhs);
    }
    return rc;
  },
);

const bugB2 = bug('B2', {
  at: 'drivers/iommu/iommufd/io_pagetable.c:iopt_area_split',
  about: 'The halves of an area that was cut are not among those that domains have; the freed area still is',
  source:
    'iommufd: Fix missing update of domains_itree after splitting iopt_area (CVE-2023-52801; 6.2 to 6.6.2)',
  cure: 'The node of the area is taken out and those of the halves are put in, under pages->mutex',
});

/** Puts `lhs` and `rhs` in the place of `area`; on error everything is as it was. */
function halve(
  iopt: io_pagetable,
  area: iopt_area,
  pages: iopt_pages,
  new_start: bigint,
  lhs: iopt_area,
  rhs: iopt_area,
): Rc {
  if (area.num_accesses !== 0) return fail(EINVAL, 'an access has pages of the area');
  if (area.storage_domain !== null && !iopt.disable_large_pages) {
    return fail(EINVAL, 'a domain may have mapped the area with large pages');
  }

  const start_iova = iopt_area_iova(area);
  const last_iova = iopt_area_last_iova(area);
  const prot = area.iommu_prot;
  const start_byte = iopt_area_start_byte(area, start_iova);
  const new_start_byte = iopt_area_start_byte(area, new_start);
  interval_tree_remove(area.node, iopt.area_itree);
  const left = iopt_insert_area(iopt, lhs, pages, start_iova, start_byte, new_start - start_iova, prot);
  if (WARN_ON(left !== 0, 'the left half does not fit where the area was')) {
    interval_tree_insert(area.node, iopt.area_itree);
    return left;
  }
  const length = last_iova - new_start + 1n;
  const right = iopt_insert_area(iopt, rhs, pages, new_start, new_start_byte, length, prot);
  if (WARN_ON(right !== 0, 'the right half does not fit where the area was')) {
    interval_tree_remove(lhs.node, iopt.area_itree);
    interval_tree_insert(area.node, iopt.area_itree);
    return right;
  }

  if (area.storage_domain !== null && !bugB2()) {
    interval_tree_remove(area.pages_node, pages.domains_itree);
    interval_tree_insert(lhs.pages_node, pages.domains_itree);
    interval_tree_insert(rhs.pages_node, pages.domains_itree);
  }
  for (const half of [lhs, rhs]) {
    half.storage_domain = area.storage_domain;
    half.pages = pages;
  }
  return 0;
}

/** Cuts areas so that one ends at each of `iovas`, as far as there is one. Errors of iopt_area_split. */
export const iopt_cut_iova = fn(
  'iopt_cut_iova',
  function* (iopt: io_pagetable, iovas: readonly bigint[]): Gen<Rc> {
    let rc: Rc = 0;
    yield* down_write(iopt.iova_rwsem);
    for (const iova of iovas) {
      const area = iopt_area_iter_first(iopt, iova, iova);
      if (area === null) continue;
      rc = yield* iopt_area_split(iopt, area, iova);
      if (rc !== 0) break;
    }
    yield* up_write(iopt.iova_rwsem);
    return rc;
  },
);
