// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/iommufd_private.h (6.12): what iommufd's files share. */
import { interval_tree } from '../../sim/collections/interval-tree.ts';
import { list, list_add, list_del, list_first_entry_or_null, list_node } from '../../sim/collections/list.ts';
import { XA_FLAGS_ALLOC, XA_FLAGS_ALLOC1, xarray } from '../../sim/collections/xarray.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { bool, embed, enumeration, int, ref, u32, u64 } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { root, struct } from '../../sim/struct.ts';
import { mutex } from '../../sim/sync/mutex.ts';
import {
  refcount_dec,
  refcount_dec_and_test,
  refcount_inc_not_zero,
  refcount_t,
} from '../../sim/sync/refcount.ts';
import { rw_semaphore } from '../../sim/sync/rwsem.ts';
import { spin_lock, spin_unlock, spinlock } from '../../sim/sync/spinlock.ts';
import { wait_queue_head, wake_up_all } from '../../sim/sync/wait.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EFAULT } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import type { file } from '../fs/file.ts';
import type { iopf_group } from '../iommu/io-pgfault.h.ts';
import { iommu_attach_handle, type iommu_domain, type iommu_group } from '../iommu/iommu.h.ts';
import { copy_to_user } from '../mm/uaccess.ts';
import {
  type iopt_allowed,
  type iopt_area,
  iopt_pages_account_mode,
  type iopt_reserved,
} from './io_pagetable.h.ts';

const fn = sourceFile('drivers/iommu/iommufd/iommufd_private.h');

export const iommufd_object_type = {
  IOMMUFD_OBJ_NONE: 0,
  IOMMUFD_OBJ_DEVICE: 1,
  IOMMUFD_OBJ_HWPT_PAGING: 2,
  IOMMUFD_OBJ_HWPT_NESTED: 3,
  IOMMUFD_OBJ_IOAS: 4,
  IOMMUFD_OBJ_ACCESS: 5,
  IOMMUFD_OBJ_FAULT: 6,
  IOMMUFD_OBJ_SELFTEST: 7,
} as const;
export type iommufd_object_type = (typeof iommufd_object_type)[keyof typeof iommufd_object_type];
/** For iommufd_get_object: any type will do. */
export const IOMMUFD_OBJ_ANY = iommufd_object_type.IOMMUFD_OBJ_NONE;

/** Base of every object that user space has an id for. */
export class iommufd_object extends struct('iommufd_object', root, {
  /** Calls that use the object just now; starts at 1, the xarray's own. */
  shortterm_users: embed(refcount_t),
  /** References that keep it from being destroyed; starts at 1, the xarray's own. */
  users: embed(refcount_t),
  type: enumeration(iommufd_object_type),
  id: u32(),
}) {}

/** The map from IOVA to pages, copied into every domain that is attached. */
export class io_pagetable extends struct('io_pagetable', root, {
  domains_rwsem: embed(rw_semaphore),
  domains: xarray<iommu_domain>(),
  access_list: xarray<iommufd_access>(XA_FLAGS_ALLOC),
  next_domain_id: u32(),
  iova_rwsem: embed(rw_semaphore),
  area_itree: interval_tree<iopt_area>(),
  /** IOVA that cannot become reserved. */
  allowed_itree: interval_tree<iopt_allowed>(),
  /** IOVA that cannot be allocated. */
  reserved_itree: interval_tree<iopt_reserved>(),
  disable_large_pages: bool(),
  iova_alignment: u64(),
}) {}

export class iommufd_ioas extends struct('iommufd_ioas', iommufd_object, {
  iopt: embed(io_pagetable),
  mutex: embed(mutex),
  hwpt_list: list<iommufd_hwpt_paging>({ guardedBy: 'mutex' }),
}) {}

/** What an open /dev/iommu stands for. */
export class iommufd_ctx extends struct('iommufd_ctx', root, {
  file: ref<file>(),
  objects: xarray<iommufd_object>(XA_FLAGS_ALLOC1),
  groups: xarray<iommufd_group>(),
  destroy_wait: embed(wait_queue_head),
  account_mode: enumeration(iopt_pages_account_mode),
  /** The IOAS that the VFIO compatibility ioctls act on. */
  vfio_ioas: ref<iommufd_ioas>(),
  no_iommu_mode: int(),
}) {}

