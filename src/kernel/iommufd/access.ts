// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/device.c (6.12): drivers that access the memory behind an IOAS with the CPU. */
import { PAGE_SIZE } from '../../hw/memory.ts';
import { xa_for_each, xa_lock, xa_unlock } from '../../sim/collections/xarray.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { lockdep_assert_held, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { refcount_dec, refcount_inc } from '../../sim/sync/refcount.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { oops, WARN_ON } from '../../sim/warn.ts';
import { EBUSY, EINVAL, ENOENT, EOVERFLOW, EPERM } from '../../uapi/errno.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../iommu/iommu.h.ts';
import type { page_run } from '../mm/page.ts';
import {
  type iopt_area,
  iopt_area_iova_to_index,
  iopt_area_last_iova,
  iopt_area_start_byte,
  ULONG_MAX,
} from './io_pagetable.h.ts';
import { iopt_area_contig_done, iopt_area_contig_iter, iopt_for_each_contig_area } from './io_pagetable.ts';
import { iopt_add_access, iopt_remove_access } from './io_pagetable_domains.ts';
import {
  IOMMUFD_ACCESS_RW_WRITE,
  type io_pagetable,
  iommufd_access,
  type iommufd_access_ops,
  type iommufd_ctx,
  type iommufd_ioas,
  iommufd_lock_obj,
  iommufd_object_type,
  iommufd_put_object,
} from './iommufd_private.h.ts';
import {
  _iommufd_object_alloc,
  iommufd_ctx_get,
  iommufd_ctx_put,
  iommufd_get_ioas,
  iommufd_object_finalize,
} from './main.ts';
import { iommufd_object_destroy_user } from './object.ts';
import { iopt_area_add_access, iopt_area_remove_access } from './pages_access.ts';
import { iopt_pages_rw_access } from './pages_rw.ts';

const fn = sourceFile('drivers/iommu/iommufd/device.c');

const PAGE = BigInt(PAGE_SIZE);

/** What an access has from its creation on. Throws (a bug of ours) before. */
function context_of({ ictx, name }: iommufd_access): iommufd_ctx {
  if (ictx === null) throw new Error(`${name} has no context`);
  return ictx;
}

/** Tells the driver that a range goes away. As Linux, it minds not whether the driver can be told. */
function* call_unmap({ ops, data, name }: iommufd_access, iova: bigint, length: bigint): Gen<void> {
  if (!ops?.unmap || data === null) oops(`${name} cannot be told of an unmap`);
  yield* ops.unmap(data, iova, length);
}

/** Lets go of the IOAS that the access has, and takes `new_ioas`; null: none. -EBUSY: another thread does just that. */
const iommufd_access_change_ioas = fn(
  'iommufd_access_change_ioas',
  function* (access: iommufd_access, new_ioas: iommufd_ioas | null): Gen<Rc> {
    const { iopt_access_list_id, ioas: cur_ioas } = access;
    lockdep_assert_held(access.ioas_lock);
    if (cur_ioas !== access.ioas_unpin) return fail(EBUSY, 'another thread detaches the access');
    if (cur_ioas === new_ioas) return 0;

    // From now on nothing can be pinned; unpinning goes on by ioas_unpin.
    access.ioas = null;
    if (new_ioas !== null) {
      const rc = yield* iopt_add_access(new_ioas.iopt, access);
      if (rc !== 0) {
        access.ioas = cur_ioas;
        return rc;
      }
      yield* refcount_inc(new_ioas.users);
    }
    if (cur_ioas !== null) {
      if (access.ops?.unmap) {
        yield* mutex_unlock(access.ioas_lock);
        yield* call_unmap(access, 0n, ULONG_MAX);
        yield* mutex_lock(access.ioas_lock);
      }
      yield* iopt_remove_access(cur_ioas.iopt, access, iopt_access_list_id);
      yield* refcount_dec(cur_ioas.users);
    }
    access.ioas = new_ioas;
    access.ioas_unpin = new_ioas;
    return 0;
  },
);

