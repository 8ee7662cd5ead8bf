// SPDX-License-Identifier: GPL-2.0-only

/**
 * include/linux/iommu.h and drivers/iommu/iommu-priv.h (6.12): domains, groups, and what an IOMMU driver
 * provides. An IOVA is a bigint; physical addresses, sizes and page sizes are numbers of bytes.
 */
import { list, type list_head, list_node } from '../../sim/collections/list.ts';
import { xarray } from '../../sim/collections/xarray.ts';
import type { Err, Rc } from '../../sim/errno.ts';
import { bool, embed, enumeration, flags32, int, ref, u64, value } from '../../sim/field.ts';
import { type Named, Observed } from '../../sim/observed.ts';
import { root, struct } from '../../sim/struct.ts';
import { mutex } from '../../sim/sync/mutex.ts';
import type { Co, Gen } from '../../sim/task.ts';
import type { device } from '../driver-core/device.ts';
import { kobject } from '../driver-core/kobject.ts';
import type { iommu_fault_param, iommu_page_response, iopf_event, iopf_handler } from './io-pgfault.h.ts';

export const IOMMU_READ = 1 << 0;
export const IOMMU_WRITE = 1 << 1;
/** The device's accesses are coherent with the CPU's caches. */
export const IOMMU_CACHE = 1 << 2;
export const IOMMU_NOEXEC = 1 << 3;
/** Device memory, such as an MSI doorbell. */
export const IOMMU_MMIO = 1 << 4;

/** iommu_map and iommu_unmap work on it. */
export const __IOMMU_DOMAIN_PAGING = 1 << 0;
const __IOMMU_DOMAIN_DMA_API = 1 << 1;
const __IOMMU_DOMAIN_PT = 1 << 2;
const __IOMMU_DOMAIN_DMA_FQ = 1 << 3;
const __IOMMU_DOMAIN_SVA = 1 << 4;
const __IOMMU_DOMAIN_PLATFORM = 1 << 5;
const __IOMMU_DOMAIN_NESTED = 1 << 6;

/** Of a type, what a driver hears. */
export const IOMMU_DOMAIN_ALLOC_FLAGS = ~__IOMMU_DOMAIN_DMA_FQ;

/** What a domain is for. */
export const iommu_domain_type = {
  IOMMU_DOMAIN_BLOCKED: 0,
  IOMMU_DOMAIN_IDENTITY: __IOMMU_DOMAIN_PT,
  IOMMU_DOMAIN_UNMANAGED: __IOMMU_DOMAIN_PAGING,
  IOMMU_DOMAIN_DMA: __IOMMU_DOMAIN_PAGING | __IOMMU_DOMAIN_DMA_API,
  IOMMU_DOMAIN_DMA_FQ: __IOMMU_DOMAIN_PAGING | __IOMMU_DOMAIN_DMA_API | __IOMMU_DOMAIN_DMA_FQ,
  IOMMU_DOMAIN_SVA: __IOMMU_DOMAIN_SVA,
  IOMMU_DOMAIN_PLATFORM: __IOMMU_DOMAIN_PLATFORM,
  IOMMU_DOMAIN_NESTED: __IOMMU_DOMAIN_NESTED,
} as const;

export type iommu_cap =
  | 'IOMMU_CAP_CACHE_COHERENCY'
  | 'IOMMU_CAP_NOEXEC'
  | 'IOMMU_CAP_PRE_BOOT_PROTECTION'
  | 'IOMMU_CAP_ENFORCE_CACHE_COHERENCY'
  | 'IOMMU_CAP_DEFERRED_FLUSH'
  | 'IOMMU_CAP_DIRTY_TRACKING';

/** What a driver can turn on for a device. */
export type iommu_dev_features = 'IOMMU_DEV_FEAT_SVA' | 'IOMMU_DEV_FEAT_IOPF';

export const iommu_resv_type = {
  /** Mapped 1:1 at all times. */
  IOMMU_RESV_DIRECT: 0,
  /** As IOMMU_RESV_DIRECT, but given up when the device is given away. */
  IOMMU_RESV_DIRECT_RELAXABLE: 1,
  /** Never mapped. */
  IOMMU_RESV_RESERVED: 2,
  /** The hardware's MSI window, which is not translated. */
  IOMMU_RESV_MSI: 3,
  /** An MSI window that software maps. */
  IOMMU_RESV_SW_MSI: 4,
} as const;

