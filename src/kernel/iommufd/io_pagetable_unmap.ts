// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/io_pagetable.c (6.12): unmapping, and how accesses are asked to let go. */
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { down_read, down_write, up_read, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EBUSY, EDEADLOCK, EINVAL, ENOENT, EOVERFLOW } from '../../uapi/errno.ts';
import { iommufd_access_notify_unmap } from './access.ts';
import {
  iopt_area_iova,
  iopt_area_iter_first,
  iopt_area_last_iova,
  iopt_area_length,
  ULONG_MAX,
} from './io_pagetable.h.ts';
import { iopt_abort_area } from './io_pagetable_map.ts';
import type { io_pagetable } from './iommufd_private.h.ts';
import { iopt_area_unfill_domains, iopt_put_pages } from './pages.ts';

const fn = sourceFile('drivers/iommu/iommufd/io_pagetable.c');

/** How unmapping ended, and the bytes that were unmapped, in any case. */
export interface iopt_unmapped {
  readonly rc: Rc;
  readonly unmapped: bigint;
}

/** After how many requests to let go of an area its accesses are given up. */
const MAX_TRIES = 100;

const iopt_unmap_iova_range = fn(
  'iopt_unmap_iova_range',
  function* (iopt: io_pagetable, first: bigint, last: bigint): Gen<iopt_unmapped> {
    let start = first;
    let unmapped = 0n;
    let tries = 0;
    let rc: Rc = 0;
    again: for (;;) {
      // Held for reading while an area's pages are null: that keeps domains from coming and going meanwhile.
      yield* down_read(iopt.domains_rwsem);
      yield* down_write(iopt.iova_rwsem);
      for (;;) {
        const area = iopt_area_iter_first(iopt, start, last);
        if (area === null) break again;
        const area_first = iopt_area_iova(area);
        const area_last = iopt_area_last_iova(area);
        const { pages } = area;
        if (pages === null) {
          rc = fail(EBUSY, 'another thread is mapping or unmapping part of the range');
          break again;
        }
        if (area_first < start || area_last > last) {
          rc = fail(ENOENT, 'the range ends within an area');
          break again;
        }
        // 6.12 does this: areas without a gap between them have their tries together.
        if (area_first !== start) tries = 0;

        if (area.num_accesses !== 0) {
          start = area_first;
          area.prevent_access = true;
          const length = iopt_area_length(area);
          yield* up_write(iopt.iova_rwsem);
          yield* up_read(iopt.domains_rwsem);
          yield* iommufd_access_notify_unmap(iopt, area_first, length);
          tries++;
          if (WARN_ON(tries > MAX_TRIES, 'an access does not let go of its pages')) {
            return { rc: fail(EDEADLOCK, 'an access does not let go of its pages'), unmapped };
          }
          continue again;
        }

        area.pages = null;
        yield* up_write(iopt.iova_rwsem);
        yield* iopt_area_unfill_domains(area, pages);
        yield* iopt_abort_area(area);
        yield* iopt_put_pages(pages);
        unmapped += area_last - area_first + 1n;
        yield* down_write(iopt.iova_rwsem);

        // Others may have mapped there since: what lies below is done.
        if (area_last >= last) break again;
        start = area_last + 1n;
      }
    }
    yield* up_write(iopt.iova_rwsem);
    yield* up_read(iopt.domains_rwsem);
    return { rc, unmapped };
  },
);

const bugB9 = bug('B9', {
  at: 'drivers/iommu/iommufd/io_pagetable.c:iopt_unmap_iova_range',
  about: "Unmapping a range in which nothing is mapped is an error, for VFIO's ioctl too",
  source: "iommufd: Make vfio_compat's unmap succeed if the range is already empty (6.2 to 6.17)",
  cure: 'It unmaps 0 bytes; only IOMMU_IOAS_UNMAP makes -ENOENT of that',
});

/**
 * Unmaps all areas in [iova, iova + length), of which none may reach beyond; 0 bytes when there is none.
 * -EINVAL: length is 0; -EOVERFLOW; -ENOENT: an area reaches beyond; -EBUSY: another thread maps or unmaps
 * there; -EDEADLOCK: an access does not let go.
 */
export const iopt_unmap_iova = fn(
  'iopt_unmap_iova',
  function* (iopt: io_pagetable, iova: bigint, length: bigint): Gen<iopt_unmapped> {
    if (length === 0n) return { rc: fail(EINVAL, 'the length is 0'), unmapped: 0n };
    const iova_last = iova + (length - 1n);
    if (iova_last > ULONG_MAX) {
      return { rc: fail(EOVERFLOW, 'the range ends beyond the IOVA space'), unmapped: 0n };
    }
    const done = yield* iopt_unmap_iova_range(iopt, iova, iova_last);
    if (!bugB9() || done.rc !== 0 || done.unmapped !== 0n) return done;
    return { rc: fail(ENOENT, 'nothing is mapped there'), unmapped: 0n };
  },
);

/** Unmaps everything. -EBUSY, -EDEADLOCK. */
export const iopt_unmap_all = fn('iopt_unmap_all', function* (iopt: io_pagetable): Gen<iopt_unmapped> {
  return yield* iopt_unmap_iova_range(iopt, 0n, ULONG_MAX);
});