function* iommufd_access_change_ioas_id(access: iommufd_access, id: number): Gen<Rc> {
  const ictx = context_of(access);
  const ioas = yield* iommufd_get_ioas(ictx, id);
  if (IS_ERR(ioas)) return ioas;
  const rc = yield* iommufd_access_change_ioas(access, ioas);
  yield* iommufd_put_object(ictx, ioas);
  return rc;
}

/** Detaches it if it is attached. */
export const iommufd_access_destroy_object = fn(
  'iommufd_access_destroy_object',
  function* (access: iommufd_access): Gen<void> {
    yield* mutex_lock(access.ioas_lock);
    if (access.ioas !== null) {
      const rc = yield* iommufd_access_change_ioas(access, null);
      WARN_ON(rc !== 0, 'an access that is destroyed cannot be detached');
    }
    yield* mutex_unlock(access.ioas_lock);
    yield* iommufd_ctx_put(context_of(access));
  },
);

/**
 * A driver's access, attached to nothing; it keeps the file open until iommufd_access_destroy. `data` goes back
 * to `ops`. -ENOMEM, -EBUSY.
 */
export const iommufd_access_create = fn(
  'iommufd_access_create',
  function* (ictx: iommufd_ctx, ops: iommufd_access_ops, data: Observed): Gen<iommufd_access | Err> {
    const access = yield* _iommufd_object_alloc(
      ictx,
      iommufd_access,
      'access',
      iommufd_object_type.IOMMUFD_OBJ_ACCESS,
    );
    if (IS_ERR(access)) return access;
    access.data = data;
    access.ops = ops;
    access.iova_alignment = ops.needs_pin_pages ? PAGE : 1n;
    yield* refcount_inc(access.users);
    access.ictx = ictx;
    yield* iommufd_ctx_get(ictx);
    yield* iommufd_object_finalize(ictx, access);
    return access;
  },
);

/** Undoes iommufd_access_create; the driver must not use the access any more, nor be in a call of it. */
export const iommufd_access_destroy = fn(
  'iommufd_access_destroy',
  function* (access: iommufd_access): Gen<void> {
    yield* iommufd_object_destroy_user(context_of(access), access);
  },
);

/** Undoes iommufd_access_attach. */
export const iommufd_access_detach = fn(
  'iommufd_access_detach',
  function* (access: iommufd_access): Gen<void> {
    yield* mutex_lock(access.ioas_lock);
    if (!WARN_ON(access.ioas === null, 'an access that is not attached is detached')) {
      const rc = yield* iommufd_access_change_ioas(access, null);
      WARN_ON(rc !== 0, 'an access cannot be detached');
    }
    yield* mutex_unlock(access.ioas_lock);
  },
);

/** Attaches the access to an IOAS. -EINVAL: it is attached; -ENOENT: no such IOAS; as iopt_add_access. */
export const iommufd_access_attach = fn(
  'iommufd_access_attach',
  function* (access: iommufd_access, ioas_id: number): Gen<Rc> {
    yield* mutex_lock(access.ioas_lock);
    const rc = WARN_ON(access.ioas !== null, 'an access that is attached is attached')
      ? fail(EINVAL, 'the access is attached')
      : yield* iommufd_access_change_ioas_id(access, ioas_id);
    yield* mutex_unlock(access.ioas_lock);
    return rc;
  },
);

/** Moves the access to another IOAS. -ENOENT: no such IOAS, or it is attached to none; as iopt_add_access; -EBUSY. */
export const iommufd_access_replace = fn(
  'iommufd_access_replace',
  function* (access: iommufd_access, ioas_id: number): Gen<Rc> {
    yield* mutex_lock(access.ioas_lock);
    const rc =
      access.ioas === null
        ? fail(ENOENT, 'the access is attached to no IOAS')
        : yield* iommufd_access_change_ioas_id(access, ioas_id);
    yield* mutex_unlock(access.ioas_lock);
    return rc;
  },
);

