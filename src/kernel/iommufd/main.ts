// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/main.c (6.12): the file, its ioctls, and the table of objects behind ids. */
import {
  __xa_erase,
  xa_alloc,
  xa_empty,
  xa_erase,
  xa_for_each,
  xa_limit_31b,
  xa_load,
  xa_lock,
  xa_store,
  xa_unlock,
} from '../../sim/collections/xarray.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { Unsupported } from '../../sim/errors.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import {
  refcount_dec,
  refcount_dec_and_test,
  refcount_dec_if_one,
  refcount_inc,
  refcount_init,
  refcount_read,
  refcount_set,
} from '../../sim/sync/refcount.ts';
import { wait_event_timeout, wake_up_all } from '../../sim/sync/wait.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { printk, WARN_ON } from '../../sim/warn.ts';
import { zeroed } from '../../sim/zeroed.ts';
import {
  EBADF,
  EBADFD,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOIOCTLCMD,
  ENOMEM,
  EOPNOTSUPP,
} from '../../uapi/errno.ts';
import { _IOC_NR } from '../../uapi/ioctl.ts';
import * as uapi from '../../uapi/iommufd.ts';
import { IOMMU_TEST_CMD, iommu_test_cmd } from '../../uapi/iommufd_test.ts';
import { type AnyLayout, view } from '../../uapi/layout.ts';
import { devtmpfs_create_node } from '../fs/devtmpfs.ts';
import { __fput_sync, fget, type file, type file_operations, fput, get_file } from '../fs/file.ts';
import { copy_struct_from_user, copy_to_user, get_user_u32 } from '../mm/uaccess.ts';
import { current_process } from '../sched/task.ts';
import { iommufd_access_destroy_object } from './access.ts';
import { iommufd_device_destroy, iommufd_get_hw_info } from './device.ts';
import { iommufd_fault_alloc, iommufd_fault_destroy } from './fault.ts';
import {
  iommufd_hwpt_alloc,
  iommufd_hwpt_get_dirty_bitmap,
  iommufd_hwpt_invalidate,
  iommufd_hwpt_nested_abort,
  iommufd_hwpt_nested_destroy,
  iommufd_hwpt_paging_abort,
  iommufd_hwpt_paging_destroy,
  iommufd_hwpt_set_dirty_tracking,
} from './hw_pagetable.ts';
import {
  iommufd_ioas_alloc_ioctl,
  iommufd_ioas_allow_iovas,
  iommufd_ioas_destroy,
  iommufd_ioas_iova_ranges,
  iommufd_ioas_option,
  iommufd_option_rlimit_mode,
} from './ioas.ts';
import { iommufd_ioas_copy, iommufd_ioas_map, iommufd_ioas_unmap } from './ioas_map.ts';
import {
  IOMMUFD_OBJ_ANY,
  iommufd_access,
  iommufd_ctx,
  iommufd_device,
  iommufd_fault,
  iommufd_hwpt_nested,
  iommufd_hwpt_paging,
  iommufd_ioas,
  iommufd_lock_obj,
  type iommufd_object,
  iommufd_object_type,
  type iommufd_ucmd,
} from './iommufd_private.h.ts';
import { iommufd_test } from './selftest.ts';
import { iommufd_should_fail } from './selftest_inject.ts';
import { iommufd_selftest_destroy, selftest_obj } from './selftest_object.ts';
import { iommufd_vfio_ioctl } from './vfio_compat.ts';
import { iommufd_vfio_ioas } from './vfio_compat_ioas.ts';

const fn = sourceFile('drivers/iommu/iommufd/main.c');

/** How long a destroyer waits for the calls that use the object, ms. */
const SHORTTERM_TIMEOUT = 60_000;

/**
 * A new object with an id that is reserved but shows nothing yet: until iommufd_object_finalize nobody can
 * find it, and errors undo it with iommufd_object_abort. -ENOMEM; -EBUSY: every id is taken.
 */
