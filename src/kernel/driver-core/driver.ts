// SPDX-License-Identifier: GPL-2.0-only

/** drivers/base/driver.c (6.12): drivers come and go. */
import { klist_for_each } from '../../sim/collections/klist.ts';
import { done } from '../../sim/coroutine.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Gen } from '../../sim/task.ts';
import { EBUSY, EINVAL } from '../../uapi/errno.ts';
import { bus_add_driver, bus_remove_driver } from './bus.ts';
import { type bus_type, type device_driver, driver_name } from './device.ts';

const fn = sourceFile('drivers/base/driver.c');

/** The driver of that name on the bus, or null; no reference is taken. */
export const driver_find = fn(
  'driver_find',
  function* (name: string, bus: bus_type): Gen<device_driver | null> {
    return yield* klist_for_each(
      bus.klist_drivers,
      (drv) => done(drv),
      (drv) => driver_name(drv) === name,
    );
  },
);

/** Puts a driver on its bus, and binds it to devices that it is for. -EBUSY: one of its name is there; -EINVAL: no bus. */
export const driver_register = fn('driver_register', function* (drv: device_driver): Gen<Rc> {
  const { bus } = drv;
  if (bus === null) return fail(EINVAL, 'the driver is for no bus');
  if ((yield* driver_find(driver_name(drv), bus)) !== null) {
    return fail(EBUSY, 'a driver of that name is registered already');
  }
  return yield* bus_add_driver(drv, bus);
});

/** Undoes driver_register: no device is bound to it afterwards, and nobody calls it any more. */
export const driver_unregister = fn('driver_unregister', function* (drv: device_driver): Gen<void> {
  if (drv.bus !== null) yield* bus_remove_driver(drv, drv.bus);
});