export const IOMMU_NO_PASID = 0;

/** No physical address: PHYS_ADDR_MAX of include/linux/types.h. */
export const PHYS_ADDR_MAX = 0xffff_ffff_ffff_ffffn;

/** IOVA that a driver wants kept free, or mapped, for a device. Bytes. */
export class iommu_resv_region extends struct('iommu_resv_region', root, {
  /** On the list that iommu_get_resv_regions fills. */
  list: list_node<iommu_resv_region>(),
  start: u64(),
  length: u64(),
  prot: flags32(),
  type: enumeration(iommu_resv_type),
}) {}

class iommu_domain_geometry extends struct('iommu_domain_geometry', root, {
  /** The first and the last IOVA that can be mapped. */
  aperture_start: u64(),
  aperture_end: u64(),
  /** DMA outside of the aperture is refused. */
  force_aperture: bool(),
}) {}

export const iommu_dma_cookie_type = { IOMMU_DMA_IOVA_COOKIE: 0, IOMMU_DMA_MSI_COOKIE: 1 } as const;

/** What a domain needs beside its page table for the DMA API, or for MSIs that software maps. */
export class iommu_dma_cookie extends struct('iommu_dma_cookie', root, {
  type: enumeration(iommu_dma_cookie_type),
  /** iovad.start_pfn is not 0: some device has been set up with it. */
  initialized: bool(),
  /** It has a flush queue. */
  fq_domain: bool(),
  /** The next IOVA for an MSI page (IOMMU_DMA_MSI_COOKIE). */
  msi_iova: u64(),
}) {}

const ops_name = (ops: { readonly name: string } | null): string => ops?.name ?? '-';

/** An address space of an IOMMU: what devices attached to it can reach. Drivers derive their own from it. */
export class iommu_domain extends struct('iommu_domain', root, {
  type: enumeration(iommu_domain_type),
  ops: value<iommu_domain_ops | null>(null, ops_name),
  dirty_ops: value<iommu_dirty_ops | null>(null, ops_name),
  /** The driver that made it. */
  owner: value<iommu_ops | null>(null, ops_name),
  /** A bit for each page size, which is the bit's own value. */
  pgsize_bitmap: u64(),
  geometry: embed(iommu_domain_geometry),
  iova_cookie: ref<iommu_dma_cookie>(),
  /** Who is told of page requests; null: nobody, they are answered at once. */
  iopf_handler: value<iopf_handler | null>(null, ops_name),
  fault_data: ref<Observed>(),
}) {}

export const iommu_is_dma_domain = (domain: iommu_domain): boolean =>
  (domain.type & __IOMMU_DOMAIN_DMA_API) !== 0;

/** Unmaps whose invalidation is put off, as a range of IOVA: `end` is inclusive. */
export interface iommu_iotlb_gather {
  start: bigint;
  end: bigint;
  pgsize: number;
  queued: boolean;
}

/** A gather with nothing in it. */
export const iommu_iotlb_gather_init = (): iommu_iotlb_gather => ({
  start: 0xffff_ffff_ffff_ffffn,
  end: 0n,
  pgsize: 0,
  queued: false,
});

/** Adds bytes to what will be invalidated. */
function iommu_iotlb_gather_add_range(gather: iommu_iotlb_gather, iova: bigint, size: number): void {
  const end = iova + BigInt(size) - 1n;
  if (gather.start > iova) gather.start = iova;
  if (gather.end < end) gather.end = end;
}

/** A bitmap of IOVA in user memory (drivers/iommu/iommufd/iova_bitmap.c). */
export interface iova_bitmap {
  set(iova: bigint, length: number): Co<void>;
}

/** Where a driver reports dirty IOVA; `bitmap` null: it only clears. */
export interface iommu_dirty_bitmap {
  readonly bitmap: iova_bitmap | null;
  readonly gather: iommu_iotlb_gather | null;
}

