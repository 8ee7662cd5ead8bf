// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/vfio/vfio.c (5.17): what there was before ownership. VFIO looks at the drivers of a group when it starts
 * to use it, and is told of drivers that are bound later, when it is too late to refuse them.
 */
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { READ_ONCE } from '../../sim/sync/rcu.ts';
import type { Gen } from '../../sim/task.ts';
import { BUG_ON } from '../../sim/warn.ts';
import { EINVAL } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import type { iommu_group } from './iommu.h.ts';
import { __iommu_group_set_domain_nofail, group_devices } from './iommu_group.ts';
import type { Ownership } from './iommu_owner.ts';
import { block, nests } from './iommu_owner_count.ts';

const fn = sourceFile('drivers/vfio/vfio.c');

function* use(): Gen<Rc> {
  return 0;
}

function* nothing(): Gen<void> {}

/** A device that does no DMA of the kernel's: without a driver, or with one that manages DMA by itself. */
const vfio_dev_viable = fn('vfio_dev_viable', function* (dev: device): Gen<boolean> {
  const drv = yield* READ_ONCE(dev, 'driver');
  return drv === null || drv.driver_managed_dma;
});

const vfio_group_viable = fn('vfio_group_viable', function* (group: iommu_group): Gen<boolean> {
  let viable = true;
  for (const dev of group_devices(group)) viable &&= yield* vfio_dev_viable(dev);
  return viable;
});

function* claim(group: iommu_group, owner: Observed, by: device | null): Gen<Rc> {
  yield* mutex_lock(group.mutex);
  let ret: Rc = 0;
  if (group.owner_cnt !== 0 && nests(by) && group.owner === owner) group.owner_cnt += 1;
  else if (group.owner_cnt !== 0) ret = fail(EINVAL, 'the group is in use');
  else if (!(yield* vfio_group_viable(group)))
    ret = fail(EINVAL, 'a driver of the kernel has a device of the group');
  else ret = yield* block(group);
  if (ret === 0 && group.owner_cnt === 0) {
    group.owner = owner;
    group.owner_cnt = 1;
  }
  yield* mutex_unlock(group.mutex);
  return ret;
}

function* release(group: iommu_group, by: device | null): Gen<void> {
  yield* mutex_lock(group.mutex);
  if (by !== null && group.owner_cnt > 1) group.owner_cnt -= 1;
  else {
    group.owner_cnt = 0;
    group.owner = null;
    yield* __iommu_group_set_domain_nofail(group, group.default_domain);
  }
  yield* mutex_unlock(group.mutex);
}

/** The bus has told of BUS_NOTIFY_BOUND_DRIVER. */
const vfio_iommu_group_notifier = fn(
  'vfio_iommu_group_notifier',
  function* (group: iommu_group, dev: device): Gen<void> {
    // In Linux an atomic counter of the containers' users.
    yield* mutex_lock(group.mutex);
    const used = group.owner_cnt !== 0;
    yield* mutex_unlock(group.mutex);
    BUG_ON(
      used && !(yield* vfio_dev_viable(dev)),
      `${dev.name} is bound to a driver of the kernel while VFIO uses its group`,
    );
  },
);

export const by_notifier: Ownership = {
  use,
  unuse: nothing,
  claim,
  release,
  bound: vfio_iommu_group_notifier,
};
