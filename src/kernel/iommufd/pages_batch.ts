// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/iommu/iommufd/pages.c (6.12), the pfn_batch: frames on their way from one store to another. Linux
 * goes page by page; here whole runs of consecutive frames go at once, and are cut where Linux cuts them.
 */
import { PAGE_SIZE, type pfn } from '../../hw/memory.ts';
import { happens } from '../../sim/chance.ts';
import { machine } from '../../sim/context.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { count } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Root } from '../../sim/observed.ts';
import { ALLOCATION } from '../../sim/slab.ts';
import { root, struct } from '../../sim/struct.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { type iommu_domain, iommu_iova_to_phys, iommu_map, iommu_unmap } from '../iommu/iommu.ts';
import {
  type iopt_area,
  type iopt_pages,
  iopt_area_index,
  iopt_area_iova,
  iopt_area_last_index,
  iopt_area_last_iova,
} from './io_pagetable.h.ts';
import { iommufd_should_fail } from './selftest.ts';

const fn = sourceFile('drivers/iommu/iommufd/pages.c');
