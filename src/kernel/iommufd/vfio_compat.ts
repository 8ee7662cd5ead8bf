// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/vfio_compat.c (6.12): VFIO's container ioctls on an iommufd. */
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { READ_ONCE } from '../../sim/sync/rcu.ts';
import type { Gen } from '../../sim/task.ts';
import { EFAULT, EINVAL, ENOIOCTLCMD } from '../../uapi/errno.ts';
import { view } from '../../uapi/layout.ts';
import * as uapi from '../../uapi/vfio.ts';
import { IOMMU_CACHE, IOMMU_READ, IOMMU_WRITE } from '../iommu/iommu.h.ts';
import { copy_from_user, copy_to_user } from '../mm/uaccess.ts';
import { iopt_disable_large_pages } from './io_pagetable_domains.ts';
import { iopt_map_user_pages } from './io_pagetable_map.ts';
import { iopt_cut_iova } from './io_pagetable_split.ts';
import { iopt_unmap_all, iopt_unmap_iova, type iopt_unmapped } from './io_pagetable_unmap.ts';
import { type io_pagetable, type iommufd_ctx, iommufd_put_object } from './iommufd_private.h.ts';
import { iommufd_vfio_iommu_get_info } from './vfio_compat_info.ts';
import { get_compat_ioas } from './vfio_compat_ioas.ts';

const fn = sourceFile('drivers/iommu/iommufd/vfio_compat.c');

/**
 * -EFAULT; -EINVAL: argsz, flags; -ENODEV: there is no compatibility IOAS; errors of iopt_map_user_pages.
 */
const iommufd_vfio_map_dma = fn('iommufd_vfio_map_dma', function* (ictx: iommufd_ctx, arg: bigint): Gen<Rc> {
  const supported_flags = uapi.VFIO_DMA_MAP_FLAG_READ | uapi.VFIO_DMA_MAP_FLAG_WRITE;
  const minsz = uapi.vfio_iommu_type1_dma_map.offsetofend('size');
  const bytes = new Uint8Array(uapi.vfio_iommu_type1_dma_map.size);
  if ((yield* copy_from_user(bytes.subarray(0, minsz), arg)) !== 0) {
    return fail(EFAULT, 'the argument cannot be read');
  }
  const map = view(uapi.vfio_iommu_type1_dma_map, bytes);
  if (map.argsz < minsz) return fail(EINVAL, 'argsz is too small');
  if ((map.flags & ~supported_flags) !== 0) return fail(EINVAL, 'unknown flags');
  let iommu_prot = IOMMU_CACHE;
  if ((map.flags & uapi.VFIO_DMA_MAP_FLAG_READ) !== 0) iommu_prot |= IOMMU_READ;
  if ((map.flags & uapi.VFIO_DMA_MAP_FLAG_WRITE) !== 0) iommu_prot |= IOMMU_WRITE;

  const ioas = yield* get_compat_ioas(ictx);
  if (IS_ERR(ioas)) return ioas;
  // 6.12 does this: memory is charged as the context says, not as VFIO did.
  const at = yield* iopt_map_user_pages(ictx, ioas.iopt, map.iova, map.vaddr, map.size, iommu_prot, 0);
  yield* iommufd_put_object(ictx, ioas);
  return IS_ERR(at) ? at : 0;
});

type Unmap = { readonly flags: number; readonly iova: bigint; readonly size: bigint };

/** What the ioctl does to the table. An errno alone: of that, user space is told nothing else. */
function* unmap_range(iopt: io_pagetable, { flags, iova, size }: Unmap): Gen<iopt_unmapped | Err> {
  if ((flags & uapi.VFIO_DMA_UNMAP_FLAG_ALL) !== 0) {
    if (iova !== 0n || size !== 0n) return fail(EINVAL, 'all is to be unmapped, and a range is given');
    return yield* iopt_unmap_all(iopt);
  }
  if (yield* READ_ONCE(iopt, 'disable_large_pages')) {
    // TYPE1 may unmap the middle of what was mapped: no entry spans a cut when there are no large pages.
    const last = BigInt.asUintN(64, iova + size - 1n);
    const rc = yield* iopt_cut_iova(iopt, iova === 0n ? [last] : [last, iova - 1n]);
    if (rc !== 0) return rc;
  }
  return yield* iopt_unmap_iova(iopt, iova, size);
}

/**
 * Tells how many bytes were unmapped, even if that ended with an error. -EFAULT; -EINVAL: argsz, flags, a
 * range given with VFIO_DMA_UNMAP_FLAG_ALL; -ENODEV: there is no compatibility IOAS; errors of iopt_cut_iova,
 * iopt_unmap_iova and iopt_unmap_all.
 */
