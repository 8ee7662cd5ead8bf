// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommu.c (6.12): how a device comes to an IOMMU and a group, and leaves them. */
import {
  LIST_HEAD,
  list_add_tail,
  list_del,
  list_del_init,
  list_empty,
  list_first_entry_or_null,
  type list_head,
} from '../../sim/collections/list.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { lockdep_assert_held, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { spin_lock, spin_unlock } from '../../sim/sync/spinlock.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { ENODEV, ENOMEM } from '../../uapi/errno.ts';
import { bus_for_each_dev, bus_register_notifier } from '../driver-core/bus.ts';
import { type bus_type, device } from '../driver-core/device.ts';
import type { notifier_block } from '../driver-core/notifier.ts';
import { iommu_setup_dma_ops } from './dma-iommu.ts';
import { dev_iommu, group_device, type iommu_device, type iommu_group, type iommu_ops } from './iommu.h.ts';
import { dev_has_iommu, dev_iommu_ops, iommu_domain_free } from './iommu.ts';
import { iommu_create_device_direct_mappings, iommu_setup_default_domain } from './iommu_default_domain.ts';
import { __iommu_device_set_domain, group_devices, iommu, iommu_group_put } from './iommu_group.ts';

import { iommu_group_notify } from './iommu_owner.ts';

const fn = sourceFile('drivers/iommu/iommu.c');

/** The driver that devices without a firmware description of their IOMMU get: the first that registered. */
const iommu_ops_from_fwnode = fn('iommu_ops_from_fwnode', function* (): Gen<iommu_ops | null> {
  const { iommu_device_list, iommu_device_lock } = iommu();
  yield* spin_lock(iommu_device_lock);
  const first = list_first_entry_or_null(iommu_device_list);
  yield* spin_unlock(iommu_device_lock);
  return first?.ops ?? null;
});

function dev_iommu_get(dev: device): dev_iommu | null {
  lockdep_assert_held(iommu().iommu_probe_device_lock);
  if (dev.iommu === null) dev.iommu = kzalloc(dev_iommu, dev, 'iommu');
  return dev.iommu;
}

function dev_iommu_free(dev: device): void {
  const param = dev.iommu;
  dev.iommu = null;
  if (param !== null) kfree(param);
}

/** Lets the driver have the device, and finds its group: dev.iommu and dev.iommu_group. */
function* iommu_init_device(dev: device, ops: iommu_ops): Gen<iommu_group | Err> {
  const param = dev_iommu_get(dev);
  if (param === null) return fail(ENOMEM, "no memory for the device's IOMMU data");
  const iommu_dev = yield* ops.probe_device(dev);
  if (IS_ERR(iommu_dev)) {
    dev_iommu_free(dev);
    return iommu_dev;
  }
  param.iommu_dev = iommu_dev;
  const group = yield* ops.device_group(dev);
  if (IS_ERR(group)) {
    if (ops.release_device) yield* ops.release_device(dev);
    param.iommu_dev = null;
    dev_iommu_free(dev);
    return group;
  }
  dev.iommu_group = group;
  if (ops.is_attach_deferred) param.attach_deferred = ops.is_attach_deferred(dev);
  return group;
}

/** Undoes iommu_init_device; the caller puts the group. The last device takes the group's domains with it. */
const iommu_deinit_device = fn('iommu_deinit_device', function* (group: iommu_group, dev: device): Gen<void> {
  const ops = dev_iommu_ops(dev);
  lockdep_assert_held(group.mutex);
  if (dev.iommu?.attach_deferred === false && ops.release_domain?.ops?.attach_dev) {
    yield* ops.release_domain.ops.attach_dev(ops.release_domain, dev);
  }
  if (ops.release_device) yield* ops.release_device(dev);
  if (list_empty(group.devices)) {
    if (group.default_domain !== null) yield* iommu_domain_free(group.default_domain);
    group.default_domain = null;
    if (group.blocking_domain !== null) yield* iommu_domain_free(group.blocking_domain);
    group.blocking_domain = null;
    group.domain = null;
  }
  dev.iommu_group = null;
  dev_iommu_free(dev);
  dev.dma_iommu = false;
});