export const _iommufd_object_alloc = fn('_iommufd_object_alloc', function* <
  T extends iommufd_object,
>(ictx: iommufd_ctx, type: new (creator: Named, role?: string) => T, role: string, obj_type: iommufd_object_type): Gen<
  T | Err
> {
  const obj = kzalloc(type, ictx, role);
  if (obj === null) return fail(ENOMEM, 'no memory for the object');
  obj.type = obj_type;
  refcount_init(obj.shortterm_users, 1);
  refcount_init(obj.users, 1);
  const id = yield* xa_alloc(ictx.objects, null, xa_limit_31b);
  if (id === null) {
    kfree(obj);
    return fail(EBUSY, 'every object id is taken');
  }
  obj.id = id;
  return obj;
});

/** Shows the object to other threads. From here on only destruction takes it away, and that can be refused. */
export const iommufd_object_finalize = fn(
  'iommufd_object_finalize',
  function* (ictx: iommufd_ctx, obj: iommufd_object): Gen<void> {
    const old = yield* xa_store(ictx.objects, obj.id, obj);
    WARN_ON(old !== null, `id of ${obj.name} was shown before`);
  },
);

/** Undoes _iommufd_object_alloc. */
export const iommufd_object_abort = fn(
  'iommufd_object_abort',
  function* (ictx: iommufd_ctx, obj: iommufd_object): Gen<void> {
    const old = yield* xa_erase(ictx.objects, obj.id);
    WARN_ON(old !== null, `${obj.name} is aborted after it was shown`);
    kfree(obj);
  },
);

const bugA4 = bug('A4', {
  at: 'drivers/iommu/iommufd/main.c:iommufd_object_abort_and_destroy',
  about:
    'The file of a fault queue that is taken back is released only on the way to user space, after the queue is freed',
  source: 'iommufd: Fix race during abort for file descriptors (CVE-2025-39966; 6.11 to 6.16, 6.12.49)',
  cure: 'It is released at once, before the object is destroyed',
});

/** Undoes _iommufd_object_alloc for an object that was set up completely, but not shown. */
export const iommufd_object_abort_and_destroy = fn(
  'iommufd_object_abort_and_destroy',
  function* (ictx: iommufd_ctx, obj: iommufd_object): Gen<void> {
    // Its release drops a reference of the object's, so it may not be put off until the object is gone.
    if (obj instanceof iommufd_fault && obj.filep !== null) {
      yield* bugA4() ? fput(obj.filep) : __fput_sync(obj.filep);
    }
    yield* abort_object(obj);
    yield* iommufd_object_abort(ictx, obj);
  },
);

/** The object with a short reference (pair with iommufd_put_object). -ENOENT: no such id, or another type. */
export const iommufd_get_object = fn(
  'iommufd_get_object',
  function* (ictx: iommufd_ctx, id: number, type: iommufd_object_type): Gen<iommufd_object | Err> {
    if (iommufd_should_fail()) return fail(ENOENT, 'fault injection');
    yield* xa_lock(ictx.objects);
    const obj = xa_load(ictx.objects, id);
    const refused = yield* whyNot(obj, type);
    yield* xa_unlock(ictx.objects);
    return obj === null || refused !== null ? fail(ENOENT, refused ?? '') : obj;
  },
);

function* whyNot(obj: iommufd_object | null, type: iommufd_object_type): Gen<string | null> {
  if (obj === null) return 'no object has that id';
  if (type !== IOMMUFD_OBJ_ANY && obj.type !== type) return 'the object is of another type';
  return (yield* iommufd_lock_obj(obj)) ? null : 'the object is being destroyed';
}

/** As iommufd_get_object, for an IOAS. */
export const iommufd_get_ioas = fn('iommufd_get_ioas', function* (ictx: iommufd_ctx, id: number): Gen<
  iommufd_ioas | Err
> {
  const obj = yield* iommufd_get_object(ictx, id, iommufd_object_type.IOMMUFD_OBJ_IOAS);
  if (IS_ERR(obj)) return obj;
  if (!(obj instanceof iommufd_ioas)) throw new Error(`${obj.name} says it is an IOAS`);
  return obj;
});

