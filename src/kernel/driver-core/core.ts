// SPDX-License-Identifier: GPL-2.0-only

/** drivers/base/core.c (6.12): devices come and go. */
import type { Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Gen } from '../../sim/task.ts';
import { bus_add_device, bus_notify, bus_probe_device, bus_remove_device } from './bus.ts';
import { driver_deferred_probe_del } from './dd_deferred.ts';
import { type device, device_lock, device_unlock, get_device, put_device } from './device.ts';

const fn = sourceFile('drivers/base/core.c');

/**
 * Puts the device on its bus, tells who listens there, the IOMMU core before others, and looks for a driver.
 * Takes a reference meanwhile. -ENOMEM.
 */
export const device_add = fn('device_add', function* (dev: device): Gen<Rc> {
  yield* get_device(dev);
  const rc = yield* bus_add_device(dev);
  if (rc !== 0) {
    yield* put_device(dev);
    return rc;
  }
  // 6.12 does this: what the IOMMU core answers is lost, and a device that it refused is there all the same.
  yield* bus_notify(dev, 'BUS_NOTIFY_ADD_DEVICE');
  yield* device_lock(dev);
  dev.ready_to_probe = true;
  yield* device_unlock(dev);
  yield* bus_probe_device(dev);
  yield* put_device(dev);
  return 0;
});

/** Takes the device off its bus. */
const device_del = fn('device_del', function* (dev: device): Gen<void> {
  yield* device_lock(dev);
  dev.dead = true;
  yield* device_unlock(dev);
  yield* bus_notify(dev, 'BUS_NOTIFY_DEL_DEVICE');
  yield* bus_remove_device(dev);
  yield* driver_deferred_probe_del(dev);
  yield* bus_notify(dev, 'BUS_NOTIFY_REMOVED_DEVICE');
});

/** Undoes device_initialize and device_add. */
export const device_unregister = fn('device_unregister', function* (dev: device): Gen<void> {
  yield* device_del(dev);
  yield* put_device(dev);
});
