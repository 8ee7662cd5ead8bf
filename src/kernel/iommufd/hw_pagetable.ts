// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/hw_pagetable.c (6.12): domains that user space has an id for. */
import { PAGE_SIZE } from '../../hw/memory.ts';
import {
  INIT_LIST_HEAD,
  list_add_tail,
  list_del,
  list_del_init,
  list_empty,
} from '../../sim/collections/list.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { lockdep_assert_held, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { refcount_dec, refcount_inc } from '../../sim/sync/refcount.ts';
import type { Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EINVAL, EOPNOTSUPP } from '../../uapi/errno.ts';
import * as uapi from '../../uapi/iommufd.ts';
import { view } from '../../uapi/layout.ts';
import {
  type iommu_domain,
  iommu_domain_type,
  type iommu_user_data,
  type iommu_user_data_array,
} from '../iommu/iommu.h.ts';
import {
  dev_iommu_ops,
  device_iommu_capable,
  iommu_domain_free,
  iommu_paging_domain_alloc,
} from '../iommu/iommu.ts';
import { iommufd_hw_pagetable_attach, iommufd_hw_pagetable_detach } from './device_attach.ts';
import { iommufd_iopf_handler } from './fault.ts';
import { iopt_read_and_clear_dirty_data, iopt_set_dirty_tracking } from './io_pagetable_dirty.ts';
import { iopt_table_add_domain, iopt_table_remove_domain } from './io_pagetable_domains.ts';
import {
  bound,
  domain_of,
  IOMMUFD_OBJ_ANY,
  ioas_of,
  type iommufd_ctx,
  type iommufd_device,
  type iommufd_hw_pagetable,
  iommufd_hwpt_nested,
  iommufd_hwpt_paging,
  iommufd_ioas,
  type iommufd_object,
  iommufd_object_type,
  iommufd_put_object,
  type iommufd_ucmd,
  iommufd_ucmd_respond,
} from './iommufd_private.h.ts';
import {
  _iommufd_object_alloc,
  iommufd_get_object,
  iommufd_object_abort_and_destroy,
  iommufd_object_finalize,
} from './main.ts';
import {
  iommufd_get_device,
  iommufd_get_fault,
  iommufd_get_hwpt_nested,
  iommufd_get_hwpt_paging,
} from './object.ts';

const fn = sourceFile('drivers/iommu/iommufd/hw_pagetable.c');

function* __iommufd_hwpt_destroy(hwpt: iommufd_hw_pagetable): Gen<void> {
  if (hwpt.domain !== null) yield* iommu_domain_free(hwpt.domain);
  if (hwpt.fault !== null) yield* refcount_dec(hwpt.fault.users);
}

/** Takes the domain out of its IOAS and ends it. */
export const iommufd_hwpt_paging_destroy = fn(
  'iommufd_hwpt_paging_destroy',
  function* (hwpt: iommufd_hwpt_paging): Gen<void> {
    const ioas = ioas_of(hwpt);
    if (!list_empty(hwpt.hwpt_item)) {
      yield* mutex_lock(ioas.mutex);
      list_del(hwpt.hwpt_item);
      yield* mutex_unlock(ioas.mutex);
      yield* iopt_table_remove_domain(ioas.iopt, domain_of(hwpt));
    }
    yield* __iommufd_hwpt_destroy(hwpt);
    yield* refcount_dec(ioas.users);
  },
);

/** As iommufd_hwpt_paging_destroy, for a page table that is not shown yet; under ioas.mutex. */
export const iommufd_hwpt_paging_abort = fn(
  'iommufd_hwpt_paging_abort',
  function* (hwpt: iommufd_hwpt_paging): Gen<void> {
    const ioas = ioas_of(hwpt);
    lockdep_assert_held(ioas.mutex);
    if (!list_empty(hwpt.hwpt_item)) {
      list_del_init(hwpt.hwpt_item);
      yield* iopt_table_remove_domain(ioas.iopt, domain_of(hwpt));
    }
    yield* iommufd_hwpt_paging_destroy(hwpt);
  },
);

/** Ends the domain. */
export const iommufd_hwpt_nested_destroy = fn(
  'iommufd_hwpt_nested_destroy',
  function* (hwpt: iommufd_hwpt_nested): Gen<void> {
    yield* __iommufd_hwpt_destroy(hwpt);
    if (hwpt.parent !== null) yield* refcount_dec(hwpt.parent.users);
  },
);

