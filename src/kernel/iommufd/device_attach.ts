// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/device.c (6.12): which page table a bound device, and its group, is attached to. */
import { list_add_tail, list_count_nodes, list_del, list_empty } from '../../sim/collections/list.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { lockdep_assert_held, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { refcount_add, refcount_dec, refcount_inc, refcount_sub_and_test } from '../../sim/sync/refcount.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { oops, WARN_ON } from '../../sim/warn.ts';
import { EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { iommu_get_msi_cookie } from '../iommu/dma-iommu.ts';
import { IOMMU_NO_PASID, PHYS_ADDR_MAX } from '../iommu/iommu.h.ts';
import {
  iommu_attach_group_handle,
  iommu_attach_handle_get,
  iommu_detach_group_handle,
  iommu_replace_group_handle,
} from '../iommu/iommu_group.ts';
import {
  iommufd_auto_response_faults,
  iommufd_fault_iopf_disable,
  iommufd_fault_iopf_enable,
} from './fault.ts';
import { iommufd_hwpt_paging_alloc } from './hw_pagetable.ts';
import { iopt_table_enforce_dev_resv_regions } from './io_pagetable_domains.ts';
import { iopt_remove_reserved_iova } from './io_pagetable_iova.ts';
import {
  bound,
  domain_of,
  find_hwpt_paging,
  group_of,
  IOMMUFD_OBJ_ANY,
  ioas_of,
  iommufd_attach_handle,
  type iommufd_device,
  type iommufd_group,
  iommufd_hw_pagetable,
  iommufd_hwpt_paging,
  iommufd_ioas,
  iommufd_lock_obj,
  iommufd_put_object,
} from './iommufd_private.h.ts';
import { iommufd_get_object, iommufd_object_abort_and_destroy, iommufd_object_finalize } from './main.ts';
import { iommufd_hw_pagetable_put } from './object.ts';

const fn = sourceFile('drivers/iommu/iommufd/device.c');

/** A driver that has its MSIs mapped by software gets that done in the domain. */
function iommufd_group_setup_msi(igroup: iommufd_group, hwpt_paging: iommufd_hwpt_paging): Rc {
  const { sw_msi_start } = igroup;
  if (sw_msi_start === PHYS_ADDR_MAX || hwpt_paging.msi_cookie) return 0;
  const rc = iommu_get_msi_cookie(domain_of(hwpt_paging), sw_msi_start);
  if (rc !== 0) return rc;
  hwpt_paging.msi_cookie = true;
  return 0;
}

function* iommufd_device_attach_reserved_iova(
  idev: iommufd_device,
  hwpt_paging: iommufd_hwpt_paging,
): Gen<Rc> {
  const { igroup, dev } = bound(idev);
  const { iopt } = ioas_of(hwpt_paging);
  lockdep_assert_held(igroup.lock);
  let rc = yield* iopt_table_enforce_dev_resv_regions(iopt, dev, igroup);
  if (rc !== 0 || !list_empty(igroup.device_list)) return rc;
  rc = iommufd_group_setup_msi(igroup, hwpt_paging);
  if (rc !== 0) yield* iopt_remove_reserved_iova(iopt, dev);
  return rc;
}

/** Whether the device is attached to igroup.hwpt; under igroup.lock. */
function iommufd_device_is_attached(idev: iommufd_device, igroup: iommufd_group): boolean {
  for (const cur of igroup.device_list) if (cur === idev) return true;
  return false;
}

function* iommufd_hwpt_attach_device(hwpt: iommufd_hw_pagetable, idev: iommufd_device): Gen<Rc> {
  const { igroup } = bound(idev);
  lockdep_assert_held(igroup.lock);
  const handle = kzalloc(iommufd_attach_handle, idev, 'handle');
  if (handle === null) return fail(ENOMEM, 'no memory for the attach handle');
  let rc = hwpt.fault === null ? 0 : yield* iommufd_fault_iopf_enable(idev);
  if (rc === 0) {
    handle.idev = idev;
    rc = yield* iommu_attach_group_handle(domain_of(hwpt), group_of(igroup), handle);
    if (rc === 0) return 0;
    if (hwpt.fault !== null) yield* iommufd_fault_iopf_disable(idev);
  }
  kfree(handle);
  return rc;
}

function* iommufd_device_get_attach_handle(idev: iommufd_device): Gen<iommufd_attach_handle | null> {
  const { igroup } = bound(idev);
  lockdep_assert_held(igroup.lock);
  const handle = yield* iommu_attach_handle_get(group_of(igroup), IOMMU_NO_PASID, 0);
  return handle instanceof iommufd_attach_handle ? handle : null;
}

function* iommufd_hwpt_detach_device(hwpt: iommufd_hw_pagetable, idev: iommufd_device): Gen<void> {
  const handle = yield* iommufd_device_get_attach_handle(idev);
  yield* iommu_detach_group_handle(domain_of(hwpt), group_of(bound(idev).igroup));
  if (hwpt.fault !== null) {
    yield* iommufd_auto_response_faults(hwpt.fault, handle);
    // 6.12 does this: for the last device of a group to leave, though the first to come is the one it was done for.
    yield* iommufd_fault_iopf_disable(idev);
  }
  if (handle !== null) kfree(handle);
}

const bugE1 = bug('E1', {
  at: 'drivers/iommu/iommufd/device.c:iommufd_hwpt_replace_device',
  about: 'A replace looks for unanswered page requests in the queue of the new page table',
  source:
    'iommufd: Fix wrong hwpt passed to iommufd_auto_response_faults on replace (6.15, 6.12.25 to 6.12.104)',
  cure: 'It looks in the queue of the old one, and refuses what came by the old handle before that is freed',
});

function* iommufd_hwpt_replace_device(
  idev: iommufd_device,
  hwpt: iommufd_hw_pagetable,
  old: iommufd_hw_pagetable,
): Gen<Rc> {
  const old_handle = yield* iommufd_device_get_attach_handle(idev);
  const handle = kzalloc(iommufd_attach_handle, idev, 'handle');
  if (handle === null) return fail(ENOMEM, 'no memory for the attach handle');
  const turn_on = hwpt.fault !== null && old.fault === null;
  let rc = turn_on ? yield* iommufd_fault_iopf_enable(idev) : 0;
  if (rc === 0) {
    handle.idev = idev;
    rc = yield* iommu_replace_group_handle(group_of(bound(idev).igroup), domain_of(hwpt), handle);
    if (rc !== 0 && turn_on) yield* iommufd_fault_iopf_disable(idev);
  }
  if (rc !== 0) {
    kfree(handle);
    return rc;
  }
  if (old.fault !== null) {
    const { fault } = bugE1() ? hwpt : old;
    if (fault !== null) yield* iommufd_auto_response_faults(fault, old_handle);
    if (hwpt.fault === null) yield* iommufd_fault_iopf_disable(idev);
  }
  if (old_handle !== null) kfree(old_handle);
  return 0;
}

/**
 * Attaches the device; the first of a group attaches the group, the others go along. -EINVAL: the group is
 * attached to another page table, or device and domain do not go together; -EADDRINUSE: what the device cannot
 * use as IOVA is mapped; -ENOMEM; what the driver says.
 */
export const iommufd_hw_pagetable_attach = fn(
  'iommufd_hw_pagetable_attach',
  function* (hwpt: iommufd_hw_pagetable, idev: iommufd_device): Gen<Rc> {
    const { igroup } = bound(idev);
    yield* mutex_lock(igroup.lock);
    const rc = yield* attach(hwpt, idev, igroup);
    yield* mutex_unlock(igroup.lock);
    return rc;
  },
);

function* attach(hwpt: iommufd_hw_pagetable, idev: iommufd_device, igroup: iommufd_group): Gen<Rc> {
  if (igroup.hwpt !== null && igroup.hwpt !== hwpt) {
    return fail(EINVAL, 'the group is attached to another page table');
  }
  const hwpt_paging = find_hwpt_paging(hwpt);
  if (hwpt_paging !== null) {
    const rc = yield* iommufd_device_attach_reserved_iova(idev, hwpt_paging);
    if (rc !== 0) return rc;
  }
  if (list_empty(igroup.device_list)) {
    const rc = yield* iommufd_hwpt_attach_device(hwpt, idev);
    if (rc !== 0) {
      if (hwpt_paging !== null) yield* iopt_remove_reserved_iova(ioas_of(hwpt_paging).iopt, bound(idev).dev);
      return rc;
    }
    igroup.hwpt = hwpt;
  }
  yield* refcount_inc(hwpt.users);
  // 6.12 does this: a device that is attached already is added once more, and the list is corrupt.
  list_add_tail(idev.group_item, igroup.device_list);
  return 0;
}

/** Detaches the device, the last of a group detaches the group. The caller gives up the page table returned. */
export const iommufd_hw_pagetable_detach = fn(
  'iommufd_hw_pagetable_detach',
  function* (idev: iommufd_device): Gen<iommufd_hw_pagetable> {
    const { igroup, dev } = bound(idev);
    // 6.12 does this: it looks before it has the lock.
    const { hwpt } = igroup;
    if (hwpt === null) oops('iommufd_hw_pagetable_detach of a group that is not attached');
    const hwpt_paging = find_hwpt_paging(hwpt);
    yield* mutex_lock(igroup.lock);
    list_del(idev.group_item);
    if (list_empty(igroup.device_list)) {
      yield* iommufd_hwpt_detach_device(hwpt, idev);
      igroup.hwpt = null;
    }
    if (hwpt_paging !== null) yield* iopt_remove_reserved_iova(ioas_of(hwpt_paging).iopt, dev);
    yield* mutex_unlock(igroup.lock);
    return hwpt;
  },
);

/** How to get from no page table, or from another, to `hwpt`. Returns the one that the caller gives up. */
type attach_fn = (idev: iommufd_device, hwpt: iommufd_hw_pagetable) => Co<iommufd_hw_pagetable | Err | null>;

const iommufd_device_do_attach = fn(
  'iommufd_device_do_attach',
  function* (idev: iommufd_device, hwpt: iommufd_hw_pagetable): Gen<Err | null> {
    const rc = yield* iommufd_hw_pagetable_attach(hwpt, idev);
    return rc === 0 ? null : rc;
  },
);

function* iommufd_group_remove_reserved_iova(
  igroup: iommufd_group,
  hwpt_paging: iommufd_hwpt_paging,
): Gen<void> {
  lockdep_assert_held(igroup.lock);
  for (const cur of igroup.device_list) {
    yield* iopt_remove_reserved_iova(ioas_of(hwpt_paging).iopt, bound(cur).dev);
  }
}

function* iommufd_group_do_replace_reserved_iova(
  igroup: iommufd_group,
  hwpt_paging: iommufd_hwpt_paging,
): Gen<Rc> {
  lockdep_assert_held(igroup.lock);
  const old = igroup.hwpt === null ? null : find_hwpt_paging(igroup.hwpt);
  let rc: Rc = 0;
  if (old === null || hwpt_paging.ioas !== old.ioas) {
    for (const cur of igroup.device_list) {
      rc = yield* iopt_table_enforce_dev_resv_regions(ioas_of(hwpt_paging).iopt, bound(cur).dev, null);
      if (rc !== 0) break;
    }
  }
  if (rc === 0) rc = iommufd_group_setup_msi(igroup, hwpt_paging);
  // 6.12 does this: with the same IOAS on both sides, it takes away what the old page table still needs.
  if (rc !== 0) yield* iommufd_group_remove_reserved_iova(igroup, hwpt_paging);
  return rc;
}

const iommufd_device_do_replace = fn(
  'iommufd_device_do_replace',
  function* (idev: iommufd_device, hwpt: iommufd_hw_pagetable): Gen<iommufd_hw_pagetable | Err | null> {
    const { igroup } = bound(idev);
    yield* mutex_lock(igroup.lock);
    const old_hwpt = yield* replace(idev, hwpt, igroup);
    yield* mutex_unlock(igroup.lock);
    return old_hwpt;
  },
);

const bugD2 = bug('D2', {
  at: 'drivers/iommu/iommufd/device.c:iommufd_device_do_replace',
  about: 'A device that is not attached moves the others of its group',
  source: 'iommufd: Fail replace if device has not been attached (6.6 to 6.14, 6.12.24)',
  cure: '-EINVAL',
});

function* replace(
  idev: iommufd_device,
  hwpt: iommufd_hw_pagetable,
  igroup: iommufd_group,
): Gen<iommufd_hw_pagetable | Err | null> {
  const old_hwpt = igroup.hwpt;
  if (old_hwpt === null) return fail(EINVAL, 'the group is not attached');
  if (!bugD2() && !iommufd_device_is_attached(idev, igroup))
    return fail(EINVAL, 'the device is not attached');
  if (hwpt === old_hwpt) return null;

  const hwpt_paging = find_hwpt_paging(hwpt);
  if (hwpt_paging !== null) {
    const rc = yield* iommufd_group_do_replace_reserved_iova(igroup, hwpt_paging);
    if (rc !== 0) return rc;
  }
  const rc = yield* iommufd_hwpt_replace_device(idev, hwpt, old_hwpt);
  if (rc !== 0) {
    if (hwpt_paging !== null) yield* iommufd_group_remove_reserved_iova(igroup, hwpt_paging);
    return rc;
  }
  const old_paging = find_hwpt_paging(old_hwpt);
  if (old_paging !== null && (hwpt_paging === null || hwpt_paging.ioas !== old_paging.ioas)) {
    yield* iommufd_group_remove_reserved_iova(igroup, old_paging);
  }
  igroup.hwpt = hwpt;

  // The references of the devices go to the new one; the caller gets the last of those to the old.
  const num_devices = list_count_nodes(igroup.device_list);
  yield* refcount_add(hwpt.users, num_devices);
  if (num_devices > 1) {
    const last = yield* refcount_sub_and_test(old_hwpt.users, num_devices - 1);
    WARN_ON(last, `nothing but devices held ${old_hwpt.name}`);
  }
  return old_hwpt;
}

interface Changed {
  /** The page table that it came to. */
  readonly pt_id: number;
  /** One that the caller gives up. */
  readonly destroy: iommufd_hw_pagetable | null;
}

/** Attaches to a page table of the IOAS's own: one that will do, else a new one. */
function* iommufd_device_auto_get_domain(
  idev: iommufd_device,
  ioas: iommufd_ioas,
  do_attach: attach_fn,
): Gen<Changed | Err> {
  yield* mutex_lock(ioas.mutex);
  const changed =
    (yield* try_auto_domains(idev, ioas, do_attach)) ?? (yield* new_auto_domain(idev, ioas, do_attach));
  yield* mutex_unlock(ioas.mutex);
  return changed;
}

function* try_auto_domains(
  idev: iommufd_device,
  ioas: iommufd_ioas,
  do_attach: attach_fn,
): Gen<Changed | Err | null> {
  const { ictx } = bound(idev);
  for (const hwpt of ioas.hwpt_list) {
    if (!hwpt.auto_domain || !(yield* iommufd_lock_obj(hwpt))) continue;
    const destroy = yield* do_attach(idev, hwpt);
    const pt_id = hwpt.id;
    yield* iommufd_put_object(ictx, hwpt);
    if (!IS_ERR(destroy)) return { pt_id, destroy };
    // Any other error is not about this domain.
    if (destroy !== -EINVAL) return destroy;
  }
  return null;
}

function* new_auto_domain(
  idev: iommufd_device,
  ioas: iommufd_ioas,
  do_attach: attach_fn,
): Gen<Changed | Err> {
  const { ictx } = bound(idev);
  // Some drivers can finish a domain only when something is attached to it.
  const immediate_attach = do_attach === iommufd_device_do_attach;
  const hwpt = yield* iommufd_hwpt_paging_alloc(ictx, ioas, idev, 0, immediate_attach, null);
  if (IS_ERR(hwpt)) return hwpt;
  const destroy = immediate_attach ? null : yield* do_attach(idev, hwpt);
  if (IS_ERR(destroy)) {
    yield* iommufd_object_abort_and_destroy(ictx, hwpt);
    return destroy;
  }
  hwpt.auto_domain = true;
  const pt_id = hwpt.id;
  yield* iommufd_object_finalize(ictx, hwpt);
  return { pt_id, destroy };
}

const bugB1 = bug('B1', {
  at: 'drivers/iommu/iommufd/device.c:iommufd_device_change_pt',
  about: "Each attach to a page table puts it on its IOAS's list once more",
  source: 'iommufd: Do not add the same hwpt to the ioas->hwpt_list twice (CVE-2023-54043; 6.2 to 6.2.2)',
  cure: 'A page table is put on the list when it is made',
});

const iommufd_device_change_pt = fn(
  'iommufd_device_change_pt',
  function* (idev: iommufd_device, pt_id: number, do_attach: attach_fn): Gen<number | Err> {
    const { ictx } = bound(idev);
    const pt_obj = yield* iommufd_get_object(ictx, pt_id, IOMMUFD_OBJ_ANY);
    if (IS_ERR(pt_obj)) return pt_obj;
    let changed: Changed | Err;
    if (pt_obj instanceof iommufd_hw_pagetable) {
      const destroy = yield* do_attach(idev, pt_obj);
      if (bugB1() && !IS_ERR(destroy) && pt_obj instanceof iommufd_hwpt_paging) {
        const ioas = ioas_of(pt_obj);
        yield* mutex_lock(ioas.mutex);
        list_add_tail(pt_obj.hwpt_item, ioas.hwpt_list);
        yield* mutex_unlock(ioas.mutex);
      }
      changed = IS_ERR(destroy) ? destroy : { pt_id, destroy };
    } else if (pt_obj instanceof iommufd_ioas) {
      changed = yield* iommufd_device_auto_get_domain(idev, pt_obj, do_attach);
    } else {
      changed = fail(EINVAL, 'the object is neither an IOAS nor a page table');
    }
    yield* iommufd_put_object(ictx, pt_obj);
    if (IS_ERR(changed)) return changed;
    if (changed.destroy !== null) yield* iommufd_hw_pagetable_put(ictx, changed.destroy);
    return changed.pt_id;
  },
);

/**
 * Attaches a bound device to a page table, or to an IOAS, which has or makes one. Returns the page table's id.
 * Pair with iommufd_device_detach. -ENOENT: no such object; -EINVAL: of another type, or the group is attached
 * to something else; as iommufd_hw_pagetable_attach and iommufd_hwpt_paging_alloc.
 */
export const iommufd_device_attach = fn(
  'iommufd_device_attach',
  function* (idev: iommufd_device, pt_id: number): Gen<number | Err> {
    const attached = yield* iommufd_device_change_pt(idev, pt_id, iommufd_device_do_attach);
    if (IS_ERR(attached)) return attached;
    // For drivers that destroy a device without having detached it.
    yield* refcount_inc(idev.users);
    return attached;
  },
);

/**
 * Moves the device, and its whole group, to another page table without a moment on none. Returns the new one's
 * id; an error changes nothing. -EINVAL: the device is not attached; else as iommufd_device_attach.
 */
export const iommufd_device_replace = fn(
  'iommufd_device_replace',
  function* (idev: iommufd_device, pt_id: number): Gen<number | Err> {
    return yield* iommufd_device_change_pt(idev, pt_id, iommufd_device_do_replace);
  },
);

/** Undoes iommufd_device_attach: the device reaches nothing any more. */
export const iommufd_device_detach = fn('iommufd_device_detach', function* (idev: iommufd_device): Gen<void> {
  const hwpt = yield* iommufd_hw_pagetable_detach(idev);
  yield* iommufd_hw_pagetable_put(bound(idev).ictx, hwpt);
  yield* refcount_dec(idev.users);
});
