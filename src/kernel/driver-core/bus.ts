// SPDX-License-Identifier: GPL-2.0-only

/** drivers/base/bus.c (6.12): buses, and what user space asks of them through sysfs. */
import {
  klist_add_tail,
  klist_del,
  klist_for_each,
  klist_node_attached,
  klist_remove,
} from '../../sim/collections/klist.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { READ_ONCE } from '../../sim/sync/rcu.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EINVAL, ENODEV } from '../../uapi/errno.ts';
import { type attribute, sysfs_create_file, sysfs_remove } from '../fs/kernfs.ts';
import {
  __device_set_driver_override,
  device_attach,
  device_driver_attach,
  device_initial_probe,
  device_release_driver,
  driver_attach,
  driver_detach,
  driver_match_device,
} from './dd.ts';
import {
  type bus_notifier_event,
  type bus_ops,
  type bus_type,
  dev_name,
  dev_path,
  type device,
  type device_driver,
  driver_name,
  get_device,
  put_device,
} from './device.ts';
import {
  blocking_notifier_call_chain,
  blocking_notifier_chain_register,
  type notifier_block,
} from './notifier.ts';

const fn = sourceFile('drivers/base/bus.c');

/** From now on `nb` hears what happens to the bus's devices. */
export const bus_register_notifier = (bus: bus_type, nb: notifier_block): Co<void> =>
  blocking_notifier_chain_register(bus.bus_notifier, nb);

/** Tells who listens on the device's bus. */
export const bus_notify = fn('bus_notify', function* (dev: device, event: bus_notifier_event): Gen<void> {
  if (dev.bus !== null) yield* blocking_notifier_call_chain(dev.bus.bus_notifier, event, dev);
});

/** Calls `each` for every device on the bus, in order, until one gives an error, which is returned. */
export function* bus_for_each_dev(bus: bus_type, each: (dev: device) => Co<Rc>): Gen<Rc> {
  function* visit(dev: device): Gen<Rc | null> {
    const rc = yield* each(dev);
    return rc === 0 ? null : rc;
  }
  return (yield* klist_for_each(bus.klist_devices, visit)) ?? 0;
}

/** sysfs_streq: equal but for a newline at the end. */
const same = (name: string, buf: string): boolean => buf.replace(/\n$/, '') === name;

/** The device of that name with a reference, or null. */
function bus_find_device_by_name(bus: bus_type, buf: string): Gen<device | null> {
  function* take(dev: device): Gen<device> {
    yield* get_device(dev);
    return dev;
  }
  return klist_for_each(bus.klist_devices, take, (dev) => same(dev_name(dev), buf));
}

/** Writing a device's name has the driver let go of it. */
const unbind_store = fn('unbind_store', function* (drv: device_driver, buf: string): Gen<number> {
  const dev = drv.bus === null ? null : yield* bus_find_device_by_name(drv.bus, buf);
  if (dev === null) return fail(ENODEV, 'there is no such device on the bus');
  // 6.12 does this: it looks without device_lock, and detaches whatever driver there is by then.
  const bound = (yield* READ_ONCE(dev, 'driver')) === drv;
  if (bound) yield* device_release_driver(dev);
  yield* put_device(dev);
  return bound ? buf.length : fail(ENODEV, 'the device is not bound to this driver');
});

/** Writing a device's name binds it to the driver, which must be for it. */
const bind_store = fn('bind_store', function* (drv: device_driver, buf: string): Gen<number> {
  const dev = drv.bus === null ? null : yield* bus_find_device_by_name(drv.bus, buf);
  if (dev === null) return fail(ENODEV, 'there is no such device on the bus');
  const matches = yield* driver_match_device(drv, dev);
  const rc =
    matches === 0 ? fail(ENODEV, 'the driver is not for this device') : yield* device_driver_attach(drv, dev);
  yield* put_device(dev);
  return rc === 0 ? buf.length : rc;
});

const drivers_autoprobe_store = fn(
  'drivers_autoprobe_store',
  function* (bus: bus_type, buf: string): Gen<number> {
    bus.drivers_autoprobe = !buf.startsWith('0');
    return buf.length;
  },
);

/** Writing a device's name looks for a driver for it. */
const drivers_probe_store = fn('drivers_probe_store', function* (bus: bus_type, buf: string): Gen<number> {
  const dev = yield* bus_find_device_by_name(bus, buf);
  if (dev === null) return fail(ENODEV, 'there is no such device on the bus');
  const rc = yield* bus_rescan_devices_helper(dev);
  yield* put_device(dev);
  // 6.12 does this: why the driver was not bound is lost.
  return rc === 0 ? buf.length : fail(EINVAL, 'a driver for the device could not be bound');
});