export const iommufd_hwpt_nested_abort = fn(
  'iommufd_hwpt_nested_abort',
  function* (hwpt: iommufd_hwpt_nested): Gen<void> {
    yield* iommufd_hwpt_nested_destroy(hwpt);
  },
);

/** Has no DMA bypass the CPU's caches in this domain. */
function* iommufd_hwpt_paging_enforce_cc(hwpt: iommufd_hwpt_paging): Gen<Rc> {
  if (hwpt.enforce_cache_coherency) return 0;
  const domain = domain_of(hwpt);
  if (domain.ops?.enforce_cache_coherency) {
    hwpt.enforce_cache_coherency = yield* domain.ops.enforce_cache_coherency(domain);
  }
  return hwpt.enforce_cache_coherency ? 0 : fail(EINVAL, 'the domain cannot enforce cache coherency');
}

const bugD3a = bug('D3a', {
  at: 'drivers/iommu/iommufd/hw_pagetable.c:iommufd_hwpt_paging_alloc',
  about:
    'A page table for others on top of it takes a fault queue, where page tables of IOASes take one at all',
  source: 'iommufd: Disallow allocating nested parent domain with fault ID (6.14)',
  cure: '-EOPNOTSUPP',
});

/** Why a device's driver cannot make a page table with these flags. */
function refused(idev: iommufd_device, flags: number, user_data: iommu_user_data | null): Rc {
  const { dev } = bound(idev);
  const queue = bugD3a() ? uapi.IOMMU_HWPT_FAULT_ID_VALID : 0;
  const valid_flags = uapi.IOMMU_HWPT_ALLOC_NEST_PARENT | uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING | queue;
  if ((flags !== 0 || user_data !== null) && !dev_iommu_ops(dev).domain_alloc_user) {
    return fail(EOPNOTSUPP, 'the driver makes plain domains only');
  }
  if ((flags & ~valid_flags) !== 0) return fail(EOPNOTSUPP, 'unknown flags');
  const tracks = (flags & uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
  if (tracks && !device_iommu_capable(dev, 'IOMMU_CAP_DIRTY_TRACKING')) {
    return fail(EOPNOTSUPP, 'the IOMMU cannot track what the device makes dirty');
  }
  return 0;
}

/**
 * A new page table, filled with what the IOAS has mapped; `immediate_attach`: with the device attached to it.
 * Not shown yet: the caller, who holds ioas.mutex, finalizes or aborts it. -EOPNOTSUPP: flags or data that the
 * driver does not know; -ENOMEM, -EBUSY; as iommufd_hw_pagetable_attach and iopt_table_add_domain; what the
 * driver says.
 */
export const iommufd_hwpt_paging_alloc = fn(
  'iommufd_hwpt_paging_alloc',
  function* (
    ictx: iommufd_ctx,
    ioas: iommufd_ioas,
    idev: iommufd_device,
    flags: number,
    immediate_attach: boolean,
    user_data: iommu_user_data | null,
  ): Gen<iommufd_hwpt_paging | Err> {
    lockdep_assert_held(ioas.mutex);
    let rc = refused(idev, flags, user_data);
    if (rc !== 0) return rc;
    const type = iommufd_object_type.IOMMUFD_OBJ_HWPT_PAGING;
    const hwpt = yield* _iommufd_object_alloc(ictx, iommufd_hwpt_paging, 'hwpt', type);
    if (IS_ERR(hwpt)) return hwpt;
    INIT_LIST_HEAD(hwpt.hwpt_item);
    yield* refcount_inc(ioas.users);
    hwpt.ioas = ioas;
    hwpt.nest_parent = (flags & uapi.IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0;
    rc = yield* fill(hwpt, ioas, idev, flags, immediate_attach, user_data);
    if (rc === 0) return hwpt;
    yield* iommufd_object_abort_and_destroy(ictx, hwpt);
    return rc;
  },
);

function* alloc_domain(
  hwpt: iommufd_hwpt_paging,
  idev: iommufd_device,
  flags: number,
  user_data: iommu_user_data | null,
): Gen<iommu_domain | Err> {
  const { dev } = bound(idev);
  const ops = dev_iommu_ops(dev);
  if (!ops.domain_alloc_user) return yield* iommu_paging_domain_alloc(dev, hwpt, 'domain');
  const inner = flags & ~uapi.IOMMU_HWPT_FAULT_ID_VALID;
  const domain = yield* ops.domain_alloc_user(dev, inner, null, user_data, hwpt, 'domain');
  if (!IS_ERR(domain)) domain.owner = ops;
  return domain;
}

function* fill(
  hwpt: iommufd_hwpt_paging,
  ioas: iommufd_ioas,
  idev: iommufd_device,
  flags: number,
  immediate_attach: boolean,
  user_data: iommu_user_data | null,
): Gen<Rc> {
  const domain = yield* alloc_domain(hwpt, idev, flags, user_data);
  if (IS_ERR(domain)) return domain;
  hwpt.domain = domain;

  // Before anything is mapped: some IOMMUs have a bit for it in every entry.
  if (idev.enforce_cache_coherency) {
    const rc = yield* iommufd_hwpt_paging_enforce_cc(hwpt);
    if (WARN_ON(rc !== 0, 'the driver cannot enforce what it says it can')) return rc;
  }
  if (immediate_attach) {
    const rc = yield* iommufd_hw_pagetable_attach(hwpt, idev);
    if (rc !== 0) return rc;
  }
  const rc = yield* iopt_table_add_domain(ioas.iopt, domain);
  if (rc === 0) list_add_tail(hwpt.hwpt_item, ioas.hwpt_list);
  else if (immediate_attach) yield* iommufd_hw_pagetable_detach(idev);
  return rc;
}

function* iommufd_hwpt_nested_alloc(
  ictx: iommufd_ctx,
  parent: iommufd_hwpt_paging,
  idev: iommufd_device,
  flags: number,
  user_data: iommu_user_data,
): Gen<iommufd_hwpt_nested | Err> {
  const { dev } = bound(idev);
  const ops = dev_iommu_ops(dev);
  if ((flags & ~uapi.IOMMU_HWPT_FAULT_ID_VALID) !== 0) return fail(EOPNOTSUPP, 'unknown flags');
  if (user_data.len === 0 || !ops.domain_alloc_user) {
    return fail(EOPNOTSUPP, 'no data for the driver, or it makes plain domains only');
  }
  if (parent.auto_domain || !parent.nest_parent)
    return fail(EINVAL, 'the page table is for no other on top of it');
  if (domain_of(parent).owner !== ops) return fail(EINVAL, 'the page table is of another IOMMU driver');

  const type = iommufd_object_type.IOMMUFD_OBJ_HWPT_NESTED;
  const hwpt = yield* _iommufd_object_alloc(ictx, iommufd_hwpt_nested, 'hwpt', type);
  if (IS_ERR(hwpt)) return hwpt;
  yield* refcount_inc(parent.users);
  hwpt.parent = parent;
  const inner = flags & ~uapi.IOMMU_HWPT_FAULT_ID_VALID;
  const domain = yield* ops.domain_alloc_user(dev, inner, domain_of(parent), user_data, hwpt, 'domain');
  let rc: Rc = 0;
  if (IS_ERR(domain)) {
    rc = domain;
  } else {
    hwpt.domain = domain;
    domain.owner = ops;
    if (WARN_ON(!is_nested(domain), 'the driver made a domain that is not nested')) {
      rc = fail(EINVAL, 'the driver made a domain that is not nested');
    }
  }
  if (rc === 0) return hwpt;
  yield* iommufd_object_abort_and_destroy(ictx, hwpt);
  return rc;
}

const is_nested = (domain: iommu_domain): boolean =>
  domain.type === iommu_domain_type.IOMMU_DOMAIN_NESTED && domain.ops?.cache_invalidate_user !== undefined;

const bugD3b = bug('D3b', {
  at: 'drivers/iommu/iommufd/hw_pagetable.c:iommufd_hwpt_alloc',
  about: 'Any data_type is taken when there is no data',
  source: 'iommufd: Reject non-zero data_type if no data_len is provided (6.7 to 6.7.6)',
  cure: '-EINVAL',
});

/**
 * IOMMU_HWPT_ALLOC. -EOPNOTSUPP: reserved fields, flags, data; -EINVAL: data without a type or a type without
 * data, or pt_id is nothing to make a page table on; -ENOENT: no such device, or fault queue; -EFAULT; else as
 * iommufd_hwpt_paging_alloc.
 */
export const iommufd_hwpt_alloc = fn('iommufd_hwpt_alloc', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const cmd = view(uapi.iommu_hwpt_alloc, ucmd.bytes);
  if (cmd.__reserved !== 0) return fail(EOPNOTSUPP, '__reserved is not 0');
  const typed = cmd.data_type !== uapi.IOMMU_HWPT_DATA_NONE;
  if (typed ? cmd.data_len === 0 && !bugD3b() : cmd.data_len !== 0) {
    return fail(EINVAL, 'data without a type, or a type without data');
  }
  const idev = yield* iommufd_get_device(ucmd, cmd.dev_id);
  if (IS_ERR(idev)) return idev;
  const pt_obj = yield* iommufd_get_object(ucmd.ictx, cmd.pt_id, IOMMUFD_OBJ_ANY);
  let rc: Rc;
  if (IS_ERR(pt_obj)) {
    rc = fail(EINVAL, 'pt_id is no object');
  } else {
    rc = yield* alloc_on(ucmd, idev, pt_obj);
    yield* iommufd_put_object(ucmd.ictx, pt_obj);
  }
  yield* iommufd_put_object(ucmd.ictx, idev);
  return rc;
});

function* alloc_on(ucmd: iommufd_ucmd, idev: iommufd_device, pt_obj: iommufd_object): Gen<Rc> {
  const { ictx } = ucmd;
  const { flags, data_type, data_uptr, data_len } = view(uapi.iommu_hwpt_alloc, ucmd.bytes);
  const user_data: iommu_user_data = { type: data_type, uptr: data_uptr, len: data_len };
  if (pt_obj instanceof iommufd_ioas) {
    yield* mutex_lock(pt_obj.mutex);
    const data = data_len === 0 ? null : user_data;
    const hwpt = yield* iommufd_hwpt_paging_alloc(ictx, pt_obj, idev, flags, false, data);
    const rc = IS_ERR(hwpt) ? hwpt : yield* show(ucmd, hwpt);
    yield* mutex_unlock(pt_obj.mutex);
    return rc;
  }
  if (pt_obj instanceof iommufd_hwpt_paging) {
    const hwpt = yield* iommufd_hwpt_nested_alloc(ictx, pt_obj, idev, flags, user_data);
    return IS_ERR(hwpt) ? hwpt : yield* show(ucmd, hwpt);
  }
  return fail(EINVAL, 'pt_id is nothing to make a page table on');
}

/** Tells user space its id and shows it; on error it is gone. */
function* show(ucmd: iommufd_ucmd, hwpt: iommufd_hw_pagetable): Gen<Rc> {
  const cmd = view(uapi.iommu_hwpt_alloc, ucmd.bytes);
  let rc: Rc = 0;
  if ((cmd.flags & uapi.IOMMU_HWPT_FAULT_ID_VALID) !== 0) {
    const fault = yield* iommufd_get_fault(ucmd, cmd.fault_id);
    if (IS_ERR(fault)) {
      rc = fault;
    } else {
      const domain = domain_of(hwpt);
      hwpt.fault = fault;
      domain.iopf_handler = iommufd_iopf_handler;
      domain.fault_data = hwpt;
      yield* refcount_inc(fault.users);
      yield* iommufd_put_object(ucmd.ictx, fault);
    }
  }
  if (rc === 0) {
    cmd.out_hwpt_id = hwpt.id;
    rc = yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
  }
  if (rc === 0) yield* iommufd_object_finalize(ucmd.ictx, hwpt);
  else yield* iommufd_object_abort_and_destroy(ucmd.ictx, hwpt);
  return rc;
}

/** IOMMU_HWPT_SET_DIRTY_TRACKING. -EOPNOTSUPP: flags; -ENOENT: no such page table; as iopt_set_dirty_tracking. */
export const iommufd_hwpt_set_dirty_tracking = fn(
  'iommufd_hwpt_set_dirty_tracking',
  function* (ucmd: iommufd_ucmd): Gen<Rc> {
    const cmd = view(uapi.iommu_hwpt_set_dirty_tracking, ucmd.bytes);
    // 6.12 does this: it does not mind __reserved.
    if ((cmd.flags & ~uapi.IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0) return fail(EOPNOTSUPP, 'unknown flags');
    const hwpt = yield* iommufd_get_hwpt_paging(ucmd, cmd.hwpt_id);
    if (IS_ERR(hwpt)) return hwpt;
    const enable = (cmd.flags & uapi.IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0;
    const rc = yield* iopt_set_dirty_tracking(ioas_of(hwpt).iopt, domain_of(hwpt), enable);
    yield* iommufd_put_object(ucmd.ictx, hwpt);
    return rc;
  },
);

/**
 * IOMMU_HWPT_GET_DIRTY_BITMAP. -EOPNOTSUPP: flags, __reserved; -ENOENT: no such page table; as
 * iopt_read_and_clear_dirty_data.
 */
export const iommufd_hwpt_get_dirty_bitmap = fn(
  'iommufd_hwpt_get_dirty_bitmap',
  function* (ucmd: iommufd_ucmd): Gen<Rc> {
    const cmd = view(uapi.iommu_hwpt_get_dirty_bitmap, ucmd.bytes);
    if ((cmd.flags & ~uapi.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0 || cmd.__reserved !== 0) {
      return fail(EOPNOTSUPP, 'unknown flags, or __reserved is not 0');
    }
    const hwpt = yield* iommufd_get_hwpt_paging(ucmd, cmd.hwpt_id);
    if (IS_ERR(hwpt)) return hwpt;
    const rc = yield* iopt_read_and_clear_dirty_data(ioas_of(hwpt).iopt, domain_of(hwpt), cmd.flags, cmd);
    yield* iommufd_put_object(ucmd.ictx, hwpt);
    return rc;
  },
);

const bugD3c = bug('D3c', {
  at: 'drivers/iommu/iommufd/hw_pagetable.c:iommufd_hwpt_invalidate',
  about: 'An invalidation takes any number of entries of any length',
  source: 'iommufd: Set upper bounds on cache invalidation entry_num and entry_len (6.7 to 7.1, 6.12.95)',
  cure: '-EINVAL beyond 2^19 entries or a page each, with none done',
});

/** More than any batch of invalidations that makes sense. */
const IOMMU_HWPT_INVALIDATE_ENTRY_NUM_MAX = 1 << 19;

/**
 * IOMMU_HWPT_INVALIDATE. Tells user space how many of its entries were handled, whatever happens: -EFAULT when
 * that cannot be. -EOPNOTSUPP: __reserved; -EINVAL: no entries or ones of no possible length; -ENOENT: no such
 * nested page table; what the driver says.
 */
export const iommufd_hwpt_invalidate = fn('iommufd_hwpt_invalidate', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const cmd = view(uapi.iommu_hwpt_invalidate, ucmd.bytes);
  const data_array: iommu_user_data_array = {
    type: cmd.data_type,
    uptr: cmd.data_uptr,
    entry_len: cmd.entry_len,
    entry_num: cmd.entry_num,
  };
  const rc = yield* invalidate(ucmd, data_array);
  cmd.entry_num = data_array.entry_num;
  const told = yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
  return told === 0 ? rc : told;
});

function* invalidate(ucmd: iommufd_ucmd, data_array: iommu_user_data_array): Gen<Rc> {
  const cmd = view(uapi.iommu_hwpt_invalidate, ucmd.bytes);
  const { uptr, entry_len, entry_num } = data_array;
  data_array.entry_num = 0;
  if (cmd.__reserved !== 0) return fail(EOPNOTSUPP, '__reserved is not 0');
  const too_much = (entry_len > PAGE_SIZE || entry_num > IOMMU_HWPT_INVALIDATE_ENTRY_NUM_MAX) && !bugD3c();
  if (entry_num !== 0 && (uptr === 0n || entry_len === 0 || too_much)) {
    return fail(EINVAL, 'no entries, too many, or of no possible length');
  }
  const hwpt = yield* iommufd_get_hwpt_nested(ucmd, cmd.hwpt_id);
  if (IS_ERR(hwpt)) return hwpt;
  const domain = domain_of(hwpt);
  const cache_invalidate_user = domain.ops?.cache_invalidate_user;
  if (cache_invalidate_user === undefined) throw new Error(`${hwpt.name} cannot be invalidated`);
  data_array.entry_num = entry_num;
  const rc = yield* cache_invalidate_user(domain, data_array);
  yield* iommufd_put_object(ucmd.ictx, hwpt);
  return rc;
}