const iommu_group_alloc_device = fn(
  'iommu_group_alloc_device',
  (group: iommu_group, dev: device): group_device | Err => {
    const gdev = kzalloc(group_device, group, 'device');
    if (gdev === null) return fail(ENOMEM, 'no memory for a place in the group');
    gdev.dev = dev;
    return gdev;
  },
);

const __iommu_group_free_device = fn(
  '__iommu_group_free_device',
  (group: iommu_group, gdev: group_device): void => {
    if (list_empty(group.devices)) {
      const used = group.owner_cnt !== 0 || group.domain !== group.default_domain;
      WARN_ON(used, `the last device leaves ${group.name} while it is owned or attached`);
    }
    kfree(gdev);
  },
);

/** Gives the device, which is in the group's list, the group's domain, or the group its first. */
function* set_up_domain(group: iommu_group, dev: device, group_list: list_head<iommu_group> | null): Gen<Rc> {
  const broken = group.default_domain !== null && group.domain === null;
  WARN_ON(broken, `${group.name} has a default domain but is attached to none`);
  if (group.default_domain !== null) yield* iommu_create_device_direct_mappings(group.default_domain, dev);
  if (group.domain !== null) return yield* __iommu_device_set_domain(group, dev, group.domain, 0);
  if (group.default_domain !== null) return 0;
  if (group_list === null) return yield* iommu_setup_default_domain(group, 0);
  if (list_empty(group.entry)) list_add_tail(group.entry, group_list);
  return 0;
}

const __iommu_probe_device = fn(
  '__iommu_probe_device',
  function* (dev: device, group_list: list_head<iommu_group> | null): Gen<Rc> {
    const ops = yield* iommu_ops_from_fwnode();
    if (ops === null) return fail(ENODEV, 'no IOMMU driver is registered');
    lockdep_assert_held(iommu().iommu_probe_device_lock);
    if (dev.iommu_group !== null) return 0;
    const group = yield* iommu_init_device(dev, ops);
    if (IS_ERR(group)) return group;

    let ret: Rc;
    const gdev = iommu_group_alloc_device(group, dev);
    yield* mutex_lock(group.mutex);
    if (IS_ERR(gdev)) {
      ret = gdev;
    } else {
      list_add_tail(gdev.list, group.devices);
      ret = yield* set_up_domain(group, dev, group_list);
      if (ret !== 0) {
        list_del(gdev.list);
        __iommu_group_free_device(group, gdev);
      } else if (group.default_domain !== null) {
        iommu_setup_dma_ops(dev);
      }
    }
    if (ret !== 0) yield* iommu_deinit_device(group, dev);
    yield* mutex_unlock(group.mutex);
    if (ret !== 0) yield* iommu_group_put(group);
    return ret;
  },
);

/**
 * Puts a device under the IOMMU that it is behind: a group, its domain. -ENODEV: it is behind none; -ENOMEM;
 * what the driver says.
 */
const iommu_probe_device = fn('iommu_probe_device', function* (dev: device): Gen<Rc> {
  const { iommu_probe_device_lock } = iommu();
  yield* mutex_lock(iommu_probe_device_lock);
  const ret = yield* __iommu_probe_device(dev, null);
  yield* mutex_unlock(iommu_probe_device_lock);
  if (ret !== 0) return ret;
  const ops = dev_iommu_ops(dev);
  if (ops.probe_finalize) yield* ops.probe_finalize(dev);
  return 0;
});

