// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/selftest.c (6.12): the test ops. */
import { done } from '../../sim/coroutine.ts';
import { fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { down_write, up_write } from '../../sim/sync/rwsem.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EINVAL, EOPNOTSUPP, EOVERFLOW } from '../../uapi/errno.ts';
import * as uapi from '../../uapi/iommufd_test.ts';
import { view } from '../../uapi/layout.ts';
import { iopt_reserve_iova } from './io_pagetable_iova.ts';
import { iommufd_put_object, type iommufd_ucmd } from './iommufd_private.h.ts';
import { iommufd_get_ioas } from './main.ts';
import {
  iommufd_test_access_item_destroy,
  iommufd_test_access_pages,
  iommufd_test_access_replace_ioas,
  iommufd_test_access_rw,
  iommufd_test_create_access,
} from './selftest_access.ts';
import {
  iommufd_test_dirty,
  iommufd_test_md_check_iotlb,
  iommufd_test_md_check_pa,
  iommufd_test_md_check_refs,
} from './selftest_check.ts';
import { set_memory_limit } from './selftest_inject.ts';
import { iommufd_test_trigger_iopf } from './selftest_iopf.ts';
import { iommufd_test_mock_domain, iommufd_test_mock_domain_replace } from './selftest_object.ts';

const fn = sourceFile('drivers/iommu/iommufd/selftest.c');

const ULONG_MAX = 0xffff_ffff_ffff_ffffn;
/** The least that pages.c can do with: a frame number and a count. */
const BATCH_ELEMENT = 12;

const iommufd_test_add_reserved = fn(
  'iommufd_test_add_reserved',
  function* (ucmd: iommufd_ucmd, id: number, start: bigint, length: bigint): Gen<Rc> {
    if (length === 0n) return fail(EINVAL, 'length is 0');
    const last = start + length - 1n;
    if (last > ULONG_MAX) return fail(EOVERFLOW, 'the range wraps');
    const ioas = yield* iommufd_get_ioas(ucmd.ictx, id);
    if (IS_ERR(ioas)) return ioas;
    yield* down_write(ioas.iopt.iova_rwsem);
    const rc = iopt_reserve_iova(ioas.iopt, start, last, null);
    yield* up_write(ioas.iopt.iova_rwsem);
    yield* iommufd_put_object(ucmd.ictx, ioas);
    return rc;
  },
);

function set_temp_memory_limit(limit: number): Rc {
  if (limit < BATCH_ELEMENT) return fail(EINVAL, 'the limit is below what a batch needs');
  set_memory_limit(limit);
  return 0;
}

/** IOMMU_TEST_CMD. -EOPNOTSUPP: no such op; what the op says. */
export const iommufd_test = fn('iommufd_test', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  return yield* dispatch(ucmd);
});

function dispatch(ucmd: iommufd_ucmd): Co<Rc> {
  const { op, id } = view(uapi.iommu_test_cmd, ucmd.bytes);
  switch (op) {
    case uapi.IOMMU_TEST_OP_ADD_RESERVED: {
      const cmd = view(uapi.iommu_test_cmd_add_reserved, ucmd.bytes);
      return iommufd_test_add_reserved(ucmd, id, cmd['add_reserved.start'], cmd['add_reserved.length']);
    }
    case uapi.IOMMU_TEST_OP_MOCK_DOMAIN:
    case uapi.IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS:
      return iommufd_test_mock_domain(ucmd);
    case uapi.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE:
      return iommufd_test_mock_domain_replace(ucmd);
    case uapi.IOMMU_TEST_OP_MD_CHECK_MAP: {
      const cmd = view(uapi.iommu_test_cmd_check_map, ucmd.bytes);
      const { 'check_map.iova': iova, 'check_map.length': length, 'check_map.uptr': uptr } = cmd;
      return iommufd_test_md_check_pa(ucmd, id, iova, length, uptr);
    }
    case uapi.IOMMU_TEST_OP_MD_CHECK_REFS: {
      const cmd = view(uapi.iommu_test_cmd_check_refs, ucmd.bytes);
      const { 'check_refs.uptr': uptr, 'check_refs.length': length, 'check_refs.refs': refs } = cmd;
      return iommufd_test_md_check_refs(uptr, length, refs);
    }
    case uapi.IOMMU_TEST_OP_MD_CHECK_IOTLB: {
      const cmd = view(uapi.iommu_test_cmd_check_iotlb, ucmd.bytes);
      return iommufd_test_md_check_iotlb(ucmd, id, cmd['check_iotlb.id'], cmd['check_iotlb.iotlb']);
    }
    case uapi.IOMMU_TEST_OP_CREATE_ACCESS:
      return iommufd_test_create_access(ucmd);
    case uapi.IOMMU_TEST_OP_ACCESS_REPLACE_IOAS: {
      const cmd = view(uapi.iommu_test_cmd_access_replace_ioas, ucmd.bytes);
      return iommufd_test_access_replace_ioas(id, cmd['access_replace_ioas.ioas_id']);
    }
    case uapi.IOMMU_TEST_OP_ACCESS_PAGES:
      return iommufd_test_access_pages(ucmd);
    case uapi.IOMMU_TEST_OP_ACCESS_RW:
      return iommufd_test_access_rw(ucmd);
    case uapi.IOMMU_TEST_OP_DESTROY_ACCESS_PAGES: {
      const cmd = view(uapi.iommu_test_cmd_destroy_access_pages, ucmd.bytes);
      return iommufd_test_access_item_destroy(id, cmd['destroy_access_pages.access_pages_id']);
    }
    case uapi.IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT: {
      const cmd = view(uapi.iommu_test_cmd_memory_limit, ucmd.bytes);
      return done(set_temp_memory_limit(cmd['memory_limit.limit']));
    }
    case uapi.IOMMU_TEST_OP_DIRTY:
      return iommufd_test_dirty(ucmd);
    case uapi.IOMMU_TEST_OP_TRIGGER_IOPF:
      return iommufd_test_trigger_iopf(ucmd);
    default:
      return done(fail(EOPNOTSUPP, 'no such test op'));
  }
}