/** A domain (hardware page table) that user space has an id for. */
export class iommufd_hw_pagetable extends struct('iommufd_hw_pagetable', iommufd_object, {
  domain: ref<iommu_domain>(),
  fault: ref<iommufd_fault>(),
}) {}

export class iommufd_hwpt_paging extends struct('iommufd_hwpt_paging', iommufd_hw_pagetable, {
  ioas: ref<iommufd_ioas>(),
  /** Made by an attach to the IOAS, destroyed with its last device. */
  auto_domain: bool(),
  enforce_cache_coherency: bool(),
  msi_cookie: bool(),
  nest_parent: bool(),
  /** On iommufd_ioas.hwpt_list. */
  hwpt_item: list_node<iommufd_hwpt_paging>(),
}) {}

export class iommufd_hwpt_nested extends struct('iommufd_hwpt_nested', iommufd_hw_pagetable, {
  parent: ref<iommufd_hwpt_paging>(),
}) {}

/** The devices of one IOMMU group that are bound to this context: they share a page table. */
export class iommufd_group extends struct('iommufd_group', root, {
  ref: embed(refcount_t),
  lock: embed(mutex),
  ictx: ref<iommufd_ctx>(),
  group: ref<iommu_group>(),
  hwpt: ref<iommufd_hw_pagetable>({ guardedBy: 'lock' }),
  /** Devices that are attached. */
  device_list: list<iommufd_device>({ guardedBy: 'lock' }),
  sw_msi_start: u64(),
}) {}

/** That a driver has bound a device to the context. Made and destroyed by drivers, not by user space. */
export class iommufd_device extends struct('iommufd_device', iommufd_object, {
  ictx: ref<iommufd_ctx>(),
  igroup: ref<iommufd_group>(),
  /** On iommufd_group.device_list while attached. */
  group_item: list_node<iommufd_device>(),
  dev: ref<device>(),
  enforce_cache_coherency: bool(),
  iopf_lock: embed(mutex),
  iopf_enabled: int({ guardedBy: 'iopf_lock' }),
}) {}

/** That a device, and with it its group, is attached to a page table. */
export class iommufd_attach_handle extends struct('iommufd_attach_handle', iommu_attach_handle, {
  idev: ref<iommufd_device>(),
}) {}

/** The page table that maps IOVA, if there is one: of a nested one its parent. */
export function find_hwpt_paging(hwpt: iommufd_hw_pagetable): iommufd_hwpt_paging | null {
  if (hwpt instanceof iommufd_hwpt_nested) return hwpt.parent;
  return hwpt instanceof iommufd_hwpt_paging ? hwpt : null;
}

function there<T>(it: T | null, of: { readonly name: string }, what: string): T {
  if (it === null) throw new Error(`${of.name} has no ${what}`);
  return it;
}

/** What a device has from iommufd_device_bind on. Throws (a bug of ours) before. So do those below. */
export const bound = (idev: iommufd_device) => ({
  ictx: there(idev.ictx, idev, 'ictx'),
  igroup: there(idev.igroup, idev, 'igroup'),
  dev: there(idev.dev, idev, 'dev'),
});
export const group_of = (igroup: iommufd_group): iommu_group => there(igroup.group, igroup, 'group');
export const domain_of = (hwpt: iommufd_hw_pagetable): iommu_domain => there(hwpt.domain, hwpt, 'domain');
export const ioas_of = (hwpt: iommufd_hwpt_paging): iommufd_ioas => there(hwpt.ioas, hwpt, 'ioas');

/** Flags of an access (include/linux/iommufd.h): to write; on behalf of a kernel thread; not the quick way. */
export const IOMMUFD_ACCESS_RW_WRITE = 1 << 0;
export const IOMMUFD_ACCESS_RW_KTHREAD = 1 << 1;
export const __IOMMUFD_ACCESS_RW_SLOW_PATH = 1 << 2;

