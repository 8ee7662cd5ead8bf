// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/iommu/iommufd/io_pagetable.c (6.12): the map from IOVA to pages, its beginning, its end and how to
 * read it. The rest of the file is in io_pagetable_*.ts, by what it is for.
 */
import { RB_EMPTY_ROOT } from '../../sim/collections/interval-tree.ts';
import { xa_empty } from '../../sim/collections/xarray.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import {
  type iopt_area,
  iopt_area_iova,
  iopt_area_iter_first,
  iopt_area_iter_next,
  iopt_area_last_iova,
} from './io_pagetable.h.ts';
import { free_allowed, iopt_remove_reserved_iova } from './io_pagetable_iova.ts';
import type { io_pagetable } from './iommufd_private.h.ts';

const fn = sourceFile('drivers/iommu/iommufd/io_pagetable.c');

/** A table that nobody else sees yet: all of the IOVA space, no rule of alignment. */
export const iopt_init_table = fn('iopt_init_table', (iopt: io_pagetable): void => {
  iopt.iova_alignment = 1n;
});

/** The last step before the table's memory goes: nothing may be left in it but what is allowed. */
export const iopt_destroy_table = fn('iopt_destroy_table', function* (iopt: io_pagetable): Gen<void> {
  // What the selftests have reserved.
  yield* iopt_remove_reserved_iova(iopt, null);
  free_allowed(iopt.allowed_itree);
  WARN_ON(!RB_EMPTY_ROOT(iopt.reserved_itree), 'reserved IOVA is left');
  WARN_ON(!xa_empty(iopt.domains), 'domains are left');
  WARN_ON(!xa_empty(iopt.access_list), 'accesses are left');
  WARN_ON(!RB_EMPTY_ROOT(iopt.area_itree), 'areas are left');
});

/** Where a walk over neighbouring areas is: `cur_iova` is the first IOVA of the walk within `area`. */
export class iopt_area_contig_iter {
  cur_iova = 0n;
  last_iova = 0n;
  area: iopt_area | null = null;
}

/** The area at `iova`; null when nothing is mapped there. With iova_rwsem held, until the walk's end. */
const iopt_area_contig_init = fn(
  'iopt_area_contig_init',
  (iter: iopt_area_contig_iter, iopt: io_pagetable, iova: bigint, last_iova: bigint): iopt_area | null => {
    iter.cur_iova = iova;
    iter.last_iova = last_iova;
    iter.area = iopt_area_iter_first(iopt, iova, iova);
    if (iter.area !== null && iter.area.pages === null) iter.area = null;
    return iter.area;
  },
);

/** The area that begins where the last one ended; null at the end, and when nothing is mapped there. */
const iopt_area_contig_next = fn('iopt_area_contig_next', (iter: iopt_area_contig_iter): iopt_area | null => {
  if (iter.area === null) return null;
  const last_iova = iopt_area_last_iova(iter.area);
  if (iter.last_iova <= last_iova) return null;
  iter.cur_iova = last_iova + 1n;
  iter.area = iopt_area_iter_next(iter.area, iter.cur_iova, iter.last_iova);
  if (iter.area === null) return null;
  if (iter.cur_iova !== iopt_area_iova(iter.area) || iter.area.pages === null) iter.area = null;
  return iter.area;
});

/** After a walk: whether it came to its end without a gap. */
export const iopt_area_contig_done = (iter: iopt_area_contig_iter): boolean =>
  iter.area !== null && iter.last_iova <= iopt_area_last_iova(iter.area);

/**
 * The areas that cover [iova, last_iova] up to the first gap; ask iopt_area_contig_done whether there was
 * one.
 */
export function* iopt_for_each_contig_area(
  iter: iopt_area_contig_iter,
  iopt: io_pagetable,
  iova: bigint,
  last_iova: bigint,
): Generator<iopt_area, void> {
  let area = iopt_area_contig_init(iter, iopt, iova, last_iova);
  for (; area !== null; area = iopt_area_contig_next(iter)) yield area;
}