const iommufd_object_dec_wait_shortterm = fn(
  'iommufd_object_dec_wait_shortterm',
  function* (ictx: iommufd_ctx, to_destroy: iommufd_object): Gen<Rc> {
    if (yield* refcount_dec_and_test(to_destroy.shortterm_users)) return 0;
    const none = function* (): Gen<boolean> {
      return (yield* refcount_read(to_destroy.shortterm_users)) === 0;
    };
    if ((yield* wait_event_timeout(ictx.destroy_wait, none, SHORTTERM_TIMEOUT)) !== 0) return 0;
    printk('Time out waiting for iommufd object to become free');
    yield* refcount_inc(to_destroy.shortterm_users);
    return fail(EBUSY, 'a call went on using the object for 60 s');
  },
);

/** For iommufd_object_remove: wait for the calls that use the object first, so that it cannot be refused. */
export const REMOVE_WAIT_SHORTTERM = 1;

const bugA2 = bug('A2', {
  at: 'drivers/iommu/iommufd/main.c:iommufd_object_remove',
  about:
    'An object goes when nobody counts as its user any more, though a call may still be on its way out of it',
  source: 'iommufd: Do not UAF during iommufd_put_object() (6.2 to 6.6)',
  cure: 'It goes when those calls are out, which a second count tells',
});

/**
 * Removes and destroys an object, if the table's is the only reference left. `to_destroy`: the object of
 * which the caller holds a reference, given up here whatever happens; null: whatever has the id. -ENOENT,
 * -EBUSY.
 */
export const iommufd_object_remove = fn(
  'iommufd_object_remove',
  function* (ictx: iommufd_ctx, to_destroy: iommufd_object | null, id: number, flags: number): Gen<Rc> {
    let zerod_shortterm = false;
    if ((flags & REMOVE_WAIT_SHORTTERM) !== 0 && to_destroy !== null) {
      const ret = yield* iommufd_object_dec_wait_shortterm(ictx, to_destroy);
      if (ret !== 0) {
        yield* refcount_dec(to_destroy.users);
        return ret;
      }
      zerod_shortterm = true;
    }

    yield* xa_lock(ictx.objects);
    const obj = xa_load(ictx.objects, id);
    const refused = yield* why_kept(obj, to_destroy);
    if (obj === null || refused !== null) {
      if (zerod_shortterm && obj !== null) yield* refcount_set(obj.shortterm_users, 1);
      yield* xa_unlock(ictx.objects);
      return refused ?? fail(ENOENT, 'no object has that id');
    }
    __xa_erase(ictx.objects, id);
    if (ictx.vfio_ioas === obj) ictx.vfio_ioas = null;
    yield* xa_unlock(ictx.objects);

    if (!zerod_shortterm && !bugA2()) {
      const ret = yield* iommufd_object_dec_wait_shortterm(ictx, obj);
      if (WARN_ON(ret !== 0, `${obj.name} is used though it has no users`)) return ret;
    }
    yield* destroy_object(obj);
    kfree(obj);
    return 0;
  },
);

function* why_kept(obj: iommufd_object | null, to_destroy: iommufd_object | null): Gen<Err | null> {
  if (to_destroy !== null) {
    if (obj !== null) yield* refcount_dec(obj.users);
    if (WARN_ON(obj !== to_destroy, `the id of ${to_destroy.name} belongs to another object`)) {
      return fail(ENOENT, 'the id belongs to another object');
    }
  }
  if (obj === null) return fail(ENOENT, 'no object has that id');
  return (yield* refcount_dec_if_one(obj.users)) ? null : fail(EBUSY, 'the object has other users');
}

const bugA1 = bug('A1', {
  at: 'drivers/iommu/iommufd/main.c:iommufd_destroy',
  about:
    'IOMMU_DESTROY holds a reference while it looks whether there are others, so that a driver that destroys finds one',
  source: 'iommufd: IOMMUFD_DESTROY should not increase the refcount (CVE-2023-53795; 6.2 to 6.4.7)',
  cure: 'It takes none: whether there are users, and that the object goes, is decided in one section of xa_lock',
});