/** What a driver that accesses an IOAS from the CPU provides (include/linux/iommufd.h). */
export interface iommufd_access_ops {
  readonly needs_pin_pages: boolean;
  /** The range goes away: unpin what you hold of it. */
  unmap?(data: Observed, iova: bigint, length: bigint): Co<void>;
}

/** A driver's access to the memory behind an IOAS without a device. */
export class iommufd_access extends struct('iommufd_access', iommufd_object, {
  ictx: ref<iommufd_ctx>(),
  ioas: ref<iommufd_ioas>({ guardedBy: 'ioas_lock' }),
  ioas_unpin: ref<iommufd_ioas>({ guardedBy: 'ioas_lock' }),
  ioas_lock: embed(mutex),
  data: ref<Observed>(),
  iova_alignment: u64(),
  iopt_access_list_id: u32(),
}) {
  ops: iommufd_access_ops | null = null;
}

/** A queue of page requests for user space to answer. */
export class iommufd_fault extends struct('iommufd_fault', iommufd_object, {
  ictx: ref<iommufd_ctx>(),
  filep: ref<file>(),
  /** For `deliver`, but for iommufd_fault_destroy, when nobody else is left. A leaf: reporters take it. */
  lock: embed(spinlock),
  /** Groups that user space has still to read, oldest first. */
  deliver: list<iopf_group>(),
  /** One at a time reads, writes, or answers in place of user space. */
  mutex: embed(mutex),
  /** Groups that user space has read and has to answer, by cookie. */
  response: xarray<iopf_group>(XA_FLAGS_ALLOC1),
  wait_queue: embed(wait_queue_head),
}) {}

/** Takes the oldest group off the deliver list; null: there is none. */
export function* iommufd_fault_deliver_fetch(fault: iommufd_fault): Gen<iopf_group | null> {
  yield* spin_lock(fault.lock);
  const group = list_first_entry_or_null(fault.deliver);
  if (group !== null) list_del(group.node);
  yield* spin_unlock(fault.lock);
  return group;
}

/** Undoes iommufd_fault_deliver_fetch. */
export function* iommufd_fault_deliver_restore(fault: iommufd_fault, group: iopf_group): Gen<void> {
  yield* spin_lock(fault.lock);
  list_add(group.node, fault.deliver);
  yield* spin_unlock(fault.lock);
}

/** One ioctl while it is served. `cmd`: the kernel's copy of the struct, as a view of `bytes`. */
export interface iommufd_ucmd {
  readonly ictx: iommufd_ctx;
  /** The struct's address in user space. */
  readonly ubuffer: bigint;
  /** The size that user space said it has. */
  readonly user_size: number;
  readonly bytes: Uint8Array;
}

/** Copies the struct back, as far as user space knows it. -EFAULT when its memory cannot be written. */
export const iommufd_ucmd_respond = fn(
  'iommufd_ucmd_respond',
  function* (ucmd: iommufd_ucmd, cmd_len: number): Gen<Rc> {
    const length = Math.min(ucmd.user_size, cmd_len);
    if ((yield* copy_to_user(ucmd.ubuffer, ucmd.bytes.subarray(0, length))) !== 0) {
      return fail(EFAULT, 'the argument cannot be written back');
    }
    return 0;
  },
);

/** Takes a short reference. False when the object is on its way out. Pair with iommufd_put_object. */
export const iommufd_lock_obj = fn('iommufd_lock_obj', function* (obj: iommufd_object): Gen<boolean> {
  if (!(yield* refcount_inc_not_zero(obj.users))) return false;
  if (yield* refcount_inc_not_zero(obj.shortterm_users)) return true;
  yield* refcount_dec(obj.users);
  return false;
});

/** Drops a short reference: users before shortterm_users, so that a destroyer never sees 0 of the latter first. */
export const iommufd_put_object = fn(
  'iommufd_put_object',
  function* (ictx: iommufd_ctx, obj: iommufd_object): Gen<void> {
    yield* refcount_dec(obj.users);
    if (yield* refcount_dec_and_test(obj.shortterm_users)) yield* wake_up_all(ictx.destroy_wait);
  },
);
