// SPDX-License-Identifier: GPL-2.0-only

import { PAGE_SIZE } from '../../hw/memory.ts';
import { happens } from '../../sim/chance.ts';
/** drivers/base/dd.c (6.12): devices are bound to drivers, and unbound. device_lock is held while that happens. */
import {
  klist_add_tail,
  klist_for_each,
  klist_last,
  klist_node_attached,
  klist_remove,
} from '../../sim/collections/klist.ts';
import { type Err, fail, type Rc } from '../../sim/errno.ts';
import { Unsupported } from '../../sim/errors.ts';
import { sourceFile } from '../../sim/fn.ts';
import { READ_ONCE, WRITE_ONCE } from '../../sim/sync/rcu.ts';
import { spin_lock, spin_unlock } from '../../sim/sync/spinlock.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EAGAIN, EBUSY, EINVAL, EIO, ENODEV, ENOMEM, EPROBE_DEFER } from '../../uapi/errno.ts';
import { sysfs_create_link, sysfs_remove } from '../fs/kernfs.ts';
import {
  iommu_device_driver_binding,
  iommu_device_driver_unbound,
  iommu_device_unuse_default_domain,
  iommu_device_use_default_domain,
  releases_by_walk,
} from '../iommu/iommu_owner.ts';
import { IS_ENABLED } from '../kconfig.ts';
import { bus_for_each_dev, bus_notify, driver_path } from './bus.ts';
import {
  deferred_trigger_count,
  driver_deferred_probe_add,
  driver_deferred_probe_del,
  driver_deferred_probe_trigger,
} from './dd_deferred.ts';
import {
  type bus_type,
  dev_path,
  type device,
  type device_driver,
  device_lock,
  device_unlock,
  driver_name,
  get_device,
  put_device,
} from './device.ts';
import { cleans_up_after_refusal, dma_cleanup_by, driver_pointer } from './dma_ownership.ts';

const fn = sourceFile('drivers/base/dd.c');

/** Kinds of choice by which binding a driver fails at a step of really_probe, in the order of the steps. */
export const PROBE_FAILURES = [
  'pinctrl fails',
  'dma setup fails',
  'sysfs fails',
  'pm domain fails',
  'driver probe fails',
  'driver probe defers',
  'device groups fail',
] as const;
type ProbeFailure = (typeof PROBE_FAILURES)[number];

/** Whether a step of binding a device fails. */
export const probe_step_fails = (kind: ProbeFailure, dev: device): boolean =>
  happens(kind, (yes) => `${kind} for ${dev.name}: ${yes ? 'yes' : 'no'}`);

/** Sets or clears what user space wants bound. -EINVAL: longer than a page; -ENOMEM. */
export const __device_set_driver_override = fn(
  '__device_set_driver_override',
  function* (dev: device, s: string): Gen<Rc> {
    if (s.length >= PAGE_SIZE - 1) return fail(EINVAL, 'the name is longer than a page');
    const [name = ''] = s.split('\n');
    const { driver_override } = dev;
    yield* spin_lock(driver_override.lock);
    driver_override.driver = name;
    yield* spin_unlock(driver_override.lock);
    return 0;
  },
);

/** Whether driver_override speaks for the driver, or against it; null: it says nothing. */
export function* device_match_driver_override(
  { driver_override }: device,
  drv: device_driver,
): Gen<boolean | null> {
  yield* spin_lock(driver_override.lock);
  const { driver: name } = driver_override;
  yield* spin_unlock(driver_override.lock);
  return name === '' ? null : name === driver_name(drv);
}

/** Above 0: the driver is for the device; an errno: that cannot be told. */
export const driver_match_device = (drv: device_driver, dev: device): Co<number> =>
  drv.bus?.ops.match?.(dev, drv) ?? matches_any();

function* matches_any(): Gen<number> {
  return 1;
}

/** Whether the device has come through its probe with a driver. Under device_lock. */
const device_is_bound = (dev: device): boolean => klist_node_attached(dev.knode_driver);

