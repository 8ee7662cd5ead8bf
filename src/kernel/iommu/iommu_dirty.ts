// SPDX-License-Identifier: GPL-2.0-only

/** include/linux/iommu.h (6.12): how a driver reports what devices have written. */
import type { Gen } from '../../sim/task.ts';
import type { iommu_dirty_bitmap, iommu_iotlb_gather } from './iommu.h.ts';

/** Of read_and_clear_dirty's flags: what is dirty stays so. */
export const IOMMU_DIRTY_NO_CLEAR = 1 << 0;

/** Adds [iova, iova + size) to what is to be invalidated. */
export function iommu_iotlb_gather_add_range(gather: iommu_iotlb_gather, iova: bigint, size: number): void {
  const end = iova + BigInt(size) - 1n;
  if (gather.start > iova) gather.start = iova;
  if (gather.end < end) gather.end = end;
}

/** [iova, iova + length) is dirty, bytes. */
export function* iommu_dirty_bitmap_record(
  dirty: iommu_dirty_bitmap,
  iova: bigint,
  length: number,
): Gen<void> {
  if (dirty.bitmap !== null) yield* dirty.bitmap.set(iova, length);
  if (dirty.gather !== null) iommu_iotlb_gather_add_range(dirty.gather, iova, length);
}