/** Reports bytes as dirty. */
export function* iommu_dirty_bitmap_record(
  { bitmap, gather }: iommu_dirty_bitmap,
  iova: bigint,
  length: number,
): Gen<void> {
  if (bitmap !== null) yield* bitmap.set(iova, length);
  if (gather !== null) iommu_iotlb_gather_add_range(gather, iova, length);
}

/** Of read_and_clear_dirty: dirty IOVA stays dirty. */
export const IOMMU_DIRTY_NO_CLEAR = 1 << 0;

export interface iommu_dirty_ops {
  readonly name: string;
  set_dirty_tracking(domain: iommu_domain, enabled: boolean): Co<Rc>;
  read_and_clear_dirty(
    domain: iommu_domain,
    iova: bigint,
    size: number,
    flags: number,
    dirty: iommu_dirty_bitmap,
  ): Co<Rc>;
}

/** A driver's struct in user memory. */
export interface iommu_user_data {
  readonly type: number;
  readonly uptr: bigint;
  readonly len: number;
}

/** An array of a driver's structs in user memory. The driver sets `entry_num` to how many it has handled. */
export interface iommu_user_data_array {
  readonly type: number;
  readonly uptr: bigint;
  readonly entry_len: number;
  entry_num: number;
}

/** What map_pages adds the bytes to that it has mapped, also when it fails. */
export interface iommu_mapped {
  bytes: number;
}

/** Bytes of memory that lie one behind the other. `phys` 0: nothing is mapped. */
export interface phys_extent {
  readonly phys: number;
  readonly bytes: number;
}

/** What can be done with a domain. Named as the variable that holds it in Linux. Absent: not provided. */
export interface iommu_domain_ops {
  readonly name: string;
  /** -EINVAL: this device and this domain do not go together, others may. */
  attach_dev?(domain: iommu_domain, dev: device): Co<Rc>;
  map_pages?(
    domain: iommu_domain,
    iova: bigint,
    paddr: number,
    pgsize: number,
    pgcount: number,
    prot: number,
    mapped: iommu_mapped,
  ): Co<Rc>;
  /** Returns the bytes unmapped, 0 at a hole. */
  unmap_pages?(
    domain: iommu_domain,
    iova: bigint,
    pgsize: number,
    pgcount: number,
    gather: iommu_iotlb_gather,
  ): Co<number>;
  flush_iotlb_all?(domain: iommu_domain): Co<void>;
  iotlb_sync_map?(domain: iommu_domain, iova: bigint, size: number): Co<Rc>;
  iotlb_sync?(domain: iommu_domain, gather: iommu_iotlb_gather): Co<void>;
  cache_invalidate_user?(domain: iommu_domain, array: iommu_user_data_array): Co<Rc>;
  /** The physical address, 0 when nothing is mapped there. */
  iova_to_phys?(domain: iommu_domain, iova: bigint): number;
  /** Not in Linux: as iova_to_phys for up to `size` bytes at once, so that a long run costs one call. */
  iova_to_phys_extent?(domain: iommu_domain, iova: bigint, size: number): phys_extent;
  enforce_cache_coherency?(domain: iommu_domain): Co<boolean>;
  free?(domain: iommu_domain): Co<void>;
}

/** What a driver's hw_info tells user space. */
export interface iommu_hw_info_data {
  readonly data: Uint8Array;
  readonly type: number;
}

/**
 * What an IOMMU driver provides. Named as the variable that holds it in Linux. Absent: not provided. Where a
 * driver allocates, `creator` and `role` name what it makes.
 */