/** Has every access of the table unpin what it holds of a range. */
export const iommufd_access_notify_unmap = fn(
  'iommufd_access_notify_unmap',
  function* (iopt: io_pagetable, iova: bigint, length: bigint): Gen<void> {
    yield* xa_lock(iopt.access_list);
    for (const [, access] of xa_for_each(iopt.access_list)) {
      if (!(yield* iommufd_lock_obj(access))) continue;
      yield* xa_unlock(iopt.access_list);
      yield* call_unmap(access, iova, length);
      yield* iommufd_put_object(context_of(access), access);
      yield* xa_lock(iopt.access_list);
    }
    yield* xa_unlock(iopt.access_list);
  },
);

const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** Takes the pins of [iova, last_iova] back, as far as areas reach without a gap. */
function* unpin(iter: iopt_area_contig_iter, iopt: io_pagetable, iova: bigint, last_iova: bigint): Gen<void> {
  for (const area of iopt_for_each_contig_area(iter, iopt, iova, last_iova)) {
    const last = smaller(last_iova, iopt_area_last_iova(area));
    yield* iopt_area_remove_access(
      area,
      iopt_area_iova_to_index(area, iter.cur_iova),
      iopt_area_iova_to_index(area, last),
    );
  }
}

/** Undoes iommufd_access_pin_pages of exactly that range. */
export const iommufd_access_unpin_pages = fn(
  'iommufd_access_unpin_pages',
  function* (access: iommufd_access, iova: bigint, length: bigint): Gen<void> {
    const last_iova = iova + length - 1n;
    if (WARN_ON(length === 0n, 'no bytes are unpinned')) return;
    if (WARN_ON(last_iova > ULONG_MAX, 'bytes beyond the IOVA space are unpinned')) return;
    yield* mutex_lock(access.ioas_lock);
    const ioas = access.ioas_unpin;
    if (ioas === null) {
      WARN_ON(true, 'an access that is attached to no IOAS unpins');
    } else {
      const iter = new iopt_area_contig_iter();
      yield* down_read(ioas.iopt.iova_rwsem);
      yield* unpin(iter, ioas.iopt, iova, last_iova);
      WARN_ON(!iopt_area_contig_done(iter), 'what is unpinned is not mapped');
      yield* up_read(ioas.iopt.iova_rwsem);
    }
    yield* mutex_unlock(access.ioas_lock);
  },
);

/** Whether the part of the area that the walk needs begins and ends, where it has to, with a page. */
function iopt_area_contig_is_aligned(iter: iopt_area_contig_iter, area: iopt_area): boolean {
  if (iopt_area_start_byte(area, iter.cur_iova) % PAGE !== 0n) return false;
  return (
    iopt_area_contig_done(iter) || iopt_area_start_byte(area, iopt_area_last_iova(area)) % PAGE === PAGE - 1n
  );
}

function check_area_prot(area: iopt_area, flags: number): boolean {
  const needed = (flags & IOMMUFD_ACCESS_RW_WRITE) !== 0 ? IOMMU_WRITE : IOMMU_READ;
  return (area.iommu_prot & needed) !== 0;
}

/** Checks `length` bytes from `iova` on and runs `body` with the IOAS held. */
function* with_ioas(
  access: iommufd_access,
  iova: bigint,
  length: bigint,
  body: (iopt: io_pagetable, last_iova: bigint) => Co<Rc>,
): Gen<Rc> {
  if (length === 0n) return fail(EINVAL, 'no bytes');
  const last_iova = iova + length - 1n;
  if (last_iova > ULONG_MAX) return fail(EOVERFLOW, 'bytes beyond the IOVA space');
  yield* mutex_lock(access.ioas_lock);
  let rc: Rc;
  if (access.ioas === null) {
    rc = fail(ENOENT, 'the access is attached to no IOAS');
  } else {
    const { iopt } = access.ioas;
    yield* down_read(iopt.iova_rwsem);
    rc = yield* body(iopt, last_iova);
    yield* up_read(iopt.iova_rwsem);
  }
  yield* mutex_unlock(access.ioas_lock);
  return rc;
}

