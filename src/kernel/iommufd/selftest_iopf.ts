// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/selftest.c (6.12): page requests of mock devices. */
import { done } from '../../sim/coroutine.ts';
import { fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { EINVAL, ENODEV } from '../../uapi/errno.ts';
import { iommu_test_cmd_trigger_iopf } from '../../uapi/iommufd_test.ts';
import { view } from '../../uapi/layout.ts';
import type { device } from '../driver-core/device.ts';
import {
  IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
  iommu_fault_type,
  type iommu_page_response,
  type iopf_event,
} from '../iommu/io-pgfault.h.ts';
import { iommu_report_device_fault } from '../iommu/io-pgfault.ts';
import { iopf_queue_add_device, iopf_queue_remove_device } from '../iommu/io-pgfault_queue.ts';
import { IOMMU_NO_PASID, type iommu_dev_features } from '../iommu/iommu.h.ts';
import { bound, iommufd_put_object, type iommufd_ucmd } from './iommufd_private.h.ts';
import { iommufd_get_device } from './object.ts';
import { iommufd_selftest_is_mock_dev, mock_dev_of, mock_driver_data } from './selftest_device.ts';

const fn = sourceFile('drivers/iommu/iommufd/selftest.c');

/** Nobody waits for the answer. */
export const mock_domain_page_response = fn(
  'mock_domain_page_response',
  (_dev: device, _evt: iopf_event, _msg: iommu_page_response): Co<void> => done(undefined),
);

export const mock_dev_enable_feat = fn(
  'mock_dev_enable_feat',
  function* (dev: device, feat: iommu_dev_features): Gen<Rc> {
    const { mock_iommu_iopf_queue: queue } = mock_driver_data();
    if (feat !== 'IOMMU_DEV_FEAT_IOPF' || queue === null) return fail(ENODEV, 'no such feature');
    return yield* iopf_queue_add_device(queue, dev);
  },
);

export const mock_dev_disable_feat = fn(
  'mock_dev_disable_feat',
  function* (dev: device, feat: iommu_dev_features): Gen<Rc> {
    const { mock_iommu_iopf_queue: queue } = mock_driver_data();
    if (feat !== 'IOMMU_DEV_FEAT_IOPF' || queue === null) return fail(ENODEV, 'no such feature');
    yield* iopf_queue_remove_device(queue, dev);
    return 0;
  },
);

/** A page request, alone in its group, as user space would have it. */
function event_of(bytes: Uint8Array): iopf_event {
  const cmd = view(iommu_test_cmd_trigger_iopf, bytes);
  const pasid = cmd['trigger_iopf.pasid'];
  const with_pasid = pasid === IOMMU_NO_PASID ? 0 : IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
  const prm = {
    flags: IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE | with_pasid,
    pasid,
    grpid: cmd['trigger_iopf.grpid'],
    perm: cmd['trigger_iopf.perm'],
    addr: cmd['trigger_iopf.addr'],
  };
  return { fault: { type: iommu_fault_type.IOMMU_FAULT_PAGE_REQ, prm } };
}

const bugE7 = bug('E7', {
  at: 'drivers/iommu/iommufd/selftest.c:iommufd_test_trigger_iopf',
  about:
    'A mock device reports a page request while it is detached: the handle that was found for it is freed meanwhile',
  source: 'iommufd: Fix UAF in selftest IOPF reporting (CVE-2026-89445; 6.11 to 7.2, 6.12.112)',
  cure: 'It reports with iopf_rwsem held, which attach, replace and detach take for writing',
});

/**
 * IOMMU_TEST_OP_TRIGGER_IOPF: a mock device requests a page; 0, whoever handles it. -ENOENT: no such device;
 * -EINVAL: it is no mock device.
 */
export const iommufd_test_trigger_iopf = fn(
  'iommufd_test_trigger_iopf',
  function* (ucmd: iommufd_ucmd): Gen<Rc> {
    const { 'trigger_iopf.dev_id': dev_id } = view(iommu_test_cmd_trigger_iopf, ucmd.bytes);
    const idev = yield* iommufd_get_device(ucmd, dev_id);
    if (IS_ERR(idev)) return idev;
    const { dev } = bound(idev);
    let rc: Rc = 0;
    if (iommufd_selftest_is_mock_dev(dev)) {
      const { iopf_rwsem } = mock_dev_of(dev);
      const drained = !bugE7();
      if (drained) yield* down_read(iopf_rwsem);
      yield* iommu_report_device_fault(dev, event_of(ucmd.bytes));
      if (drained) yield* up_read(iopf_rwsem);
    } else {
      rc = fail(EINVAL, 'the device is no mock device');
    }
    yield* iommufd_put_object(ucmd.ictx, idev);
    return rc;
  },
);
