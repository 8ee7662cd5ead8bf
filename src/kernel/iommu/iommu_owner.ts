// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/iommu/iommu.c (6.12): who may use a group for DMA. Either drivers use the DMA API, each counted in
 * owner_cnt while `owner` is null; or an owner has claimed the group, and its devices are cut off from memory
 * until he attaches a domain of his own.
 */
import { xa_empty } from '../../sim/collections/xarray.ts';
import { fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EBUSY, ENODEV, EPERM, EPROBE_DEFER } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import { iommu_domain_type, type iommu_group } from './iommu.h.ts';
import {
  __iommu_group_domain_alloc,
  __iommu_group_set_domain,
  __iommu_group_set_domain_nofail,
} from './iommu_group.ts';

const fn = sourceFile('drivers/iommu/iommu.c');

/**
 * A driver that uses the DMA API is about to be bound to the device. -EBUSY: the group is owned, or attached to
 * a domain that is not the default one; -EPROBE_DEFER: the group has no default domain yet.
 */
export const iommu_device_use_default_domain = fn(
  'iommu_device_use_default_domain',
  function* (dev: device): Gen<Rc> {
    const group = dev.iommu_group;
    if (group === null) return 0;
    yield* mutex_lock(group.mutex);
    let ret: Rc = 0;
    if (group.default_domain === null) {
      ret = fail(EPROBE_DEFER, 'the group has no default domain yet');
    } else if (group.owner_cnt !== 0 && group.domain !== group.default_domain) {
      ret = fail(EBUSY, 'the group is attached to a domain that is not the default one');
    } else if (group.owner_cnt !== 0 && group.owner !== null) {
      ret = fail(EBUSY, 'somebody owns the group');
    } else if (group.owner_cnt !== 0 && !xa_empty(group.pasid_array)) {
      ret = fail(EBUSY, 'a PASID of the group is in use');
    } else {
      group.owner_cnt += 1;
    }
    yield* mutex_unlock(group.mutex);
    return ret;
  },
);

/** The driver that iommu_device_use_default_domain was called for is unbound. */
export const iommu_device_unuse_default_domain = fn(
  'iommu_device_unuse_default_domain',
  function* (dev: device): Gen<void> {
    const group = dev.iommu_group;
    if (group === null) return;
    yield* mutex_lock(group.mutex);
    const wrong = group.owner_cnt === 0 || !xa_empty(group.pasid_array);
    if (!WARN_ON(wrong, `${group.name}: no driver uses the default domain`)) group.owner_cnt -= 1;
    yield* mutex_unlock(group.mutex);
  },
);

function* __iommu_group_alloc_blocking_domain(group: iommu_group): Gen<Rc> {
  if (group.blocking_domain !== null) return 0;
  const { IOMMU_DOMAIN_BLOCKED, IOMMU_DOMAIN_UNMANAGED } = iommu_domain_type;
  let domain = yield* __iommu_group_domain_alloc(group, IOMMU_DOMAIN_BLOCKED, 'blocking_domain');
  // A driver that knows no blocked domains has an empty one do.
  if (IS_ERR(domain))
    domain = yield* __iommu_group_domain_alloc(group, IOMMU_DOMAIN_UNMANAGED, 'blocking_domain');
  if (IS_ERR(domain)) return domain;
  group.blocking_domain = domain;
  return 0;
}

const __iommu_take_dma_ownership = fn(
  '__iommu_take_dma_ownership',
  function* (group: iommu_group, owner: Observed): Gen<Rc> {
    if (group.domain !== null && group.domain !== group.default_domain) {
      return fail(EBUSY, 'the group is attached to a domain that is not the default one');
    }
    if (!xa_empty(group.pasid_array)) return fail(EBUSY, 'a PASID of the group is in use');
    let ret = yield* __iommu_group_alloc_blocking_domain(group);
    if (ret === 0) ret = yield* __iommu_group_set_domain(group, group.blocking_domain);
    if (ret !== 0) return ret;
    group.owner = owner;
    group.owner_cnt += 1;
    return 0;
  },
);

/** Claims a group that nobody uses. -EPERM: somebody does; -EBUSY: it is attached; -ENOMEM; what the driver says. */
export const iommu_group_claim_dma_owner = fn(
  'iommu_group_claim_dma_owner',
  function* (group: iommu_group, owner: Observed): Gen<Rc> {
    yield* mutex_lock(group.mutex);
    const ret =
      group.owner_cnt === 0
        ? yield* __iommu_take_dma_ownership(group, owner)
        : fail(EPERM, 'the group is owned or used');
    yield* mutex_unlock(group.mutex);
    return ret;
  },
);

/**
 * Claims the group of a device; the same owner may, for every device. -ENODEV: no group; else as
 * iommu_group_claim_dma_owner.
 */
export const iommu_device_claim_dma_owner = fn(
  'iommu_device_claim_dma_owner',
  function* (dev: device, owner: Observed): Gen<Rc> {
    const group = dev.iommu_group;
    if (group === null) return fail(ENODEV, 'the device is in no IOMMU group');
    yield* mutex_lock(group.mutex);
    let ret: Rc = 0;
    if (group.owner_cnt === 0) ret = yield* __iommu_take_dma_ownership(group, owner);
    else if (group.owner === owner) group.owner_cnt += 1;
    else ret = fail(EPERM, 'another owns the group, or a driver uses it');
    yield* mutex_unlock(group.mutex);
    return ret;
  },
);

function* __iommu_release_dma_ownership(group: iommu_group): Gen<void> {
  const wrong = group.owner_cnt === 0 || group.owner === null || !xa_empty(group.pasid_array);
  if (WARN_ON(wrong, `${group.name} is released by nobody who owns it, or still attached`)) return;
  group.owner_cnt = 0;
  group.owner = null;
  yield* __iommu_group_set_domain_nofail(group, group.default_domain);
}

/** Undoes iommu_group_claim_dma_owner. */
export const iommu_group_release_dma_owner = fn(
  'iommu_group_release_dma_owner',
  function* (group: iommu_group): Gen<void> {
    yield* mutex_lock(group.mutex);
    yield* __iommu_release_dma_ownership(group);
    yield* mutex_unlock(group.mutex);
  },
);

/** Undoes one iommu_device_claim_dma_owner. */
export const iommu_device_release_dma_owner = fn(
  'iommu_device_release_dma_owner',
  function* (dev: device): Gen<void> {
    const group = dev.iommu_group;
    if (group === null) throw new Error(`${dev.name} was never in a group that could be owned`);
    yield* mutex_lock(group.mutex);
    if (group.owner_cnt > 1) group.owner_cnt -= 1;
    else yield* __iommu_release_dma_ownership(group);
    yield* mutex_unlock(group.mutex);
  },
);
