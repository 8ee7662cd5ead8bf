// SPDX-License-Identifier: GPL-2.0-only

/** Every ioctl that we know, by its name in Linux. */
import * as iommufd from './iommufd.ts';
import * as test from './iommufd_test.ts';
import type { AnyLayout } from './layout.ts';
import * as vfio from './vfio.ts';

/**
 * What the kernel does with an ioctl's argument: ignores it (`none`), takes it as an integer (`value`), reads
 * what it points to (`in`), or reads that and writes some of it back (`inout`).
 */
export type IoctlDir = 'none' | 'value' | 'in' | 'inout';

export interface Ioctl {
  readonly name: string;
  /** The command word, ioctl()'s second argument. */
  readonly cmd: number;
  /** The struct that the argument points to; null: to none (see `dir`, and the comments in the table). */
  readonly layout: AnyLayout | null;
  readonly dir: IoctlDir;
  /** For IOMMU_TEST_OP_*, whose `cmd` is always IOMMU_TEST_CMD: the value of the struct's `op`. */
  readonly op?: number;
  /** The field that points to more: an array, a bitmap, driver data. */
  readonly buffer?: string;
}

const ioctl = (name: string, cmd: number, layout: AnyLayout | null, dir: IoctlDir): Ioctl => ({
  name,
  cmd,
  layout,
  dir,
});

const testOp = (name: string, op: number, layout: AnyLayout, dir: IoctlDir): Ioctl => ({
  ...ioctl(name, test.IOMMU_TEST_CMD, layout, dir),
  op,
});

