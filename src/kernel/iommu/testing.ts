// SPDX-License-Identifier: GPL-2.0-only

/** For tests: devices of one group, behind an IOMMU that shows what each of them is attached to. */
import { list_add_tail, type list_head } from '../../sim/collections/list.ts';
import { machine } from '../../sim/context.ts';
import { done } from '../../sim/coroutine.ts';
import { type Err, fail, type Rc } from '../../sim/errno.ts';
import { bool, embed, ref, u64 } from '../../sim/field.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { root, struct } from '../../sim/struct.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EINVAL } from '../../uapi/errno.ts';
import { device_add } from '../driver-core/core.ts';
import { bus_type, device, device_initialize } from '../driver-core/device.ts';
import { notifier_block } from '../driver-core/notifier.ts';
import {
  iommu_device,
  iommu_domain,
  type iommu_domain_ops,
  iommu_domain_type,
  type iommu_group,
  type iommu_ops,
  type iommu_resv_region,
  iommu_resv_type,
} from './iommu.h.ts';
import { iommu_alloc_resv_region } from './iommu.ts';
import { iommu_group_alloc, iommu_group_get } from './iommu_group.ts';
import { iommu_device_register_bus } from './iommu_probe.ts';

export class test_device extends struct('test_device', device, {
  /** What it is attached to. */
  domain: ref<iommu_domain>(),
  /** It refuses to go from one domain that maps to another, or to the first. */
  stubborn: bool(),
  /** Where IOVA starts, one page, that it cannot use; 0: nowhere. */
  reserved: u64(),
  /** Its requests cannot be told from those of the devices before it. */
  joins: bool(),
}) {}

class test_iommu extends struct('test_iommu', root, {
  bus: embed(bus_type),
  nb: embed(notifier_block),
  hardware: embed(iommu_device),
  blocked: embed(iommu_domain),
  last_added: ref<test_device>(),
}) {}

function power_on(creator: Named): test_iommu {
  const it = new test_iommu(creator, 'test_iommu', true);
  it.blocked.type = iommu_domain_type.IOMMU_DOMAIN_BLOCKED;
  it.blocked.ops = blocking_ops;
  return it;
}

/** The one that the machine has. */
export const the_iommu = (): test_iommu => machine().singleton(power_on);

function attach_dev(domain: iommu_domain, dev: device): Co<Rc> {
  if (!(dev instanceof test_device)) throw new Error(`${dev.name} is on another bus`);
  const maps = domain.type === iommu_domain_type.IOMMU_DOMAIN_UNMANAGED;
  if (dev.stubborn && maps && domain !== dev.domain) return done(fail(EINVAL, 'the device refuses'));
  dev.domain = domain;
  return done(0);
}

const blocking_ops: iommu_domain_ops = { name: 'blocking_ops', attach_dev };

const paging_ops: iommu_domain_ops = {
  name: 'paging_ops',
  attach_dev,
  free: (domain) => done(kfree(domain)),
};

function* device_group(dev: device): Gen<iommu_group | Err> {
  const before = dev instanceof test_device && dev.joins ? the_iommu().last_added : null;
  const shared = before === null ? null : yield* iommu_group_get(before);
  return shared ?? (yield* iommu_group_alloc(dev));
}

function* get_resv_regions(dev: device, list: list_head<iommu_resv_region>): Gen<void> {
  if (!(dev instanceof test_device) || dev.reserved === 0n) return;
  const type = iommu_resv_type.IOMMU_RESV_RESERVED;
  const region = iommu_alloc_resv_region(dev, dev.reserved, 0x1000n, 0, type);
  if (region !== null) list_add_tail(region.list, list);
}

function* domain_alloc_paging(_dev: device | null, creator: Named, role: string): Gen<iommu_domain | null> {
  const domain = kzalloc(iommu_domain, creator, role);
  if (domain !== null) domain.geometry.aperture_end = 0xffff_ffff_ffff_ffffn;
  return domain;
}

const ops: iommu_ops = {
  name: 'test_ops',
  get blocked_domain() {
    return the_iommu().blocked;
  },
  capable: (_dev, cap) => cap === 'IOMMU_CAP_CACHE_COHERENCY' || cap === 'IOMMU_CAP_DEFERRED_FLUSH',
  domain_alloc_paging,
  probe_device: () => done(the_iommu().hardware),
  device_group,
  get_resv_regions,
  default_domain_ops: paging_ops,
  pgsize_bitmap: 0x1000n,
};

/** The driver is loaded. */
export function register_test_iommu(): Co<Rc> {
  const { hardware, bus, nb } = the_iommu();
  return iommu_device_register_bus(hardware, ops, bus, nb);
}

/** A device appears; `joins`: in the group of the last one that did. */
export function* add_test_device(name: string, joins: boolean): Gen<test_device> {
  const dev = new test_device(machine().root, name);
  device_initialize(dev);
  dev.release = () => done(kfree(dev));
  dev.bus = the_iommu().bus;
  dev.joins = joins;
  dev.isolated_msi = true;
  yield* device_add(dev);
  the_iommu().last_added = dev;
  return dev;
}
