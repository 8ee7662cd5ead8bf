// SPDX-License-Identifier: GPL-2.0-only

/** drivers/pci/pci-driver.c (6.12): the PCI bus. */
import { machine } from '../../sim/context.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { ref } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { struct } from '../../sim/struct.ts';
import type { Gen } from '../../sim/task.ts';
import { EIO } from '../../uapi/errno.ts';
import { device_match_driver_override, probe_step_fails } from '../driver-core/dd.ts';
import {
  type bus_ops,
  bus_type,
  device,
  type device_driver,
  get_device,
  put_device,
  to_driver,
} from '../driver-core/device.ts';
import { dma_cleanup_by } from '../driver-core/dma_ownership.ts';
import { iommu_device_unuse_default_domain, iommu_device_use_default_domain } from '../iommu/iommu_owner.ts';

const fn = sourceFile('drivers/pci/pci-driver.c');

export class pci_dev extends struct('pci_dev', device, {
  /** pci_dev->driver: set while the driver's probe runs, and after it. */
  pci_driver: ref<device_driver>(),
}) {}

function to_pci_dev(dev: device): pci_dev {
  if (!(dev instanceof pci_dev)) throw new Error(`${dev.name} is no PCI device`);
  return dev;
}

/** driver_override comes first; without it the table of ids decides. */
const pci_bus_match = fn('pci_bus_match', function* (dev: device, drv: device_driver): Gen<number> {
  const override = yield* device_match_driver_override(dev, drv);
  return Number(override ?? drv.ops.id_table.includes(dev.modalias));
});

const pci_device_probe = fn('pci_device_probe', function* (dev: device): Gen<Rc> {
  const pdev = to_pci_dev(dev);
  const drv = to_driver(dev);
  yield* get_device(dev);
  pdev.pci_driver = drv;
  const rc = yield* drv.ops.probe(dev);
  if (rc === 0) return 0;
  pdev.pci_driver = null;
  yield* put_device(dev);
  return rc;
});

const pci_device_remove = fn('pci_device_remove', function* (dev: device): Gen<void> {
  const pdev = to_pci_dev(dev);
  if (pdev.pci_driver !== null) yield* pdev.pci_driver.ops.remove(dev);
  pdev.pci_driver = null;
  yield* put_device(dev);
});

/** A driver that uses the DMA API claims the group for that. -EIO: firmware's description; as the claim says. */
const pci_dma_configure = fn('pci_dma_configure', function* (dev: device): Gen<Rc> {
  if (probe_step_fails('dma setup fails', dev))
    return fail(EIO, 'what firmware says of the DMA of the device is wrong');
  if (to_driver(dev).driver_managed_dma || dma_cleanup_by().by === 'driver core') return 0;
  return yield* iommu_device_use_default_domain(dev);
});

const pci_dma_cleanup = fn('pci_dma_cleanup', function* (dev: device): Gen<void> {
  if (!to_driver(dev).driver_managed_dma) yield* iommu_device_unuse_default_domain(dev);
});

export const pci_ops: bus_ops = {
  name: 'pci',
  driver_override: true,
  match: pci_bus_match,
  probe: pci_device_probe,
  remove: pci_device_remove,
  dma_configure: pci_dma_configure,
  dma_cleanup: pci_dma_cleanup,
};

const make = (creator: Named): bus_type => new bus_type(creator, 'pci', true);

/** The machine's. */
export const pci_bus_type = (): bus_type => machine().singleton(make);
