// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import { _IO, _IOC_NR } from './ioctl.ts';
import { ioctlByName } from './ioctls.ts';

/* What GCC 12 on x86-64 says of Linux 6.12.117's headers: the ioctl, its number, the value of `op`. */
const truth = `
IOMMU_DESTROY 0x3b80
IOMMU_IOAS_ALLOC 0x3b81
IOMMU_IOAS_ALLOW_IOVAS 0x3b82
IOMMU_IOAS_COPY 0x3b83
IOMMU_IOAS_IOVA_RANGES 0x3b84
IOMMU_IOAS_MAP 0x3b85
IOMMU_IOAS_UNMAP 0x3b86
IOMMU_OPTION 0x3b87
IOMMU_VFIO_IOAS 0x3b88
IOMMU_HWPT_ALLOC 0x3b89
IOMMU_GET_HW_INFO 0x3b8a
IOMMU_HWPT_SET_DIRTY_TRACKING 0x3b8b
IOMMU_HWPT_GET_DIRTY_BITMAP 0x3b8c
IOMMU_HWPT_INVALIDATE 0x3b8d
IOMMU_FAULT_QUEUE_ALLOC 0x3b8e
IOMMU_TEST_OP_ADD_RESERVED 0x3ba0 1
IOMMU_TEST_OP_MOCK_DOMAIN 0x3ba0 2
IOMMU_TEST_OP_MD_CHECK_MAP 0x3ba0 3
IOMMU_TEST_OP_MD_CHECK_REFS 0x3ba0 4
IOMMU_TEST_OP_CREATE_ACCESS 0x3ba0 5
IOMMU_TEST_OP_DESTROY_ACCESS_PAGES 0x3ba0 6
IOMMU_TEST_OP_ACCESS_PAGES 0x3ba0 7
IOMMU_TEST_OP_ACCESS_RW 0x3ba0 8
IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT 0x3ba0 9
IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE 0x3ba0 10
IOMMU_TEST_OP_ACCESS_REPLACE_IOAS 0x3ba0 11
IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS 0x3ba0 12
IOMMU_TEST_OP_DIRTY 0x3ba0 13
IOMMU_TEST_OP_MD_CHECK_IOTLB 0x3ba0 14
IOMMU_TEST_OP_TRIGGER_IOPF 0x3ba0 15
VFIO_GET_API_VERSION 0x3b64
VFIO_CHECK_EXTENSION 0x3b65
VFIO_SET_IOMMU 0x3b66
VFIO_GROUP_GET_STATUS 0x3b67
VFIO_GROUP_SET_CONTAINER 0x3b68
VFIO_GROUP_UNSET_CONTAINER 0x3b69
VFIO_GROUP_GET_DEVICE_FD 0x3b6a
VFIO_DEVICE_GET_INFO 0x3b6b
VFIO_DEVICE_GET_REGION_INFO 0x3b6c
VFIO_DEVICE_GET_IRQ_INFO 0x3b6d
VFIO_DEVICE_SET_IRQS 0x3b6e
VFIO_DEVICE_RESET 0x3b6f
VFIO_DEVICE_GET_PCI_HOT_RESET_INFO 0x3b70
VFIO_DEVICE_PCI_HOT_RESET 0x3b71
VFIO_DEVICE_IOEVENTFD 0x3b74
VFIO_DEVICE_FEATURE 0x3b75
VFIO_DEVICE_BIND_IOMMUFD 0x3b76
VFIO_DEVICE_ATTACH_IOMMUFD_PT 0x3b77
VFIO_DEVICE_DETACH_IOMMUFD_PT 0x3b78
VFIO_IOMMU_GET_INFO 0x3b70
VFIO_IOMMU_MAP_DMA 0x3b71
VFIO_IOMMU_UNMAP_DMA 0x3b72
VFIO_IOMMU_DIRTY_PAGES 0x3b75
`;

test('the table has the ioctls of the C headers by their numbers', () => {
  const ours = [...ioctlByName].map(([name, { cmd, op }]) =>
    [name, `0x${cmd.toString(16)}`, ...(op === undefined ? [] : [op])].join(' '),
  );
  expect(ours).toEqual(truth.trim().split('\n'));
});

test('_IOC_NR takes the number out of what _IO made', () => {
  expect(_IO(0x3b, 0x85)).toBe(0x3b85);
  expect(_IOC_NR(0x3b85)).toBe(0x85);
});

test('a test op is laid out as the whole of struct iommu_test_cmd, its own arm among the fields', () => {
  for (const { name, layout, op } of ioctlByName.values()) {
    if (op === undefined) continue;
    const found = [name, layout?.name, layout?.size, layout?.fields.last?.offset];
    expect(found).toEqual([name, 'iommu_test_cmd', 0x48, 64]);
    expect(Object.keys(layout?.fields ?? {}).some((field) => field.includes('.'))).toBe(true);
  }
});

test('an ioctl whose struct has output fields writes it back', () => {
  for (const { name, layout, dir } of ioctlByName.values()) {
    const outputs = Object.keys(layout?.fields ?? {}).filter((field) => /(^|\.)out_/.test(field));
    if (outputs.length > 0) expect([name, dir]).toEqual([name, 'inout']);
  }
});
