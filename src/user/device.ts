// SPDX-License-Identifier: GPL-2.0-only

/** The devices of the machine, as what they do by themselves needs them. */
import type { iommu_port } from '../hw/iommu.ts';
import { mock_dev } from '../kernel/iommufd/selftest_device.ts';
import { machine } from '../sim/context.ts';

/**
 * Where the DMA of a device goes through. A mock device goes by the name of the object that owns it. Throws (a bug
 * of ours) when there never was such a device.
 */
export function dma_port(name: string): iommu_port {
  for (const object of machine().objects.toReversed()) {
    if (object instanceof mock_dev && object.$creator.name === name) return object.port;
  }
  throw new Error(`no device is called ${name}`);
}