const bus_rescan_devices_helper = fn('bus_rescan_devices_helper', function* (dev: device): Gen<Rc> {
  if ((yield* READ_ONCE(dev, 'driver')) !== null) return 0;
  const ret = yield* device_attach(dev);
  return typeof ret === 'boolean' ? 0 : ret;
});

const driver_override_store = fn('driver_override_store', function* (dev: device, buf: string): Gen<number> {
  const rc = yield* __device_set_driver_override(dev, buf);
  return rc === 0 ? buf.length : rc;
});

const folder = (bus: bus_type): string => `/sys/bus/${bus.ops.name}`;

/** Makes the bus one that devices and drivers can be put on. -ENOMEM. */
export const bus_register = fn('bus_register', function* (bus: bus_type, ops: bus_ops): Gen<Rc> {
  bus.ops = ops;
  bus.drivers_autoprobe = true;
  const files: attribute[] = [
    { name: 'drivers_probe', store: (buf) => drivers_probe_store(bus, buf) },
    {
      name: 'drivers_autoprobe',
      store: (buf) => drivers_autoprobe_store(bus, buf),
      *show() {
        return bus.drivers_autoprobe ? '1\n' : '0\n';
      },
    },
  ];
  for (const file of files) {
    const rc = yield* sysfs_create_file(bus, `${folder(bus)}/${file.name}`, file);
    if (rc !== 0) return rc;
  }
  return 0;
});

/** Puts the device on its bus. -ENOMEM. */
export const bus_add_device = fn('bus_add_device', function* (dev: device): Gen<Rc> {
  const { bus } = dev;
  if (bus === null) return 0;
  if (bus.ops.driver_override) {
    const rc = yield* sysfs_create_file(dev, `${dev_path(dev)}/driver_override`, {
      name: 'driver_override_attr',
      store: (buf) => driver_override_store(dev, buf),
    });
    if (rc !== 0) return rc;
  }
  yield* get_device(dev);
  yield* klist_add_tail(dev.knode_bus, bus.klist_devices);
  return 0;
});

/** A device that has come looks for a driver, if the bus wants that. */
export const bus_probe_device = fn('bus_probe_device', function* (dev: device): Gen<void> {
  yield* device_initial_probe(dev);
});

/** Takes the device off its bus, and its driver off the device. */
export const bus_remove_device = fn('bus_remove_device', function* (dev: device): Gen<void> {
  const { bus } = dev;
  if (bus === null) return;
  if (bus.ops.driver_override) yield* sysfs_remove(`${dev_path(dev)}/driver_override`);
  const attached = klist_node_attached(dev.knode_bus);
  if (attached) yield* klist_del(dev.knode_bus, bus.klist_devices);
  yield* device_release_driver(dev);
  if (attached) yield* put_device(dev);
});

function* add_bind_files(drv: device_driver, at: string): Gen<Rc> {
  const files: attribute[] = [
    { name: 'unbind', store: (buf) => unbind_store(drv, buf), ignore_lockdep: true },
    { name: 'bind', store: (buf) => bind_store(drv, buf), ignore_lockdep: true },
  ];
  for (const file of files) {
    const rc = yield* sysfs_create_file(drv, `${at}/${file.name}`, file);
    if (rc !== 0) return rc;
  }
  return 0;
}

/** The driver's folder in sysfs. */
export const driver_path = (drv: device_driver): string =>
  `/sys/bus/${drv.bus?.ops.name}/drivers/${driver_name(drv)}`;

/** Puts the driver on its bus, where it looks for devices, if the bus wants that. */
export const bus_add_driver = fn('bus_add_driver', function* (drv: device_driver, bus: bus_type): Gen<Rc> {
  yield* klist_add_tail(drv.knode_bus, bus.klist_drivers);
  if (bus.drivers_autoprobe) yield* driver_attach(drv, bus);
  // 6.12 does this: without its files the driver stays all the same.
  yield* add_bind_files(drv, driver_path(drv));
  return 0;
});

/** Takes the driver off its bus, and off its devices. */
export const bus_remove_driver = fn(
  'bus_remove_driver',
  function* (drv: device_driver, bus: bus_type): Gen<void> {
    yield* sysfs_remove(`${driver_path(drv)}/bind`);
    yield* sysfs_remove(`${driver_path(drv)}/unbind`);
    yield* klist_remove(drv.knode_bus, bus.klist_drivers);
    yield* driver_detach(drv);
  },
);
