// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/io_pagetable.h (6.12): what the files of the I/O page table share. */
import { target } from '../../hw/iommu.ts';
import { member } from '../../sim/collections/collection.ts';
import { type ExtentKind, Extents, frames } from '../../sim/collections/extents.ts';
import {
  interval_tree,
  interval_tree_index_node,
  interval_tree_iter_first,
  interval_tree_iter_next,
  interval_tree_node,
} from '../../sim/collections/interval-tree.ts';
import {
  bool,
  count,
  embed,
  enumeration,
  type FieldOptions,
  flags32,
  int,
  type Member,
  ref,
  u64,
} from '../../sim/field.ts';
import type { Observed } from '../../sim/observed.ts';
import { root, struct } from '../../sim/struct.ts';
import { mutex } from '../../sim/sync/mutex.ts';
import { refcount_t } from '../../sim/sync/refcount.ts';
import { spinlock } from '../../sim/sync/spinlock.ts';
import { WARN_ON } from '../../sim/warn.ts';
import type { iommu_domain } from '../iommu/iommu.h.ts';
import { type mm_struct, PAGE_SIZE } from '../mm/mm.ts';
import type { process, user_struct } from '../sched/task.ts';
import type { io_pagetable } from './iommufd_private.h.ts';

/** The last IOVA, and one less than what overflows a length: iommufd uses unsigned long for both. */
export const ULONG_MAX = 0xffffffffffffffffn;

const PAGE = BigInt(PAGE_SIZE);

/** How pinned pages are charged. */
export const iopt_pages_account_mode = {
  IOPT_PAGES_ACCOUNT_NONE: 0,
  IOPT_PAGES_ACCOUNT_USER: 1,
  IOPT_PAGES_ACCOUNT_MM: 2,
} as const;

const stored: ExtentKind<number> = {
  ...frames,
  show: (frame, length) => target(frame * PAGE_SIZE, length * PAGE_SIZE),
};

/** An xarray of frames by page index. Entries of consecutive frames are one extent. */
class PfnXArray extends Extents<number> {
  readonly xa_lock = new spinlock(this, 'xa_lock', true);
}

export type pfn_xarray = PfnXArray;
export const pfn_xarray = (o?: FieldOptions): Member<pfn_xarray> =>
  member((owner: Observed, role, { guardedBy }) => new PfnXArray(owner, role, stored, true, guardedBy), o);

/**
 * Pinned pages of a linear range of user memory. Areas of several tables may share them, so that nothing is
 * pinned or charged twice. Indexes count pages from the start of `uptr`.
 */
export class iopt_pages extends struct('iopt_pages', root, {
  kref: embed(refcount_t),
  mutex: embed(mutex),
  npages: count(),
  /** Pages pinned now, and how many of them were charged last. */
  npinned: count({ guardedBy: 'mutex' }),
  last_npinned: count({ guardedBy: 'mutex' }),
  /** Linux keeps the thread group's leader; here the process is that. */
  source_task: ref<process>(),
  source_mm: ref<mm_struct>(),
  source_user: ref<user_struct>(),
  /** User address of the first byte. */
  uptr: u64(),
  writable: bool(),
  account_mode: enumeration(iopt_pages_account_mode),
  /** Index to pfn, for the pages that accesses hold. */
  pinned_pfns: pfn_xarray(),
  /** Of iopt_pages_access.node. */
  access_itree: interval_tree<iopt_pages_access, number>({ guardedBy: 'mutex' }),
  /** Of iopt_area.pages_node. */
  domains_itree: interval_tree<iopt_area, number>({ guardedBy: 'mutex' }),
}) {}

/** An interval of IOVA that is backed by pages. */
export class iopt_area extends struct('iopt_area', root, {
  /** IOVA; on io_pagetable.area_itree, under its iova_rwsem. */
  node: interval_tree_node<iopt_area>(),
  /** Page indexes; on iopt_pages.domains_itree, under its mutex. */
  pages_node: interval_tree_index_node<iopt_area>(),
  iopt: ref<io_pagetable>(),
  /** Null while another thread sets the area up or takes it down. */
  pages: ref<iopt_pages>(),
  /** Any one of the domains that hold the PFNs; under pages.mutex. */
  storage_domain: ref<iommu_domain>(),
  /** Bytes into the first page at which the area starts. */
  page_offset: int(),
  iommu_prot: flags32(),
  prevent_access: bool(),
  num_accesses: int(),
}) {}

export class iopt_allowed extends struct('iopt_allowed', root, {
  node: interval_tree_node<iopt_allowed>(),
}) {}

export class iopt_reserved extends struct('iopt_reserved', root, {
  node: interval_tree_node<iopt_reserved>(),
  owner: ref<Observed>(),
}) {}

/** An interval of pages that an access holds pinned, with their PFNs in pinned_pfns. */
export class iopt_pages_access extends struct('iopt_pages_access', root, {
  node: interval_tree_index_node<iopt_pages_access>(),
  users: int(),
}) {}

export const iopt_area_index = (area: iopt_area): number => area.pages_node.start;
export const iopt_area_last_index = (area: iopt_area): number => area.pages_node.last;
export const iopt_area_iova = (area: iopt_area): bigint => area.node.start;
export const iopt_area_last_iova = (area: iopt_area): bigint => area.node.last;
/** Bytes. */
export const iopt_area_length = (area: iopt_area): bigint => area.node.last - area.node.start + 1n;

/** Bytes from the start of the pages to `iova`: divided by PAGE_SIZE a page index, the rest an offset. */
export function iopt_area_start_byte(area: iopt_area, iova: bigint): bigint {
  const start = iopt_area_iova(area);
  WARN_ON(iova < start || iova > iopt_area_last_iova(area), 'the IOVA is not in the area');
  return iova - start + BigInt(area.page_offset) + BigInt(iopt_area_index(area)) * PAGE;
}

export const iopt_area_iova_to_index = (area: iopt_area, iova: bigint): number =>
  Number(iopt_area_start_byte(area, iova) / PAGE);

export const iopt_area_iter_first = (iopt: io_pagetable, start: bigint, last: bigint): iopt_area | null =>
  interval_tree_iter_first(iopt.area_itree, start, last)?.item ?? null;
export const iopt_area_iter_next = (area: iopt_area, start: bigint, last: bigint): iopt_area | null =>
  interval_tree_iter_next(area.node, start, last)?.item ?? null;
export const iopt_allowed_iter_first = (
  iopt: io_pagetable,
  start: bigint,
  last: bigint,
): iopt_allowed | null => interval_tree_iter_first(iopt.allowed_itree, start, last)?.item ?? null;
export const iopt_allowed_iter_next = (
  allowed: iopt_allowed,
  start: bigint,
  last: bigint,
): iopt_allowed | null => interval_tree_iter_next(allowed.node, start, last)?.item ?? null;
export const iopt_reserved_iter_first = (
  iopt: io_pagetable,
  start: bigint,
  last: bigint,
): iopt_reserved | null => interval_tree_iter_first(iopt.reserved_itree, start, last)?.item ?? null;
export const iopt_reserved_iter_next = (
  reserved: iopt_reserved,
  start: bigint,
  last: bigint,
): iopt_reserved | null => interval_tree_iter_next(reserved.node, start, last)?.item ?? null;
