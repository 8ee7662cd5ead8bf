// SPDX-License-Identifier: GPL-2.0-only

/**
 * Drivers that give their devices to iommufd, as far as they are not modelled: they call what VFIO and vDPA call.
 * What they have bound and attached is theirs until they undo it.
 */
import type { device } from '../kernel/driver-core/device.ts';
import { iommufd_device_bind, iommufd_device_unbind } from '../kernel/iommufd/device.ts';
import {
  iommufd_device_attach,
  iommufd_device_detach,
  iommufd_device_replace,
} from '../kernel/iommufd/device_attach.ts';
import { iommufd_device } from '../kernel/iommufd/iommufd_private.h.ts';
import { iommufd_ctx_from_fd, iommufd_ctx_put } from '../kernel/iommufd/main.ts';
import { machine } from '../sim/context.ts';
import { type Err, fail, IS_ERR, type Rc } from '../sim/errno.ts';
import type { Gen } from '../sim/task.ts';
import { ENODEV } from '../uapi/errno.ts';

/** What the device is bound by; null: it is not bound. */
function idevOf(dev: device): iommufd_device | null {
  for (const each of machine().objects)
    if (each instanceof iommufd_device && !each.$freed && each.dev === dev) return each;
  return null;
}

const unbound = (): Err => fail(ENODEV, 'the device is not bound to iommufd');

/** The id of the bound device. What iommufd_device_bind says; -EBADF, -EBADFD. */
export function* bind(dev: device, fd: number): Gen<number | Err> {
  const ictx = yield* iommufd_ctx_from_fd(fd);
  if (IS_ERR(ictx)) return ictx;
  const idev = yield* iommufd_device_bind(ictx, dev);
  const id = IS_ERR(idev) ? idev : idev.id;
  yield* iommufd_ctx_put(ictx);
  return id;
}

/** The id of the page table. What iommufd_device_attach says; -ENODEV: not bound. So for those below. */
export function* attach(dev: device, pt_id: number): Gen<number | Err> {
  const idev = idevOf(dev);
  return idev === null ? unbound() : yield* iommufd_device_attach(idev, pt_id);
}

export function* replace(dev: device, pt_id: number): Gen<number | Err> {
  const idev = idevOf(dev);
  return idev === null ? unbound() : yield* iommufd_device_replace(idev, pt_id);
}

export function* detach(dev: device): Gen<Rc> {
  const idev = idevOf(dev);
  if (idev === null) return unbound();
  yield* iommufd_device_detach(idev);
  return 0;
}

export function* unbind(dev: device): Gen<Rc> {
  const idev = idevOf(dev);
  if (idev === null) return unbound();
  yield* iommufd_device_unbind(idev);
  return 0;
}
