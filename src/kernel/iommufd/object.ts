// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/iommufd_private.h (6.12): what it has inline on top of main.c. */
import { type Err, IS_ERR } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { refcount_dec } from '../../sim/sync/refcount.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import {
  type iommufd_ctx,
  iommufd_device,
  iommufd_fault,
  type iommufd_hw_pagetable,
  iommufd_hwpt_nested,
  iommufd_hwpt_paging,
  type iommufd_object,
  iommufd_object_type,
  type iommufd_ucmd,
} from './iommufd_private.h.ts';
import { iommufd_get_object, iommufd_object_remove, REMOVE_WAIT_SHORTTERM } from './main.ts';

const fn = sourceFile('drivers/iommu/iommufd/iommufd_private.h');

/** As iommufd_get_object, for the class that objects of the type have. */
function* get<T extends iommufd_object>(
  { ictx }: iommufd_ucmd,
  id: number,
  type: iommufd_object_type,
  kind: abstract new (...args: never[]) => T,
): Gen<T | Err> {
  const obj = yield* iommufd_get_object(ictx, id, type);
  if (IS_ERR(obj)) return obj;
  if (!(obj instanceof kind)) throw new Error(`${obj.name} is not of the class that its type has`);
  return obj;
}

const { IOMMUFD_OBJ_DEVICE, IOMMUFD_OBJ_FAULT, IOMMUFD_OBJ_HWPT_NESTED, IOMMUFD_OBJ_HWPT_PAGING } =
  iommufd_object_type;

/** With a short reference: pair with iommufd_put_object. -ENOENT. So for those below. */
export const iommufd_get_device = (ucmd: iommufd_ucmd, id: number): Gen<iommufd_device | Err> =>
  get(ucmd, id, IOMMUFD_OBJ_DEVICE, iommufd_device);
export const iommufd_get_hwpt_paging = (ucmd: iommufd_ucmd, id: number): Gen<iommufd_hwpt_paging | Err> =>
  get(ucmd, id, IOMMUFD_OBJ_HWPT_PAGING, iommufd_hwpt_paging);
export const iommufd_get_hwpt_nested = (ucmd: iommufd_ucmd, id: number): Gen<iommufd_hwpt_nested | Err> =>
  get(ucmd, id, IOMMUFD_OBJ_HWPT_NESTED, iommufd_hwpt_nested);
export const iommufd_get_fault = (ucmd: iommufd_ucmd, id: number): Gen<iommufd_fault | Err> =>
  get(ucmd, id, IOMMUFD_OBJ_FAULT, iommufd_fault);

/** Destroys an object of which the caller, a driver, holds a reference. Nobody else may hold one. */
export const iommufd_object_destroy_user = fn(
  'iommufd_object_destroy_user',
  function* (ictx: iommufd_ctx, obj: iommufd_object): Gen<void> {
    const ret = yield* iommufd_object_remove(ictx, obj, obj.id, REMOVE_WAIT_SHORTTERM);
    WARN_ON(ret !== 0, `${obj.name} is not destroyed though its driver is done with it`);
  },
);

/**
 * Gives up the caller's reference of a page table; one that was made automatically goes with its last device.
 * 6.12 does this: it stays for good when somebody uses it in that very moment.
 */
export const iommufd_hw_pagetable_put = fn(
  'iommufd_hw_pagetable_put',
  function* (ictx: iommufd_ctx, hwpt: iommufd_hw_pagetable): Gen<void> {
    if (hwpt instanceof iommufd_hwpt_paging && hwpt.auto_domain) {
      yield* iommufd_object_remove(ictx, hwpt, hwpt.id, 0);
    } else {
      yield* refcount_dec(hwpt.users);
    }
  },
);
