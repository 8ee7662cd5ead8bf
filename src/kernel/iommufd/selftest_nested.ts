// SPDX-License-Identifier: GPL-2.0-only

import type { io_pgtable } from '../../hw/iommu.ts';
/** drivers/iommu/iommufd/selftest.c (6.12): the mock nested domain, an IOTLB with nothing behind it. */
import { done } from '../../sim/coroutine.ts';
import { type Err, fail, type Rc } from '../../sim/errno.ts';
import { ref, u32 } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { struct } from '../../sim/struct.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EINVAL, ENOMEM, EOPNOTSUPP } from '../../uapi/errno.ts';
import {
  IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  iommu_hwpt_invalidate_selftest,
  MOCK_NESTED_DOMAIN_IOTLB_ID_MAX,
} from '../../uapi/iommufd_test.ts';
import { view } from '../../uapi/layout.ts';
import {
  type iommu_domain,
  type iommu_domain_ops,
  iommu_domain_type,
  type iommu_user_data_array,
} from '../iommu/iommu.h.ts';
import { iommu_copy_struct_from_user_array } from '../iommu/iommu_user_data.ts';
import { mock_domain_nop_attach, mock_translation } from './selftest_device.ts';
import type { mock_iommu_domain } from './selftest_domain.ts';

const fn = sourceFile('drivers/iommu/iommufd/selftest.c');

/** A domain of user space's on top of a mock domain. Its IOTLB is an array in Linux, `iotlb[4]`. */
export class mock_iommu_domain_nested extends struct('mock_iommu_domain_nested', mock_translation, {
  parent: ref<mock_iommu_domain>(),
  iotlb0: u32(),
  iotlb1: u32(),
  iotlb2: u32(),
  iotlb3: u32(),
}) {
  get table(): io_pgtable | null {
    return this.parent?.pfns ?? null;
  }
}

const IOTLB = ['iotlb0', 'iotlb1', 'iotlb2', 'iotlb3'] as const;

function set_iotlb(nested: mock_iommu_domain_nested, iotlb: number): void {
  for (const entry of IOTLB) nested[entry] = iotlb;
}

/** An entry of the IOTLB; null: it has none of that number. */
export function iotlb_entry(nested: mock_iommu_domain_nested, id: number): number | null {
  const entry = IOTLB[id];
  return entry === undefined ? null : nested[entry];
}

/** A domain on top of `parent`, every IOTLB entry of which is `iotlb`. -ENOMEM. */
export const __mock_domain_alloc_nested = fn(
  '__mock_domain_alloc_nested',
  (
    parent: mock_iommu_domain,
    iotlb: number,
    creator: Named,
    role: string,
  ): mock_iommu_domain_nested | Err => {
    const nested = kzalloc(mock_iommu_domain_nested, creator, role);
    if (nested === null) return fail(ENOMEM, 'no memory for the nested domain');
    nested.parent = parent;
    nested.ops = domain_nested_ops;
    nested.type = iommu_domain_type.IOMMU_DOMAIN_NESTED;
    set_iotlb(nested, iotlb);
    return nested;
  },
);

const mock_domain_free_nested = fn('mock_domain_free_nested', (domain: iommu_domain): Co<void> => {
  kfree(domain);
  return done(undefined);
});

function* invalidate(nested: mock_iommu_domain_nested, array: iommu_user_data_array, i: number): Gen<Rc> {
  const bytes = new Uint8Array(iommu_hwpt_invalidate_selftest.size);
  const rc = yield* iommu_copy_struct_from_user_array(
    bytes,
    array,
    IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
    i,
    iommu_hwpt_invalidate_selftest,
    'iotlb_id',
  );
  if (rc !== 0) return rc;
  const inv = view(iommu_hwpt_invalidate_selftest, bytes);
  if ((inv.flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) return fail(EOPNOTSUPP, 'unknown flags');
  // 6.12 does this: it minds the number even where all entries are meant.
  if (inv.iotlb_id > MOCK_NESTED_DOMAIN_IOTLB_ID_MAX) return fail(EINVAL, 'the IOTLB has no such entry');
  const entry = IOTLB[inv.iotlb_id];
  if ((inv.flags & IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) set_iotlb(nested, 0);
  else if (entry !== undefined) nested[entry] = 0;
  return 0;
}

const mock_domain_cache_invalidate_user = fn(
  'mock_domain_cache_invalidate_user',
  function* (domain: iommu_domain, array: iommu_user_data_array): Gen<Rc> {
    if (!(domain instanceof mock_iommu_domain_nested)) throw new Error(`${domain.name} is not nested`);
    let processed = 0;
    let rc: Rc = 0;
    if (array.type === IOMMU_HWPT_INVALIDATE_DATA_SELFTEST) {
      while (rc === 0 && processed < array.entry_num) {
        rc = yield* invalidate(domain, array, processed);
        if (rc === 0) processed++;
      }
    } else {
      rc = fail(EINVAL, 'the data is of another type');
    }
    array.entry_num = processed;
    return rc;
  },
);

const domain_nested_ops: iommu_domain_ops = {
  name: 'domain_nested_ops',
  free: mock_domain_free_nested,
  attach_dev: mock_domain_nop_attach,
  cache_invalidate_user: mock_domain_cache_invalidate_user,
};