const __iommu_group_remove_device = fn(
  '__iommu_group_remove_device',
  function* (group: iommu_group, dev: device): Gen<void> {
    yield* mutex_lock(group.mutex);
    for (const gdev of group.devices) {
      if (gdev.dev !== dev) continue;
      list_del(gdev.list);
      __iommu_group_free_device(group, gdev);
      if (dev_has_iommu(dev)) yield* iommu_deinit_device(group, dev);
      else dev.iommu_group = null;
      break;
    }
    yield* mutex_unlock(group.mutex);
    yield* iommu_group_put(group);
  },
);

function* iommu_release_device(dev: device): Gen<void> {
  if (dev.iommu_group !== null) yield* __iommu_group_remove_device(dev.iommu_group, dev);
  if (dev.iommu !== null) dev_iommu_free(dev);
}

const iommu_bus_notifier = fn('iommu_bus_notifier', function* (action: string, dev: Observed): Gen<void> {
  if (!(dev instanceof device)) throw new Error(`${dev.name} is no device`);
  if (action === 'BUS_NOTIFY_ADD_DEVICE') yield* iommu_probe_device(dev);
  else if (action === 'BUS_NOTIFY_REMOVED_DEVICE') yield* iommu_release_device(dev);
  else yield* iommu_group_notify(action, dev);
});

function* probe_iommu_group(dev: device, group_list: list_head<iommu_group>): Gen<Rc> {
  const { iommu_probe_device_lock } = iommu();
  yield* mutex_lock(iommu_probe_device_lock);
  const ret = yield* __iommu_probe_device(dev, group_list);
  yield* mutex_unlock(iommu_probe_device_lock);
  return ret === -ENODEV ? 0 : ret;
}

/** Probes what is on the bus already; all groups are known before the first gets its default domain. */
const bus_iommu_probe = fn('bus_iommu_probe', function* (bus: bus_type): Gen<Rc> {
  const group_list = LIST_HEAD<iommu_group>('group_list');
  const error = yield* bus_for_each_dev(bus, (dev) => probe_iommu_group(dev, group_list));
  if (error !== 0) return error;
  for (const group of group_list) {
    yield* mutex_lock(group.mutex);
    list_del_init(group.entry);
    const ret = yield* iommu_setup_default_domain(group, 0);
    if (ret === 0) for (const dev of group_devices(group)) iommu_setup_dma_ops(dev);
    yield* mutex_unlock(group.mutex);
    if (ret !== 0) return ret;
    // 6.12 does this: probe_finalize is called for the group's devices without the group's mutex.
    for (const dev of group_devices(group)) {
      const ops = dev_iommu_ops(dev);
      if (ops.probe_finalize) yield* ops.probe_finalize(dev);
    }
  }
  return 0;
});

/** A bus that the IOMMU core listens to, and by what. */
interface Listening {
  readonly bus: bus_type;
  readonly nb: notifier_block;
}

/** Registers an IOMMU for the devices of the buses: those that are there, and those that come. -ENODEV etc.: a device. */
export const iommu_device_register = fn(
  'iommu_device_register',
  function* (iommu_dev: iommu_device, ops: iommu_ops, buses: readonly Listening[]): Gen<Rc> {
    const { iommu_device_list, iommu_device_lock } = iommu();
    for (const { bus, nb } of buses) {
      nb.notifier_call = iommu_bus_notifier;
      yield* bus_register_notifier(bus, nb);
    }
    iommu_dev.ops = ops;
    yield* spin_lock(iommu_device_lock);
    list_add_tail(iommu_dev.list, iommu_device_list);
    yield* spin_unlock(iommu_device_lock);
    for (const { bus } of buses) {
      const rc = yield* bus_iommu_probe(bus);
      if (rc !== 0) return rc;
    }
    return 0;
  },
);

/** As iommu_device_register, for a driver that has one bus of its own. */
export const iommu_device_register_bus = fn(
  'iommu_device_register_bus',
  function* (iommu_dev: iommu_device, ops: iommu_ops, bus: bus_type, nb: notifier_block): Gen<Rc> {
    return yield* iommu_device_register(iommu_dev, ops, [{ bus, nb }]);
  },
);
