// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/ioas.c (6.12): I/O address spaces. */
import {
  type interval_tree,
  interval_tree_insert,
  interval_tree_iter_first,
  RB_ROOT_CACHED,
} from '../../sim/collections/interval-tree.ts';
import { interval_tree_for_each_span } from '../../sim/collections/spans.ts';
import { xa_empty, xa_lock, xa_unlock } from '../../sim/collections/xarray.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kzalloc } from '../../sim/slab.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EBUSY, EFAULT, EINVAL, EMSGSIZE, ENOENT, ENOMEM, EOPNOTSUPP, EPERM } from '../../uapi/errno.ts';
import * as uapi from '../../uapi/iommufd.ts';
import { type ViewOf, view } from '../../uapi/layout.ts';
import { copy_from_user, copy_to_user } from '../mm/uaccess.ts';
import { capable } from '../sched/task.ts';
import { iopt_allowed, iopt_pages_account_mode, ULONG_MAX } from './io_pagetable.h.ts';
import { iopt_destroy_table, iopt_init_table } from './io_pagetable.ts';
import { iopt_disable_large_pages, iopt_enable_large_pages } from './io_pagetable_domains.ts';
import { free_allowed, iopt_set_allow_iova } from './io_pagetable_iova.ts';
import { iopt_unmap_all } from './io_pagetable_unmap.ts';
import {
  type io_pagetable,
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
export const iommufd_ioas_destroy = fn('iommufd_ioas_destroy', function* (ioas: iommufd_ioas): Gen<void> {
  const { rc } = yield* iopt_unmap_all(ioas.iopt);
  WARN_ON(rc !== 0 && rc !== -ENOENT, 'an address space that goes cannot be unmapped');
  yield* iopt_destroy_table(ioas.iopt);
});

/** A new IOAS, not shown yet. -ENOMEM, -EBUSY. */
export const iommufd_ioas_alloc = fn('iommufd_ioas_alloc', function* (ictx: iommufd_ctx): Gen<
  iommufd_ioas | Err
> {
  const ioas = yield* _iommufd_object_alloc(ictx, iommufd_ioas, 'ioas', iommufd_object_type.IOMMUFD_OBJ_IOAS);
  if (IS_ERR(ioas)) return ioas;
  iopt_init_table(ioas.iopt);
  return ioas;
});

/** IOMMU_IOAS_ALLOC. -EOPNOTSUPP: flags; -EFAULT: the id cannot be told; -ENOMEM, -EBUSY. */
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

/**
 * IOMMU_IOAS_IOVA_RANGES: what is not reserved, as ranges in user memory, and the alignment that is
 * demanded. -EOPNOTSUPP: __reserved; -ENOENT; -EFAULT; -EMSGSIZE: there are more than user space has room
 * for, of which it has got the first, and learns how many there are.
 */
export const iommufd_ioas_iova_ranges = fn(
  'iommufd_ioas_iova_ranges',
  function* (ucmd: iommufd_ucmd): Gen<Rc> {
    const cmd = view(uapi.iommu_ioas_iova_ranges, ucmd.bytes);
    if (cmd.__reserved !== 0) return fail(EOPNOTSUPP, '__reserved is not 0');
    const ioas = yield* iommufd_get_ioas(ucmd.ictx, cmd.ioas_id);
    if (IS_ERR(ioas)) return ioas;
    yield* down_read(ioas.iopt.iova_rwsem);
    const rc = yield* tell_ranges(ucmd, ioas.iopt);
    yield* up_read(ioas.iopt.iova_rwsem);
    yield* iommufd_put_object(ucmd.ictx, ioas);
    return rc;
  },
);

function* tell_ranges(ucmd: iommufd_ucmd, iopt: io_pagetable): Gen<Rc> {
  const cmd = view(uapi.iommu_ioas_iova_ranges, ucmd.bytes);
  const max_iovas = cmd.num_iovas;
  cmd.num_iovas = 0;
  cmd.out_iova_alignment = iopt.iova_alignment;
  for (const span of interval_tree_for_each_span(iopt.reserved_itree, 0n, ULONG_MAX)) {
    if (span.is_hole === 0) continue;
    if (cmd.num_iovas < max_iovas) {
      const bytes = new Uint8Array(uapi.iommu_iova_range.size);
      const elm = view(uapi.iommu_iova_range, bytes);
      elm.start = span.start_hole;
      elm.last = span.last_hole;
      if ((yield* copy_to_user(range_at(cmd.allowed_iovas, cmd.num_iovas), bytes)) !== 0) {
        return fail(EFAULT, 'a range cannot be written');
      }
    }
    cmd.num_iovas++;
  }
  const rc = yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
  if (rc !== 0) return rc;
  return cmd.num_iovas > max_iovas ? fail(EMSGSIZE, 'there are more ranges than there is room for') : 0;
}

/** The address of the `i`th of the ranges at `ranges`. */
const range_at = (ranges: bigint, i: number): bigint => ranges + BigInt(i * uapi.iommu_iova_range.size);

const iommufd_ioas_load_iovas = fn(
  'iommufd_ioas_load_iovas',
  function* (ioas: iommufd_ioas, itree: interval_tree<iopt_allowed>, ranges: bigint, num: number): Gen<Rc> {
    const bytes = new Uint8Array(uapi.iommu_iova_range.size);
    const range = view(uapi.iommu_iova_range, bytes);
    for (let i = 0; i !== num; i++) {
      if ((yield* copy_from_user(bytes, range_at(ranges, i))) !== 0) {
        return fail(EFAULT, 'a range cannot be read');
      }
      // 6.12 does this: a range of one byte is refused.
      if (range.start >= range.last) return fail(EINVAL, 'a range does not end behind its start');
      if (interval_tree_iter_first(itree, range.start, range.last) !== null) {
        return fail(EINVAL, 'two ranges have a part in common');
      }
      const allowed = kzalloc(iopt_allowed, ioas, 'allowed');
      if (allowed === null) return fail(ENOMEM, 'no memory for a range');
      allowed.node.start = range.start;
      allowed.node.last = range.last;
      interval_tree_insert(allowed.node, itree);
    }
    return 0;
  },
);

/**
 * IOMMU_IOAS_ALLOW_IOVAS: what may be handed out without being asked for, and can no longer become reserved.
 * -EOPNOTSUPP: __reserved; -ENOENT; -EFAULT; -EINVAL: ranges; -EADDRINUSE: some of it is reserved; -ENOMEM.
 */
export const iommufd_ioas_allow_iovas = fn(
  'iommufd_ioas_allow_iovas',
  function* (ucmd: iommufd_ucmd): Gen<Rc> {
    const cmd = view(uapi.iommu_ioas_allow_iovas, ucmd.bytes);
    if (cmd.__reserved !== 0) return fail(EOPNOTSUPP, '__reserved is not 0');
    const ioas = yield* iommufd_get_ioas(ucmd.ictx, cmd.ioas_id);
    if (IS_ERR(ioas)) return ioas;
    const allowed_iova = RB_ROOT_CACHED<iopt_allowed>('allowed_iova');
    let rc = yield* iommufd_ioas_load_iovas(ioas, allowed_iova, cmd.allowed_iovas, cmd.num_iovas);
    // The old tree comes back in place of the new, so that the change cannot fail halfway.
    if (rc === 0) rc = yield* iopt_set_allow_iova(ioas.iopt, allowed_iova);
    free_allowed(allowed_iova);
    yield* iommufd_put_object(ucmd.ictx, ioas);
    return rc;
  },
);

/**
 * IOMMU_OPTION_RLIMIT_MODE. -EOPNOTSUPP: object_id or op; -EPERM; -EBUSY: there are objects; -EINVAL:
 * value.
 */
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
