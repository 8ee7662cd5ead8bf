// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/selftest.c (6.12): the mock IOMMU driver. */
import { done } from '../../sim/coroutine.ts';
import { type Err, fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EINVAL, ENODEV, ENOMEM, EOPNOTSUPP } from '../../uapi/errno.ts';
import { IOMMU_HWPT_ALLOC_DIRTY_TRACKING, IOMMU_HWPT_ALLOC_NEST_PARENT } from '../../uapi/iommufd.ts';
import {
  IOMMU_HW_INFO_SELFTEST_REGVAL,
  IOMMU_HW_INFO_TYPE_SELFTEST,
  IOMMU_HWPT_DATA_SELFTEST,
  iommu_hwpt_selftest,
  iommu_test_hw_info,
  MOCK_FLAGS_DEVICE_NO_DIRTY,
} from '../../uapi/iommufd_test.ts';
import { view } from '../../uapi/layout.ts';
import { bus_register } from '../driver-core/bus.ts';
import type { device } from '../driver-core/device.ts';
import { iopf_queue_alloc } from '../iommu/io-pgfault_queue.ts';
import type {
  iommu_cap,
  iommu_device,
  iommu_domain,
  iommu_hw_info_data,
  iommu_ops,
  iommu_user_data,
} from '../iommu/iommu.h.ts';
import { generic_device_group } from '../iommu/iommu_group.ts';
import { iommu_device_register_bus } from '../iommu/iommu_probe.ts';
import { iommu_copy_struct_from_user } from '../iommu/iommu_user_data.ts';
import { mock_dev_of, mock_driver_data } from './selftest_device.ts';
import {
  dirty_ops,
  MOCK_IO_PAGE_SIZE,
  mock_domain_alloc_paging,
  mock_domain_ops,
  mock_iommu_domain,
} from './selftest_domain.ts';
import { test_module_settings } from './selftest_inject.ts';
import { mock_dev_disable_feat, mock_dev_enable_feat, mock_domain_page_response } from './selftest_iopf.ts';
import { __mock_domain_alloc_nested } from './selftest_nested.ts';

const fn = sourceFile('drivers/iommu/iommufd/selftest.c');

const mock_domain_hw_info = fn('mock_domain_hw_info', (_dev: device): iommu_hw_info_data => {
  const data = new Uint8Array(iommu_test_hw_info.size);
  view(iommu_test_hw_info, data).test_reg = IOMMU_HW_INFO_SELFTEST_REGVAL;
  return { data, type: IOMMU_HW_INFO_TYPE_SELFTEST };
});

function* alloc_paging(
  dev: device,
  flags: number,
  user_data: iommu_user_data | null,
  creator: Named,
  role: string,
): Gen<iommu_domain | Err> {
  const has_dirty_flag = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
  const no_dirty_ops = (mock_dev_of(dev).flags & MOCK_FLAGS_DEVICE_NO_DIRTY) !== 0;
  if ((flags & ~(IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING)) !== 0) {
    return fail(EOPNOTSUPP, 'unknown flags');
  }
  if (user_data !== null) return fail(EOPNOTSUPP, 'a domain without a parent takes no data');
  if (has_dirty_flag && no_dirty_ops) return fail(EOPNOTSUPP, 'the device cannot track what is dirty');
  const domain = yield* mock_domain_alloc_paging(dev, creator, role);
  if (domain === null) return fail(ENOMEM, 'no memory for the domain');
  if (has_dirty_flag) domain.dirty_ops = dirty_ops;
  return domain;
}

const mock_domain_alloc_user = fn(
  'mock_domain_alloc_user',
  function* (
    dev: device,
    flags: number,
    parent: iommu_domain | null,
    user_data: iommu_user_data | null,
    creator: Named,
    role: string,
  ): Gen<iommu_domain | Err> {
    if (parent === null) return yield* alloc_paging(dev, flags, user_data, creator, role);
    if (user_data === null) throw new Error('a nested domain is asked for without data');
    if (user_data.type !== IOMMU_HWPT_DATA_SELFTEST) return fail(EOPNOTSUPP, 'the data is of another type');
    if (flags !== 0) return fail(EOPNOTSUPP, 'a nested domain takes no flags');
    if (!(parent instanceof mock_iommu_domain)) return fail(EINVAL, 'the parent is no mock domain');
    const bytes = new Uint8Array(iommu_hwpt_selftest.size);
    const rc = yield* iommu_copy_struct_from_user(
      bytes,
      user_data,
      IOMMU_HWPT_DATA_SELFTEST,
      iommu_hwpt_selftest,
      'iotlb',
    );
    if (rc !== 0) return rc;
    return __mock_domain_alloc_nested(parent, view(iommu_hwpt_selftest, bytes).iotlb, creator, role);
  },
);

const mock_domain_capable = fn('mock_domain_capable', (dev: device, cap: iommu_cap): boolean => {
  switch (cap) {
    case 'IOMMU_CAP_CACHE_COHERENCY':
      return true;
    case 'IOMMU_CAP_DIRTY_TRACKING':
      return (mock_dev_of(dev).flags & MOCK_FLAGS_DEVICE_NO_DIRTY) === 0;
    default:
      return false;
  }
});

const mock_probe_device = fn('mock_probe_device', (dev: device): Co<iommu_device | Err> => {
  const { bus, mock_iommu_device } = mock_driver_data();
  return done(dev.bus === bus ? mock_iommu_device : fail(ENODEV, 'the device is on another bus'));
});

const mock_ops: iommu_ops = {
  name: 'mock_ops',
  // There is no asking for a blocking default domain: IOMMU_DOMAIN_BLOCKED is 0, which means "do not mind".
  get default_domain() {
    return mock_driver_data().mock_blocking_domain;
  },
  get blocked_domain() {
    return mock_driver_data().mock_blocking_domain;
  },
  pgsize_bitmap: BigInt(MOCK_IO_PAGE_SIZE),
  hw_info: mock_domain_hw_info,
  domain_alloc_paging: mock_domain_alloc_paging,
  domain_alloc_user: mock_domain_alloc_user,
  capable: mock_domain_capable,
  device_group: generic_device_group,
  probe_device: mock_probe_device,
  page_response: mock_domain_page_response,
  dev_enable_feat: mock_dev_enable_feat,
  dev_disable_feat: mock_dev_disable_feat,
  user_pasid_table: true,
  default_domain_ops: mock_domain_ops,
};

/** Boot: the mock driver takes what appears on its bus. */
export function* iommufd_test_init(): Gen<Rc> {
  const driver = mock_driver_data();
  test_module_settings();
  const registered = yield* bus_register(driver.bus, { name: 'iommufd_mock', driver_override: false });
  if (registered !== 0) return registered;
  const rc = yield* iommu_device_register_bus(driver.mock_iommu_device, mock_ops, driver.bus, driver.nb);
  if (rc === 0) driver.mock_iommu_iopf_queue = iopf_queue_alloc(driver, 'mock-iopfq');
  return rc;
}