const device_set_driver = (dev: device, drv: device_driver | null): Co<void> =>
  WRITE_ONCE(dev, 'driver', drv);

const driver_bound = fn('driver_bound', function* (dev: device, drv: device_driver): Gen<void> {
  if (device_is_bound(dev)) return;
  yield* klist_add_tail(dev.knode_driver, drv.klist_devices);
  yield* driver_deferred_probe_del(dev);
  yield* driver_deferred_probe_trigger();
  yield* bus_notify(dev, 'BUS_NOTIFY_BOUND_DRIVER');
});

const driver_sysfs_add = fn('driver_sysfs_add', function* (dev: device, drv: device_driver): Gen<Rc> {
  yield* bus_notify(dev, 'BUS_NOTIFY_BIND_DRIVER');
  if (probe_step_fails('sysfs fails', dev)) return fail(ENOMEM, 'no memory for the link in sysfs');
  return yield* sysfs_create_link(dev, `${dev_path(dev)}/driver`, driver_path(drv));
});

const driver_sysfs_remove = fn('driver_sysfs_remove', function* (dev: device): Gen<void> {
  yield* sysfs_remove(`${dev_path(dev)}/driver`);
});

const device_unbind_cleanup = fn('device_unbind_cleanup', function* (dev: device): Gen<void> {
  yield* device_set_driver(dev, null);
  if (dev.driver_data !== null) dev.driver_data = null;
});

const device_remove = fn('device_remove', function* (dev: device, drv: device_driver): Gen<void> {
  if (dev.bus?.ops.remove) yield* dev.bus.ops.remove(dev);
  else yield* drv.ops.remove(dev);
});

const call_driver_probe = fn('call_driver_probe', function* (dev: device, drv: device_driver): Gen<Rc> {
  if (dev.bus?.ops.probe) return yield* dev.bus.ops.probe(dev);
  return yield* drv.ops.probe(dev);
});

/** How an attempt to bind went. Linux has the errno of a driver's own probe be positive. */
interface Probed {
  readonly rc: Rc;
  /** The driver itself has refused, so that another may be tried. */
  readonly by_driver: boolean;
}

const ended = (rc: Rc): Probed => ({ rc, by_driver: false });

function* dma_configure(dev: device, drv: device_driver): Gen<Rc> {
  const rc = dev.bus?.ops.dma_configure ? yield* dev.bus.ops.dma_configure(dev) : 0;
  if (rc === 0 && drv.driver_managed_dma) yield* iommu_device_driver_binding(dev);
  if (rc !== 0 || dma_cleanup_by().by !== 'driver core' || drv.driver_managed_dma) return rc;
  return yield* iommu_device_use_default_domain(dev);
}

function* dma_cleanup(dev: device, drv: device_driver): Gen<void> {
  const { by } = dma_cleanup_by();
  if (releases_by_walk()) yield* iommu_device_driver_unbound(dev);
  else if (by === 'driver core' || driver_pointer().cleared_first) {
    if (!drv.driver_managed_dma) yield* iommu_device_unuse_default_domain(dev);
  } else if (dev.bus?.ops.dma_cleanup) yield* dev.bus.ops.dma_cleanup(dev);
}

/** The driver's claim is given up, if it is the driver core that does it, and dev->driver cleared. */
function* give_up(dev: device, drv: device_driver, cleans: boolean): Gen<void> {
  const first = driver_pointer().cleared_first;
  if (first) yield* device_unbind_cleanup(dev);
  if (cleans && dma_cleanup_by().by !== 'notifier') yield* dma_cleanup(dev, drv);
  if (!first) yield* device_unbind_cleanup(dev);
}

// The ways out of really_probe, named as its labels: each goes on with the next.

function* dev_groups_failed(dev: device, drv: device_driver, how: Probed): Gen<Probed> {
  yield* device_remove(dev, drv);
  return yield* probe_failed(dev, drv, how);
}