/**
 * Pins the pages behind [iova, iova + length) and appends them to `out_pages`. `flags`: IOMMUFD_ACCESS_RW_*.
 * -EINVAL: no bytes, an access that does not pin, pages that are being unmapped or not aligned to IOVA;
 * -EOVERFLOW; -ENOENT: not attached, or not mapped; -EPERM: mapped without that permission; -ENOMEM; errors of
 * pinning.
 */
export const iommufd_access_pin_pages = fn(
  'iommufd_access_pin_pages',
  function* (
    access: iommufd_access,
    iova: bigint,
    length: bigint,
    out_pages: page_run[],
    flags: number,
  ): Gen<Rc> {
    if (WARN_ON(access.iova_alignment !== PAGE || !access.ops?.unmap, 'an access that cannot pin pins')) {
      return fail(EINVAL, 'the access cannot pin');
    }
    return yield* with_ioas(access, iova, length, (iopt, last_iova) =>
      pin(iopt, iova, last_iova, out_pages, flags),
    );
  },
);

function* pin(
  iopt: io_pagetable,
  iova: bigint,
  last_iova: bigint,
  out_pages: page_run[],
  flags: number,
): Gen<Rc> {
  const iter = new iopt_area_contig_iter();
  let rc: Rc = 0;
  for (const area of iopt_for_each_contig_area(iter, iopt, iova, last_iova)) {
    rc = yield* pin_area(iter, area, last_iova, out_pages, flags);
    if (rc !== 0) break;
  }
  if (rc === 0 && !iopt_area_contig_done(iter)) rc = fail(ENOENT, 'not everything is mapped');
  if (rc !== 0 && iova < iter.cur_iova) yield* unpin(iter, iopt, iova, iter.cur_iova - 1n);
  return rc;
}

function* pin_area(
  iter: iopt_area_contig_iter,
  area: iopt_area,
  last_iova: bigint,
  out_pages: page_run[],
  flags: number,
): Gen<Rc> {
  const last_index = iopt_area_iova_to_index(area, smaller(last_iova, iopt_area_last_iova(area)));
  const index = iopt_area_iova_to_index(area, iter.cur_iova);
  if (area.prevent_access) return fail(EINVAL, 'the area is being unmapped');
  if (!iopt_area_contig_is_aligned(iter, area))
    return fail(EINVAL, 'IOVA and pages are not aligned to each other');
  if (!check_area_prot(area, flags)) return fail(EPERM, 'mapped without that permission');
  return yield* iopt_area_add_access(area, index, last_index, out_pages, flags);
}

/**
 * Copies between `data` and the bytes from `iova` on. `flags`: IOMMUFD_ACCESS_RW_*. -EINVAL: no bytes, or they
 * are being unmapped; -EOVERFLOW; -ENOENT: not attached, or not mapped; -EPERM: mapped without that permission;
 * errors of pinning. An error may come after some bytes were copied.
 */
export const iommufd_access_rw = fn(
  'iommufd_access_rw',
  function* (access: iommufd_access, iova: bigint, data: Uint8Array, flags: number): Gen<Rc> {
    return yield* with_ioas(access, iova, BigInt(data.length), (iopt, last_iova) =>
      copy(iopt, iova, last_iova, data, flags),
    );
  },
);

function* copy(
  iopt: io_pagetable,
  iova: bigint,
  last_iova: bigint,
  data: Uint8Array,
  flags: number,
): Gen<Rc> {
  const iter = new iopt_area_contig_iter();
  for (const area of iopt_for_each_contig_area(iter, iopt, iova, last_iova)) {
    if (area.prevent_access || area.pages === null) return fail(EINVAL, 'the area is being unmapped');
    if (!check_area_prot(area, flags)) return fail(EPERM, 'mapped without that permission');
    const last = smaller(last_iova, iopt_area_last_iova(area));
    const part = data.subarray(Number(iter.cur_iova - iova), Number(last - iova) + 1);
    const rc = yield* iopt_pages_rw_access(
      area.pages,
      iopt_area_start_byte(area, iter.cur_iova),
      part,
      flags,
    );
    if (rc !== 0) return rc;
  }
  return iopt_area_contig_done(iter) ? 0 : fail(ENOENT, 'not everything is mapped');
}
