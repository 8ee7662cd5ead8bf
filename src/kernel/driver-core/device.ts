// SPDX-License-Identifier: GPL-2.0-only

import { klist, klist_node } from '../../sim/collections/klist.ts';
import { INIT_LIST_HEAD, list_node } from '../../sim/collections/list.ts';
/** include/linux/device.h, device/bus.h, device/driver.h (6.12): devices, drivers, and the buses that they meet on. */
import { done } from '../../sim/coroutine.ts';
import type { Rc } from '../../sim/errno.ts';
import { Oops } from '../../sim/errors.ts';
import { bool, embed, ref, value } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { root, struct } from '../../sim/struct.ts';
import { mutex, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { spinlock } from '../../sim/sync/spinlock.ts';
import type { Co } from '../../sim/task.ts';
import { BUG_ON } from '../../sim/warn.ts';
import type { dev_iommu, iommu_group } from '../iommu/iommu.h.ts';
import { kobject, kobject_get, kobject_init, kobject_put } from './kobject.ts';
import { blocking_notifier_head } from './notifier.ts';

const core = sourceFile('drivers/base/core.c');

/** What a bus tells those who listen (include/linux/device/bus.h). */
export type bus_notifier_event =
  | 'BUS_NOTIFY_ADD_DEVICE'
  | 'BUS_NOTIFY_DEL_DEVICE'
  | 'BUS_NOTIFY_REMOVED_DEVICE'
  /** A driver is about to be bound. */
  | 'BUS_NOTIFY_BIND_DRIVER'
  | 'BUS_NOTIFY_BOUND_DRIVER'
  /** A driver is about to be unbound. */
  | 'BUS_NOTIFY_UNBIND_DRIVER'
  | 'BUS_NOTIFY_UNBOUND_DRIVER'
  /** BIND_DRIVER was told, and the driver was not bound. */
  | 'BUS_NOTIFY_DRIVER_NOT_BOUND';

/** What kind of bus it is (struct bus_type). Absent: the bus has nothing to say. */
export interface bus_ops {
  readonly name: string;
  /** Its devices have driver_override in sysfs. */
  readonly driver_override: boolean;
  /** Above 0: the driver is for the device; -EPROBE_DEFER: that cannot be told yet. */
  match?(dev: device, drv: device_driver): Co<number>;
  probe?(dev: device): Co<Rc>;
  remove?(dev: device): Co<void>;
  /** Readies the device for DMA by the driver that is about to be bound, which `dev.driver` is. */
  dma_configure?(dev: device): Co<Rc>;
  dma_cleanup?(dev: device): Co<void>;
}

/** A kind of bus, with the devices and drivers on it. Here it is its own struct subsys_private. */
export class bus_type extends struct('bus_type', root, {
  bus_notifier: embed(blocking_notifier_head),
  klist_devices: klist<device>(),
  klist_drivers: klist<device_driver>(),
  /** A device that comes, and a driver that comes, look for each other. */
  drivers_autoprobe: bool(),
}) {
  ops: bus_ops = { name: '', driver_override: false };
}

/** What a driver does with a device. */
export interface driver_ops {
  readonly name: string;
  /** Devices, by their id, that it is for (struct pci_device_id and its like). */
  readonly id_table: readonly string[];
  probe(dev: device): Co<Rc>;
  remove(dev: device): Co<void>;
}

const no_driver: driver_ops = {
  name: '',
  id_table: [] as const,
  probe: () => done(0),
  remove: () => done(undefined),
};

/** A driver; it lives as long as its module. */
export class device_driver extends struct('device_driver', root, {
  bus: ref<bus_type>(),
  /**
   * It does not use the DMA API but manages the device's DMA by itself, if anybody does: binding claims nothing.
   * In Linux each bus's own driver struct has the field.
   */
  driver_managed_dma: bool(),
  /** Devices that are bound to it (struct driver_private). */
  klist_devices: klist<device>(),
  knode_bus: klist_node<device_driver>(),
}) {
  ops = no_driver;
}

/** The driver that the device has, for a bus that knows that it has one: there is no driver at NULL. */
export function to_driver({ name, driver }: device): device_driver {
  const text = `NULL pointer dereference: ${name} has no driver`;
  BUG_ON(driver === null, text);
  if (driver === null) throw new Oops(text);
  return driver;
}

/** Where a driver's name is, as in sysfs. */
export const driver_name = ({ ops }: device_driver): string => ops.name;

class driver_override extends struct('driver_override', root, {
  /** Empty: none. */
  driver: value<string>('', (name) => (name === '' ? '-' : name), { guardedBy: 'lock' }),
  lock: embed(spinlock),
}) {}

/** Drivers and buses derive their own devices from it. */
export class device extends struct('device', root, {
  kobj: embed(kobject),
  bus: ref<bus_type>(),
  /** On bus_type.klist_devices. */
  knode_bus: klist_node<device>(),
  /** On device_driver.klist_devices while it is bound. */
  knode_driver: klist_node<device>(),
  /** device_lock. */
  mutex: embed(mutex),
  /** Written under device_lock, by dd.c; read without it in places. */
  driver: ref<device_driver>(),
  /** The driver's own. */
  driver_data: ref<Observed>(),
  /** Some driver's name: no other is for the device, and that one always is. */
  driver_override: embed(driver_override),
  /** A driver was found to be for it: it can be put off. */
  can_match: bool(),
  /** device_add has come far enough. */
  ready_to_probe: bool(),
  /** On a list of devices whose probe is put off. */
  deferred_probe: list_node<device>(),
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
  /** What kind of device it is, as its bus tells it: id tables name it. */
  modalias = '';
  /** Who its requests come from as IOMMUs see it: they cannot tell devices apart that have the same here. */
  requester = '';
}

/** Sets up what is in the device; the first reference is the caller's. */
export const device_initialize = core('device_initialize', (dev: device): void => {
  kobject_init(dev.kobj, () => dev.release?.(dev) ?? done(undefined));
  INIT_LIST_HEAD(dev.deferred_probe);
});

export const get_device = (dev: device): Co<void> => kobject_get(dev.kobj);
export const put_device = (dev: device): Co<void> => kobject_put(dev.kobj);
export const device_lock = (dev: device): Co<void> => mutex_lock(dev.mutex);
export const device_unlock = (dev: device): Co<void> => mutex_unlock(dev.mutex);
/** As user space knows it. */
export const dev_name = (dev: device): string => dev.name;
/** The device's folder in sysfs. */
export const dev_path = (dev: device): string => `/sys/bus/${dev.bus?.ops.name}/devices/${dev_name(dev)}`;