function* probe_failed(dev: device, drv: device_driver, how: Probed): Gen<Probed> {
  yield* driver_sysfs_remove(dev);
  return yield* sysfs_failed(dev, drv, how);
}

function* sysfs_failed(dev: device, drv: device_driver, how: Probed): Gen<Probed> {
  yield* bus_notify(dev, 'BUS_NOTIFY_DRIVER_NOT_BOUND');
  yield* give_up(dev, drv, true);
  return how;
}

function* pinctrl_bind_failed(dev: device, how: Probed): Gen<Probed> {
  yield* device_unbind_cleanup(dev);
  return how;
}

const really_probe = fn('really_probe', function* (dev: device, drv: device_driver): Gen<Probed> {
  for (let test_remove = IS_ENABLED('DEBUG_TEST_DRIVER_REMOVE'); ; test_remove = false) {
    yield* device_set_driver(dev, drv);
    if (probe_step_fails('pinctrl fails', dev)) {
      return yield* pinctrl_bind_failed(dev, ended(fail(EIO, 'the pins of the device cannot be set up')));
    }
    const configured = yield* dma_configure(dev, drv);
    if (configured !== 0 && cleans_up_after_refusal())
      return yield* sysfs_failed(dev, drv, ended(configured));
    if (configured !== 0) return yield* pinctrl_bind_failed(dev, ended(configured));
    const linked = yield* driver_sysfs_add(dev, drv);
    if (linked !== 0) return yield* sysfs_failed(dev, drv, ended(linked));
    if (probe_step_fails('pm domain fails', dev)) {
      return yield* probe_failed(dev, drv, ended(fail(EIO, 'the power domain cannot be turned on')));
    }
    const rc = yield* call_driver_probe(dev, drv);
    if (rc !== 0) return yield* probe_failed(dev, drv, { rc, by_driver: true });
    if (probe_step_fails('device groups fail', dev)) {
      return yield* dev_groups_failed(dev, drv, ended(fail(ENOMEM, 'no memory for files in sysfs')));
    }
    if (!test_remove) break;
    yield* device_remove(dev, drv);
    yield* driver_sysfs_remove(dev);
    yield* give_up(dev, drv, dma_cleanup_by().after_trial);
  }
  yield* driver_bound(dev, drv);
  return ended(0);
});

const __driver_probe_device = fn(
  '__driver_probe_device',
  function* (drv: device_driver, dev: device): Gen<Probed> {
    if (dev.dead) return ended(fail(ENODEV, 'the device is on its way out'));
    if ((yield* READ_ONCE(dev, 'driver')) !== null) return ended(fail(EBUSY, 'the device has a driver'));
    if (!dev.ready_to_probe) return ended(fail(EPROBE_DEFER, 'the device is not there yet'));
    dev.can_match = true;
    return yield* really_probe(dev, drv);
  },
);

/** Tries to bind the device to the driver, and has it tried again later if one of them asks for that. */
const driver_probe_device = fn(
  'driver_probe_device',
  function* (drv: device_driver, dev: device): Gen<Probed> {
    const trigger_count = yield* deferred_trigger_count();
    const probed = yield* __driver_probe_device(drv, dev);
    if (probed.rc === -EPROBE_DEFER) {
      yield* driver_deferred_probe_add(dev);
      if ((yield* deferred_trigger_count()) !== trigger_count) yield* driver_deferred_probe_trigger();
    }
    return probed;
  },
);

/** Binds the device to the driver, if that is for it. True: bound; false: look for another driver. */
const __device_attach_driver = fn('__device_attach_driver', function* (drv: device_driver, dev: device): Gen<
  boolean | Err
> {
  const matches = yield* driver_match_device(drv, dev);
  if (matches === 0) return false;
  const { rc, by_driver } = yield* driver_probe_device(drv, dev);
  return rc === 0 || (by_driver ? false : rc);
});

