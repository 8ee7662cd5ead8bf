// SPDX-License-Identifier: GPL-2.0-only

/** The platforms that a program can run on, brought up. */
import { amba_bustype, amba_device, amba_ops } from '../kernel/amba/bus.ts';
import { bus_register } from '../kernel/driver-core/bus.ts';
import { device_add, device_unregister } from '../kernel/driver-core/core.ts';
import { __device_set_driver_override, device_driver_attach } from '../kernel/driver-core/dd.ts';
import { type bus_ops, type bus_type, device, device_initialize } from '../kernel/driver-core/device.ts';
import { driver_find } from '../kernel/driver-core/driver.ts';
import { notifier_block } from '../kernel/driver-core/notifier.ts';
import { platform_bus_type, platform_device, platform_ops } from '../kernel/driver-core/platform.ts';
import {
  build_iommu,
  type GenericCapability,
  generic_hardware,
  generic_ops,
} from '../kernel/drivers/generic-iommu.ts';
import { modprobe, modules_of, rmmod_all } from '../kernel/drivers/modules.ts';
import { fsl_mc_bus_type, fsl_mc_device, fsl_mc_ops } from '../kernel/fsl-mc/fsl-mc-bus.ts';
import { iommu_device_register } from '../kernel/iommu/iommu_probe.ts';
import { iommufd_init } from '../kernel/iommufd/main.ts';
import { iommufd_test_init } from '../kernel/iommufd/selftest_driver.ts';
import { build_with, type KconfigOption } from '../kernel/kconfig.ts';
import { pci_bus_type, pci_dev, pci_ops } from '../kernel/pci/pci-driver.ts';
import { current } from '../sim/context.ts';
import { done } from '../sim/coroutine.ts';
import type { Rc } from '../sim/errno.ts';
import type { Machine } from '../sim/machine.ts';
import type { Named } from '../sim/observed.ts';
import type { Ending } from '../sim/scheduler.ts';
import { kfree } from '../sim/slab.ts';
import { mutex_lock, mutex_unlock } from '../sim/sync/mutex.ts';
import type { Gen } from '../sim/task.ts';

/** `mock`: nothing but iommufd and its mock driver. `generic`: devices on buses behind an IOMMU of no make. */
export const PLATFORMS = ['mock', 'generic'] as const;
export type PlatformName = (typeof PLATFORMS)[number];

export const isPlatform = (name: string): name is PlatformName => PLATFORMS.some((known) => known === name);

export const BUSES = ['pci', 'platform', 'amba', 'fsl-mc'] as const;
export type BusName = (typeof BUSES)[number];

/** A device that is there at boot. */
export interface DeviceAtBoot {
  readonly name: string;
  readonly bus: BusName;
  /** The group that it is in, by a name of the caller's. */
  readonly group: string;
  /** The driver whose table of ids has it. */
  readonly id: string;
  /** The driver that is bound at the start. */
  readonly driver: string | undefined;
}

/** What there is beside the IOMMU. */
export interface Topology {
  readonly devices: readonly DeviceAtBoot[];
  readonly kconfig?: readonly KconfigOption[] | undefined;
  /** What the generic IOMMU can do; without: what is usual. */
  readonly capabilities?: readonly GenericCapability[] | undefined;
}

interface Kind {
  readonly bus: () => bus_type;
  readonly ops: bus_ops;
  readonly device: new (creator: Named, role: string) => device;
}

const KINDS: Readonly<Record<BusName, Kind>> = {
  pci: { bus: pci_bus_type, ops: pci_ops, device: pci_dev },
  platform: { bus: platform_bus_type, ops: platform_ops, device: platform_device },
  amba: { bus: amba_bustype, ops: amba_ops, device: amba_device },
  'fsl-mc': { bus: fsl_mc_bus_type, ops: fsl_mc_ops, device: fsl_mc_device },
};

function must(rc: Rc, what: string): void {
  if (rc !== 0) throw new Error(`the machine cannot boot: ${what}: ${rc}`);
}

