// SPDX-License-Identifier: GPL-2.0-only

/** include/linux/device.h, drivers/base/core.c, bus.c, dd.c (6.12): devices and their buses. */
import { list, list_add_tail, list_del, list_node } from '../../sim/collections/list.ts';
import type { Rc } from '../../sim/errno.ts';
import { bool, embed, ref } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import { root, struct } from '../../sim/struct.ts';
import { mutex, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { spin_lock, spin_unlock, spinlock } from '../../sim/sync/spinlock.ts';
import type { Co, Gen } from '../../sim/task.ts';
import type { dev_iommu, iommu_group } from '../iommu/iommu.h.ts';
import { kobject, kobject_get, kobject_init, kobject_put } from './kobject.ts';
import {
  blocking_notifier_call_chain,
  blocking_notifier_chain_register,
  blocking_notifier_head,
  type notifier_block,
} from './notifier.ts';

const core = sourceFile('drivers/base/core.c');
const busFn = sourceFile('drivers/base/bus.c');
const dd = sourceFile('drivers/base/dd.c');

/** What a bus tells those who listen (include/linux/device/bus.h). */
export type bus_notifier_event =
  | 'BUS_NOTIFY_ADD_DEVICE'
  | 'BUS_NOTIFY_DEL_DEVICE'
  | 'BUS_NOTIFY_REMOVED_DEVICE';

/** A kind of bus, with the devices on it. Here it is its own struct subsys_private. */
export class bus_type extends struct('bus_type', root, {
  bus_notifier: embed(blocking_notifier_head),
  klist_devices: list<device>({ guardedBy: 'k_lock' }),
  k_lock: embed(spinlock),
}) {}

/** Drivers and buses derive their own devices from it. */
export class device extends struct('device', root, {
  kobj: embed(kobject),
  bus: ref<bus_type>(),
  /** On bus_type.klist_devices. */
  knode_bus: list_node<device>(),
  /** device_lock. */
  mutex: embed(mutex),
  /** On its way out: no driver is bound to it any more. */
  dead: bool(),
  iommu: ref<dev_iommu>(),
  iommu_group: ref<iommu_group>(),
  /** The DMA API goes through the IOMMU. */
  dma_iommu: bool(),
  /** Its MSIs are checked by interrupt remapping: no DMA of its own can raise an interrupt of others. */
  isolated_msi: bool(),
}) {
  /** Frees it, when the last reference is put. */
  release: ((dev: device) => Co<void>) | null = null;
}

/** Sets up what is in the device; the first reference is the caller's. */
export const device_initialize = core('device_initialize', (dev: device): void => {
  kobject_init(dev.kobj, () => dev.release?.(dev) ?? nothing());
});

function* nothing(): Gen<void> {}

const get_device = (dev: device): Co<void> => kobject_get(dev.kobj);
export const put_device = (dev: device): Co<void> => kobject_put(dev.kobj);
const device_lock = (dev: device): Co<void> => mutex_lock(dev.mutex);
const device_unlock = (dev: device): Co<void> => mutex_unlock(dev.mutex);

const bus_notify = busFn('bus_notify', function* (dev: device, event: bus_notifier_event): Gen<void> {
  if (dev.bus !== null) yield* blocking_notifier_call_chain(dev.bus.bus_notifier, event, dev);
});

function* bus_add_device(dev: device, bus: bus_type): Gen<void> {
  yield* spin_lock(bus.k_lock);
  list_add_tail(dev.knode_bus, bus.klist_devices);
  yield* spin_unlock(bus.k_lock);
}

function* bus_remove_device(dev: device, bus: bus_type): Gen<void> {
  yield* spin_lock(bus.k_lock);
  list_del(dev.knode_bus);
  yield* spin_unlock(bus.k_lock);
  yield* device_release_driver_internal(dev);
}

/** Puts the device on its bus and tells who listens there, the IOMMU core before others. Takes a reference meanwhile. */
export const device_add = core('device_add', function* (dev: device): Gen<Rc> {
  yield* get_device(dev);
  if (dev.bus !== null) yield* bus_add_device(dev, dev.bus);
  // 6.12 does this: what the IOMMU core answers is lost, and a device that it refused is there all the same.
  yield* bus_notify(dev, 'BUS_NOTIFY_ADD_DEVICE');
  yield* put_device(dev);
  return 0;
});

/** Unbinds the device's driver; there are no drivers here yet. */
const device_release_driver_internal = dd(
  'device_release_driver_internal',
  function* (dev: device): Gen<void> {
    yield* device_lock(dev);
    yield* device_unlock(dev);
  },
);

/** Takes the device off its bus. */
const device_del = core('device_del', function* (dev: device): Gen<void> {
  yield* device_lock(dev);
  dev.dead = true;
  yield* device_unlock(dev);
  yield* bus_notify(dev, 'BUS_NOTIFY_DEL_DEVICE');
  if (dev.bus !== null) yield* bus_remove_device(dev, dev.bus);
  yield* bus_notify(dev, 'BUS_NOTIFY_REMOVED_DEVICE');
});

/** Undoes device_initialize and device_add. */
export const device_unregister = core('device_unregister', function* (dev: device): Gen<void> {
  yield* device_del(dev);
  yield* put_device(dev);
});

/** From now on `nb` hears what happens to the bus's devices. */
export const bus_register_notifier = (bus: bus_type, nb: notifier_block): Co<void> =>
  blocking_notifier_chain_register(bus.bus_notifier, nb);

/** Calls `each` for every device that is on the bus now, in order, until one gives an error, which is returned. */
export function* bus_for_each_dev(bus: bus_type, each: (dev: device) => Co<Rc>): Gen<Rc> {
  yield* spin_lock(bus.k_lock);
  const devices = [...bus.klist_devices];
  for (const dev of devices) yield* get_device(dev);
  yield* spin_unlock(bus.k_lock);
  let error: Rc = 0;
  for (const dev of devices) {
    if (error === 0) error = yield* each(dev);
    yield* put_device(dev);
  }
  return error;
}