/** True: a driver is bound now; an errno: one was found, and refused before it was asked. */
const __device_attach = fn('__device_attach', function* (dev: device): Gen<boolean | Err> {
  yield* device_lock(dev);
  const bound = yield* attach_locked(dev);
  yield* device_unlock(dev);
  return bound;
});

function* attach_locked(dev: device): Gen<boolean | Err> {
  const { bus } = dev;
  if (dev.dead || bus === null) return false;
  if ((yield* READ_ONCE(dev, 'driver')) !== null) {
    if (!device_is_bound(dev)) throw new Unsupported('binding a driver that was put into the device by hand');
    return true;
  }
  function* visit(drv: device_driver): Gen<boolean | Err | null> {
    const bound = yield* __device_attach_driver(drv, dev);
    return bound === false ? null : bound;
  }
  return (yield* klist_for_each(bus.klist_drivers, visit)) ?? false;
}

/** Looks for a driver for the device. True: one is bound; -EBUSY and others: what was found could not be bound. */
export const device_attach = fn('device_attach', function* (dev: device): Gen<boolean | Err> {
  return yield* __device_attach(dev);
});

/** As device_attach, if the bus does that by itself. */
export const device_initial_probe = fn('device_initial_probe', function* (dev: device): Gen<void> {
  if (dev.bus?.drivers_autoprobe) yield* __device_attach(dev);
});

/** Binds the device to the driver, which is for it. -EAGAIN: later, perhaps; -EBUSY and others: it cannot be. */
export const device_driver_attach = fn(
  'device_driver_attach',
  function* (drv: device_driver, dev: device): Gen<Rc> {
    yield* device_lock(dev);
    const { rc } = yield* __driver_probe_device(drv, dev);
    yield* device_unlock(dev);
    return rc === -EPROBE_DEFER ? fail(EAGAIN, 'the probe is to be tried again later') : rc;
  },
);

const __driver_attach = fn('__driver_attach', function* (dev: device, drv: device_driver): Gen<Rc> {
  if ((yield* driver_match_device(drv, dev)) === 0) return 0;
  yield* device_lock(dev);
  yield* driver_probe_device(drv, dev);
  yield* device_unlock(dev);
  return 0;
});

/** Binds the driver to every device that it is for and that has none. */
export const driver_attach = fn('driver_attach', function* (drv: device_driver, bus: bus_type): Gen<void> {
  yield* bus_for_each_dev(bus, (dev) => __driver_attach(dev, drv));
});

/** Under device_lock. */
const __device_release_driver = fn('__device_release_driver', function* (dev: device): Gen<void> {
  const drv = yield* READ_ONCE(dev, 'driver');
  if (drv === null) return;
  yield* driver_sysfs_remove(dev);
  yield* bus_notify(dev, 'BUS_NOTIFY_UNBIND_DRIVER');
  yield* device_remove(dev, drv);
  yield* give_up(dev, drv, true);
  yield* klist_remove(dev.knode_driver, drv.klist_devices);
  yield* bus_notify(dev, 'BUS_NOTIFY_UNBOUND_DRIVER');
});

/** Unbinds the device from the driver; `drv` null: whichever it is. */
const device_release_driver_internal = fn(
  'device_release_driver_internal',
  function* (dev: device, drv: device_driver | null): Gen<void> {
    yield* device_lock(dev);
    if (drv === null || (yield* READ_ONCE(dev, 'driver')) === drv) yield* __device_release_driver(dev);
    yield* device_unlock(dev);
  },
);

/** Unbinds the device from its driver, if it has one. */
export const device_release_driver = (dev: device): Co<void> => device_release_driver_internal(dev, null);

/** Unbinds the driver from all its devices, the last that came first. */
export const driver_detach = fn('driver_detach', function* (drv: device_driver): Gen<void> {
  for (;;) {
    const dev = yield* klist_last(drv.klist_devices);
    if (dev === null) return;
    yield* get_device(dev);
    yield* device_release_driver_internal(dev, drv);
    yield* put_device(dev);
  }
});
