// SPDX-License-Identifier: GPL-2.0-only

/** include/linux/iommu.h (6.12): how a driver takes its own structs from user space. */
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EINVAL } from '../../uapi/errno.ts';
import type { Layout } from '../../uapi/layout.ts';
import { copy_struct_from_user } from '../mm/uaccess.ts';
import type { iommu_user_data, iommu_user_data_array } from './iommu.h.ts';

const fn = sourceFile('include/linux/iommu.h');

/**
 * Takes a driver's struct. `dst`: as long as the kernel knows the struct; `min_last`: the last field of its
 * oldest version. -EINVAL: another type of data, or a length that fits no version; -EFAULT.
 */
export const iommu_copy_struct_from_user = fn('iommu_copy_struct_from_user', function* <
  V,
>(dst: Uint8Array, user_data: iommu_user_data, data_type: number, layout: Layout<V>, min_last: keyof V & string): Gen<Rc> {
  if (user_data.type !== data_type) return fail(EINVAL, 'the data is of another type');
  if (user_data.len < layout.offsetofend(min_last) || dst.length < user_data.len) {
    return fail(EINVAL, 'the length of the data fits no version of the struct');
  }
  return yield* copy_struct_from_user(dst, user_data.uptr, user_data.len);
});

/** As iommu_copy_struct_from_user, for one struct of an array. */
export function* iommu_copy_struct_from_user_array<V>(
  dst: Uint8Array,
  array: iommu_user_data_array,
  data_type: number,
  index: number,
  layout: Layout<V>,
  min_last: keyof V & string,
): Gen<Rc> {
  if (WARN_ON(index >= array.entry_num, 'a driver asks for more than user space has')) {
    return fail(EINVAL, 'the array has no such element');
  }
  const uptr = BigInt.asUintN(64, array.uptr + BigInt(array.entry_len * index));
  return yield* iommu_copy_struct_from_user(
    dst,
    { type: array.type, uptr, len: array.entry_len },
    data_type,
    layout,
    min_last,
  );
}