// biome-ignore format: an ioctl a line, not an argument a line
const table: readonly Ioctl[] = [
  ioctl('IOMMU_DESTROY', iommufd.IOMMU_DESTROY, iommufd.iommu_destroy, 'in'),
  ioctl('IOMMU_IOAS_ALLOC', iommufd.IOMMU_IOAS_ALLOC, iommufd.iommu_ioas_alloc, 'inout'),
  ioctl('IOMMU_IOAS_ALLOW_IOVAS', iommufd.IOMMU_IOAS_ALLOW_IOVAS, iommufd.iommu_ioas_allow_iovas, 'in'),
  ioctl('IOMMU_IOAS_COPY', iommufd.IOMMU_IOAS_COPY, iommufd.iommu_ioas_copy, 'inout'),
  ioctl('IOMMU_IOAS_IOVA_RANGES', iommufd.IOMMU_IOAS_IOVA_RANGES, iommufd.iommu_ioas_iova_ranges, 'inout'),
  ioctl('IOMMU_IOAS_MAP', iommufd.IOMMU_IOAS_MAP, iommufd.iommu_ioas_map, 'inout'),
  ioctl('IOMMU_IOAS_UNMAP', iommufd.IOMMU_IOAS_UNMAP, iommufd.iommu_ioas_unmap, 'inout'),
  ioctl('IOMMU_OPTION', iommufd.IOMMU_OPTION, iommufd.iommu_option, 'inout'),
  ioctl('IOMMU_VFIO_IOAS', iommufd.IOMMU_VFIO_IOAS, iommufd.iommu_vfio_ioas, 'inout'),
  ioctl('IOMMU_HWPT_ALLOC', iommufd.IOMMU_HWPT_ALLOC, iommufd.iommu_hwpt_alloc, 'inout'),
  ioctl('IOMMU_GET_HW_INFO', iommufd.IOMMU_GET_HW_INFO, iommufd.iommu_hw_info, 'inout'),
  ioctl('IOMMU_HWPT_SET_DIRTY_TRACKING', iommufd.IOMMU_HWPT_SET_DIRTY_TRACKING,
    iommufd.iommu_hwpt_set_dirty_tracking, 'in'),
  ioctl('IOMMU_HWPT_GET_DIRTY_BITMAP', iommufd.IOMMU_HWPT_GET_DIRTY_BITMAP,
    iommufd.iommu_hwpt_get_dirty_bitmap, 'in'),
  ioctl('IOMMU_HWPT_INVALIDATE', iommufd.IOMMU_HWPT_INVALIDATE, iommufd.iommu_hwpt_invalidate, 'inout'),
  ioctl('IOMMU_FAULT_QUEUE_ALLOC', iommufd.IOMMU_FAULT_QUEUE_ALLOC, iommufd.iommu_fault_alloc, 'inout'),

  testOp('IOMMU_TEST_OP_ADD_RESERVED', test.IOMMU_TEST_OP_ADD_RESERVED,
    test.iommu_test_cmd_add_reserved, 'in'),
  testOp('IOMMU_TEST_OP_MOCK_DOMAIN', test.IOMMU_TEST_OP_MOCK_DOMAIN,
    test.iommu_test_cmd_mock_domain, 'inout'),
  testOp('IOMMU_TEST_OP_MD_CHECK_MAP', test.IOMMU_TEST_OP_MD_CHECK_MAP, test.iommu_test_cmd_check_map, 'in'),
  testOp('IOMMU_TEST_OP_MD_CHECK_REFS', test.IOMMU_TEST_OP_MD_CHECK_REFS,
    test.iommu_test_cmd_check_refs, 'in'),
  testOp('IOMMU_TEST_OP_CREATE_ACCESS', test.IOMMU_TEST_OP_CREATE_ACCESS,
    test.iommu_test_cmd_create_access, 'inout'),
  testOp('IOMMU_TEST_OP_DESTROY_ACCESS_PAGES', test.IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
    test.iommu_test_cmd_destroy_access_pages, 'in'),
  testOp('IOMMU_TEST_OP_ACCESS_PAGES', test.IOMMU_TEST_OP_ACCESS_PAGES,
    test.iommu_test_cmd_access_pages, 'inout'),
  testOp('IOMMU_TEST_OP_ACCESS_RW', test.IOMMU_TEST_OP_ACCESS_RW, test.iommu_test_cmd_access_rw, 'in'),
  testOp('IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT', test.IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
    test.iommu_test_cmd_memory_limit, 'in'),
  testOp('IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE', test.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
    test.iommu_test_cmd_mock_domain_replace, 'inout'),
  testOp('IOMMU_TEST_OP_ACCESS_REPLACE_IOAS', test.IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
    test.iommu_test_cmd_access_replace_ioas, 'in'),
  testOp('IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS', test.IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
    test.iommu_test_cmd_mock_domain_flags, 'inout'),
  testOp('IOMMU_TEST_OP_DIRTY', test.IOMMU_TEST_OP_DIRTY, test.iommu_test_cmd_dirty, 'inout'),
  testOp('IOMMU_TEST_OP_MD_CHECK_IOTLB', test.IOMMU_TEST_OP_MD_CHECK_IOTLB,
    test.iommu_test_cmd_check_iotlb, 'in'),
  testOp('IOMMU_TEST_OP_TRIGGER_IOPF', test.IOMMU_TEST_OP_TRIGGER_IOPF,
    test.iommu_test_cmd_trigger_iopf, 'in'),

  ioctl('VFIO_GET_API_VERSION', vfio.VFIO_GET_API_VERSION, null, 'none'),
  ioctl('VFIO_CHECK_EXTENSION', vfio.VFIO_CHECK_EXTENSION, null, 'value'),
  ioctl('VFIO_SET_IOMMU', vfio.VFIO_SET_IOMMU, null, 'value'),

  ioctl('VFIO_GROUP_GET_STATUS', vfio.VFIO_GROUP_GET_STATUS, vfio.vfio_group_status, 'inout'),
  /* points to an s32, the container's fd */
  ioctl('VFIO_GROUP_SET_CONTAINER', vfio.VFIO_GROUP_SET_CONTAINER, null, 'in'),
  ioctl('VFIO_GROUP_UNSET_CONTAINER', vfio.VFIO_GROUP_UNSET_CONTAINER, null, 'none'),
  /* points to a string, the device's name */
  ioctl('VFIO_GROUP_GET_DEVICE_FD', vfio.VFIO_GROUP_GET_DEVICE_FD, null, 'in'),

  ioctl('VFIO_DEVICE_GET_INFO', vfio.VFIO_DEVICE_GET_INFO, vfio.vfio_device_info, 'inout'),
  ioctl('VFIO_DEVICE_GET_REGION_INFO', vfio.VFIO_DEVICE_GET_REGION_INFO, vfio.vfio_region_info, 'inout'),
  ioctl('VFIO_DEVICE_GET_IRQ_INFO', vfio.VFIO_DEVICE_GET_IRQ_INFO, vfio.vfio_irq_info, 'inout'),
  ioctl('VFIO_DEVICE_SET_IRQS', vfio.VFIO_DEVICE_SET_IRQS, vfio.vfio_irq_set, 'in'),
  ioctl('VFIO_DEVICE_RESET', vfio.VFIO_DEVICE_RESET, null, 'none'),
  ioctl('VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
    vfio.vfio_pci_hot_reset_info, 'inout'),
  ioctl('VFIO_DEVICE_PCI_HOT_RESET', vfio.VFIO_DEVICE_PCI_HOT_RESET, vfio.vfio_pci_hot_reset, 'in'),
  ioctl('VFIO_DEVICE_IOEVENTFD', vfio.VFIO_DEVICE_IOEVENTFD, vfio.vfio_device_ioeventfd, 'in'),
  ioctl('VFIO_DEVICE_FEATURE', vfio.VFIO_DEVICE_FEATURE, vfio.vfio_device_feature, 'inout'),
  ioctl('VFIO_DEVICE_BIND_IOMMUFD', vfio.VFIO_DEVICE_BIND_IOMMUFD, vfio.vfio_device_bind_iommufd, 'inout'),
  ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
    vfio.vfio_device_attach_iommufd_pt, 'inout'),
  ioctl('VFIO_DEVICE_DETACH_IOMMUFD_PT', vfio.VFIO_DEVICE_DETACH_IOMMUFD_PT,
    vfio.vfio_device_detach_iommufd_pt, 'in'),

  ioctl('VFIO_IOMMU_GET_INFO', vfio.VFIO_IOMMU_GET_INFO, vfio.vfio_iommu_type1_info, 'inout'),
  ioctl('VFIO_IOMMU_MAP_DMA', vfio.VFIO_IOMMU_MAP_DMA, vfio.vfio_iommu_type1_dma_map, 'in'),
  ioctl('VFIO_IOMMU_UNMAP_DMA', vfio.VFIO_IOMMU_UNMAP_DMA, vfio.vfio_iommu_type1_dma_unmap, 'inout'),
  ioctl('VFIO_IOMMU_DIRTY_PAGES', vfio.VFIO_IOMMU_DIRTY_PAGES, vfio.vfio_iommu_type1_dirty_bitmap, 'in'),
];

const buffers: ReadonlyMap<string, string> = new Map([
  ['IOMMU_IOAS_ALLOW_IOVAS', 'allowed_iovas'],
  ['IOMMU_IOAS_IOVA_RANGES', 'allowed_iovas'],
  ['IOMMU_HWPT_ALLOC', 'data_uptr'],
  ['IOMMU_GET_HW_INFO', 'data_uptr'],
  ['IOMMU_HWPT_GET_DIRTY_BITMAP', 'data'],
  ['IOMMU_HWPT_INVALIDATE', 'data_uptr'],
  ['IOMMU_TEST_OP_ACCESS_RW', 'access_rw.uptr'],
  ['IOMMU_TEST_OP_DIRTY', 'dirty.uptr'],
]);

const withBuffer = (entry: Ioctl): Ioctl => {
  const buffer = buffers.get(entry.name);
  return buffer === undefined ? entry : { ...entry, buffer };
};

/** By name, not by number: VFIO's containers and devices share numbers, the IOMMU_TEST_OP_* share one. */
export const ioctlByName: ReadonlyMap<string, Ioctl> = new Map(
  table.map((entry) => [entry.name, withBuffer(entry)]),
);
