// SPDX-License-Identifier: GPL-2.0-only

/** drivers/vfio/pci/vfio_pci.c, vfio_pci_core.c, drivers/vfio/vfio_main.c (6.12): vfio-pci, as far as binding goes. */
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { struct } from '../../sim/struct.ts';
import type { Gen } from '../../sim/task.ts';
import { ENOMEM } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import { vfio_device, vfio_device_remove_group, vfio_device_set_group } from './group.ts';

const pci = sourceFile('drivers/vfio/pci/vfio_pci.c');
const core = sourceFile('drivers/vfio/pci/vfio_pci_core.c');
const main = sourceFile('drivers/vfio/vfio_main.c');

class vfio_pci_core_device extends struct('vfio_pci_core_device', vfio_device, {}) {}

const vfio_register_group_dev = main('vfio_register_group_dev', function* (vdev: vfio_device): Gen<Rc> {
  return yield* vfio_device_set_group(vdev);
});

const vfio_unregister_group_dev = main('vfio_unregister_group_dev', function* (vdev: vfio_device): Gen<void> {
  yield* vfio_device_remove_group(vdev);
});

const vfio_pci_core_register_device = core(
  'vfio_pci_core_register_device',
  function* (vdev: vfio_pci_core_device): Gen<Rc> {
    return yield* vfio_register_group_dev(vdev);
  },
);

const vfio_pci_core_unregister_device = core(
  'vfio_pci_core_unregister_device',
  function* (vdev: vfio_device): Gen<void> {
    yield* vfio_unregister_group_dev(vdev);
  },
);

/** -ENOMEM; -EINVAL: the device is in no IOMMU group. */
export const vfio_pci_probe = pci('vfio_pci_probe', function* (dev: device): Gen<Rc> {
  const vdev = kzalloc(vfio_pci_core_device, dev, 'vfio');
  if (vdev === null) return fail(ENOMEM, 'no memory for the VFIO device');
  vdev.dev = dev;
  dev.driver_data = vdev;
  const rc = yield* vfio_pci_core_register_device(vdev);
  if (rc !== 0) kfree(vdev);
  return rc;
});

export const vfio_pci_remove = pci('vfio_pci_remove', function* (dev: device): Gen<void> {
  const vdev = dev.driver_data;
  if (!(vdev instanceof vfio_device)) throw new Error(`${dev.name} is not on vfio-pci`);
  yield* vfio_pci_core_unregister_device(vdev);
  kfree(vdev);
});
