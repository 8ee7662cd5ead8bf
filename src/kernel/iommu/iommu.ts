// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommu.c (6.12): IOMMU groups and domains, as far as they are modelled. */
import { embed } from '../../sim/field.ts';
import { root, struct } from '../../sim/struct.ts';
import { mutex } from '../../sim/sync/mutex.ts';

/** An address space of an IOMMU: what devices attached to it can reach. */
export class iommu_domain extends struct('iommu_domain', root, {}) {}

/** Devices that the IOMMU cannot tell apart. */
export class iommu_group extends struct('iommu_group', root, { mutex: embed(mutex) }) {}
