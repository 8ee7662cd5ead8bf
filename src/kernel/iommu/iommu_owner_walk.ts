// SPDX-License-Identifier: GPL-2.0-only

/**
 * Ownership without a count, as Robin Murphy sketched it on 2022-02-22: group->owner is the DMA API or who else
 * claimed the group, and when a driver is unbound the drivers of the siblings tell whether that is still so.
 * (The sketch has a stray `;` behind `else if (group->owner != owner)`: what is built here is what is meant.)
 */
import { machine } from '../../sim/context.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named, Observed } from '../../sim/observed.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { READ_ONCE, WRITE_ONCE } from '../../sim/sync/rcu.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { variant } from '../../sim/variant.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EBUSY } from '../../uapi/errno.ts';
import { type device, device_lock, device_unlock } from '../driver-core/device.ts';
import { driver_pointer } from '../driver-core/dma_ownership.ts';
import { dma_api_token, type group_device, type iommu_group } from './iommu.h.ts';
import { __iommu_group_set_domain_nofail } from './iommu_group.ts';
import type { Ownership } from './iommu_owner.ts';
import { block, nests } from './iommu_owner_count.ts';

const fn = sourceFile('the sketch of 2022-02-22');

const THREAD = 'Fix BUG_ON in vfio_iommu_group_notifier(), v6 02/11, Feb 2022';

const make = (creator: Named): dma_api_token => new dma_api_token(creator, 'dma-api', true);
const DMA_API = (): dma_api_token => machine().singleton(make);

function* lock(group: iommu_group): Gen<void> {
  if (driver_pointer().owner_locked) yield* mutex_lock(group.mutex);
}

function* unlock(group: iommu_group): Gen<void> {
  if (driver_pointer().owner_locked) yield* mutex_unlock(group.mutex);
}

/** What needs the mutex of the group also where the owner does not. */
function* locked<T>(group: iommu_group, body: () => Co<T>): Gen<T> {
  const { owner_locked } = driver_pointer();
  if (!owner_locked) yield* mutex_lock(group.mutex);
  const result = yield* body();
  if (!owner_locked) yield* mutex_unlock(group.mutex);
  return result;
}

const to_default = (group: iommu_group): Co<void> =>
  locked(group, () => __iommu_group_set_domain_nofail(group, group.default_domain));

const owner_of = (group: iommu_group): Co<Observed | null> => READ_ONCE(group, 'owner');
const set_owner = (group: iommu_group, owner: Observed | null): Co<void> => WRITE_ONCE(group, 'owner', owner);

/** The owner that the device's driver stands for; null: it has none. */
const driver_or_DMA_API_token = fn('driver_or_DMA_API_token', function* (dev: device): Gen<Observed | null> {
  const drv = yield* READ_ONCE(dev, 'driver');
  if (drv === null) return null;
  // Nothing keeps the driver there between the two looks.
  return (yield* READ_ONCE(drv, 'driver_managed_dma')) ? drv : DMA_API();
});

/** As driver_or_DMA_API_token, of a sibling. */
function* token_of(gdev: group_device): Gen<Observed | null> {
  const { dev } = gdev;
  const { private_copy, siblings_locked } = driver_pointer();
  if (private_copy) return gdev.token;
  if (dev === null) return null;
  if (siblings_locked) yield* device_lock(dev);
  const token = yield* driver_or_DMA_API_token(dev);
  if (siblings_locked) yield* device_unlock(dev);
  return token;
}

function remember(group: iommu_group, dev: device, token: Observed | null): void {
  if (!driver_pointer().private_copy) return;
  for (const gdev of group.devices) if (gdev.dev === dev && gdev.token !== token) gdev.token = token;
}

const refusedProbe = variant('refused-probe', {
  at: 'drivers/base/dd.c:really_probe',
  about: 'Where a probe that was refused for the sake of ownership takes dev->driver back',
  choices: {
    '6.12': {
      about: 'on its way out, without the mutex of the group, and without looking at siblings',
      source: 'Linux 6.12',
    },
    'inside-lock': {
      about: 'where it is refused, under the mutex of the group',
      source: `${THREAD}: what the sketch leaves open`,
    },
  },
});

function* use(group: iommu_group, dev: device): Gen<Rc> {
  const token = DMA_API();
  yield* lock(group);
  let ret: Rc = 0;
  const owner = yield* owner_of(group);
  if (owner === null) yield* set_owner(group, token);
  else if (owner !== token) ret = fail(EBUSY, 'somebody owns the group');
  if (ret === 0) remember(group, dev, token);
  else if (refusedProbe() === 'inside-lock') yield* WRITE_ONCE(dev, 'driver', null);
  yield* unlock(group);
  return ret;
}

const ownerRelease = variant('owner-release', {
  at: 'drivers/iommu/iommu.c:iommu_group_release_dma_owner',
  about: 'When an owner gives a group up',
  choices: {
    '6.12': { about: 'when he says so, with his driver still bound', source: 'Linux 6.12' },
    unbind: {
      about: 'when his driver is unbound from the last device of the group, and no sooner',
      source: `${THREAD}: Murphy, 2022-02-21, on release without unbinding`,
    },
  },
});

const only_by_unbind = (): boolean => ownerRelease() === 'unbind';

/** Whether the driver of a sibling of the device stands for the owner. */
function* matches(group: iommu_group, dev: device, owner: Observed | null): Gen<boolean> {
  for (const gdev of group.devices) {
    if (gdev.dev === dev) continue;
    const token = yield* token_of(gdev);
    if (token !== null && token === owner) return true;
  }
  return false;
}

/** What the sketch does when any driver is unbound. */
const unbound = fn('iommu_group_driver_unbound', function* (group: iommu_group, dev: device): Gen<void> {
  yield* lock(group);
  remember(group, dev, null);
  const owner = yield* owner_of(group);
  const still_owned = yield* locked(group, () => matches(group, dev, owner));
  if (!still_owned && owner !== null) {
    yield* set_owner(group, null);
    if (only_by_unbind()) yield* to_default(group);
  }
  yield* unlock(group);
});

function* claim(group: iommu_group, owner: Observed, by: device | null): Gen<Rc> {
  yield* lock(group);
  let ret: Rc = 0;
  const before = yield* owner_of(group);
  if (before === null) {
    ret = yield* locked(group, () => block(group));
    if (ret === 0) yield* set_owner(group, owner);
  } else if (before !== owner || !nests(by)) ret = fail(EBUSY, 'the group is owned');
  yield* unlock(group);
  return ret;
}

function* release(group: iommu_group): Gen<void> {
  if (only_by_unbind()) return;
  yield* lock(group);
  if (!WARN_ON((yield* owner_of(group)) === null, `${group.name} is released, and nobody owns it`)) {
    yield* set_owner(group, null);
    yield* to_default(group);
  }
  yield* unlock(group);
}

function* nothing(): Gen<void> {}

/** A driver that manages DMA is about to be bound: its claim, if any, is yet to come. */
function* binding(group: iommu_group, dev: device): Gen<void> {
  if (!driver_pointer().private_copy) return;
  yield* mutex_lock(group.mutex);
  remember(group, dev, yield* driver_or_DMA_API_token(dev));
  yield* mutex_unlock(group.mutex);
}

export const by_walk: Ownership = { use, unuse: nothing, claim, release, unbound, binding, gone: unbound };
