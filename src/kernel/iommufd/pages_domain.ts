// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/pages.c (6.12): frames to and from domains. */
import { PAGE_SIZE, pfn } from '../../hw/memory.ts';
import { interval_tree_iter_first } from '../../sim/collections/interval-tree.ts';
import type { Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import type { iommu_domain } from '../iommu/iommu.h.ts';
import { iommu_iova_to_phys_extent, iommu_map, iommu_unmap } from '../iommu/iommu.ts';
import type { page_run } from '../mm/page.ts';
import {
  type iopt_area,
  iopt_area_index,
  iopt_area_iova,
  iopt_area_last_index,
  iopt_area_last_iova,
  type iopt_pages,
} from './io_pagetable.h.ts';
import { batch_add_pfn, batch_run, type pfn_batch } from './pages_batch.ts';

const fn = sourceFile('drivers/iommu/iommufd/pages.c');

/** The IOVA at which a page of the area's pages begins, or the area itself, if that is later. */
function iopt_area_index_to_iova(area: iopt_area, index: number): bigint {
  warn_outside(area, index);
  const pages = index - iopt_area_index(area);
  if (pages === 0) return iopt_area_iova(area);
  return iopt_area_iova(area) + BigInt(pages * PAGE_SIZE - area.page_offset);
}

/** The last IOVA of a page of the area's pages that belongs to the area. */
function iopt_area_index_to_iova_last(area: iopt_area, index: number): bigint {
  warn_outside(area, index);
  if (index === iopt_area_last_index(area)) return iopt_area_last_iova(area);
  const pages = index - iopt_area_index(area) + 1;
  return iopt_area_iova(area) + BigInt(pages * PAGE_SIZE - area.page_offset - 1);
}

function warn_outside(area: iopt_area, index: number): void {
  const outside = index < iopt_area_index(area) || index > iopt_area_last_index(area);
  WARN_ON(outside, `a page index outside of ${area.name}`);
}

/** Bytes of the page `index` that lie before the area. */
const offset_in_page = (area: iopt_area, index: number): number =>
  index === iopt_area_index(area) ? area.page_offset : 0;

/** Unmaps exactly `size` bytes. */
export function* iommu_unmap_nofail(domain: iommu_domain, iova: bigint, size: number): Gen<void> {
  const ret = yield* iommu_unmap(domain, iova, size);
  WARN_ON(ret !== size, `${domain.name} unmapped something else than it was asked to`);
}

/** An area whose domain has the page; null: none. */
export function iopt_pages_find_domain_area(pages: iopt_pages, index: number): iopt_area | null {
  return interval_tree_iter_first(pages.domains_itree, index, index)?.item ?? null;
}

/** Unmaps a range of the area's pages. */
export const iopt_area_unmap_domain_range = fn(
  'iopt_area_unmap_domain_range',
  function* (area: iopt_area, domain: iommu_domain, start_index: number, last_index: number): Gen<void> {
    const start_iova = iopt_area_index_to_iova(area, start_index);
    const last_iova = iopt_area_index_to_iova_last(area, last_index);
    yield* iommu_unmap_nofail(domain, start_iova, Number(last_iova - start_iova) + 1);
  },
);

/** The frames behind [start_index, last_index] of the area as the domain has them, in runs. */
export function* frames_of_domain(
  domain: iommu_domain,
  area: iopt_area,
  start_index: number,
  last_index: number,
): Generator<page_run, void> {
  let page_offset = offset_in_page(area, start_index);
  let iova = iopt_area_index_to_iova(area, start_index);
  for (let index = start_index; index <= last_index; ) {
    const size = (last_index - index + 1) * PAGE_SIZE - page_offset;
    const { phys, bytes } = iommu_iova_to_phys_extent(domain, iova, size);
    const count = Math.ceil((bytes + page_offset) / PAGE_SIZE);
    yield { start: pfn(Math.floor((phys - page_offset) / PAGE_SIZE)), count };
    iova += BigInt(count * PAGE_SIZE - page_offset);
    page_offset = 0;
    index += count;
  }
}

/**
 * Fills the batch with what the domain has for [start_index, last_index] of the area, until it is full. The
 * caller sees from total_pfns how far that was.
 */
export const batch_from_domain = fn(
  'batch_from_domain',
  (
    batch: pfn_batch,
    domain: iommu_domain,
    area: iopt_area,
    start_index: number,
    last_index: number,
  ): void => {
    for (const { start, count } of frames_of_domain(domain, area, start_index, last_index)) {
      if (!batch_add_pfn(batch, start, count)) return;
    }
  },
);

/** As batch_from_domain, but only while the frames continue the last run. */
export function batch_from_domain_continue(
  batch: pfn_batch,
  domain: iommu_domain,
  area: iopt_area,
  start_index: number,
  last_index: number,
): void {
  const { array_size } = batch;
  batch.array_size = batch.end;
  batch_from_domain(batch, domain, area, start_index, last_index);
  batch.array_size = array_size;
}

/** Maps page by page, so that any part can be unmapped again: VFIO's type1 allows that. As iommu_map. */
const batch_iommu_map_small = fn(
  'batch_iommu_map_small',
  function* (domain: iommu_domain, iova: bigint, paddr: number, size: number, prot: number): Gen<Rc> {
    const aligned = paddr % PAGE_SIZE === 0 && iova % BigInt(PAGE_SIZE) === 0n && size % PAGE_SIZE === 0;
    WARN_ON(!aligned, 'mapping page by page what is no whole pages');
    for (let mapped = 0; mapped < size; mapped += PAGE_SIZE) {
      const rc = yield* iommu_map(domain, iova + BigInt(mapped), paddr + mapped, PAGE_SIZE, prot);
      if (rc === 0) continue;
      if (mapped !== 0) yield* iommu_unmap_nofail(domain, iova, mapped);
      return rc;
    }
    return 0;
  },
);

/** Maps the batch, whose first frame is for `start_index` of the area. As iommu_map; then nothing is mapped. */
export const batch_to_domain = fn(
  'batch_to_domain',
  function* (batch: pfn_batch, domain: iommu_domain, area: iopt_area, start_index: number): Gen<Rc> {
    const map = area.iopt?.disable_large_pages === true ? batch_iommu_map_small : iommu_map;
    // 6.12 does this: of an area that ends at ULONG_MAX, the first run is mapped over all that is left.
    const end = BigInt.asUintN(64, iopt_area_last_iova(area) + 1n);
    const start_iova = iopt_area_index_to_iova(area, start_index);
    let page_offset = offset_in_page(area, start_index);
    let iova = start_iova;
    for (let cur = 0; cur < batch.end; cur++) {
      const { start, count } = batch_run(batch, cur);
      const run_end = BigInt.asUintN(64, iova + BigInt(count * PAGE_SIZE - page_offset));
      const next_iova = end < run_end ? end : run_end;
      const size = Number(BigInt.asUintN(64, next_iova - iova));
      const rc = yield* map(domain, iova, start * PAGE_SIZE + page_offset, size, area.iommu_prot);
      if (rc !== 0) {
        if (start_iova !== iova) yield* iommu_unmap_nofail(domain, start_iova, Number(iova - start_iova));
        return rc;
      }
      iova = next_iova;
      page_offset = 0;
    }
    return 0;
  },
);