export interface iommu_ops {
  readonly name: string;
  capable?(dev: device, cap: iommu_cap): boolean;
  hw_info?(dev: device): iommu_hw_info_data | Err;
  /** Null: no memory. */
  domain_alloc?(type: number, creator: Named, role: string): Co<iommu_domain | Err | null>;
  /** Null: no memory. */
  domain_alloc_paging?(dev: device | null, creator: Named, role: string): Co<iommu_domain | Err | null>;
  domain_alloc_user?(
    dev: device,
    flags: number,
    parent: iommu_domain | null,
    user_data: iommu_user_data | null,
    creator: Named,
    role: string,
  ): Co<iommu_domain | Err>;
  probe_device(dev: device): Co<iommu_device | Err>;
  release_device?(dev: device): Co<void>;
  probe_finalize?(dev: device): Co<void>;
  /** The device's group, with a reference for the device. */
  device_group(dev: device): Co<iommu_group | Err>;
  get_resv_regions?(dev: device, list: list_head<iommu_resv_region>): Co<void>;
  is_attach_deferred?(dev: device): boolean;
  /** 0: the driver does not mind. */
  def_domain_type?(dev: device): number;
  dev_enable_feat?(dev: device, feat: iommu_dev_features): Co<Rc>;
  dev_disable_feat?(dev: device, feat: iommu_dev_features): Co<Rc>;
  /** Sends the answer to a page request. */
  page_response?(dev: device, evt: iopf_event, msg: iommu_page_response): Co<void>;
  readonly default_domain_ops: iommu_domain_ops;
  /** User space keeps the table of PASIDs: page requests of any of them go to the nested domain. */
  readonly user_pasid_table?: boolean;
  readonly pgsize_bitmap: bigint;
  /** Domains that are always there and can always be attached. */
  readonly identity_domain?: iommu_domain;
  readonly blocked_domain?: iommu_domain;
  /** Attached before release_device. */
  readonly release_domain?: iommu_domain;
  readonly default_domain?: iommu_domain;
}

/** One piece of IOMMU hardware. */
export class iommu_device extends struct('iommu_device', root, {
  /** On the list of all that are registered. */
  list: list_node<iommu_device>(),
  ops: value<iommu_ops | null>(null, ops_name),
}) {}

/** What the core keeps for a device that is behind an IOMMU. */
export class dev_iommu extends struct('dev_iommu', root, {
  lock: embed(mutex),
  /** Null: no page requests are expected. Written under `lock`, read under RCU. */
  fault_param: ref<iommu_fault_param>(),
  iommu_dev: ref<iommu_device>(),
  /** The driver's own. */
  priv: ref<Observed>(),
  attach_deferred: bool(),
  /** The device has IOMMU_RESV_DIRECT regions, so it may never be blocked. */
  require_direct: bool(),
}) {}

/** That a domain is attached to a group, or to one of its PASIDs; made by who manages the domain. */
export class iommu_attach_handle extends struct('iommu_attach_handle', root, {
  domain: ref<iommu_domain>(),
}) {}

/** A device's place in its group. */
export class group_device extends struct('group_device', root, {
  list: list_node<group_device>(),
  dev: ref<device>(),
  /** Not in 6.12, for designs that keep it: the owner that its driver stands for; that it uses the DMA API. */
  token: ref<Observed>(),
  dma_api: bool(),
}) {}

/** Not in 6.12: an owner that every driver is which uses the DMA API, for designs that have one. */
export class dma_api_token extends Observed {}

/** Devices that the IOMMU cannot tell apart, and who may use them for DMA. */
export class iommu_group extends struct('iommu_group', root, {
  /** Holds the group; everybody's references are counted here. */
  devices_kobj: embed(kobject),
  devices: list<group_device>({ guardedBy: 'mutex' }),
  /** Handles by PASID. A reserved index: a domain is attached without a handle. */
  pasid_array: xarray<iommu_attach_handle>(),
  mutex: embed(mutex),
  id: int(),
  default_domain: ref<iommu_domain>({ guardedBy: 'mutex' }),
  blocking_domain: ref<iommu_domain>({ guardedBy: 'mutex' }),
  /** The one that is attached; null before the first. */
  domain: ref<iommu_domain>({ guardedBy: 'mutex' }),
  /** On the list of groups that bus_iommu_probe still has to set up. */
  entry: list_node<iommu_group>(),
  /** Drivers that use the DMA API, or claims of `owner`. */
  owner_cnt: int({ guardedBy: 'mutex' }),
  /** Who has claimed the group for DMA of his own; null: nobody, the DMA API may use it. */
  owner: ref<Observed>({ guardedBy: 'mutex' }),
}) {}
