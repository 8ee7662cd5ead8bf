// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/ioas.c (6.12): IOMMU_IOAS_MAP, IOMMU_IOAS_COPY and IOMMU_IOAS_UNMAP. */
import { fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Gen } from '../../sim/task.ts';
import { EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW } from '../../uapi/errno.ts';
import * as uapi from '../../uapi/iommufd.ts';
import { view } from '../../uapi/layout.ts';
import { IOMMU_CACHE, IOMMU_READ, IOMMU_WRITE } from '../iommu/iommu.h.ts';
import { ULONG_MAX } from './io_pagetable.h.ts';
import {
  IOPT_ALLOC_IOVA,
  iopt_free_pages_list,
  iopt_get_pages,
  iopt_map_pages,
  iopt_map_user_pages,
  type iopt_pages_list,
} from './io_pagetable_map.ts';
import { iopt_unmap_all, iopt_unmap_iova } from './io_pagetable_unmap.ts';
import {
  type io_pagetable,
  iommufd_put_object,
  type iommufd_ucmd,
  iommufd_ucmd_respond,
} from './iommufd_private.h.ts';
import { iommufd_get_ioas } from './main.ts';
import { iommufd_test_syz_conv_iova_id } from './selftest_syz.ts';

const fn = sourceFile('drivers/iommu/iommufd/ioas.c');

const KNOWN = uapi.IOMMU_IOAS_MAP_FIXED_IOVA | uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE;
const PERMISSIONS = uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE;

/** User space cannot flush caches, so that the device must see what they hold. */
function conv_iommu_prot(map_flags: number): number {
  let iommu_prot = IOMMU_CACHE;
  if ((map_flags & uapi.IOMMU_IOAS_MAP_WRITEABLE) !== 0) iommu_prot |= IOMMU_WRITE;
  if ((map_flags & uapi.IOMMU_IOAS_MAP_READABLE) !== 0) iommu_prot |= IOMMU_READ;
  return iommu_prot;
}

const alloc_flags = (map_flags: number): number =>
  (map_flags & uapi.IOMMU_IOAS_MAP_FIXED_IOVA) === 0 ? IOPT_ALLOC_IOVA : 0;

/**
 * IOMMU_IOAS_MAP. -EOPNOTSUPP: flags, __reserved; -EOVERFLOW; -EINVAL: neither readable nor writeable;
 * -ENOENT: no such IOAS; -EFAULT: it is mapped, but user space is not told where; errors of
 * iopt_map_user_pages.
 */
export const iommufd_ioas_map = fn('iommufd_ioas_map', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const cmd = view(uapi.iommu_ioas_map, ucmd.bytes);
  if ((cmd.flags & ~KNOWN) !== 0) return fail(EOPNOTSUPP, 'unknown flags');
  if (cmd.__reserved !== 0) return fail(EOPNOTSUPP, '__reserved is not 0');
  if (cmd.iova >= ULONG_MAX) return fail(EOVERFLOW, 'iova is the last there is');
  if (cmd.length >= ULONG_MAX) return fail(EOVERFLOW, 'length is the greatest there is');
  if ((cmd.flags & PERMISSIONS) === 0) return fail(EINVAL, 'neither readable nor writeable');
  const { ictx } = ucmd;
  const ioas = yield* iommufd_get_ioas(ictx, cmd.ioas_id);
  if (IS_ERR(ioas)) return ioas;
  const iova = yield* iopt_map_user_pages(
    ictx,
    ioas.iopt,
    cmd.iova,
    cmd.user_va,
    cmd.length,
    conv_iommu_prot(cmd.flags),
    alloc_flags(cmd.flags),
  );
  let rc: Rc;
  if (IS_ERR(iova)) {
    rc = iova;
  } else {
    cmd.iova = iova;
    rc = yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
  }
  yield* iommufd_put_object(ictx, ioas);
  return rc;
});

/**
 * IOMMU_IOAS_COPY: maps what another IOAS has mapped, or the same one, without pinning or charging it
 * again. -EOPNOTSUPP: flags; -EOVERFLOW; -EINVAL: neither readable nor writeable; -ENOENT: no such IOAS, or
 * a part of the source is not mapped; -EFAULT: it is mapped, but user space is not told where; errors of
 * iopt_get_pages and iopt_map_pages.
 */
