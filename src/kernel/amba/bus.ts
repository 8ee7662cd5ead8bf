// SPDX-License-Identifier: GPL-2.0-only

/** drivers/amba/bus.c (6.12): the AMBA bus. */
import { machine } from '../../sim/context.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { struct } from '../../sim/struct.ts';
import type { Gen } from '../../sim/task.ts';
import { EIO } from '../../uapi/errno.ts';
import { device_match_driver_override, probe_step_fails } from '../driver-core/dd.ts';
import { type bus_ops, bus_type, device, type device_driver, to_driver } from '../driver-core/device.ts';
import { dma_cleanup_by } from '../driver-core/dma_ownership.ts';
import { iommu_device_unuse_default_domain, iommu_device_use_default_domain } from '../iommu/iommu_owner.ts';

const fn = sourceFile('drivers/amba/bus.c');

export class amba_device extends struct('amba_device', device, {}) {}

/** driver_override comes first; without it the table of ids decides. */
const amba_match = fn('amba_match', function* (dev: device, drv: device_driver): Gen<number> {
  const override = yield* device_match_driver_override(dev, drv);
  return Number(override ?? drv.ops.id_table.includes(dev.modalias));
});

/** A driver that uses the DMA API claims the group for that. -EIO: firmware's description; as the claim says. */
const amba_dma_configure = fn('amba_dma_configure', function* (dev: device): Gen<Rc> {
  if (probe_step_fails('dma setup fails', dev))
    return fail(EIO, 'what firmware says of the DMA of the device is wrong');
  if (to_driver(dev).driver_managed_dma || dma_cleanup_by().by === 'driver core') return 0;
  return yield* iommu_device_use_default_domain(dev);
});

const amba_dma_cleanup = fn('amba_dma_cleanup', function* (dev: device): Gen<void> {
  if (!to_driver(dev).driver_managed_dma) yield* iommu_device_unuse_default_domain(dev);
});

export const amba_ops: bus_ops = {
  name: 'amba',
  driver_override: true,
  match: amba_match,
  dma_configure: amba_dma_configure,
  dma_cleanup: amba_dma_cleanup,
};

const make = (creator: Named): bus_type => new bus_type(creator, 'amba', true);

/** The machine's. */
export const amba_bustype = (): bus_type => machine().singleton(make);