const iommufd_destroy = fn('iommufd_destroy', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const { ictx } = ucmd;
  const { id } = view(uapi.iommu_destroy, ucmd.bytes);
  if (!bugA1()) return yield* iommufd_object_remove(ictx, null, id, 0);
  const obj = yield* iommufd_get_object(ictx, id, IOMMUFD_OBJ_ANY);
  if (IS_ERR(obj)) return obj;
  // As iommufd_ref_to_users() had it: no longer a short reference, but one still.
  if (yield* refcount_dec_and_test(obj.shortterm_users)) yield* wake_up_all(ictx.destroy_wait);
  return yield* iommufd_object_remove(ictx, obj, id, 0);
});

const iommufd_fops_open = fn('iommufd_fops_open', function* (filp: file): Gen<Rc> {
  const ictx = kzalloc(iommufd_ctx, current_process(), 'iommufd');
  if (ictx === null) return fail(ENOMEM, 'no memory for the context');
  ictx.file = filp;
  filp.private_data = ictx;
  return 0;
});

function context_of(filp: file): iommufd_ctx {
  if (!(filp.private_data instanceof iommufd_ctx)) throw new Error(`${filp.name} is no iommufd`);
  return filp.private_data;
}

/**
 * Destroys what is left, leaves of the graph of references first: whatever only the table holds goes, which
 * drops what that held, and so on.
 */
const iommufd_fops_release = fn('iommufd_fops_release', function* (filp: file): Gen<void> {
  const ictx = context_of(filp);
  while (!xa_empty(ictx.objects)) {
    let destroyed = 0;
    for (const [index, obj] of xa_for_each(ictx.objects)) {
      if (!(yield* refcount_dec_if_one(obj.users))) continue;
      destroyed++;
      yield* xa_erase(ictx.objects, index);
      yield* destroy_object(obj);
      kfree(obj);
    }
    if (WARN_ON(destroyed === 0, 'objects that are left hold references to each other')) break;
  }
  WARN_ON(!xa_empty(ictx.groups), 'groups are left when the file is closed');
  kfree(ictx);
});

const iommufd_option = fn('iommufd_option', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const cmd = view(uapi.iommu_option, ucmd.bytes);
  if (cmd.__reserved !== 0) return fail(EOPNOTSUPP, '__reserved is not 0');
  let rc: Rc;
  switch (cmd.option_id) {
    case uapi.IOMMU_OPTION_RLIMIT_MODE:
      rc = yield* iommufd_option_rlimit_mode(cmd, ucmd.ictx);
      break;
    case uapi.IOMMU_OPTION_HUGE_PAGES:
      rc = yield* iommufd_ioas_option(ucmd);
      break;
    default:
      return fail(EOPNOTSUPP, 'no such option');
  }
  if (rc !== 0) return rc;
  const { offset } = uapi.iommu_option.fields.val64;
  const val64 = new Uint8Array(new BigUint64Array([cmd.val64]).buffer);
  const left = yield* copy_to_user(ucmd.ubuffer + BigInt(offset), val64);
  return left === 0 ? 0 : fail(EFAULT, 'val64 cannot be written back');
});

/** What destroys each type of object. One that is not modelled cannot have been made either. */
function* destroy_object(obj: iommufd_object): Gen<void> {
  if (obj instanceof iommufd_ioas) yield* iommufd_ioas_destroy(obj);
  else if (obj instanceof iommufd_device) yield* iommufd_device_destroy(obj);
  else if (obj instanceof iommufd_hwpt_paging) yield* iommufd_hwpt_paging_destroy(obj);
  else if (obj instanceof iommufd_hwpt_nested) yield* iommufd_hwpt_nested_destroy(obj);
  else if (obj instanceof iommufd_access) yield* iommufd_access_destroy_object(obj);
  else if (obj instanceof iommufd_fault) yield* iommufd_fault_destroy(obj);
  else if (obj instanceof selftest_obj) yield* iommufd_selftest_destroy(obj);
  else throw new Unsupported(`destroying ${obj.name}`);
}

