// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/selftest.c (6.12): the object for a mock device that is bound and attached. */
import { IS_ERR, type Rc } from '../../sim/errno.ts';
import { enumeration, ref } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import { struct } from '../../sim/struct.ts';
import { down_write, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import {
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  iommu_test_cmd_mock_domain_flags,
  iommu_test_cmd_mock_domain_replace,
} from '../../uapi/iommufd_test.ts';
import { view } from '../../uapi/layout.ts';
import { iommufd_device_bind, iommufd_device_unbind } from './device.ts';
import { iommufd_device_attach, iommufd_device_detach, iommufd_device_replace } from './device_attach.ts';
import {
  type iommufd_ctx,
  type iommufd_device,
  iommufd_object,
  iommufd_object_type,
  iommufd_put_object,
  type iommufd_ucmd,
  iommufd_ucmd_respond,
} from './iommufd_private.h.ts';
import {
  _iommufd_object_alloc,
  iommufd_get_object,
  iommufd_object_abort,
  iommufd_object_finalize,
} from './main.ts';
import { type mock_dev, mock_dev_create, mock_dev_destroy } from './selftest_device.ts';

const fn = sourceFile('drivers/iommu/iommufd/selftest.c');

const { IOMMUFD_OBJ_SELFTEST } = iommufd_object_type;

export class selftest_obj extends struct('selftest_obj', iommufd_object, {
  /** What it stands for; nothing else than a device so far. */
  kind: enumeration({ TYPE_IDEV: 0 }),
  idev: ref<iommufd_device>(),
  ictx: ref<iommufd_ctx>(),
  mock_dev: ref<mock_dev>(),
}) {}

interface Device {
  readonly idev: iommufd_device;
  readonly mock_dev: mock_dev;
}

/** The device of an object that was set up. */
function device_of({ idev, mock_dev, name }: selftest_obj): Device {
  if (idev === null || mock_dev === null) throw new Error(`${name} has no device`);
  return { idev, mock_dev };
}

function* detach({ idev, mock_dev }: Device): Gen<void> {
  yield* down_write(mock_dev.iopf_rwsem);
  yield* iommufd_device_detach(idev);
  yield* up_write(mock_dev.iopf_rwsem);
}

/**
 * IOMMU_TEST_OP_MOCK_DOMAIN, and _FLAGS: makes a mock device, binds it and attaches it to an IOAS or a page
 * table. -EINVAL: flags of the device; what binding and attaching say; -ENOMEM, -ENOSPC, -EBUSY, -EFAULT.
 */
export const iommufd_test_mock_domain = fn(
  'iommufd_test_mock_domain',
  function* (ucmd: iommufd_ucmd): Gen<Rc> {
    const sobj = yield* _iommufd_object_alloc(ucmd.ictx, selftest_obj, 'stdev', IOMMUFD_OBJ_SELFTEST);
    if (IS_ERR(sobj)) return sobj;
    sobj.ictx = ucmd.ictx;
    const rc = yield* set_up(ucmd, sobj);
    if (rc === 0) yield* iommufd_object_finalize(ucmd.ictx, sobj);
    else yield* iommufd_object_abort(ucmd.ictx, sobj);
    return rc;
  },
);

function* set_up(ucmd: iommufd_ucmd, sobj: selftest_obj): Gen<Rc> {
  const cmd = view(iommu_test_cmd_mock_domain_flags, ucmd.bytes);
  const dev_flags = cmd.op === IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS ? cmd['mock_domain_flags.dev_flags'] : 0;
  const mock_dev = yield* mock_dev_create(sobj, dev_flags);
  if (IS_ERR(mock_dev)) return mock_dev;
  sobj.mock_dev = mock_dev;
  const rc = yield* bind(ucmd, sobj, mock_dev);
  if (rc !== 0) yield* mock_dev_destroy(mock_dev);
  return rc;
}

function* bind(ucmd: iommufd_ucmd, sobj: selftest_obj, mock_dev: mock_dev): Gen<Rc> {
  const idev = yield* iommufd_device_bind(ucmd.ictx, mock_dev);
  if (IS_ERR(idev)) return idev;
  sobj.idev = idev;
  const rc = yield* attach(ucmd, sobj, { idev, mock_dev });
  if (rc !== 0) yield* iommufd_device_unbind(idev);
  return rc;
}

function* attach(ucmd: iommufd_ucmd, sobj: selftest_obj, device: Device): Gen<Rc> {
  const cmd = view(iommu_test_cmd_mock_domain_flags, ucmd.bytes);
  yield* down_write(device.mock_dev.iopf_rwsem);
  const pt_id = yield* iommufd_device_attach(device.idev, cmd.id);
  yield* up_write(device.mock_dev.iopf_rwsem);
  if (IS_ERR(pt_id)) return pt_id;
  cmd['mock_domain_flags.out_hwpt_id'] = pt_id;
  cmd['mock_domain_flags.out_stdev_id'] = sobj.id;
  cmd['mock_domain_flags.out_idev_id'] = device.idev.id;
  const rc = yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
  if (rc !== 0) yield* detach(device);
  return rc;
}

/** IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE: the device goes over to another page table. What replacing says; -EFAULT. */
export const iommufd_test_mock_domain_replace = fn(
  'iommufd_test_mock_domain_replace',
  function* (ucmd: iommufd_ucmd): Gen<Rc> {
    const cmd = view(iommu_test_cmd_mock_domain_replace, ucmd.bytes);
    const sobj = yield* iommufd_get_object(ucmd.ictx, cmd.id, IOMMUFD_OBJ_SELFTEST);
    if (IS_ERR(sobj)) return sobj;
    if (!(sobj instanceof selftest_obj)) throw new Error(`${sobj.name} says it is of the selftest`);
    const { idev, mock_dev } = device_of(sobj);
    yield* down_write(mock_dev.iopf_rwsem);
    const pt_id = yield* iommufd_device_replace(idev, cmd['mock_domain_replace.pt_id']);
    yield* up_write(mock_dev.iopf_rwsem);
    let rc: Rc;
    if (IS_ERR(pt_id)) {
      rc = pt_id;
    } else {
      cmd['mock_domain_replace.pt_id'] = pt_id;
      rc = yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
    }
    yield* iommufd_put_object(ucmd.ictx, sobj);
    return rc;
  },
);

export const iommufd_selftest_destroy = fn(
  'iommufd_selftest_destroy',
  function* (sobj: selftest_obj): Gen<void> {
    const device = device_of(sobj);
    yield* detach(device);
    yield* iommufd_device_unbind(device.idev);
    yield* mock_dev_destroy(device.mock_dev);
  },
);
