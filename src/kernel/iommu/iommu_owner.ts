// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/iommu/iommu.c (6.12): who may use a group for DMA. Drivers use the DMA API, or an owner has claimed the
 * group, and its devices are cut off from memory until he attaches a domain of his own. How that is kept track of
 * is a decision point: iommu_owner_count.ts is what 6.12 does.
 */
import { done } from '../../sim/coroutine.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { READ_ONCE } from '../../sim/sync/rcu.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { variant } from '../../sim/variant.ts';
import { ENODEV } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import { dma_cleanup_by } from '../driver-core/dma_ownership.ts';
import type { iommu_group } from './iommu.h.ts';
import { by_count } from './iommu_owner_count.ts';
import { by_notifier } from './iommu_owner_notifier.ts';
import { by_walk } from './iommu_owner_walk.ts';

const fn = sourceFile('drivers/iommu/iommu.c');

const THREAD = 'Fix BUG_ON in vfio_iommu_group_notifier(), v6 02/11, Feb 2022';

/** A way to keep track of who may use a group. All but `unbound` as 6.12's functions say. */
export interface Ownership {
  use(group: iommu_group, dev: device): Co<Rc>;
  unuse(group: iommu_group): Co<void>;
  claim(group: iommu_group, owner: Observed, by: device | null): Co<Rc>;
  release(group: iommu_group, by: device | null): Co<void>;
  /** Some driver, one that uses the DMA API or not, is unbound from the device; absent: `unuse` tells all. */
  unbound?(group: iommu_group, dev: device): Co<void>;
  /** A driver that manages DMA is about to be bound to the device. */
  binding?(group: iommu_group, dev: device): Co<void>;
  /** Some driver is bound to the device: nobody can refuse it any more. */
  bound?(group: iommu_group, dev: device): Co<void>;
  /** The bus has told that a driver is unbound, or was not bound after all; which one is not known. */
  gone?(group: iommu_group, dev: device): Co<void>;
}

const dmaOwnership = variant('dma-ownership', {
  at: 'drivers/iommu/iommu.c:iommu_device_use_default_domain',
  about: 'How it is known who may use a group for DMA',
  choices: {
    '6.12': {
      about: 'owner and owner_cnt: drivers that use the DMA API, or claims of the owner, are counted',
      source: 'Linux 6.12',
    },
    walk: {
      about:
        'owner alone, the DMA API being one: an unbind clears it when no sibling has a driver that matches it',
      source: `${THREAD}: Murphy, 2022-02-22, the sketch of probe/claim and remove`,
    },
    'vfio-notifier': {
      about:
        'nobody keeps track: VFIO looks at the drivers when it starts, and a notifier finds those that come later',
      source: 'Linux 5.17: drivers/vfio/vfio.c:vfio_iommu_group_notifier',
    },
  },
});

function ownership(): Ownership {
  switch (dmaOwnership()) {
    case '6.12':
      return by_count;
    case 'walk':
      return by_walk;
    case 'vfio-notifier':
      return by_notifier;
  }
}

/** Whether it is for every driver that is unbound that iommu_device_driver_unbound must be called. */
export const releases_by_walk = (): boolean => ownership().unbound !== undefined;

/**
 * A driver that uses the DMA API is about to be bound to the device. -EBUSY: the group is owned, or attached to
 * a domain that is not the default one; -EPROBE_DEFER: the group has no default domain yet.
 */
export const iommu_device_use_default_domain = fn(
  'iommu_device_use_default_domain',
  function* (dev: device): Gen<Rc> {
    const group = dev.iommu_group;
    return group === null ? 0 : yield* ownership().use(group, dev);
  },
);

/** The driver that iommu_device_use_default_domain was called for is unbound. */
export const iommu_device_unuse_default_domain = fn(
  'iommu_device_unuse_default_domain',
  function* (dev: device): Gen<void> {
    const group = dev.iommu_group;
    if (group !== null) yield* ownership().unuse(group);
  },
);

/** For designs that want to hear of every driver that is unbound. */
export const iommu_device_driver_unbound = fn(
  'iommu_device_driver_unbound',
  function* (dev: device): Gen<void> {
    const group = dev.iommu_group;
    if (group !== null) yield* ownership().unbound?.(group, dev) ?? done(undefined);
  },
);

/** For designs that want to hear of drivers that manage DMA, too. */
export function* iommu_device_driver_binding(dev: device): Gen<void> {
  const group = dev.iommu_group;
  if (group !== null) yield* ownership().binding?.(group, dev) ?? done(undefined);
}

/** For designs that go by what the bus tells. */
export function* iommu_group_notify(event: string, dev: device): Gen<void> {
  const group = dev.iommu_group;
  if (group === null) return;
  const { bound, gone } = ownership();
  if (event === 'BUS_NOTIFY_BOUND_DRIVER' && bound !== undefined) yield* bound(group, dev);
  const leaves = event === 'BUS_NOTIFY_UNBOUND_DRIVER' || event === 'BUS_NOTIFY_DRIVER_NOT_BOUND';
  if (leaves && gone !== undefined && dma_cleanup_by().by === 'notifier') yield* gone(group, dev);
}

const ownerToken = variant('owner-token', {
  at: 'drivers/iommu/iommu.c:iommu_group_claim_dma_owner',
  about: 'By what a part of the kernel that manages DMA says who it is when it claims a group',
  choices: {
    '6.12': { about: 'a cookie: the address of something of its own', source: 'Linux 6.12' },
    driver: {
      about: 'the driver of the device that it claims by, so that it can be found again in the siblings',
      source: `${THREAD}: Murphy, 2022-02-23, case 1.b`,
    },
  },
});

/** What the owner claims with, whose cookie it is, by a device that a driver is bound to. */
export function* owner_token(dev: device, cookie: Observed): Gen<Observed> {
  return ownerToken() === 'driver' ? ((yield* READ_ONCE(dev, 'driver')) ?? cookie) : cookie;
}

/** Claims a group that nobody uses. -EPERM: somebody does; -EBUSY: it is attached; -ENOMEM; what the driver says. */
export const iommu_group_claim_dma_owner = fn(
  'iommu_group_claim_dma_owner',
  function* (group: iommu_group, owner: Observed): Gen<Rc> {
    return yield* ownership().claim(group, owner, null);
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
    return yield* ownership().claim(group, owner, dev);
  },
);

/** Undoes iommu_group_claim_dma_owner. */
export const iommu_group_release_dma_owner = fn(
  'iommu_group_release_dma_owner',
  function* (group: iommu_group): Gen<void> {
    yield* ownership().release(group, null);
  },
);

/** Undoes one iommu_device_claim_dma_owner. */
export const iommu_device_release_dma_owner = fn(
  'iommu_device_release_dma_owner',
  function* (dev: device): Gen<void> {
    const group = dev.iommu_group;
    if (group === null) throw new Error(`${dev.name} was never in a group that could be owned`);
    yield* ownership().release(group, dev);
  },
);
