// SPDX-License-Identifier: GPL-2.0-only

/** What each ioctl makes: the field that tells it, and the roles under which the kernel makes its objects. */
import type { MadeKind } from './scope.ts';

export interface IoctlMaking {
  readonly from: string;
  readonly kind: MadeKind;
  /** The first gets the name that `as` gives; the others that name and their role: `iommufd.file`. */
  readonly roles: readonly string[];
}

const id = (from: string, ...roles: string[]): IoctlMaking => ({ from, kind: 'id', roles });
const fd = (from: string, ...roles: string[]): IoctlMaking => ({ from, kind: 'fd', roles });

/** The first of several is what `"as": "name"` names. */
export const ioctlMakes: Readonly<Record<string, readonly IoctlMaking[]>> = {
  IOMMU_IOAS_ALLOC: [id('out_ioas_id', 'ioas')],
  IOMMU_HWPT_ALLOC: [id('out_hwpt_id', 'hwpt')],
  IOMMU_FAULT_QUEUE_ALLOC: [id('out_fault_id', 'fault'), fd('out_fault_fd')],
  VFIO_DEVICE_BIND_IOMMUFD: [id('out_devid', 'device')],
  VFIO_GROUP_GET_DEVICE_FD: [fd('ret')],
  IOMMU_TEST_OP_MOCK_DOMAIN: [id('out_stdev_id'), id('out_hwpt_id'), id('out_idev_id')],
  IOMMU_TEST_OP_CREATE_ACCESS: [fd('out_access_fd', 'access')],
};
