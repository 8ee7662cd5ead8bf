// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/ioas.c (6.12): I/O address spaces. */
import { xa_empty, xa_lock, xa_unlock } from '../../sim/collections/xarray.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Gen } from '../../sim/task.ts';
import { EBUSY, EINVAL, EOPNOTSUPP, EPERM } from '../../uapi/errno.ts';
import * as uapi from '../../uapi/iommufd.ts';
import { type ViewOf, view } from '../../uapi/layout.ts';
import { capable } from '../sched/task.ts';
import { iopt_pages_account_mode } from './io_pagetable.h.ts';
import {
  iopt_destroy_table,
  iopt_disable_large_pages,
  iopt_enable_large_pages,
  iopt_init_table,
} from './io_pagetable.ts';
import {
  type iommufd_ctx,
  iommufd_ioas,
  iommufd_object_type,
  iommufd_put_object,
  type iommufd_ucmd,
  iommufd_ucmd_respond,
} from './iommufd_private.h.ts';
import {
  _iommufd_object_alloc,
  iommufd_get_ioas,
  iommufd_object_abort_and_destroy,
  iommufd_object_finalize,
} from './main.ts';

const fn = sourceFile('drivers/iommu/iommufd/ioas.c');

type Option = ViewOf<typeof uapi.iommu_option>;

/** Takes everything out of the address space; iommufd_object_remove frees it. */
export const iommufd_ioas_destroy = fn('iommufd_ioas_destroy', (ioas: iommufd_ioas): void => {
  iopt_destroy_table(ioas.iopt);
});

/** A new IOAS, not shown yet. -ENOMEM, -ENOSPC. */
export const iommufd_ioas_alloc = fn('iommufd_ioas_alloc', function* (ictx: iommufd_ctx): Gen<
  iommufd_ioas | Err
> {
  const ioas = yield* _iommufd_object_alloc(ictx, iommufd_ioas, 'ioas', iommufd_object_type.IOMMUFD_OBJ_IOAS);
  if (IS_ERR(ioas)) return ioas;
  iopt_init_table(ioas.iopt);
  return ioas;
});

/** IOMMU_IOAS_ALLOC. -EOPNOTSUPP: flags; -EFAULT: the id cannot be told; -ENOMEM, -ENOSPC. */
export const iommufd_ioas_alloc_ioctl = fn(
  'iommufd_ioas_alloc_ioctl',
  function* (ucmd: iommufd_ucmd): Gen<Rc> {
    const cmd = view(uapi.iommu_ioas_alloc, ucmd.bytes);
    if (cmd.flags !== 0) return fail(EOPNOTSUPP, 'flags is not 0');
    const ioas = yield* iommufd_ioas_alloc(ucmd.ictx);
    if (IS_ERR(ioas)) return ioas;
    cmd.out_ioas_id = ioas.id;
    const rc = yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
    if (rc !== 0) {
      yield* iommufd_object_abort_and_destroy(ucmd.ictx, ioas);
      return rc;
    }
    yield* iommufd_object_finalize(ucmd.ictx, ioas);
    return 0;
  },
);

/** IOMMU_OPTION_RLIMIT_MODE. -EOPNOTSUPP: object_id or op; -EPERM; -EBUSY: there are objects; -EINVAL: value. */
export const iommufd_option_rlimit_mode = fn(
  'iommufd_option_rlimit_mode',
  function* (cmd: Option, ictx: iommufd_ctx): Gen<Rc> {
    const { IOPT_PAGES_ACCOUNT_USER, IOPT_PAGES_ACCOUNT_MM } = iopt_pages_account_mode;
    if (cmd.object_id !== 0) return fail(EOPNOTSUPP, "the option is the whole context's, object_id is not 0");
    if (cmd.op === uapi.IOMMU_OPTION_OP_GET) {
      cmd.val64 = ictx.account_mode === IOPT_PAGES_ACCOUNT_MM ? 1n : 0n;
      return 0;
    }
    if (cmd.op !== uapi.IOMMU_OPTION_OP_SET) return fail(EOPNOTSUPP, 'op is neither set nor get');
    if (!capable('CAP_SYS_RESOURCE')) return fail(EPERM, 'CAP_SYS_RESOURCE is missing');

    let rc: Rc = 0;
    yield* xa_lock(ictx.objects);
    if (!xa_empty(ictx.objects)) rc = fail(EBUSY, 'the context has objects already');
    else if (cmd.val64 === 0n) ictx.account_mode = IOPT_PAGES_ACCOUNT_USER;
    else if (cmd.val64 === 1n) ictx.account_mode = IOPT_PAGES_ACCOUNT_MM;
    else rc = fail(EINVAL, 'val64 is neither 0 nor 1');
    yield* xa_unlock(ictx.objects);
    return rc;
  },
);

const iommufd_ioas_option_huge_pages = fn(
  'iommufd_ioas_option_huge_pages',
  function* (cmd: Option, ioas: iommufd_ioas): Gen<Rc> {
    if (cmd.op === uapi.IOMMU_OPTION_OP_GET) {
      cmd.val64 = ioas.iopt.disable_large_pages ? 0n : 1n;
      return 0;
    }
    if (cmd.op !== uapi.IOMMU_OPTION_OP_SET) return fail(EOPNOTSUPP, 'op is neither set nor get');
    if (cmd.val64 === 0n) return yield* iopt_disable_large_pages(ioas.iopt);
    if (cmd.val64 !== 1n) return fail(EINVAL, 'val64 is neither 0 nor 1');
    yield* iopt_enable_large_pages(ioas.iopt);
    return 0;
  },
);

/** Options of one IOAS. -ENOENT: no such IOAS; -EOPNOTSUPP; what the option says. */
export const iommufd_ioas_option = fn('iommufd_ioas_option', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const cmd = view(uapi.iommu_option, ucmd.bytes);
  if (cmd.__reserved !== 0) return fail(EOPNOTSUPP, '__reserved is not 0');
  const ioas = yield* iommufd_get_ioas(ucmd.ictx, cmd.object_id);
  if (IS_ERR(ioas)) return ioas;
  const rc: Rc =
    cmd.option_id === uapi.IOMMU_OPTION_HUGE_PAGES
      ? yield* iommufd_ioas_option_huge_pages(cmd, ioas)
      : fail(EOPNOTSUPP, 'no such option of an IOAS');
  yield* iommufd_put_object(ucmd.ictx, ioas);
  return rc;
});
