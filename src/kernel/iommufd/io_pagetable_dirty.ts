// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/io_pagetable.c (6.12): which IOVA devices have written. */
import { fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { EINVAL, ENOMEM, EOPNOTSUPP, EOVERFLOW } from '../../uapi/errno.ts';
import type * as uapi from '../../uapi/iommufd.ts';
import type { ViewOf } from '../../uapi/layout.ts';
import {
  IOMMU_DIRTY_NO_CLEAR,
  type iommu_dirty_bitmap,
  type iommu_domain,
  iommu_iotlb_gather_init,
} from '../iommu/iommu.h.ts';
import { iommu_iotlb_sync } from '../iommu/iommu.ts';
import {
  iopt_area_iova,
  iopt_area_iter_first,
  iopt_area_iter_next,
  iopt_area_last_iova,
  iopt_area_length,
  ULONG_MAX,
} from './io_pagetable.h.ts';
import { iopt_area_contig_done, iopt_area_contig_iter, iopt_for_each_contig_area } from './io_pagetable.ts';
import type { io_pagetable } from './iommufd_private.h.ts';
import { iova_bitmap_alloc } from './iova_bitmap.ts';

const fn = sourceFile('drivers/iommu/iommufd/io_pagetable.c');

type Request = ViewOf<typeof uapi.iommu_hwpt_get_dirty_bitmap>;

/** Has the driver report what is dirty in [iova, iova + length). -EINVAL: not all of it is mapped. */
const __iommu_read_and_clear_dirty = fn(
  '__iommu_read_and_clear_dirty',
  function* (
    domain: iommu_domain,
    iopt: io_pagetable,
    iova: bigint,
    length: bigint,
    flags: number,
    dirty: iommu_dirty_bitmap,
  ): Gen<Rc> {
    const iter = new iopt_area_contig_iter();
    const last_iova = BigInt.asUintN(64, iova + length - 1n);
    for (const area of iopt_for_each_contig_area(iter, iopt, iova, last_iova)) {
      const area_last = iopt_area_last_iova(area);
      const size = Number((last_iova < area_last ? last_iova : area_last) - iter.cur_iova + 1n);
      const ret = yield* read_and_clear_dirty(domain, iter.cur_iova, size, flags, dirty);
      if (ret !== 0) return ret;
    }
    return iopt_area_contig_done(iter) ? 0 : fail(EINVAL, 'not everything is mapped');
  },
);

function* read_and_clear_dirty(
  domain: iommu_domain,
  iova: bigint,
  size: number,
  flags: number,
  dirty: iommu_dirty_bitmap,
): Gen<Rc> {
  if (domain.dirty_ops === null) throw new Error(`${domain.name} tracks nothing`);
  return yield* domain.dirty_ops.read_and_clear_dirty(domain, iova, size, flags, dirty);
}

function* iommu_read_and_clear_dirty(
  domain: iommu_domain,
  iopt: io_pagetable,
  flags: number,
  { iova, length, page_size, data }: Request,
): Gen<Rc> {
  if (domain.dirty_ops === null) return fail(EOPNOTSUPP, 'the domain tracks nothing');
  const bitmap = iova_bitmap_alloc(iova, length, page_size, data);
  if (IS_ERR(bitmap)) return fail(ENOMEM, 'no memory for the bitmap');
  const gather = iommu_iotlb_gather_init();
  // 6.12 does this: what goes wrong there is not told to anybody, not even that nothing is mapped.
  yield* __iommu_read_and_clear_dirty(domain, iopt, iova, length, flags, { bitmap, gather });
  if ((flags & IOMMU_DIRTY_NO_CLEAR) === 0) yield* iommu_iotlb_sync(domain, gather);
  yield* bitmap.free();
  return 0;
}

const bugD4d = bug('D4d', {
  at: 'drivers/iommu/iommufd/io_pagetable.c:iommufd_check_iova_range',
  about: 'A dirty bitmap of no bytes at 0 is taken for one of the whole space',
  source: 'iommufd: Reject a zero-length dirty bitmap request (6.7 to 6.12.116)',
  cure: '-EINVAL',
});

/**
 * Whether a bitmap can be of that range. -EINVAL: no bytes, or not aligned to the table's or the bitmap's page
 * size; -EOVERFLOW.
 */
const iommufd_check_iova_range = fn(
  'iommufd_check_iova_range',
  (iopt: io_pagetable, { iova, length, page_size }: Request): Rc => {
    if (length === 0n && !bugD4d()) return fail(EINVAL, 'no bytes');
    const end = iova + length;
    if (end - 1n > ULONG_MAX) return fail(EOVERFLOW, 'bytes beyond the IOVA space');
    if (((iova | end) & (iopt.iova_alignment - 1n)) !== 0n) {
      return fail(EINVAL, "not aligned to the table's page size");
    }
    if (page_size === 0n) return fail(EINVAL, 'page_size is 0');
    if (((iova | end) & (page_size - 1n)) !== 0n) return fail(EINVAL, 'not aligned to page_size');
    return 0;
  },
);

/**
 * Sets the bits of a user bitmap that stand for IOVA that was written, which counts as not written afterwards
 * unless IOMMU_DIRTY_NO_CLEAR. -EINVAL, -EOVERFLOW: the range; -EOPNOTSUPP: the domain tracks nothing; -ENOMEM.
 */
export const iopt_read_and_clear_dirty_data = fn(
  'iopt_read_and_clear_dirty_data',
  function* (iopt: io_pagetable, domain: iommu_domain, flags: number, request: Request): Gen<Rc> {
    const wrong = iommufd_check_iova_range(iopt, request);
    if (wrong !== 0) return wrong;
    yield* down_read(iopt.iova_rwsem);
    const ret = yield* iommu_read_and_clear_dirty(domain, iopt, flags, request);
    yield* up_read(iopt.iova_rwsem);
    return ret;
  },
);

/** Nothing counts as written. */
function* iopt_clear_dirty_data(iopt: io_pagetable, domain: iommu_domain): Gen<Rc> {
  const gather = iommu_iotlb_gather_init();
  let ret: Rc = 0;
  let area = iopt_area_iter_first(iopt, 0n, ULONG_MAX);
  for (; area !== null && ret === 0; area = iopt_area_iter_next(area, 0n, ULONG_MAX)) {
    if (area.pages === null) continue;
    const size = Number(iopt_area_length(area));
    ret = yield* read_and_clear_dirty(domain, iopt_area_iova(area), size, 0, { bitmap: null, gather });
  }
  yield* iommu_iotlb_sync(domain, gather);
  return ret;
}

/** Starts, with nothing written, or stops tracking. -EOPNOTSUPP: the domain cannot; what the driver says. */
export const iopt_set_dirty_tracking = fn(
  'iopt_set_dirty_tracking',
  function* (iopt: io_pagetable, domain: iommu_domain, enable: boolean): Gen<Rc> {
    const { dirty_ops } = domain;
    if (dirty_ops === null) return fail(EOPNOTSUPP, 'the domain tracks nothing');
    yield* down_read(iopt.iova_rwsem);
    let ret: Rc = enable ? yield* iopt_clear_dirty_data(iopt, domain) : 0;
    if (ret === 0) ret = yield* dirty_ops.set_dirty_tracking(domain, enable);
    yield* up_read(iopt.iova_rwsem);
    return ret;
  },
);
