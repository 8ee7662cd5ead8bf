// SPDX-License-Identifier: GPL-2.0-only

/** drivers/base/platform.c (6.12): devices that no bus tells of. */
import { machine } from '../../sim/context.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { struct } from '../../sim/struct.ts';
import type { Gen } from '../../sim/task.ts';
import { EIO } from '../../uapi/errno.ts';
import { iommu_device_unuse_default_domain, iommu_device_use_default_domain } from '../iommu/iommu_owner.ts';
import { device_match_driver_override, probe_step_fails } from './dd.ts';
import { type bus_ops, bus_type, device, type device_driver, to_driver } from './device.ts';
import { dma_cleanup_by } from './dma_ownership.ts';

const fn = sourceFile('drivers/base/platform.c');

export class platform_device extends struct('platform_device', device, {}) {}

/** driver_override comes first, then the ids that the driver is for, then its name. */
const platform_match = fn('platform_match', function* (dev: device, drv: device_driver): Gen<number> {
  const override = yield* device_match_driver_override(dev, drv);
  return Number(
    override ??
      (drv.ops.id_table.length > 0 ? drv.ops.id_table.includes(dev.modalias) : dev.modalias === drv.ops.name),
  );
});

/** A driver that uses the DMA API claims the group for that. -EIO: firmware's description; as the claim says. */
const platform_dma_configure = fn('platform_dma_configure', function* (dev: device): Gen<Rc> {
  if (probe_step_fails('dma setup fails', dev))
    return fail(EIO, 'what firmware says of the DMA of the device is wrong');
  if (to_driver(dev).driver_managed_dma || dma_cleanup_by().by === 'driver core') return 0;
  return yield* iommu_device_use_default_domain(dev);
});

const platform_dma_cleanup = fn('platform_dma_cleanup', function* (dev: device): Gen<void> {
  if (!to_driver(dev).driver_managed_dma) yield* iommu_device_unuse_default_domain(dev);
});

export const platform_ops: bus_ops = {
  name: 'platform',
  driver_override: true,
  match: platform_match,
  dma_configure: platform_dma_configure,
  dma_cleanup: platform_dma_cleanup,
};

const make = (creator: Named): bus_type => new bus_type(creator, 'platform', true);

/** The machine's. */
export const platform_bus_type = (): bus_type => machine().singleton(make);
