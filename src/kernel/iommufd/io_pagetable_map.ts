// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/io_pagetable.c (6.12): areas come and go. */
import { PAGE_SIZE } from '../../hw/memory.ts';
import { interval_tree_insert, interval_tree_remove } from '../../sim/collections/interval-tree.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kfree, kvzalloc, kzalloc } from '../../sim/slab.ts';
import { refcount_inc } from '../../sim/sync/refcount.ts';
import { down_read, down_write, lockdep_assert_held_write, up_read, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EINVAL, ENOENT, ENOMEM, EOVERFLOW, EPERM } from '../../uapi/errno.ts';
import { IOMMU_WRITE } from '../iommu/iommu.h.ts';
import {
  iopt_area,
  iopt_area_last_iova,
  iopt_area_start_byte,
  type iopt_pages,
  iopt_pages_account_mode,
  ULONG_MAX,
} from './io_pagetable.h.ts';
import { iopt_area_contig_done, iopt_area_contig_iter, iopt_for_each_contig_area } from './io_pagetable.ts';
import { iopt_alloc_iova, iopt_check_iova } from './io_pagetable_iova.ts';
import type { io_pagetable, iommufd_ctx } from './iommufd_private.h.ts';
import {
  iopt_alloc_pages,
  iopt_area_fill_domains,
  iopt_area_unfill_domains,
  iopt_put_pages,
} from './pages.ts';

const fn = sourceFile('drivers/iommu/iommufd/io_pagetable.c');

const PAGE = BigInt(PAGE_SIZE);

/** For iopt_map_pages and iopt_map_user_pages: the IOVA is to be found, not given. */
export const IOPT_ALLOC_IOVA = 1 << 0;

/** A piece of pages that is to become, or is becoming, an area. Bytes. */
export interface iopt_pages_list {
  /** With a reference, which moves to the area. */
  pages: iopt_pages | null;
  area: iopt_area | null;
  readonly start_byte: bigint;
  readonly length: bigint;
}

/** sizeof(struct iopt_pages_list). */
const ELEMENT_SIZE = 48;

function pages_of(elm: iopt_pages_list): iopt_pages {
  if (elm.pages === null) throw new Error('an element of the list has given its pages away');
  return elm.pages;
}

function area_of(elm: iopt_pages_list): iopt_area {
  if (elm.area === null) throw new Error('an element of the list has no area');
  return elm.area;
}

/**
 * Makes `area` the `length` bytes of `pages` from `start_byte` on, at `iova`. It is put into the table
 * without its pages: not before they are set is it mapped. With iova_rwsem held for writing. -EPERM: the
 * pages are not writable; -EINVAL: the offset in the first page is less aligned than the table demands;
 * -EOVERFLOW.
 */
export const iopt_insert_area = fn(
  'iopt_insert_area',
  (
    iopt: io_pagetable,
    area: iopt_area,
    pages: iopt_pages,
    iova: bigint,
    start_byte: bigint,
    length: bigint,
    iommu_prot: number,
  ): Rc => {
    lockdep_assert_held_write(iopt.iova_rwsem);
    if ((iommu_prot & IOMMU_WRITE) !== 0 && !pages.writable) {
      return fail(EPERM, 'the memory was mapped for reading only');
    }
    const page_offset = start_byte % PAGE;
    area.iommu_prot = iommu_prot;
    area.page_offset = Number(page_offset);
    if ((page_offset & (iopt.iova_alignment - 1n)) !== 0n) {
      return fail(EINVAL, 'the offset in the first page is less aligned than the table demands');
    }
    area.node.start = iova;
    area.node.last = iova + (length - 1n);
    if (area.node.last > ULONG_MAX) return fail(EOVERFLOW, 'the area ends beyond the IOVA space');
    const last_byte = start_byte + (length - 1n);
    if (last_byte > ULONG_MAX) return fail(EOVERFLOW, 'the area ends beyond any memory');
    area.pages_node.start = Number(start_byte / PAGE);
    area.pages_node.last = Number(last_byte / PAGE);
    if (WARN_ON(area.pages_node.last >= pages.npages, 'the area ends beyond its pages')) {
      return fail(EOVERFLOW, 'the area ends beyond its pages');
    }
    area.iopt = iopt;
    interval_tree_insert(area.node, iopt.area_itree);
    return 0;
  },
);

/** An area that is in no table yet; null when memory is short. */
export const iopt_area_alloc = (iopt: io_pagetable): iopt_area | null =>
  kzalloc(iopt_area, iopt.$allocation, 'area');

