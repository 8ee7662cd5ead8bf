// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/vfio_compat.c (6.12): VFIO's container ioctls on an iommufd. */
import { done } from '../../sim/coroutine.ts';
import { fail } from '../../sim/errno.ts';
import { Unsupported } from '../../sim/errors.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Co } from '../../sim/task.ts';
import { ENOIOCTLCMD } from '../../uapi/errno.ts';
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
} from '../../uapi/vfio.ts';
import type { iommufd_ctx } from './iommufd_private.h.ts';

const fn = sourceFile('drivers/iommu/iommufd/vfio_compat.c');

const not_modelled: ReadonlyMap<number, string> = new Map([
  [VFIO_SET_IOMMU, 'VFIO_SET_IOMMU'],
  [VFIO_CHECK_EXTENSION, 'VFIO_CHECK_EXTENSION'],
  [VFIO_IOMMU_GET_INFO, 'VFIO_IOMMU_GET_INFO'],
  [VFIO_IOMMU_MAP_DMA, 'VFIO_IOMMU_MAP_DMA'],
  [VFIO_IOMMU_UNMAP_DMA, 'VFIO_IOMMU_UNMAP_DMA'],
]);

/** Serves what is no ioctl of iommufd's own. -ENOIOCTLCMD: nor one of VFIO's. */
export const iommufd_vfio_ioctl = fn(
  'iommufd_vfio_ioctl',
  (_ictx: iommufd_ctx, cmd: number, _arg: bigint): Co<number> => {
    if (cmd === VFIO_GET_API_VERSION) return done(VFIO_API_VERSION);
    const name = not_modelled.get(cmd);
    if (name !== undefined) throw new Unsupported(`${name} on an iommufd`);
    return done(fail(ENOIOCTLCMD, 'neither an ioctl of iommufd nor of VFIO'));
  },
);