/** As destroy_object, for one that was not shown: the caller may hold locks that destroying takes. */
function* abort_object(obj: iommufd_object): Gen<void> {
  if (obj instanceof iommufd_hwpt_paging) yield* iommufd_hwpt_paging_abort(obj);
  else if (obj instanceof iommufd_hwpt_nested) yield* iommufd_hwpt_nested_abort(obj);
  else yield* destroy_object(obj);
}

interface iommufd_ioctl_op {
  readonly name: string;
  readonly ioctl_num: number;
  readonly size: number;
  /** The oldest struct that is served: through its last field of then. */
  readonly min_size: number;
  readonly execute: (ucmd: iommufd_ucmd) => Co<Rc>;
}

function IOCTL_OP(
  name: string,
  ioctl_num: number,
  execute: iommufd_ioctl_op['execute'],
  layout: AnyLayout,
  last: string,
): iommufd_ioctl_op {
  return { name, ioctl_num, size: layout.size, min_size: layout.offsetofend(last), execute };
}

// biome-ignore format: an ioctl a line
const iommufd_ioctl_ops = (): readonly iommufd_ioctl_op[] => [
  IOCTL_OP('IOMMU_DESTROY', uapi.IOMMU_DESTROY, iommufd_destroy, uapi.iommu_destroy, 'id'),
  IOCTL_OP('IOMMU_FAULT_QUEUE_ALLOC', uapi.IOMMU_FAULT_QUEUE_ALLOC, iommufd_fault_alloc, uapi.iommu_fault_alloc, 'out_fault_fd'),
  IOCTL_OP('IOMMU_GET_HW_INFO', uapi.IOMMU_GET_HW_INFO, iommufd_get_hw_info, uapi.iommu_hw_info, '__reserved'),
  IOCTL_OP('IOMMU_HWPT_ALLOC', uapi.IOMMU_HWPT_ALLOC, iommufd_hwpt_alloc, uapi.iommu_hwpt_alloc, '__reserved'),
  IOCTL_OP('IOMMU_HWPT_GET_DIRTY_BITMAP', uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, iommufd_hwpt_get_dirty_bitmap, uapi.iommu_hwpt_get_dirty_bitmap, 'data'),
  IOCTL_OP('IOMMU_HWPT_INVALIDATE', uapi.IOMMU_HWPT_INVALIDATE, iommufd_hwpt_invalidate, uapi.iommu_hwpt_invalidate, '__reserved'),
  IOCTL_OP('IOMMU_HWPT_SET_DIRTY_TRACKING', uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, iommufd_hwpt_set_dirty_tracking, uapi.iommu_hwpt_set_dirty_tracking, '__reserved'),
  IOCTL_OP('IOMMU_IOAS_ALLOC', uapi.IOMMU_IOAS_ALLOC, iommufd_ioas_alloc_ioctl, uapi.iommu_ioas_alloc, 'out_ioas_id'),
  IOCTL_OP('IOMMU_IOAS_ALLOW_IOVAS', uapi.IOMMU_IOAS_ALLOW_IOVAS, iommufd_ioas_allow_iovas, uapi.iommu_ioas_allow_iovas, 'allowed_iovas'),
  IOCTL_OP('IOMMU_IOAS_COPY', uapi.IOMMU_IOAS_COPY, iommufd_ioas_copy, uapi.iommu_ioas_copy, 'src_iova'),
  IOCTL_OP('IOMMU_IOAS_IOVA_RANGES', uapi.IOMMU_IOAS_IOVA_RANGES, iommufd_ioas_iova_ranges, uapi.iommu_ioas_iova_ranges, 'out_iova_alignment'),
  IOCTL_OP('IOMMU_IOAS_MAP', uapi.IOMMU_IOAS_MAP, iommufd_ioas_map, uapi.iommu_ioas_map, 'iova'),
  IOCTL_OP('IOMMU_IOAS_UNMAP', uapi.IOMMU_IOAS_UNMAP, iommufd_ioas_unmap, uapi.iommu_ioas_unmap, 'length'),
  IOCTL_OP('IOMMU_OPTION', uapi.IOMMU_OPTION, iommufd_option, uapi.iommu_option, 'val64'),
  IOCTL_OP('IOMMU_VFIO_IOAS', uapi.IOMMU_VFIO_IOAS, iommufd_vfio_ioas, uapi.iommu_vfio_ioas, '__reserved'),
  IOCTL_OP('IOMMU_TEST_CMD', IOMMU_TEST_CMD, iommufd_test, iommu_test_cmd, 'last'),
];