/**
 * Gives every element of the list its area, one behind the other from `dst_iova` on, or from where there is
 * room (IOPT_ALLOC_IOVA). Returns where. On error the list keeps the areas that it has got.
 */
const iopt_alloc_area_pages = fn(
  'iopt_alloc_area_pages',
  function* (
    iopt: io_pagetable,
    pages_list: readonly iopt_pages_list[],
    length: bigint,
    dst_iova: bigint,
    iommu_prot: number,
    flags: number,
  ): Gen<bigint | Err> {
    for (const elm of pages_list) {
      elm.area = iopt_area_alloc(iopt);
      if (elm.area === null) return fail(ENOMEM, 'no memory for the area');
    }
    yield* down_write(iopt.iova_rwsem);
    const iova = place(iopt, pages_list, length, dst_iova, flags);
    const rc = IS_ERR(iova) ? iova : insert_areas(iopt, pages_list, iova, iommu_prot);
    yield* up_write(iopt.iova_rwsem);
    return rc === 0 ? iova : rc;
  },
);

function place(
  iopt: io_pagetable,
  pages_list: readonly iopt_pages_list[],
  length: bigint,
  dst_iova: bigint,
  flags: number,
): bigint | Err {
  if ((length & (iopt.iova_alignment - 1n)) !== 0n || length === 0n) {
    return fail(EINVAL, 'the length is 0 or less aligned than the table demands');
  }
  if ((flags & IOPT_ALLOC_IOVA) === 0) {
    const rc = iopt_check_iova(iopt, dst_iova, length);
    return rc === 0 ? dst_iova : rc;
  }
  // The first one decides the alignment.
  const [first] = pages_list;
  if (first === undefined) throw new Error('nothing is to be mapped');
  const iova = iopt_alloc_iova(iopt, pages_of(first).uptr + first.start_byte, length);
  if (IS_ERR(iova)) return iova;
  if (WARN_ON(iopt_check_iova(iopt, iova, length) !== 0, 'the IOVA that was found is not free')) {
    return fail(EINVAL, 'the IOVA that was found is not free');
  }
  return iova;
}

function insert_areas(
  iopt: io_pagetable,
  pages_list: readonly iopt_pages_list[],
  first: bigint,
  iommu_prot: number,
): Rc {
  let iova = first;
  for (const elm of pages_list) {
    const { start_byte, length } = elm;
    const rc = iopt_insert_area(iopt, area_of(elm), pages_of(elm), iova, start_byte, length, iommu_prot);
    if (rc !== 0) return rc;
    iova += length;
  }
  return 0;
}

/** Frees an area, in a table or not, whose pages are not set or not set any more. */
export const iopt_abort_area = fn('iopt_abort_area', function* (area: iopt_area): Gen<void> {
  WARN_ON(area.pages !== null, 'the area still has its pages');
  if (area.iopt !== null) {
    yield* down_write(area.iopt.iova_rwsem);
    interval_tree_remove(area.node, area.iopt.area_itree);
    yield* up_write(area.iopt.iova_rwsem);
  }
  kfree(area);
});

/** Frees a list that iopt_get_pages made, with what iopt_map_pages has left in it. */
export const iopt_free_pages_list = fn(
  'iopt_free_pages_list',
  function* (pages_list: iopt_pages_list[]): Gen<void> {
    for (const elm of pages_list) {
      if (elm.area !== null) yield* iopt_abort_area(elm.area);
      if (elm.pages !== null) yield* iopt_put_pages(elm.pages);
    }
    pages_list.length = 0;
  },
);

const iopt_fill_domains_pages = fn(
  'iopt_fill_domains_pages',
  function* (pages_list: readonly iopt_pages_list[]): Gen<Rc> {
    for (const elm of pages_list) {
      const rc = yield* iopt_area_fill_domains(area_of(elm), pages_of(elm));
      if (rc === 0) continue;
      for (const undo_elm of pages_list) {
        if (undo_elm === elm) break;
        yield* iopt_area_unfill_domains(area_of(undo_elm), pages_of(undo_elm));
      }
      return rc;
    }
    return 0;
  },
);

/**
 * Maps the pages of a list, `length` bytes in all, at `dst_iova` or, with IOPT_ALLOC_IOVA, wherever there is
 * room, into the table and all of its domains. Returns the IOVA. The references move from the list to the
 * areas; on error the list has what the caller must free. Errors of iopt_alloc_iova, iopt_check_iova,
 * iopt_insert_area and of pinning and mapping.
 */
