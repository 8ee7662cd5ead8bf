// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/io_pagetable.c (6.12): the map from IOVA to pages. */
import { RB_EMPTY_ROOT } from '../../sim/collections/interval-tree.ts';
import { xa_empty } from '../../sim/collections/xarray.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { WRITE_ONCE } from '../../sim/sync/rcu.ts';
import { down_write, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EINVAL } from '../../uapi/errno.ts';
import type { io_pagetable } from './iommufd_private.h.ts';

const fn = sourceFile('drivers/iommu/iommufd/io_pagetable.c');

/** A table that nobody else sees yet: all of the IOVA space, no rule of alignment. */
export const iopt_init_table = fn('iopt_init_table', (iopt: io_pagetable): void => {
  iopt.iova_alignment = 1n;
});

/** The last step before the table's memory goes: nothing may be left in it. */
export const iopt_destroy_table = fn('iopt_destroy_table', (iopt: io_pagetable): void => {
  WARN_ON(!RB_EMPTY_ROOT(iopt.reserved_itree), 'reserved IOVA is left');
  WARN_ON(!xa_empty(iopt.domains), 'domains are left');
  WARN_ON(!xa_empty(iopt.access_list), 'accesses are left');
  WARN_ON(!RB_EMPTY_ROOT(iopt.area_itree), 'areas are left');
});

/** Large pages may be used in the domains again. */
export const iopt_enable_large_pages = fn(
  'iopt_enable_large_pages',
  function* (iopt: io_pagetable): Gen<void> {
    yield* down_write(iopt.domains_rwsem);
    yield* down_write(iopt.iova_rwsem);
    yield* WRITE_ONCE(iopt, 'disable_large_pages', false);
    yield* up_write(iopt.iova_rwsem);
    yield* up_write(iopt.domains_rwsem);
  },
);

/** No page of a domain may span more than the smallest page. -EINVAL: domains have pages mapped already. */
export const iopt_disable_large_pages = fn(
  'iopt_disable_large_pages',
  function* (iopt: io_pagetable): Gen<Rc> {
    let rc: Rc = 0;
    yield* down_write(iopt.domains_rwsem);
    yield* down_write(iopt.iova_rwsem);
    if (!iopt.disable_large_pages) {
      if (!xa_empty(iopt.domains) && !RB_EMPTY_ROOT(iopt.area_itree)) {
        rc = fail(EINVAL, 'domains have pages mapped already');
      } else {
        yield* WRITE_ONCE(iopt, 'disable_large_pages', true);
      }
    }
    yield* up_write(iopt.iova_rwsem);
    yield* up_write(iopt.domains_rwsem);
    return rc;
  },
);