export const iommufd_ioas_copy = fn('iommufd_ioas_copy', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const cmd = view(uapi.iommu_ioas_copy, ucmd.bytes);
  const { ictx } = ucmd;
  yield* iommufd_test_syz_conv_iova_id(ucmd, cmd.src_ioas_id, cmd);
  if ((cmd.flags & ~KNOWN) !== 0) return fail(EOPNOTSUPP, 'unknown flags');
  if (cmd.length >= ULONG_MAX) return fail(EOVERFLOW, 'length is the greatest there is');
  if (cmd.src_iova >= ULONG_MAX) return fail(EOVERFLOW, 'src_iova is the last there is');
  if (cmd.dst_iova >= ULONG_MAX) return fail(EOVERFLOW, 'dst_iova is the last there is');
  if ((cmd.flags & PERMISSIONS) === 0) return fail(EINVAL, 'neither readable nor writeable');

  const src_ioas = yield* iommufd_get_ioas(ictx, cmd.src_ioas_id);
  if (IS_ERR(src_ioas)) return src_ioas;
  const pages_list: iopt_pages_list[] = [];
  const got = yield* iopt_get_pages(src_ioas.iopt, cmd.src_iova, cmd.length, pages_list);
  yield* iommufd_put_object(ictx, src_ioas);
  if (got !== 0) return got;

  const rc = yield* map_copy(ucmd, pages_list);
  yield* iopt_free_pages_list(pages_list);
  return rc;
});

function* map_copy(ucmd: iommufd_ucmd, pages_list: readonly iopt_pages_list[]): Gen<Rc> {
  const cmd = view(uapi.iommu_ioas_copy, ucmd.bytes);
  const dst_ioas = yield* iommufd_get_ioas(ucmd.ictx, cmd.dst_ioas_id);
  if (IS_ERR(dst_ioas)) return dst_ioas;
  const iova = yield* iopt_map_pages(
    dst_ioas.iopt,
    pages_list,
    cmd.length,
    cmd.dst_iova,
    conv_iommu_prot(cmd.flags),
    alloc_flags(cmd.flags),
  );
  let rc: Rc;
  if (IS_ERR(iova)) {
    rc = iova;
  } else {
    cmd.dst_iova = iova;
    rc = yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
  }
  yield* iommufd_put_object(ucmd.ictx, dst_ioas);
  return rc;
}

/**
 * IOMMU_IOAS_UNMAP; everything when iova is 0 and length the greatest there is. -ENOENT: no such IOAS,
 * nothing was mapped there, or an area reaches beyond; -EOVERFLOW; -EFAULT: it is unmapped, but user space
 * is not told how much; errors of iopt_unmap_iova and iopt_unmap_all.
 */
export const iommufd_ioas_unmap = fn('iommufd_ioas_unmap', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const { ioas_id } = view(uapi.iommu_ioas_unmap, ucmd.bytes);
  const ioas = yield* iommufd_get_ioas(ucmd.ictx, ioas_id);
  if (IS_ERR(ioas)) return ioas;
  const rc = yield* unmap(ucmd, ioas.iopt);
  yield* iommufd_put_object(ucmd.ictx, ioas);
  return rc;
});

function* unmap(ucmd: iommufd_ucmd, iopt: io_pagetable): Gen<Rc> {
  const cmd = view(uapi.iommu_ioas_unmap, ucmd.bytes);
  const all = cmd.iova === 0n && cmd.length === ULONG_MAX;
  if (!all && cmd.iova >= ULONG_MAX) return fail(EOVERFLOW, 'iova is the last there is');
  if (!all && cmd.length >= ULONG_MAX) return fail(EOVERFLOW, 'length is the greatest there is');
  const { rc, unmapped } = all
    ? yield* iopt_unmap_all(iopt)
    : yield* iopt_unmap_iova(iopt, cmd.iova, cmd.length);
  if (rc !== 0) return rc;
  if (!all && unmapped === 0n) return fail(ENOENT, 'nothing is mapped there');
  cmd.length = unmapped;
  return yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
}