/** By number. Made at the first ioctl: the files of the driver import each other, and not all need be there now. */
let by_nr: ReadonlyMap<number, iommufd_ioctl_op> | null = null;

function ioctl_op(nr: number): iommufd_ioctl_op | undefined {
  by_nr ??= new Map(iommufd_ioctl_ops().map((op) => [_IOC_NR(op.ioctl_num), op]));
  return by_nr.get(nr);
}

/** The test ops come last. */
const LAST_NR = _IOC_NR(IOMMU_TEST_CMD);

/**
 * The ioctl entry: reads the size that user space says its struct has, takes the struct at the size that the
 * kernel knows (a longer one must be zero beyond, -E2BIG; a shorter one is filled with zeroes), serves it.
 */
const iommufd_fops_ioctl = fn(
  'iommufd_fops_ioctl',
  function* (filp: file, cmd: number, arg: bigint): Gen<number> {
    const ictx = context_of(filp);
    const nr = _IOC_NR(cmd);
    if (nr < uapi.IOMMUFD_CMD_BASE || nr > LAST_NR) return yield* iommufd_vfio_ioctl(ictx, cmd, arg);

    const user_size = yield* get_user_u32(arg);
    if (IS_ERR(user_size)) return user_size;
    const op = ioctl_op(nr);
    if (op?.ioctl_num !== cmd) return fail(ENOIOCTLCMD, 'not an ioctl of iommufd');
    if (user_size < op.min_size) return fail(EINVAL, 'the struct is shorter than the oldest that is served');
    const bytes = zeroed(op.size);
    const ret = yield* copy_struct_from_user(bytes, arg, user_size);
    if (ret !== 0) return ret;
    return yield* op.execute({ ictx, ubuffer: arg, user_size, bytes });
  },
);

/** The context behind a descriptor, with a reference: pair with iommufd_ctx_put. -EBADF; -EBADFD: another file. */
export const iommufd_ctx_from_fd = fn('iommufd_ctx_from_fd', function* (fd: number): Gen<iommufd_ctx | Err> {
  const filp = yield* fget(current_process().files, fd);
  if (filp === null) return fail(EBADF, 'nothing is open at that descriptor');
  if (filp.private_data instanceof iommufd_ctx) return filp.private_data;
  yield* fput(filp);
  return fail(EBADFD, 'the descriptor is none of iommufd');
});

/** Keeps the context, by its file. Pair with iommufd_ctx_put. */
export const iommufd_ctx_get = fn('iommufd_ctx_get', function* (ictx: iommufd_ctx): Gen<void> {
  yield* get_file(file_of(ictx));
});

/** Undoes iommufd_ctx_get; the last one closes the file, on the way back to user space. */
export const iommufd_ctx_put = fn('iommufd_ctx_put', function* (ictx: iommufd_ctx): Gen<void> {
  yield* fput(file_of(ictx));
});

function file_of({ file, name }: iommufd_ctx): file {
  if (file === null) throw new Error(`${name} has no file`);
  return file;
}

const iommufd_fops: file_operations = {
  name: 'iommufd_fops',
  open: iommufd_fops_open,
  release: iommufd_fops_release,
  unlocked_ioctl: iommufd_fops_ioctl,
};

/** Boot: /dev/iommu appears. (/dev/vfio/vfio stays VFIO's: CONFIG_IOMMUFD_VFIO_CONTAINER is off.) */
export function iommufd_init(creator: Named): void {
  devtmpfs_create_node(creator, '/dev/iommu', iommufd_fops);
}
