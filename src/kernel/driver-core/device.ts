// SPDX-License-Identifier: GPL-2.0-only

/** include/linux/device.h (6.12): devices, as far as they are modelled. */
import { ref } from '../../sim/field.ts';
import { root, struct } from '../../sim/struct.ts';
import type { iommu_group } from '../iommu/iommu.ts';

export class device extends struct('device', root, { iommu_group: ref<iommu_group>() }) {}
