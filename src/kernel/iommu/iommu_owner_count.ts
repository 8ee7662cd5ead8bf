// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/iommu/iommu.c (6.12): ownership by counting. owner_cnt counts drivers that use the DMA API while `owner`
 * is null, else the owner's claims.
 */
import { xa_empty } from '../../sim/collections/xarray.ts';
import { fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import type { Gen } from '../../sim/task.ts';
import { variant } from '../../sim/variant.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EBUSY, EPERM, EPROBE_DEFER } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import { dma_cleanup_by } from '../driver-core/dma_ownership.ts';
import { iommu_domain_type, type iommu_group } from './iommu.h.ts';
import {
  __iommu_group_domain_alloc,
  __iommu_group_set_domain,
  __iommu_group_set_domain_nofail,
} from './iommu_group.ts';
import type { Ownership } from './iommu_owner.ts';

const fn = sourceFile('drivers/iommu/iommu.c');

/** That the device's driver uses the DMA API, for who cannot ask dev->driver. True: it was so before. */
function note(group: iommu_group, dev: device, uses: boolean): boolean {
  for (const gdev of group.devices) {
    if (gdev.dev !== dev || gdev.dma_api === uses) continue;
    gdev.dma_api = uses;
    return true;
  }
  return false;
}

function* use(group: iommu_group, dev: device): Gen<Rc> {
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
    if (dma_cleanup_by().by === 'notifier') note(group, dev, true);
  }
  yield* mutex_unlock(group.mutex);
  return ret;
}

function* gone(group: iommu_group, dev: device): Gen<void> {
  yield* mutex_lock(group.mutex);
  if (note(group, dev, false)) group.owner_cnt -= 1;
  yield* mutex_unlock(group.mutex);
}

function* unuse(group: iommu_group): Gen<void> {
  yield* mutex_lock(group.mutex);
  const wrong = group.owner_cnt === 0 || !xa_empty(group.pasid_array);
  if (!WARN_ON(wrong, `${group.name}: no driver uses the default domain`)) group.owner_cnt -= 1;
  yield* mutex_unlock(group.mutex);
}

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

/** Cuts the group off from memory, for who is about to own it. -EBUSY: it is attached; -ENOMEM; what the driver says. */
export function* block(group: iommu_group): Gen<Rc> {
  if (group.domain !== null && group.domain !== group.default_domain) {
    return fail(EBUSY, 'the group is attached to a domain that is not the default one');
  }
  if (!xa_empty(group.pasid_array)) return fail(EBUSY, 'a PASID of the group is in use');
  const ret = yield* __iommu_group_alloc_blocking_domain(group);
  return ret === 0 ? yield* __iommu_group_set_domain(group, group.blocking_domain) : ret;
}

const __iommu_take_dma_ownership = fn(
  '__iommu_take_dma_ownership',
  function* (group: iommu_group, owner: Observed): Gen<Rc> {
    const ret = yield* block(group);
    if (ret !== 0) return ret;
    group.owner = owner;
    group.owner_cnt += 1;
    return 0;
  },
);

const nestedClaims = variant('nested-claims', {
  at: 'drivers/iommu/iommu.c:iommu_device_claim_dma_owner',
  about: 'Whether the owner of a group may claim it once more',
  choices: {
    '6.12': {
      about: 'by device: once for each of the devices that he has, which are counted',
      source: 'Linux 6.12',
    },
    disallowed: {
      about: 'never: a claim is for the whole group',
      source:
        'Fix BUG_ON in vfio_iommu_group_notifier(), v6 02/11, Feb 2022: Murphy, 2022-02-22, "disallowed it outright"',
    },
  },
});

/** Whether an owner who claims by a device may be it already. */
export const nests = (by: device | null): boolean => by !== null && nestedClaims() === '6.12';

function* claim(group: iommu_group, owner: Observed, by: device | null): Gen<Rc> {
  yield* mutex_lock(group.mutex);
  let ret: Rc = 0;
  if (group.owner_cnt === 0) ret = yield* __iommu_take_dma_ownership(group, owner);
  else if (nests(by) && group.owner === owner) group.owner_cnt += 1;
  else ret = fail(EPERM, 'another owns the group, or a driver uses it');
  yield* mutex_unlock(group.mutex);
  return ret;
}

function* __iommu_release_dma_ownership(group: iommu_group): Gen<void> {
  const wrong = group.owner_cnt === 0 || group.owner === null || !xa_empty(group.pasid_array);
  if (WARN_ON(wrong, `${group.name} is released by nobody who owns it, or still attached`)) return;
  group.owner_cnt = 0;
  group.owner = null;
  yield* __iommu_group_set_domain_nofail(group, group.default_domain);
}

function* release(group: iommu_group, by: device | null): Gen<void> {
  yield* mutex_lock(group.mutex);
  if (by !== null && group.owner_cnt > 1) group.owner_cnt -= 1;
  else yield* __iommu_release_dma_ownership(group);
  yield* mutex_unlock(group.mutex);
}

export const by_count: Ownership = { use, unuse, claim, release, gone };
