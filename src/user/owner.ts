// SPDX-License-Identifier: GPL-2.0-only

/**
 * Users of IOMMU groups, as far as they are not modelled: they call what VFIO, iommufd and drivers call. What
 * they hold is theirs until they let go of it themselves.
 */
import type { device } from '../kernel/driver-core/device.ts';
import { iommu_domain } from '../kernel/iommu/iommu.h.ts';
import { iommu_domain_free, iommu_paging_domain_alloc } from '../kernel/iommu/iommu.ts';
import {
  iommu_attach_device,
  iommu_detach_device,
  iommu_group_get,
  iommu_group_put,
} from '../kernel/iommu/iommu_group.ts';
import {
  iommu_device_claim_dma_owner,
  iommu_device_release_dma_owner,
  iommu_group_claim_dma_owner,
  iommu_group_release_dma_owner,
  owner_token,
} from '../kernel/iommu/iommu_owner.ts';
import { current, machine } from '../sim/context.ts';
import { fail, IS_ERR, type Rc } from '../sim/errno.ts';
import { Observed } from '../sim/observed.ts';
import type { Gen } from '../sim/task.ts';
import { ENODEV } from '../uapi/errno.ts';

/** By what an owner says who he is: the address of something of his own. */
class owner_cookie extends Observed {}

/** The owner of that name; he is there from the first time that he is spoken of. */
function ownerOf(name: string): owner_cookie {
  for (const each of machine().objects) if (each instanceof owner_cookie && each.name === name) return each;
  return new owner_cookie(machine().root, name, true);
}

/** As VFIO does when a group is put into a container: claims the group that the device is in. */
export function* claim_group(dev: device, owner: string): Gen<Rc> {
  const group = yield* iommu_group_get(dev);
  if (group === null) return fail(ENODEV, 'the device is in no IOMMU group');
  const rc = yield* iommu_group_claim_dma_owner(group, yield* owner_token(dev, ownerOf(owner)));
  yield* iommu_group_put(group);
  return rc;
}

export function* release_group(dev: device): Gen<Rc> {
  const group = yield* iommu_group_get(dev);
  if (group === null) return fail(ENODEV, 'the device is in no IOMMU group');
  yield* iommu_group_release_dma_owner(group);
  yield* iommu_group_put(group);
  return 0;
}

/** As iommufd does when a device is bound to it. */
export function* claim_device(dev: device, owner: string): Gen<Rc> {
  return yield* iommu_device_claim_dma_owner(dev, yield* owner_token(dev, ownerOf(owner)));
}

export function* release_device(dev: device): Gen<Rc> {
  yield* iommu_device_release_dma_owner(dev);
  return 0;
}

/** As a driver does that translates for itself: attaches its device to a domain, which it makes if it is not there. */
export function* attach_domain(dev: device, name: string): Gen<Rc> {
  const there = domainOf(name);
  current().expectName('domain', name);
  const domain = there ?? (yield* iommu_paging_domain_alloc(dev, machine().root, 'domain'));
  current().forgetNames();
  if (IS_ERR(domain)) return domain;
  const rc = yield* iommu_attach_device(domain, dev);
  if (rc !== 0 && there === null) yield* iommu_domain_free(domain);
  return rc;
}

/** Undoes attach_domain. `last`: and the domain goes. */
export function* detach_domain(dev: device, name: string, last: boolean): Gen<Rc> {
  const domain = domainOf(name);
  if (domain === null) return fail(ENODEV, 'there is no such domain');
  yield* iommu_detach_device(domain, dev);
  if (last) yield* iommu_domain_free(domain);
  return 0;
}

function domainOf(name: string): iommu_domain | null {
  for (const each of machine().objects)
    if (each instanceof iommu_domain && each.name === name && !each.$freed) return each;
  return null;
}
