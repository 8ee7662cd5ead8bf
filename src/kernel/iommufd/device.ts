// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/device.c (6.12): devices that drivers bind to a context, and the groups they are in. */
import { list_empty } from '../../sim/collections/list.ts';
import {
  __xa_cmpxchg,
  xa_cmpxchg,
  xa_for_each,
  xa_load,
  xa_lock,
  xa_unlock,
} from '../../sim/collections/xarray.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import {
  refcount_dec_and_test,
  refcount_inc,
  refcount_inc_not_zero,
  refcount_init,
} from '../../sim/sync/refcount.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EFAULT, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EPERM } from '../../uapi/errno.ts';
import * as uapi from '../../uapi/iommufd.ts';
import { view } from '../../uapi/layout.ts';
import type { device } from '../driver-core/device.ts';
import { type iommu_group, type iommu_hw_info_data, PHYS_ADDR_MAX } from '../iommu/iommu.h.ts';
import { dev_iommu_ops, device_iommu_capable } from '../iommu/iommu.ts';
import {
  iommu_group_get,
  iommu_group_has_isolated_msi,
  iommu_group_id,
  iommu_group_put,
} from '../iommu/iommu_group.ts';
import { iommu_device_claim_dma_owner, iommu_device_release_dma_owner } from '../iommu/iommu_owner.ts';
import { clear_user, copy_to_user } from '../mm/uaccess.ts';
import {
  bound,
  type iommufd_ctx,
  iommufd_device,
  iommufd_group,
  iommufd_object_type,
  iommufd_put_object,
  type iommufd_ucmd,
  iommufd_ucmd_respond,
} from './iommufd_private.h.ts';
import { _iommufd_object_alloc, iommufd_ctx_get, iommufd_ctx_put, iommufd_object_finalize } from './main.ts';
import { iommufd_get_device, iommufd_object_destroy_user } from './object.ts';
import { iommufd_selftest_is_mock_dev } from './selftest_device.ts';

const fn = sourceFile('drivers/iommu/iommufd/device.c');

const iommufd_group_release = fn('iommufd_group_release', function* (igroup: iommufd_group): Gen<void> {
  const { ictx, group } = igroup;
  const used = igroup.hwpt !== null || !list_empty(igroup.device_list);
  WARN_ON(used, `${igroup.name} is released while it is attached`);
  if (ictx !== null && group !== null) {
    yield* xa_cmpxchg(ictx.groups, iommu_group_id(group), igroup, null);
  }
  yield* iommu_group_put(group);
  kfree(igroup);
});

function* iommufd_put_group(igroup: iommufd_group): Gen<void> {
  if (yield* refcount_dec_and_test(igroup.ref)) yield* iommufd_group_release(igroup);
}

/** Takes a reference; false: there is no igroup any more. */
function* iommufd_group_try_get(igroup: iommufd_group | null, group: iommu_group): Gen<boolean> {
  if (igroup === null) return false;
  // An id is not given out again before the igroup has put the group.
  if (WARN_ON(igroup.group !== group, `${igroup.name} stands under the id of another group`)) return false;
  return yield* refcount_inc_not_zero(igroup.ref);
}

/** What the context keeps of the device's group, with a reference. -ENODEV: no group; -ENOMEM. */
const iommufd_get_group = fn('iommufd_get_group', function* (ictx: iommufd_ctx, dev: device): Gen<
  iommufd_group | Err
> {
  const group = yield* iommu_group_get(dev);
  if (group === null) return fail(ENODEV, 'the device is in no IOMMU group');
  const id = iommu_group_id(group);

  yield* xa_lock(ictx.groups);
  const there = xa_load(ictx.groups, id);
  const got = yield* iommufd_group_try_get(there, group);
  yield* xa_unlock(ictx.groups);
  if (got && there !== null) {
    yield* iommu_group_put(group);
    return there;
  }

  const new_igroup = kzalloc(iommufd_group, ictx, 'igroup');
  if (new_igroup === null) {
    yield* iommu_group_put(group);
    return fail(ENOMEM, 'no memory for the igroup');
  }
  refcount_init(new_igroup.ref, 1);
  new_igroup.sw_msi_start = PHYS_ADDR_MAX;
  new_igroup.group = group;
  new_igroup.ictx = ictx;

  let cur_igroup: iommufd_group | null = null;
  yield* xa_lock(ictx.groups);
  for (;;) {
    const igroup: iommufd_group | null = __xa_cmpxchg(ictx.groups, id, cur_igroup, new_igroup);
    if (igroup === cur_igroup) {
      yield* xa_unlock(ictx.groups);
      return new_igroup;
    }
    // Somebody was faster; but his igroup may be on its way out already.
    if ((yield* iommufd_group_try_get(igroup, group)) && igroup !== null) {
      yield* xa_unlock(ictx.groups);
      yield* iommufd_put_group(new_igroup);
      return igroup;
    }
    cur_igroup = igroup;
  }
});

/** The device is the default domain's again. */
export const iommufd_device_destroy = fn(
  'iommufd_device_destroy',
  function* (idev: iommufd_device): Gen<void> {
    const { dev, igroup, ictx } = bound(idev);
    yield* iommu_device_release_dma_owner(dev);
    yield* iommufd_put_group(igroup);
    if (!iommufd_selftest_is_mock_dev(dev)) yield* iommufd_ctx_put(ictx);
  },
);

/**
 * Binds a device to the context, which owns its group from then on; the driver that calls undoes it with
 * iommufd_device_unbind. -EINVAL: its DMA is not coherent with caches; -ENODEV: no group; -EPERM: its MSIs are
 * not isolated, or another owns or uses the group; -EBUSY: the group is attached, or every id is taken; -ENOMEM.
 */