export const iopt_map_pages = fn(
  'iopt_map_pages',
  function* (
    iopt: io_pagetable,
    pages_list: readonly iopt_pages_list[],
    length: bigint,
    dst_iova: bigint,
    iommu_prot: number,
    flags: number,
  ): Gen<bigint | Err> {
    const iova = yield* iopt_alloc_area_pages(iopt, pages_list, length, dst_iova, iommu_prot, flags);
    if (IS_ERR(iova)) return iova;
    yield* down_read(iopt.domains_rwsem);
    const rc = yield* iopt_fill_domains_pages(pages_list);
    if (rc === 0) {
      yield* down_write(iopt.iova_rwsem);
      // Within domains_rwsem, so that a domain that comes later fills the area too.
      for (const elm of pages_list) {
        area_of(elm).pages = elm.pages;
        elm.pages = null;
        elm.area = null;
      }
      yield* up_write(iopt.iova_rwsem);
    }
    yield* up_read(iopt.domains_rwsem);
    return rc === 0 ? iova : rc;
  },
);

/**
 * Maps `length` bytes of the calling process's memory from `uptr` on at `iova` or, with IOPT_ALLOC_IOVA,
 * wherever there is room. Returns the IOVA. With domains the memory is pinned now, without when it is used.
 * Errors of iopt_alloc_pages and iopt_map_pages.
 */
export const iopt_map_user_pages = fn(
  'iopt_map_user_pages',
  function* (
    ictx: iommufd_ctx,
    iopt: io_pagetable,
    iova: bigint,
    uptr: bigint,
    length: bigint,
    iommu_prot: number,
    flags: number,
  ): Gen<bigint | Err> {
    const { IOPT_PAGES_ACCOUNT_USER, IOPT_PAGES_ACCOUNT_MM } = iopt_pages_account_mode;
    const pages = yield* iopt_alloc_pages(iopt.$allocation, uptr, length, (iommu_prot & IOMMU_WRITE) !== 0);
    if (IS_ERR(pages)) return pages;
    if (ictx.account_mode === IOPT_PAGES_ACCOUNT_MM && pages.account_mode === IOPT_PAGES_ACCOUNT_USER) {
      pages.account_mode = IOPT_PAGES_ACCOUNT_MM;
    }
    const elm: iopt_pages_list = { pages, area: null, start_byte: uptr - pages.uptr, length };
    const at = yield* iopt_map_pages(iopt, [elm], length, iova, iommu_prot, flags);
    if (IS_ERR(at)) {
      if (elm.area !== null) yield* iopt_abort_area(elm.area);
      if (elm.pages !== null) yield* iopt_put_pages(elm.pages);
    }
    return at;
  },
);

/**
 * Puts what is mapped at [iova, iova + length) on a list, to be mapped elsewhere, with a reference of each
 * pages. -EINVAL: length is 0; -EOVERFLOW; -ENOENT: a part is not mapped; -ENOMEM. On error the list is
 * empty.
 */
export const iopt_get_pages = fn(
  'iopt_get_pages',
  function* (iopt: io_pagetable, iova: bigint, length: bigint, pages_list: iopt_pages_list[]): Gen<Rc> {
    if (length === 0n) return fail(EINVAL, 'the length is 0');
    const last_iova = iova + (length - 1n);
    if (last_iova > ULONG_MAX) return fail(EOVERFLOW, 'the range ends beyond the IOVA space');
    yield* down_read(iopt.iova_rwsem);
    const rc = yield* list_pages(iopt, iova, last_iova, pages_list);
    yield* up_read(iopt.iova_rwsem);
    if (rc !== 0) yield* iopt_free_pages_list(pages_list);
    return rc;
  },
);

function* list_pages(
  iopt: io_pagetable,
  iova: bigint,
  last_iova: bigint,
  pages_list: iopt_pages_list[],
): Gen<Rc> {
  const iter = new iopt_area_contig_iter();
  for (const area of iopt_for_each_contig_area(iter, iopt, iova, last_iova)) {
    const area_last = iopt_area_last_iova(area);
    const last = area_last < last_iova ? area_last : last_iova;
    if (kvzalloc(ELEMENT_SIZE, 'an element of a list of pages') === null) {
      return fail(ENOMEM, 'no memory for an element of the list');
    }
    const start_byte = iopt_area_start_byte(area, iter.cur_iova);
    const elm: iopt_pages_list = {
      pages: area.pages,
      area: null,
      start_byte,
      length: last - iter.cur_iova + 1n,
    };
    yield* refcount_inc(pages_of(elm).kref);
    pages_list.push(elm);
  }
  return iopt_area_contig_done(iter) ? 0 : fail(ENOENT, 'part of the range is not mapped');
}
