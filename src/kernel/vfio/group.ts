// SPDX-License-Identifier: GPL-2.0-only

/** drivers/vfio/group.c (6.12): VFIO's groups, as far as binding vfio-pci makes them. They cannot be opened yet. */
import { list, list_add, list_del, list_node } from '../../sim/collections/list.ts';
import { machine } from '../../sim/context.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { embed, ref } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { root, struct } from '../../sim/struct.ts';
import { mutex, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { refcount_dec_and_test, refcount_inc, refcount_init, refcount_t } from '../../sim/sync/refcount.ts';
import type { Gen } from '../../sim/task.ts';
import { EINVAL, ENOMEM } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import type { iommu_group } from '../iommu/iommu.h.ts';
import {
  iommu_group_get,
  iommu_group_id,
  iommu_group_put,
  iommu_group_ref_get,
} from '../iommu/iommu_group.ts';

const fn = sourceFile('drivers/vfio/group.c');

class vfio_group extends struct('vfio_group', root, {
  iommu_group: ref<iommu_group>(),
  /** Devices of the group that VFIO's drivers have. */
  drivers: embed(refcount_t),
  vfio_next: list_node<vfio_group>(),
}) {}

/** A device that a driver of VFIO's has. */
export class vfio_device extends struct('vfio_device', root, {
  dev: ref<device>(),
  group: ref<vfio_group>(),
}) {}

class vfio_state extends struct('vfio', root, {
  group_list: list<vfio_group>({ guardedBy: 'group_lock' }),
  group_lock: embed(mutex),
}) {}

const make = (creator: Named): vfio_state => new vfio_state(creator, 'vfio', true);
const vfio = (): vfio_state => machine().singleton(make);

function* vfio_group_alloc(group: iommu_group): Gen<vfio_group | Err> {
  const it = kzalloc(vfio_group, group, 'vfio');
  if (it === null) return fail(ENOMEM, 'no memory for the VFIO group');
  it.iommu_group = group;
  yield* iommu_group_ref_get(group);
  refcount_init(it.drivers, 1);
  return it;
}

const vfio_create_group = fn('vfio_create_group', function* (group: iommu_group): Gen<vfio_group | Err> {
  const it = yield* vfio_group_alloc(group);
  if (IS_ERR(it)) return it;
  iommu_group_id(group);
  list_add(it.vfio_next, vfio().group_list);
  return it;
});

function* find_or_alloc(group: iommu_group): Gen<vfio_group | Err> {
  for (const each of vfio().group_list) {
    if (each.iommu_group !== group) continue;
    yield* refcount_inc(each.drivers);
    return each;
  }
  return yield* vfio_create_group(group);
}

/** The device joins the VFIO group of its IOMMU group. -EINVAL: it has none; -ENOMEM. */
export const vfio_device_set_group = fn('vfio_device_set_group', function* (vdev: vfio_device): Gen<Rc> {
  const iommu_group = vdev.dev === null ? null : yield* iommu_group_get(vdev.dev);
  if (iommu_group === null) return fail(EINVAL, 'the device is in no IOMMU group');
  yield* mutex_lock(vfio().group_lock);
  const group = yield* find_or_alloc(iommu_group);
  yield* mutex_unlock(vfio().group_lock);
  yield* iommu_group_put(iommu_group);
  if (IS_ERR(group)) return group;
  vdev.group = group;
  return 0;
});

/** Undoes vfio_device_set_group. */
export const vfio_device_remove_group = fn(
  'vfio_device_remove_group',
  function* (vdev: vfio_device): Gen<void> {
    const { group } = vdev;
    if (group === null) return;
    // refcount_dec_and_mutex_lock: the count only falls to 0 under the lock.
    yield* mutex_lock(vfio().group_lock);
    const last = yield* refcount_dec_and_test(group.drivers);
    if (last) list_del(group.vfio_next);
    yield* mutex_unlock(vfio().group_lock);
    if (!last) return;
    yield* iommu_group_put(group.iommu_group);
    kfree(group);
  },
);
