// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/iommu/iommufd/selftest.c (6.12): IOVA for fuzzers, which cannot guess what a map has chosen: the
 * lower half of such an IOVA is the number of an area, the upper an offset from its start.
 */
import { IS_ERR } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { MOCK_FLAGS_ACCESS_SYZ } from '../../uapi/iommufd_test.ts';
import { iopt_area_iova, iopt_area_iter_first, iopt_area_iter_next } from './io_pagetable.h.ts';
import {
  type io_pagetable,
  type iommufd_access,
  iommufd_put_object,
  type iommufd_ucmd,
} from './iommufd_private.h.ts';
import { iommufd_get_ioas } from './main.ts';

const fn = sourceFile('drivers/iommu/iommufd/selftest.c');

const ULONG_MAX = 0xffff_ffff_ffff_ffffn;
const WORD = 32n;

/** The IOVA that is meant; 0n: there are not that many areas. */
const __iommufd_test_syz_conv_iova = fn(
  '__iommufd_test_syz_conv_iova',
  function* (iopt: io_pagetable, iova: bigint): Gen<bigint> {
    let nth = BigInt.asUintN(32, iova);
    const offset = iova >> WORD;
    yield* down_read(iopt.iova_rwsem);
    let area = iopt_area_iter_first(iopt, 0n, ULONG_MAX);
    for (; area !== null && nth > 0n; nth--) area = iopt_area_iter_next(area, 0n, ULONG_MAX);
    yield* up_read(iopt.iova_rwsem);
    return area === null ? 0n : BigInt.asUintN(64, iopt_area_iova(area) + offset);
  },
);

/** As above, in what the access is attached to. */
export const iommufd_test_syz_conv_iova = fn(
  'iommufd_test_syz_conv_iova',
  function* (access: iommufd_access, iova: bigint): Gen<bigint> {
    yield* mutex_lock(access.ioas_lock);
    const ret = access.ioas === null ? 0n : yield* __iommufd_test_syz_conv_iova(access.ioas.iopt, iova);
    yield* mutex_unlock(access.ioas_lock);
    return ret;
  },
);

/** Converts the source of a copy in place, and takes the flag away that asks for it. */
export const iommufd_test_syz_conv_iova_id = fn(
  'iommufd_test_syz_conv_iova_id',
  function* (ucmd: iommufd_ucmd, ioas_id: number, cmd: { src_iova: bigint; flags: number }): Gen<void> {
    if ((cmd.flags & MOCK_FLAGS_ACCESS_SYZ) === 0) return;
    cmd.flags &= ~MOCK_FLAGS_ACCESS_SYZ;
    const ioas = yield* iommufd_get_ioas(ucmd.ictx, ioas_id);
    if (IS_ERR(ioas)) return;
    cmd.src_iova = yield* __iommufd_test_syz_conv_iova(ioas.iopt, cmd.src_iova);
    yield* iommufd_put_object(ucmd.ictx, ioas);
  },
);
