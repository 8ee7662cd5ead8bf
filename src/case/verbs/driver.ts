// SPDX-License-Identifier: GPL-2.0-only

/** Devices and drivers, as an administrator has them meet: sysfs and modules. */
import * as z from 'zod';
import { dev_path, device } from '../../kernel/driver-core/device.ts';
import {
  driver_names,
  modprobe as load_module,
  rmmod as unload_module,
} from '../../kernel/drivers/modules.ts';
import { sysfs_cat, sysfs_echo } from '../../kernel/fs/kernfs.ts';
import { iommu_group } from '../../kernel/iommu/iommu.h.ts';
import { machine } from '../../sim/context.ts';
import type { Gen } from '../../sim/task.ts';
import { BUSES } from '../../user/boot.ts';
import type { Answer } from '../step.ts';
import { verb } from '../step.ts';
import { name } from '../words.ts';

const DRIVERS = BUSES.flatMap(driver_names);
const driver = () => z.enum(DRIVERS);

/** The device of the platform that has the name. */
export function deviceOf(called: string): device {
  for (const each of machine().objects) if (each instanceof device && each.name === called) return each;
  throw new Error(`the machine was booted without ${called}`);
}

function groupOf(called: string): iommu_group {
  for (const each of machine().objects) if (each instanceof iommu_group && each.name === called) return each;
  throw new Error(`the machine was booted without ${called}`);
}

const busPath = (called: string): string => `/sys/bus/${deviceOf(called).bus?.ops.name}`;

/** Writes a file of sysfs. How many bytes that were is of no interest to anybody. */
function* echo(path: string, text: string): Gen<Answer> {
  const ret = yield* sysfs_echo(path, text);
  return { ret: BigInt(Math.min(ret, 0)) };
}

const dev = (what: string) => name().describe(what);

export const bind_driver = verb({
  verb: 'bind_driver',
  about:
    "Binds a device to a driver that is for it: writes the device's name to the driver's `bind` in sysfs.",
  example: '{ "bind_driver": "dev1", "to": "e1000" }',
  shape: () => ({ bind_driver: dev('The device.'), to: driver().describe('The driver.') }),
  prepare: ({ bind_driver: it, to }, scope) => {
    scope.present('device', ['bind_driver'], it);
    return { text: `bind(${it}, ${to})`, call: () => echo(`${busPath(it)}/drivers/${to}/bind`, it) };
  },
});

export const unbind_driver = verb({
  verb: 'unbind_driver',
  about: "Takes a device's driver off it: writes the device's name to the driver's `unbind` in sysfs.",
  example: '{ "unbind_driver": "dev1" }',
  shape: () => ({
    unbind_driver: dev('The device.'),
    from: driver()
      .optional()
      .describe('The driver; absent: the one that the link `driver` of the device leads to.'),
  }),
  prepare: ({ unbind_driver: it, from }, scope) => {
    scope.present('device', ['unbind_driver'], it);
    return {
      text: from === undefined ? `unbind(${it})` : `unbind(${it}, ${from})`,
      call: () =>
        echo(
          from === undefined
            ? `${dev_path(deviceOf(it))}/driver/unbind`
            : `${busPath(it)}/drivers/${from}/unbind`,
          it,
        ),
    };
  },
});

export const driver_override = verb({
  verb: 'driver_override',
  about: 'Says which driver a device is for, whatever the tables of ids say; it is not bound to it yet.',
  example: '{ "driver_override": "dev1", "set": "vfio-pci" }',
  shape: () => ({
    driver_override: dev('The device.'),
    set: driver().or(z.literal('')).describe('The driver; empty: what the tables of ids say.'),
  }),
  prepare: ({ driver_override: it, set }, scope) => {
    scope.present('device', ['driver_override'], it);
    return {
      text: `driver_override(${it}, ${set === '' ? 'none' : set})`,
      call: () => echo(`${dev_path(deviceOf(it))}/driver_override`, `${set}\n`),
    };
  },
});

export const drivers_probe = verb({
  verb: 'drivers_probe',
  about: 'Has the bus look for a driver for a device that has none.',
  example: '{ "drivers_probe": "dev1" }',
  shape: () => ({ drivers_probe: dev('The device.') }),
  prepare: ({ drivers_probe: it }, scope) => {
    scope.present('device', ['drivers_probe'], it);
    return { text: `drivers_probe(${it})`, call: () => echo(`${busPath(it)}/drivers_probe`, it) };
  },
});

export const modprobe = verb({
  verb: 'modprobe',
  about: 'Loads a driver, which then looks for devices. At the start all drivers are loaded.',
  example: '{ "modprobe": "e1000" }',
  shape: () => ({ modprobe: driver().describe('The driver.') }),
  prepare: ({ modprobe: it }) => ({
    text: `modprobe(${it})`,
    *call() {
      return { ret: BigInt(yield* load_module(it)) };
    },
  }),
});

export const rmmod = verb({
  verb: 'rmmod',
  about: 'Unloads a driver: it is unbound from its devices, and its memory is freed.',
  example: '{ "rmmod": "e1000" }',
  shape: () => ({ rmmod: driver().describe('The driver.') }),
  prepare: ({ rmmod: it }) => ({
    text: `rmmod(${it})`,
    *call() {
      return { ret: BigInt(yield* unload_module(it)) };
    },
  }),
});

export const group_type = verb({
  verb: 'group_type',
  about: "Gives an IOMMU group's default domain another type, or reads the type: without `set`.",
  example: '{ "group_type": "g0", "set": "identity", "errno": "EPERM" }',
  shape: () => ({
    group_type: name().describe('The group.'),
    set: z.enum(['identity', 'DMA', 'DMA-FQ', 'auto']).optional().describe('The type.'),
    is: z.string().max(40).optional().describe('What must be read.'),
  }),
  prepare: ({ group_type: it, set, is }, scope) => {
    scope.present('group', ['group_type'], it);
    const path = (): string => `/sys/kernel/iommu_groups/${groupOf(it).id}/type`;
    return {
      text: set === undefined ? `group_type(${it})` : `group_type(${it}, ${set})`,
      *call() {
        if (set !== undefined) return yield* echo(path(), set);
        const text = yield* sysfs_cat(path());
        if (typeof text === 'number') return { ret: BigInt(text) };
        const got = text.trim();
        return {
          ret: 0n,
          text: got,
          ...(is === undefined || is === got ? {} : { mismatch: `expected ${is}, got ${got}` }),
        };
      },
    };
  },
});