export const iommufd_device_bind = fn('iommufd_device_bind', function* (ictx: iommufd_ctx, dev: device): Gen<
  iommufd_device | Err
> {
  if (!device_iommu_capable(dev, 'IOMMU_CAP_CACHE_COHERENCY')) {
    return fail(EINVAL, "the device's DMA cannot be made coherent with caches");
  }
  const igroup = yield* iommufd_get_group(ictx, dev);
  if (IS_ERR(igroup)) return igroup;
  const idev = yield* own(ictx, dev, igroup);
  if (IS_ERR(idev)) yield* iommufd_put_group(igroup);
  return idev;
});

function* own(ictx: iommufd_ctx, dev: device, igroup: iommufd_group): Gen<iommufd_device | Err> {
  const mock = iommufd_selftest_is_mock_dev(dev);
  if (!mock && igroup.group !== null && !(yield* iommu_group_has_isolated_msi(igroup.group))) {
    return fail(EPERM, 'the platform does not isolate the MSIs of the group');
  }
  const rc = yield* iommu_device_claim_dma_owner(dev, ictx);
  if (rc !== 0) return rc;
  const idev = yield* _iommufd_object_alloc(
    ictx,
    iommufd_device,
    'idev',
    iommufd_object_type.IOMMUFD_OBJ_DEVICE,
  );
  if (IS_ERR(idev)) {
    yield* iommu_device_release_dma_owner(dev);
    return idev;
  }
  idev.ictx = ictx;
  if (!mock) yield* iommufd_ctx_get(ictx);
  idev.dev = dev;
  idev.enforce_cache_coherency = device_iommu_capable(dev, 'IOMMU_CAP_ENFORCE_CACHE_COHERENCY');
  // The driver's, until it unbinds.
  yield* refcount_inc(idev.users);
  idev.igroup = igroup;
  yield* iommufd_object_finalize(ictx, idev);
  return idev;
}

/** Whether a device of the group is bound to the context. */
export const iommufd_ctx_has_group = fn(
  'iommufd_ctx_has_group',
  function* (ictx: iommufd_ctx, group: iommu_group): Gen<boolean> {
    yield* xa_lock(ictx.objects);
    let found = false;
    for (const [, obj] of xa_for_each(ictx.objects)) {
      found = obj instanceof iommufd_device && obj.igroup?.group === group;
      if (found) break;
    }
    yield* xa_unlock(ictx.objects);
    return found;
  },
);

/** Undoes iommufd_device_bind; waits for the calls that use the device just now. */
export const iommufd_device_unbind = fn('iommufd_device_unbind', function* (idev: iommufd_device): Gen<void> {
  yield* iommufd_object_destroy_user(bound(idev).ictx, idev);
});

function* copy_hw_info(user_ptr: bigint, user_len: number, { data }: iommu_hw_info_data): Gen<Rc> {
  const copy_len = Math.min(user_len, data.length);
  if ((yield* copy_to_user(user_ptr, data.subarray(0, copy_len))) !== 0) {
    return fail(EFAULT, 'the information cannot be written');
  }
  if (copy_len < user_len && (yield* clear_user(user_ptr + BigInt(copy_len), user_len - copy_len)) !== 0) {
    return fail(EFAULT, 'the rest of the buffer cannot be written');
  }
  return 0;
}

function no_hw_info(): iommu_hw_info_data {
  const data = new Uint8Array(0);
  return { data, type: uapi.IOMMU_HW_INFO_TYPE_NONE };
}

/**
 * IOMMU_GET_HW_INFO. -EOPNOTSUPP: flags; -ENOENT: no such device; -EFAULT; -ENODEV: the driver does not say of
 * what type its information is; what the driver says.
 */
export const iommufd_get_hw_info = fn('iommufd_get_hw_info', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const cmd = view(uapi.iommu_hw_info, ucmd.bytes);
  if (cmd.flags !== 0 || cmd.__reserved.some((byte) => byte !== 0)) {
    return fail(EOPNOTSUPP, 'flags or __reserved is not 0');
  }
  const idev = yield* iommufd_get_device(ucmd, cmd.dev_id);
  if (IS_ERR(idev)) return idev;
  const rc = yield* tell_hw_info(ucmd, bound(idev).dev);
  yield* iommufd_put_object(ucmd.ictx, idev);
  return rc;
});

function* tell_hw_info(ucmd: iommufd_ucmd, dev: device): Gen<Rc> {
  const cmd = view(uapi.iommu_hw_info, ucmd.bytes);
  const ops = dev_iommu_ops(dev);
  const info = ops.hw_info ? ops.hw_info(dev) : no_hw_info();
  if (IS_ERR(info)) return info;
  cmd.out_data_type = info.type;
  if (ops.hw_info && WARN_ON(info.type === uapi.IOMMU_HW_INFO_TYPE_NONE, 'hw_info of no type')) {
    return fail(ENODEV, 'the driver does not say of what type its information is');
  }
  const rc = yield* copy_hw_info(cmd.data_uptr, cmd.data_len, info);
  if (rc !== 0) return rc;
  cmd.data_len = info.data.length;
  const tracks = device_iommu_capable(dev, 'IOMMU_CAP_DIRTY_TRACKING');
  cmd.out_capabilities = tracks ? uapi.IOMMU_HW_CAP_DIRTY_TRACKING : 0n;
  // No modelled device has PASIDs.
  cmd.out_max_pasid_log2 = 0;
  return yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
}
