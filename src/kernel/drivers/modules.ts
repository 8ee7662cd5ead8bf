// SPDX-License-Identifier: GPL-2.0-only

import { machine } from '../../sim/context.ts';
/**
 * Drivers, as modules that can be loaded and unloaded: of each bus some that use the DMA API and do nothing else
 * that is modelled, and some that manage the device's DMA by themselves.
 */
import { done } from '../../sim/coroutine.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { WRITE_ONCE } from '../../sim/sync/rcu.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EIO, ENOENT, ENOMEM, EPROBE_DEFER } from '../../uapi/errno.ts';
import { amba_bustype } from '../amba/bus.ts';
import { probe_step_fails } from '../driver-core/dd.ts';
import { type bus_type, type device, device_driver, type driver_ops } from '../driver-core/device.ts';
import { driver_pointer } from '../driver-core/dma_ownership.ts';
import { driver_find, driver_register, driver_unregister } from '../driver-core/driver.ts';
import { platform_bus_type } from '../driver-core/platform.ts';
import { fsl_mc_bus_type } from '../fsl-mc/fsl-mc-bus.ts';
import { pci_bus_type } from '../pci/pci-driver.ts';
import { vfio_pci_probe, vfio_pci_remove } from '../vfio/vfio_pci.ts';

/** What a driver's own probe may say, if the run leaves that open. */
function* probe(dev: device, body: () => Co<Rc>): Gen<Rc> {
  if (probe_step_fails('driver probe fails', dev)) return fail(EIO, 'the driver cannot set the device up');
  if (probe_step_fails('driver probe defers', dev))
    return fail(EPROBE_DEFER, 'the driver needs something that is not there yet');
  return yield* body();
}

/** A driver of which nothing is modelled but that it probes and removes. */
function plain(name: string, file: string, id_table: readonly string[]): driver_ops {
  const fn = sourceFile(file);
  const word = name.replaceAll('-', '_');
  return {
    name,
    id_table,
    probe: fn(`${word}_probe`, function* (dev: device): Gen<Rc> {
      return yield* probe(dev, () => done(0));
    }),
    remove: fn(`${word}_remove`, function* (dev: device): Gen<void> {
      if (driver_pointer().foreign_store) yield* WRITE_ONCE(dev, 'driver', null);
    }),
  };
}

interface Module {
  readonly bus_name: string;
  readonly bus: () => bus_type;
  readonly managed: boolean;
  readonly ops: driver_ops;
}

type Bus = Pick<Module, 'bus' | 'bus_name'>;
const pci: Bus = { bus: pci_bus_type, bus_name: 'pci' };
const platform: Bus = { bus: platform_bus_type, bus_name: 'platform' };
const amba: Bus = { bus: amba_bustype, bus_name: 'amba' };
const fsl_mc: Bus = { bus: fsl_mc_bus_type, bus_name: 'fsl-mc' };

const native = (bus: Bus, name: string, file: string): Module => ({
  ...bus,
  managed: false,
  ops: plain(name, file, [name]),
});

const managing = (bus: Bus, name: string, file: string): Module => ({
  ...bus,
  managed: true,
  // Their ids are of the kind that only driver_override brings to them.
  ops: plain(name, file, []),
});

const vfio_pci: driver_ops = {
  name: 'vfio-pci',
  id_table: [] as const,
  probe: (dev) => probe(dev, () => vfio_pci_probe(dev)),
  remove: vfio_pci_remove,
};

const MODULES: readonly Module[] = [
  native(pci, 'e1000', 'drivers/net/ethernet/intel/e1000/e1000_main.c'),
  native(pci, 'e1000e', 'drivers/net/ethernet/intel/e1000e/netdev.c'),
  native(pci, 'nvme', 'drivers/nvme/host/pci.c'),
  { ...pci, managed: true, ops: vfio_pci },
  managing(pci, 'pci-stub', 'drivers/pci/pci-stub.c'),
  native(platform, 'calxedaxgmac', 'drivers/net/ethernet/calxeda/xgmac.c'),
  managing(platform, 'vfio-platform', 'drivers/vfio/platform/vfio_platform.c'),
  native(amba, 'dma-pl330', 'drivers/dma/pl330.c'),
  managing(amba, 'vfio-amba', 'drivers/vfio/platform/vfio_amba.c'),
  native(fsl_mc, 'fsl_dpaa2_eth', 'drivers/net/ethernet/freescale/dpaa2/dpaa2-eth.c'),
  managing(fsl_mc, 'vfio-fsl-mc', 'drivers/vfio/fsl-mc/vfio_fsl_mc.c'),
];

/** The drivers that there are for a bus, by the bus's name; the first is the one that its devices are made for. */
export const driver_names = (bus: string): readonly string[] =>
  MODULES.filter(({ bus_name }) => bus_name === bus).map(({ ops }) => ops.name);

/** As driver_names. */
export const modules_of = ({ ops }: bus_type): readonly string[] => driver_names(ops.name);

/** Loads a driver, which then finds its devices. -ENOENT: there is no such module; -EBUSY: loaded; -ENOMEM. */
export function* modprobe(name: string): Gen<Rc> {
  const it = MODULES.find(({ ops }) => ops.name === name);
  if (it === undefined) return fail(ENOENT, 'there is no such module');
  const drv = kzalloc(device_driver, machine().root, name);
  if (drv === null) return fail(ENOMEM, 'no memory for the driver');
  drv.bus = it.bus();
  drv.driver_managed_dma = it.managed;
  drv.ops = it.ops;
  const rc = yield* driver_register(drv);
  if (rc !== 0) kfree(drv);
  return rc;
}

/** The module's memory goes: a point, so that who still looks at the driver may do so before or after. */
const FREE = op<device_driver>('free_module');

function* unload(drv: device_driver): Gen<void> {
  yield* driver_unregister(drv);
  yield* operation(FREE, drv, kfree);
}

/** Unloads a driver: its devices have none, and its memory is gone. -ENOENT: it is not loaded. */
export function* rmmod(name: string): Gen<Rc> {
  const it = MODULES.find(({ ops }) => ops.name === name);
  const drv = it === undefined ? null : yield* driver_find(name, it.bus());
  if (drv === null) return fail(ENOENT, 'the module is not loaded');
  yield* unload(drv);
  return 0;
}

/** Unloads every driver that is loaded. */
export function* rmmod_all(): Gen<void> {
  for (const { ops, bus } of MODULES) {
    const drv = yield* driver_find(ops.name, bus());
    if (drv === null) continue;
    yield* unload(drv);
  }
}
