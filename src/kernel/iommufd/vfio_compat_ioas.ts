// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/vfio_compat.c (6.12): the IOAS that VFIO's container ioctls act on. */
import { xa_lock, xa_unlock } from '../../sim/collections/xarray.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Gen } from '../../sim/task.ts';
import { EINVAL, ENODEV, EOPNOTSUPP } from '../../uapi/errno.ts';
import {
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  iommu_vfio_ioas,
} from '../../uapi/iommufd.ts';
import { view } from '../../uapi/layout.ts';
import { iommufd_ioas_alloc } from './ioas.ts';
import {
  type iommufd_ctx,
  type iommufd_ioas,
  iommufd_lock_obj,
  iommufd_put_object,
  type iommufd_ucmd,
  iommufd_ucmd_respond,
} from './iommufd_private.h.ts';
import { iommufd_get_ioas, iommufd_object_abort, iommufd_object_finalize } from './main.ts';

const fn = sourceFile('drivers/iommu/iommufd/vfio_compat.c');

/** The compatibility IOAS with a short reference (pair with iommufd_put_object). -ENODEV: there is none. */
export const get_compat_ioas = fn('get_compat_ioas', function* (ictx: iommufd_ctx): Gen<iommufd_ioas | Err> {
  yield* xa_lock(ictx.objects);
  const ioas = ictx.vfio_ioas;
  const there = ioas !== null && (yield* iommufd_lock_obj(ioas));
  yield* xa_unlock(ictx.objects);
  return ioas !== null && there ? ioas : fail(ENODEV, 'there is no compatibility IOAS');
});

/** The id of the compatibility IOAS, which is no reference to it. -ENODEV: there is none. */
export const iommufd_vfio_compat_ioas_get_id = fn(
  'iommufd_vfio_compat_ioas_get_id',
  function* (ictx: iommufd_ctx): Gen<number | Err> {
    const ioas = yield* get_compat_ioas(ictx);
    if (IS_ERR(ioas)) return ioas;
    const { id } = ioas;
    yield* iommufd_put_object(ictx, ioas);
    return id;
  },
);

/** A device without an IOMMU is there: no compatibility IOAS from now on. -EINVAL: there is one already. */
export const iommufd_vfio_compat_set_no_iommu = fn(
  'iommufd_vfio_compat_set_no_iommu',
  function* (ictx: iommufd_ctx): Gen<Rc> {
    let ret: Rc = 0;
    yield* xa_lock(ictx.objects);
    if (ictx.vfio_ioas === null) ictx.no_iommu_mode = 1;
    else ret = fail(EINVAL, 'there is a compatibility IOAS');
    yield* xa_unlock(ictx.objects);
    return ret;
  },
);

/**
 * Makes a compatibility IOAS if there is none: user space owns it as if it had made it. -EINVAL: no-IOMMU
 * mode; -ENOMEM, -EBUSY.
 */
export const iommufd_vfio_compat_ioas_create = fn(
  'iommufd_vfio_compat_ioas_create',
  function* (ictx: iommufd_ctx): Gen<Rc> {
    const ioas = yield* iommufd_ioas_alloc(ictx);
    if (IS_ERR(ioas)) return ioas;
    yield* xa_lock(ictx.objects);
    const ret = yield* compat_ioas_needed(ictx);
    if (ret === 1) {
      ictx.vfio_ioas = ioas;
      yield* xa_unlock(ictx.objects);
      yield* iommufd_object_finalize(ictx, ioas);
      return 0;
    }
    yield* xa_unlock(ictx.objects);
    yield* iommufd_object_abort(ictx, ioas);
    return ret;
  },
);

function* compat_ioas_needed(ictx: iommufd_ctx): Gen<Rc | 1> {
  if (ictx.no_iommu_mode !== 0) return fail(EINVAL, 'a device without an IOMMU is there');
  const { vfio_ioas } = ictx;
  if (vfio_ioas === null || !(yield* iommufd_lock_obj(vfio_ioas))) return 1;
  yield* iommufd_put_object(ictx, vfio_ioas);
  return 0;
}

/**
 * IOMMU_VFIO_IOAS: tells, sets or clears the compatibility IOAS. -EOPNOTSUPP: __reserved, op; -ENODEV: there
 * is none to tell; -ENOENT: no such IOAS to set; -EFAULT: user space is not told.
 */
export const iommufd_vfio_ioas = fn('iommufd_vfio_ioas', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const cmd = view(iommu_vfio_ioas, ucmd.bytes);
  const { ictx } = ucmd;
  if (cmd.__reserved !== 0) return fail(EOPNOTSUPP, '__reserved is not 0');
  switch (cmd.op) {
    case IOMMU_VFIO_IOAS_GET: {
      const ioas = yield* get_compat_ioas(ictx);
      if (IS_ERR(ioas)) return ioas;
      cmd.ioas_id = ioas.id;
      yield* iommufd_put_object(ictx, ioas);
      return yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
    }
    case IOMMU_VFIO_IOAS_SET: {
      const ioas = yield* iommufd_get_ioas(ictx, cmd.ioas_id);
      if (IS_ERR(ioas)) return ioas;
      yield* set_compat_ioas(ictx, ioas);
      yield* iommufd_put_object(ictx, ioas);
      return 0;
    }
    case IOMMU_VFIO_IOAS_CLEAR:
      yield* set_compat_ioas(ictx, null);
      return 0;
    default:
      return fail(EOPNOTSUPP, 'no such op');
  }
});

function* set_compat_ioas(ictx: iommufd_ctx, ioas: iommufd_ioas | null): Gen<void> {
  yield* xa_lock(ictx.objects);
  ictx.vfio_ioas = ioas;
  yield* xa_unlock(ictx.objects);
}
