// SPDX-License-Identifier: GPL-2.0-only

/** What each ioctl makes: the field that tells it, and the roles under which the kernel makes its objects. */
import type { MadeKind } from './scope.ts';

export interface IoctlMaking {
  readonly from: string;
  readonly kind: MadeKind;
  /** The first gets the name that `as` gives; the others that name and their role: `iommufd.file`. */
  readonly roles: readonly string[];
  /** For an id: the field with the descriptor that it is an id of; absent: the one that the ioctl is made on. */
  readonly idOf?: string;
  /** It is a device, which can do DMA. */
  readonly isDevice?: true;
}

const id = (from: string, ...roles: string[]): IoctlMaking => ({ from, kind: 'id', roles });
const fd = (from: string, ...roles: string[]): IoctlMaking => ({ from, kind: 'fd', roles });
const address = (from: string, ...roles: string[]): IoctlMaking => ({ from, kind: 'address', roles });

/** The first of several is what `"as": "name"` names. */
export const ioctlMakes: Readonly<Record<string, readonly IoctlMaking[]>> = {
  IOMMU_IOAS_ALLOC: [id('out_ioas_id', 'ioas')],
  IOMMU_IOAS_MAP: [address('iova', 'area')],
  IOMMU_IOAS_COPY: [address('dst_iova', 'area')],
  IOMMU_HWPT_ALLOC: [id('out_hwpt_id', 'hwpt')],
  IOMMU_FAULT_QUEUE_ALLOC: [id('out_fault_id', 'fault'), fd('out_fault_fd')],
  VFIO_DEVICE_BIND_IOMMUFD: [id('out_devid', 'idev')],
  VFIO_GROUP_GET_DEVICE_FD: [fd('ret')],
  IOMMU_TEST_OP_MOCK_DOMAIN: mockDomain('mock_domain'),
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS: mockDomain('mock_domain_flags'),
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE: [id('mock_domain_replace.pt_id', 'hwpt')],
  IOMMU_TEST_OP_CREATE_ACCESS: [fd('create_access.out_access_fd', 'access', 'staccess', 'file')],
  IOMMU_TEST_OP_ACCESS_PAGES: [{ ...id('access_pages.out_access_pages_id', 'item'), idOf: 'id' }],
};

function mockDomain(arm: string): readonly IoctlMaking[] {
  return [
    { ...id(`${arm}.out_stdev_id`, 'stdev'), isDevice: true },
    id(`${arm}.out_hwpt_id`, 'hwpt'),
    id(`${arm}.out_idev_id`, 'idev'),
  ];
}

/** What the kernel's objects behind a name are called: the first as the case says, the others after it. */
export function objectsCalled(name: string, roles: readonly string[]): [role: string, name: string][] {
  return roles.map((role, i) => [role, i === 0 ? name : `${name}.${role === 'file' ? 'filp' : role}`]);
}
