// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/vfio_compat.c (6.12): VFIO_IOMMU_GET_INFO and its chain of capabilities. */
import { interval_tree_for_each_span } from '../../sim/collections/spans.ts';
import { xa_for_each } from '../../sim/collections/xarray.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EFAULT, EINVAL } from '../../uapi/errno.ts';
import { view } from '../../uapi/layout.ts';
import {
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
} from '../../uapi/vfio.ts';
import { PAGE_SIZE } from '../mm/mm.ts';
import { copy_from_user, copy_to_user, put_user_u32 } from '../mm/uaccess.ts';
import { ULONG_MAX } from './io_pagetable.h.ts';
import { type iommufd_ctx, type iommufd_ioas, iommufd_put_object } from './iommufd_private.h.ts';
import { get_compat_ioas } from './vfio_compat_ioas.ts';

const fn = sourceFile('drivers/iommu/iommufd/vfio_compat.c');

const PAGE = BigInt(PAGE_SIZE);
const U32_MAX = 0xffffffff;
/** Capabilities start at multiples of this, bytes. */
const CAP_ALIGN = 8;

/** The page sizes that all domains support, those below a page as one page; at least the alignment of IOVA. */
const iommufd_get_pagesizes = fn('iommufd_get_pagesizes', function* ({ iopt }: iommufd_ioas): Gen<bigint> {
  let pgsize_bitmap = ULONG_MAX;
  yield* down_read(iopt.domains_rwsem);
  for (const [, domain] of xa_for_each(iopt.domains)) pgsize_bitmap &= domain.pgsize_bitmap;
  const small = pgsize_bitmap & (PAGE - 1n);
  if (small !== 0n) pgsize_bitmap = (pgsize_bitmap - small) | PAGE;
  // 6.12 does this: it compares a set of sizes with a size.
  if (iopt.iova_alignment > pgsize_bitmap) pgsize_bitmap = iopt.iova_alignment;
  yield* up_read(iopt.domains_rwsem);
  return pgsize_bitmap;
});

/**
 * Writes a capability to `cur` as far as it fits into `avail` bytes. Returns how many bytes it takes.
 * -EFAULT.
 */
type fill_cap = (ioas: iommufd_ioas, cur: bigint, avail: number) => Co<number | Err>;

const iommufd_fill_cap_iova: fill_cap = fn(
  'iommufd_fill_cap_iova',
  function* (ioas: iommufd_ioas, cur: bigint, avail: number): Gen<number | Err> {
    const bytes = new Uint8Array(vfio_iommu_type1_info_cap_iova_range.size);
    const cap = view(vfio_iommu_type1_info_cap_iova_range, bytes);
    cap['header.id'] = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
    cap['header.version'] = 1;
    let size = bytes.length;
    for (const span of interval_tree_for_each_span(ioas.iopt.reserved_itree, 0n, ULONG_MAX)) {
      if (span.is_hole === 0) continue;
      const at = cur + BigInt(size);
      size += vfio_iova_range.size;
      cap.nr_iovas++;
      if (avail < size) continue;
      const range_bytes = new Uint8Array(vfio_iova_range.size);
      const range = view(vfio_iova_range, range_bytes);
      range.start = span.start_hole;
      range.end = span.last_hole;
      if ((yield* copy_to_user(at, range_bytes)) !== 0) return fail(EFAULT, 'a range cannot be written');
    }
    if (avail >= size && (yield* copy_to_user(cur, bytes)) !== 0) {
      return fail(EFAULT, 'the capability of ranges cannot be written');
    }
    return size;
  },
);

const iommufd_fill_cap_dma_avail: fill_cap = fn(
  'iommufd_fill_cap_dma_avail',
  function* (_ioas: iommufd_ioas, cur: bigint, avail: number): Gen<number | Err> {
    const bytes = new Uint8Array(vfio_iommu_type1_info_dma_avail.size);
    const cap = view(vfio_iommu_type1_info_dma_avail, bytes);
    cap['header.id'] = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL;
    cap['header.version'] = 1;
    cap.avail = U32_MAX;
    if (avail >= bytes.length && (yield* copy_to_user(cur, bytes)) !== 0) {
      return fail(EFAULT, 'the capability of mappings cannot be written');
    }
    return bytes.length;
  },
);

const fill_fns: readonly fill_cap[] = [iommufd_fill_cap_dma_avail, iommufd_fill_cap_iova];

/** Offset of vfio_info_cap_header.next within a capability. */
const NEXT = BigInt(vfio_iommu_type1_info_dma_avail.fields['header.next'].offset);

/** Where the chain of capabilities ends, in bytes from `arg`, of which the first `argsz` can be written. */
function* fill_caps(ioas: iommufd_ioas, arg: bigint, argsz: number): Gen<number | Err> {
  let total_cap_size = vfio_iommu_type1_info.size;
  let last_cap: bigint | null = null;
  for (const fill of fill_fns) {
    const cur: bigint = arg + BigInt(total_cap_size);
    const cap_size: number | Err = yield* fill(ioas, cur, Math.max(argsz - total_cap_size, 0));
    if (cap_size < 0) return cap_size;
    // 6.12 does this: the one before refers to this one even if this one did not fit.
    if (last_cap !== null && argsz >= total_cap_size) {
      const rc: Rc = yield* put_user_u32(last_cap + NEXT, total_cap_size);
      if (rc !== 0) return rc;
    }
    last_cap = cur;
    total_cap_size += Math.ceil(cap_size / CAP_ALIGN) * CAP_ALIGN;
  }
  return total_cap_size;
}

/**
 * VFIO_IOMMU_GET_INFO: page sizes, and the capabilities that fit behind the struct; `argsz` becomes the size
 * that all of it takes. -EFAULT, -EINVAL: argsz; -ENODEV: there is no compatibility IOAS.
 */
export const iommufd_vfio_iommu_get_info = fn(
  'iommufd_vfio_iommu_get_info',
  function* (ictx: iommufd_ctx, arg: bigint): Gen<Rc> {
    const bytes = new Uint8Array(vfio_iommu_type1_info.size);
    const info = view(vfio_iommu_type1_info, bytes);
    const minsz = vfio_iommu_type1_info.offsetofend('iova_pgsizes');
    if ((yield* copy_from_user(bytes.subarray(0, minsz), arg)) !== 0) {
      return fail(EFAULT, 'the argument cannot be read');
    }
    if (info.argsz < minsz) return fail(EINVAL, 'argsz is too small');
    const told = bytes.subarray(0, Math.min(info.argsz, bytes.length));

    const ioas = yield* get_compat_ioas(ictx);
    if (IS_ERR(ioas)) return ioas;
    info.flags = VFIO_IOMMU_INFO_PGSIZES;
    info.iova_pgsizes = yield* iommufd_get_pagesizes(ioas);
    info.cap_offset = 0;

    yield* down_read(ioas.iopt.iova_rwsem);
    const total_cap_size = yield* fill_caps(ioas, arg, info.argsz);
    let rc: Rc = 0;
    if (IS_ERR(total_cap_size)) {
      rc = total_cap_size;
    } else {
      if (info.argsz >= total_cap_size) info.cap_offset = vfio_iommu_type1_info.size;
      info.argsz = total_cap_size;
      info.flags |= VFIO_IOMMU_INFO_CAPS;
      if ((yield* copy_to_user(arg, told)) !== 0) rc = fail(EFAULT, 'the argument cannot be written back');
    }
    yield* up_read(ioas.iopt.iova_rwsem);
    yield* iommufd_put_object(ictx, ioas);
    return rc;
  },
);