const iommufd_vfio_unmap_dma = fn(
  'iommufd_vfio_unmap_dma',
  function* (ictx: iommufd_ctx, arg: bigint): Gen<Rc> {
    // VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP is not served: iommufd has dirty tracking of its own.
    const supported_flags = uapi.VFIO_DMA_UNMAP_FLAG_ALL;
    const minsz = uapi.vfio_iommu_type1_dma_unmap.offsetofend('size');
    const bytes = new Uint8Array(uapi.vfio_iommu_type1_dma_unmap.size);
    if ((yield* copy_from_user(bytes.subarray(0, minsz), arg)) !== 0) {
      return fail(EFAULT, 'the argument cannot be read');
    }
    const unmap = view(uapi.vfio_iommu_type1_dma_unmap, bytes);
    if (unmap.argsz < minsz) return fail(EINVAL, 'argsz is too small');
    if ((unmap.flags & ~supported_flags) !== 0) return fail(EINVAL, 'unknown flags');

    const ioas = yield* get_compat_ioas(ictx);
    if (IS_ERR(ioas)) return ioas;
    const done = yield* unmap_range(ioas.iopt, unmap);
    let rc: Rc;
    if (typeof done === 'number') {
      rc = done;
    } else {
      unmap.size = done.unmapped;
      rc = done.rc;
      if ((yield* copy_to_user(arg, bytes.subarray(0, minsz))) !== 0) {
        rc = fail(EFAULT, 'the argument cannot be written back');
      }
    }
    yield* iommufd_put_object(ictx, ioas);
    return rc;
  },
);

/** 1 when every page table of the compatibility IOAS enforces cache coherency, 0 when not. -ENODEV. */
const iommufd_vfio_cc_iommu = fn('iommufd_vfio_cc_iommu', function* (ictx: iommufd_ctx): Gen<Err | 0 | 1> {
  const ioas = yield* get_compat_ioas(ictx);
  if (IS_ERR(ioas)) return ioas;
  let rc: 0 | 1 = 1;
  yield* mutex_lock(ioas.mutex);
  for (const hwpt_paging of ioas.hwpt_list) {
    if (hwpt_paging.enforce_cache_coherency) continue;
    rc = 0;
    break;
  }
  yield* mutex_unlock(ioas.mutex);
  yield* iommufd_put_object(ictx, ioas);
  return rc;
});

/** 1 for what is supported, 0 for what is not or not known. -ENODEV. CONFIG_VFIO_NOIOMMU is off. */
const iommufd_vfio_check_extension = fn(
  'iommufd_vfio_check_extension',
  function* (ictx: iommufd_ctx, type: bigint): Gen<Err | 0 | 1> {
    switch (type) {
      case BigInt(uapi.VFIO_TYPE1_IOMMU):
      case BigInt(uapi.VFIO_TYPE1v2_IOMMU):
      case BigInt(uapi.VFIO_UNMAP_ALL):
        return ictx.no_iommu_mode === 0 ? 1 : 0;
      case BigInt(uapi.VFIO_DMA_CC_IOMMU):
        return yield* iommufd_vfio_cc_iommu(ictx);
      default:
        return 0;
    }
  },
);

/**
 * TYPE1, unlike TYPE1v2, may unmap the middle of what was mapped, so that it gets no large pages. -EINVAL:
 * neither of them, or no-IOMMU mode; -ENODEV; errors of iopt_disable_large_pages.
 */
const iommufd_vfio_set_iommu = fn(
  'iommufd_vfio_set_iommu',
  function* (ictx: iommufd_ctx, type: bigint): Gen<Rc> {
    const no_iommu_mode = yield* READ_ONCE(ictx, 'no_iommu_mode');
    const type1 = type === BigInt(uapi.VFIO_TYPE1_IOMMU);
    if (!type1 && type !== BigInt(uapi.VFIO_TYPE1v2_IOMMU)) return fail(EINVAL, 'no such type of IOMMU');
    if (no_iommu_mode !== 0) return fail(EINVAL, 'a device without an IOMMU is there');
    const ioas = yield* get_compat_ioas(ictx);
    if (IS_ERR(ioas)) return ioas;
    const rc = type1 ? yield* iopt_disable_large_pages(ioas.iopt) : 0;
    yield* iommufd_put_object(ictx, ioas);
    return rc;
  },
);

/** Serves what is no ioctl of iommufd's own. -ENOIOCTLCMD: nor one of VFIO's; errors of those. */
export const iommufd_vfio_ioctl = fn(
  'iommufd_vfio_ioctl',
  function* (ictx: iommufd_ctx, cmd: number, arg: bigint): Gen<number> {
    switch (cmd) {
      case uapi.VFIO_GET_API_VERSION:
        return uapi.VFIO_API_VERSION;
      case uapi.VFIO_SET_IOMMU:
        return yield* iommufd_vfio_set_iommu(ictx, arg);
      case uapi.VFIO_CHECK_EXTENSION:
        return yield* iommufd_vfio_check_extension(ictx, arg);
      case uapi.VFIO_IOMMU_GET_INFO:
        return yield* iommufd_vfio_iommu_get_info(ictx, arg);
      case uapi.VFIO_IOMMU_MAP_DMA:
        return yield* iommufd_vfio_map_dma(ictx, arg);
      case uapi.VFIO_IOMMU_UNMAP_DMA:
        return yield* iommufd_vfio_unmap_dma(ictx, arg);
      default:
        return fail(ENOIOCTLCMD, 'neither an ioctl of iommufd nor of VFIO');
    }
  },
);
