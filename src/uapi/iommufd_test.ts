// SPDX-License-Identifier: GPL-2.0-only

/**
 * The ioctl of the kernel's iommufd selftest: drivers/iommu/iommufd/iommufd_test.h of Linux 6.12.
 * Constants that are values of a u64 field are bigint, all others number.
 */
import { _IO } from './ioctl.ts';
import { IOMMUFD_CMD_BASE, IOMMUFD_TYPE } from './iommufd.ts';
import { struct, u32, u64 } from './layout.ts';

export const IOMMU_TEST_CMD = _IO(IOMMUFD_TYPE, IOMMUFD_CMD_BASE + 32);

export const IOMMU_TEST_OP_ADD_RESERVED = 1;
export const IOMMU_TEST_OP_MOCK_DOMAIN = 2;
export const IOMMU_TEST_OP_MD_CHECK_MAP = 3;
export const IOMMU_TEST_OP_MD_CHECK_REFS = 4;
export const IOMMU_TEST_OP_CREATE_ACCESS = 5;
export const IOMMU_TEST_OP_DESTROY_ACCESS_PAGES = 6;
export const IOMMU_TEST_OP_ACCESS_PAGES = 7;
export const IOMMU_TEST_OP_ACCESS_RW = 8;
export const IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT = 9;
export const IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE = 10;
export const IOMMU_TEST_OP_ACCESS_REPLACE_IOAS = 11;
export const IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS = 12;
export const IOMMU_TEST_OP_DIRTY = 13;
export const IOMMU_TEST_OP_MD_CHECK_IOTLB = 14;
export const IOMMU_TEST_OP_TRIGGER_IOPF = 15;

export const MOCK_APERTURE_START = 1n << 24n;
export const MOCK_APERTURE_LAST = (1n << 31n) - 1n;

/* access_pages.flags */
export const MOCK_FLAGS_ACCESS_WRITE = 1 << 0;
export const MOCK_FLAGS_ACCESS_SYZ = 1 << 16;

/* access_rw.flags */
export const MOCK_ACCESS_RW_WRITE = 1 << 0;
export const MOCK_ACCESS_RW_SLOW_PATH = 1 << 2;

/* create_access.flags */
export const MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES = 1 << 0;

/* mock_domain_flags.dev_flags */
export const MOCK_FLAGS_DEVICE_NO_DIRTY = 1 << 0;
export const MOCK_FLAGS_DEVICE_HUGE_IOVA = 1 << 1;

export const MOCK_NESTED_DOMAIN_IOTLB_ID_MAX = 3;
export const MOCK_NESTED_DOMAIN_IOTLB_NUM = 4;

/*
 * struct iommu_test_cmd holds a union: `op` says which arm. Here each arm makes a layout of its own, and
 * `iommu_test_cmd` itself is what they have in common.
 */
const head = { size: u32, op: u32, id: u32, __reserved: u32 };
const union = { size: 48, align: 8 };

export const iommu_test_cmd = struct('iommu_test_cmd', {
  ...head,
  union: struct('', {}, union),
  last: u32,
});

export const iommu_test_cmd_add_reserved = struct('iommu_test_cmd', {
  ...head,
  add_reserved: struct('add_reserved', { start: u64, length: u64 }, union),
  last: u32,
});

export const iommu_test_cmd_mock_domain = struct('iommu_test_cmd', {
  ...head,
  mock_domain: struct('mock_domain', { out_stdev_id: u32, out_hwpt_id: u32, out_idev_id: u32 }, union),
  last: u32,
});

export const iommu_test_cmd_mock_domain_flags = struct('iommu_test_cmd', {
  ...head,
  mock_domain_flags: struct(
    'mock_domain_flags',
    { out_stdev_id: u32, out_hwpt_id: u32, out_idev_id: u32, dev_flags: u32 },
    union,
  ),
  last: u32,
});

export const iommu_test_cmd_mock_domain_replace = struct('iommu_test_cmd', {
  ...head,
  mock_domain_replace: struct('mock_domain_replace', { pt_id: u32 }, union),
  last: u32,
});

export const iommu_test_cmd_check_map = struct('iommu_test_cmd', {
  ...head,
  check_map: struct('check_map', { iova: u64, length: u64, uptr: u64 }, union),
  last: u32,
});

export const iommu_test_cmd_check_refs = struct('iommu_test_cmd', {
  ...head,
  check_refs: struct('check_refs', { length: u64, uptr: u64, refs: u32 }, union),
  last: u32,
});

export const iommu_test_cmd_create_access = struct('iommu_test_cmd', {
  ...head,
  create_access: struct('create_access', { out_access_fd: u32, flags: u32 }, union),
  last: u32,
});

export const iommu_test_cmd_destroy_access_pages = struct('iommu_test_cmd', {
  ...head,
  destroy_access_pages: struct('destroy_access_pages', { access_pages_id: u32 }, union),
  last: u32,
});

export const iommu_test_cmd_access_pages = struct('iommu_test_cmd', {
  ...head,
  access_pages: struct(
    'access_pages',
    { flags: u32, out_access_pages_id: u32, iova: u64, length: u64, uptr: u64 },
    union,
  ),
  last: u32,
});

export const iommu_test_cmd_access_rw = struct('iommu_test_cmd', {
  ...head,
  access_rw: struct('access_rw', { iova: u64, length: u64, uptr: u64, flags: u32 }, union),
  last: u32,
});

export const iommu_test_cmd_memory_limit = struct('iommu_test_cmd', {
  ...head,
  memory_limit: struct('memory_limit', { limit: u32 }, union),
  last: u32,
});

export const iommu_test_cmd_access_replace_ioas = struct('iommu_test_cmd', {
  ...head,
  access_replace_ioas: struct('access_replace_ioas', { ioas_id: u32 }, union),
  last: u32,
});

export const iommu_test_cmd_dirty = struct('iommu_test_cmd', {
  ...head,
  dirty: struct(
    'dirty',
    { flags: u32, iova: u64, length: u64, page_size: u64, uptr: u64, out_nr_dirty: u64 },
    union,
  ),
  last: u32,
});

export const iommu_test_cmd_check_iotlb = struct('iommu_test_cmd', {
  ...head,
  check_iotlb: struct('check_iotlb', { id: u32, iotlb: u32 }, union),
  last: u32,
});

export const iommu_test_cmd_trigger_iopf = struct('iommu_test_cmd', {
  ...head,
  trigger_iopf: struct('trigger_iopf', { dev_id: u32, pasid: u32, grpid: u32, perm: u32, addr: u64 }, union),
  last: u32,
});

/* The mock driver's hardware information, nested page tables and their invalidation */

export const IOMMU_HW_INFO_TYPE_SELFTEST = 0xfeedbeef;
export const IOMMU_HW_INFO_SELFTEST_REGVAL = 0xdeadbeef;

export const iommu_test_hw_info = struct('iommu_test_hw_info', {
  flags: u32,
  test_reg: u32,
});

export const IOMMU_HWPT_DATA_SELFTEST = 0xdead;
export const IOMMU_TEST_IOTLB_DEFAULT = 0xbadbeef;

export const iommu_hwpt_selftest = struct('iommu_hwpt_selftest', {
  iotlb: u32,
});

export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID = 0xdadbeef;

export const IOMMU_TEST_INVALIDATE_FLAG_ALL = 1 << 0;

export const iommu_hwpt_invalidate_selftest = struct('iommu_hwpt_invalidate_selftest', {
  flags: u32,
  iotlb_id: u32,
});
