// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/selftest.c (6.12): mock devices, and the bus that they are on. */
import { type io_pgtable, iommu_port, set_table } from '../../hw/iommu.ts';
import { ida, ida_alloc, ida_free } from '../../sim/collections/ida.ts';
import { machine } from '../../sim/context.ts';
import { type Err, fail, type Rc } from '../../sim/errno.ts';
import { embed, flags32, int, ref } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { root, struct } from '../../sim/struct.ts';
import { down_write, rw_semaphore, up_write } from '../../sim/sync/rwsem.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EINVAL, ENOMEM, ENOSPC } from '../../uapi/errno.ts';
import { MOCK_FLAGS_DEVICE_HUGE_IOVA, MOCK_FLAGS_DEVICE_NO_DIRTY } from '../../uapi/iommufd_test.ts';
import { device_add, device_unregister } from '../driver-core/core.ts';
import { bus_type, device, device_initialize, put_device } from '../driver-core/device.ts';
import { notifier_block } from '../driver-core/notifier.ts';
import type { iopf_queue } from '../iommu/io-pgfault.h.ts';
import { iommu_device, iommu_domain, type iommu_domain_ops, iommu_domain_type } from '../iommu/iommu.h.ts';

const fn = sourceFile('drivers/iommu/iommufd/selftest.c');

export class mock_dev extends struct('mock_dev', device, {
  iopf_rwsem: embed(rw_semaphore),
  flags: flags32(),
  id: int(),
}) {
  /**
   * Not in Linux, whose mock device never does DMA: what translates it, as if the mock domains were real page
   * tables. Hardware, which kfree() does not free.
   */
  readonly port = new iommu_port(this, 'port');
}

/** The mock device that a device is. Throws (a bug of ours) when it is none. */
export function mock_dev_of(dev: device): mock_dev {
  if (!(dev instanceof mock_dev)) throw new Error(`${dev.name} is no mock device`);
  return dev;
}

/** A domain of the mock driver that translates. */
export abstract class mock_translation extends iommu_domain {
  /** What a mock device's DMA goes through; null: nothing is let through. */
  abstract get table(): io_pgtable | null;
}

export const mock_domain_nop_attach = fn(
  'mock_domain_nop_attach',
  function* (domain: iommu_domain, dev: device): Gen<Rc> {
    const mdev = mock_dev_of(dev);
    if (domain.dirty_ops !== null && (mdev.flags & MOCK_FLAGS_DEVICE_NO_DIRTY) !== 0) {
      return fail(EINVAL, 'the domain tracks what is dirty, the device cannot');
    }
    yield* set_table(mdev.port, domain instanceof mock_translation ? domain.table : null);
    return 0;
  },
);

const mock_blocking_ops: iommu_domain_ops = {
  name: 'mock_blocking_ops',
  attach_dev: mock_domain_nop_attach,
};

/** What selftest.c keeps in static variables. */
class mock_driver extends struct('iommufd_selftest', root, {
  mock_dev_ida: ida(),
  bus: embed(bus_type),
  /** By which the IOMMU core hears of devices on the bus. */
  nb: embed(notifier_block),
  mock_iommu_device: embed(iommu_device),
  mock_blocking_domain: embed(iommu_domain),
  /** Null: there was no memory for it, and no page requests are taken. */
  mock_iommu_iopf_queue: ref<iopf_queue>(),
}) {}

function load(creator: Named): mock_driver {
  const it = new mock_driver(creator, 'iommufd_selftest', true);
  it.mock_blocking_domain.type = iommu_domain_type.IOMMU_DOMAIN_BLOCKED;
  it.mock_blocking_domain.ops = mock_blocking_ops;
  return it;
}

/** The mock driver of the machine that runs. */
export const mock_driver_data = (): mock_driver => machine().singleton(load);

const mock_dev_release = fn('mock_dev_release', function* (dev: device): Gen<void> {
  const mdev = mock_dev_of(dev);
  // 6.12 does this: it gives number 0 back where none could be had.
  yield* ida_free(mock_driver_data().mock_dev_ida, mdev.id);
  kfree(mdev);
});

/** A new mock device on the mock bus. -EINVAL: flags; -ENOMEM; -ENOSPC: every number is taken. */
export const mock_dev_create = fn('mock_dev_create', function* (creator: Named, dev_flags: number): Gen<
  mock_dev | Err
> {
  if ((dev_flags & ~(MOCK_FLAGS_DEVICE_NO_DIRTY | MOCK_FLAGS_DEVICE_HUGE_IOVA)) !== 0) {
    return fail(EINVAL, 'unknown flags of a device');
  }
  const mdev = kzalloc(mock_dev, creator, 'mock_dev');
  if (mdev === null) return fail(ENOMEM, 'no memory for the device');
  device_initialize(mdev);
  mdev.flags = dev_flags;
  mdev.release = mock_dev_release;
  mdev.bus = mock_driver_data().bus;
  const rc = yield* add(mdev);
  if (rc === 0) return mdev;
  yield* put_device(mdev);
  return rc;
});

function* add(mdev: mock_dev): Gen<Rc> {
  const id = yield* ida_alloc(mock_driver_data().mock_dev_ida);
  if (id === null) return fail(ENOSPC, 'every number of a mock device is taken');
  mdev.id = id;
  yield* down_write(mdev.iopf_rwsem);
  const rc = yield* device_add(mdev);
  yield* up_write(mdev.iopf_rwsem);
  return rc;
}

export const mock_dev_destroy = (mdev: mock_dev): Co<void> => device_unregister(mdev);

/** Whether a device is one of the selftest's, for which iommufd makes exceptions. */
export const iommufd_selftest_is_mock_dev = fn(
  'iommufd_selftest_is_mock_dev',
  (dev: device): dev is mock_dev => dev instanceof mock_dev,
);