/** What takes locks as it comes up, and so needs a task. */
function* mock_initcalls(): Gen<void> {
  must(yield* iommufd_test_init(), 'iommufd_test');
}

function* generic_initcalls(root: Named, { devices, capabilities }: Topology): Gen<void> {
  build_iommu(capabilities);
  const kinds = BUSES.filter((bus) => devices.some((it) => it.bus === bus)).map((bus) => KINDS[bus]);
  for (const { bus, ops } of kinds) {
    for (const file of ['drivers_probe', 'drivers_autoprobe'])
      current().expectName(file, `${ops.name}.${file}`);
    must(yield* bus_register(bus(), ops), ops.name);
  }
  const listening = kinds.map(({ bus }) => ({ bus: bus(), nb: new notifier_block(bus(), 'iommu', true) }));
  must(yield* iommu_device_register(generic_hardware(), generic_ops, listening), 'the IOMMU');
  const present = new Map<DeviceAtBoot, device>();
  for (const it of devices) present.set(it, yield* appear(root, it));
  // Each device gets the driver that is asked for, and no other.
  for (const { bus } of kinds) bus().drivers_autoprobe = false;
  for (const name of kinds.flatMap(({ bus }) => modules_of(bus()))) {
    current().expectName(name, name);
    must(yield* modprobe(name), name);
  }
  for (const [{ driver }, dev] of present) if (driver !== undefined) yield* bind(dev, driver);
  for (const { bus } of kinds) bus().drivers_autoprobe = true;
}

function* appear(root: Named, { name, bus, group, id }: DeviceAtBoot): Gen<device> {
  const { device: kind, bus: bus_of } = KINDS[bus];
  current().expectName(name, name);
  const dev = new kind(root, name);
  device_initialize(dev);
  dev.release = () => done(kfree(dev));
  dev.bus = bus_of();
  dev.modalias = id;
  dev.requester = group;
  dev.isolated_msi = true;
  // The group is the first device's making.
  current().expectName('group', group);
  must(yield* device_add(dev), name);
  current().forgetNames();
  return dev;
}

/** As user space does it, by driver_override where the driver has no table of ids with the device. */
function* bind(dev: device, name: string): Gen<void> {
  const drv = dev.bus === null ? null : yield* driver_find(name, dev.bus);
  if (drv === null) throw new Error(`${dev.name} cannot be bound at boot: no driver ${name} is for its bus`);
  if (!drv.ops.id_table.includes(dev.modalias)) must(yield* __device_set_driver_override(dev, name), name);
  must(yield* device_driver_attach(drv, dev), `${name} for ${dev.name}`);
}

/** Boots the powered machine. Names of groups and drivers in `topology` must be known and fit their buses. */
export function boot(machine: Machine, platform: PlatformName, topology: Topology = { devices: [] }): void {
  build_with(new Set(topology.kconfig));
  iommufd_init(machine.root);
  const initcalls = platform === 'mock' ? mock_initcalls() : generic_initcalls(machine.root, topology);
  machine.certain = true;
  machine.spawn('swapper', initcalls);
  machine.run();
  machine.certain = false;
}

/**
 * Unloads all drivers of a machine with devices, and takes its devices away but those that somebody owns: what is
 * left then, and is not freed, is lost for ever.
 */
export function shutDown(machine: Machine): Ending {
  const devices = machine.objects.flatMap((it) => (it instanceof device && !it.$freed ? [it] : []));
  machine.certain = true;
  machine.spawn('shutdown', power_off(devices));
  return machine.run();
}

function* power_off(devices: readonly device[]): Gen<void> {
  yield* rmmod_all();
  for (const dev of devices) {
    const group = dev.iommu_group;
    if (group === null) continue;
    yield* mutex_lock(group.mutex);
    const owned = group.owner !== null || group.owner_cnt !== 0 || group.domain !== group.default_domain;
    yield* mutex_unlock(group.mutex);
    if (!owned) yield* device_unregister(dev);
  }
}
