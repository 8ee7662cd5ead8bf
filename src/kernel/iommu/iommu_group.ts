// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommu.c (6.12): groups, their references, and which domain they are attached to. */
import { ida, ida_alloc, ida_free } from '../../sim/collections/ida.ts';
import { INIT_LIST_HEAD, list, list_first_entry, list_is_singular } from '../../sim/collections/list.ts';
import {
  XA_ZERO_ENTRY,
  xa_erase,
  xa_insert,
  xa_load,
  xa_lock,
  xa_release,
  xa_reserve,
  xa_store,
  xa_unlock,
} from '../../sim/collections/xarray.ts';
import { machine } from '../../sim/context.ts';
import { type Err, fail, type Rc } from '../../sim/errno.ts';
import { embed, enumeration } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { root, struct } from '../../sim/struct.ts';
import { lockdep_assert_held, mutex, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { READ_ONCE } from '../../sim/sync/rcu.ts';
import { spinlock } from '../../sim/sync/spinlock.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { variant } from '../../sim/variant.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EBUSY, EINVAL, ENODEV, ENOENT, ENOMEM, ENOSPC } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import { kobject_get, kobject_init, kobject_put } from '../driver-core/kobject.ts';
import { sysfs_create_file, sysfs_remove } from '../fs/kernfs.ts';
import {
  dma_api_token,
  IOMMU_NO_PASID,
  type iommu_attach_handle,
  type iommu_device,
  type iommu_domain,
  iommu_domain_type,
  iommu_group,
} from './iommu.h.ts';
import { __iommu_domain_alloc, dev_has_iommu, dev_iommu_ops } from './iommu.ts';
import { iommu_group_show_type, iommu_group_store_type } from './iommu_default_domain.ts';

const fn = sourceFile('drivers/iommu/iommu.c');

const THREAD = 'Fix BUG_ON in vfio_iommu_group_notifier(), v6 02/11, Feb 2022';

/** What iommu.c keeps in global variables. */
class iommu_core extends struct('iommu_core', root, {
  iommu_group_ida: ida(),
  iommu_device_list: list<iommu_device>({ guardedBy: 'iommu_device_lock' }),
  iommu_device_lock: embed(spinlock),
  iommu_probe_device_lock: embed(mutex),
  /** The type of a group's default domain where no driver minds. */
  iommu_def_domain_type: enumeration(iommu_domain_type),
}) {}

function boot_core(creator: Named): iommu_core {
  const core = new iommu_core(creator, 'iommu', true);
  // As CONFIG_IOMMU_DEFAULT_DMA_LAZY has it.
  core.iommu_def_domain_type = iommu_domain_type.IOMMU_DOMAIN_DMA_FQ;
  return core;
}

/** The IOMMU core of the machine that runs. */
export const iommu = (): iommu_core => machine().singleton(boot_core);

const type_path = ({ id }: iommu_group): string => `/sys/kernel/iommu_groups/${id}/type`;

const iommu_group_release = fn('iommu_group_release', function* (group: iommu_group): Gen<void> {
  yield* sysfs_remove(type_path(group));
  yield* ida_free(iommu().iommu_group_ida, group.id);
  WARN_ON(group.default_domain !== null, `${group.name} is released with a default domain`);
  WARN_ON(group.blocking_domain !== null, `${group.name} is released with a blocking domain`);
  kfree(group);
});

/** A group of no devices, with a reference for the caller. -ENOMEM; -ENOSPC: every number is taken. */
export const iommu_group_alloc = fn('iommu_group_alloc', function* (creator: Named): Gen<iommu_group | Err> {
  const group = kzalloc(iommu_group, creator, 'group');
  if (group === null) return fail(ENOMEM, 'no memory for the group');
  INIT_LIST_HEAD(group.entry);
  const id = yield* ida_alloc(iommu().iommu_group_ida);
  if (id === null) {
    kfree(group);
    return fail(ENOSPC, 'every group number is taken');
  }
  group.id = id;
  // In Linux this one holds the group's own kobject, which nobody else holds: one count says both.
  kobject_init(group.devices_kobj, () => iommu_group_release(group));
  const rc = yield* sysfs_create_file(group, type_path(group), {
    name: 'type',
    show: () => iommu_group_show_type(group),
    store: (buf) => iommu_group_store_type(group, buf),
  });
  if (rc === 0) return group;
  yield* iommu_group_put(group);
  return rc;
});

/** For iommu_ops.device_group: a group of its own for each device. */
export const generic_device_group = fn('generic_device_group', function* (dev: device): Gen<
  iommu_group | Err
> {
  return yield* iommu_group_alloc(dev);
});

/** The device's group with a reference, or null. Pair with iommu_group_put. */
export const iommu_group_get = fn('iommu_group_get', function* (dev: device): Gen<iommu_group | null> {
  const group = dev.iommu_group;
  if (group !== null) yield* kobject_get(group.devices_kobj);
  return group;
});

/** One more reference to a group of which the caller has one. */
export const iommu_group_ref_get = fn('iommu_group_ref_get', function* (group: iommu_group): Gen<void> {
  yield* kobject_get(group.devices_kobj);
});

/** Drops a reference; the last one ends the group. */
export const iommu_group_put = fn('iommu_group_put', function* (group: iommu_group | null): Gen<void> {
  if (group !== null) yield* kobject_put(group.devices_kobj);
});

export const iommu_group_id = fn('iommu_group_id', (group: iommu_group): number => group.id);

/** Some device of the group, which must have one; under its mutex. */
export function iommu_group_first_dev(group: iommu_group): device {
  lockdep_assert_held(group.mutex);
  const { dev } = list_first_entry(group.devices);
  if (dev === null) throw new Error(`${group.name} has a member that is no device`);
  return dev;
}

/** The devices of a group, in the order in which they came; under its mutex. */
export function* group_devices(group: iommu_group): Generator<device, void> {
  for (const { dev } of group.devices) if (dev !== null) yield dev;
}

/** As __iommu_domain_alloc, from the driver of the group, which names it too. */
export function __iommu_group_domain_alloc(
  group: iommu_group,
  type: number,
  role: string,
): Co<iommu_domain | Err> {
  const dev = iommu_group_first_dev(group);
  return __iommu_domain_alloc(dev_iommu_ops(dev), dev, type, group, role);
}

/** Whether the MSIs of all its devices are isolated. */
export const iommu_group_has_isolated_msi = fn(
  'iommu_group_has_isolated_msi',
  function* (group: iommu_group): Gen<boolean> {
    let isolated = true;
    yield* mutex_lock(group.mutex);
    for (const dev of group_devices(group)) isolated &&= dev.isolated_msi;
    yield* mutex_unlock(group.mutex);
    return isolated;
  },
);

/** The domain that the device's DMA goes to; null: it is in no group. */
export const iommu_get_domain_for_dev = fn(
  'iommu_get_domain_for_dev',
  (dev: device): iommu_domain | null => dev.iommu_group?.domain ?? null,
);

const __iommu_attach_device = fn(
  '__iommu_attach_device',
  function* (domain: iommu_domain, dev: device): Gen<Rc> {
    if (!domain.ops?.attach_dev) return fail(ENODEV, 'nothing can be attached to the domain');
    const ret = yield* domain.ops.attach_dev(domain, dev);
    if (ret !== 0) return ret;
    if (dev.iommu !== null) dev.iommu.attach_deferred = false;
    return 0;
  },
);

/** It cannot be refused: where a device refuses all the same, go on with the others. */
export const IOMMU_SET_DOMAIN_MUST_SUCCEED = 1;

/**
 * Attaches one device of the group to a domain. -EINVAL: the device has regions that must stay mapped, so it
 * cannot be blocked; what the driver says.
 */
export const __iommu_device_set_domain = fn(
  '__iommu_device_set_domain',
  function* (group: iommu_group, dev: device, new_domain: iommu_domain, flags: number): Gen<Rc> {
    const param = dev.iommu;
    const blocks =
      new_domain.type === iommu_domain_type.IOMMU_DOMAIN_BLOCKED || new_domain === group.blocking_domain;
    if (param?.require_direct && blocks) {
      return fail(EINVAL, 'firmware wants the device to have a 1:1 mapping at all times');
    }
    if (param?.attach_deferred) {
      if (new_domain === group.default_domain) return 0;
      param.attach_deferred = false;
    }
    const ret = yield* __iommu_attach_device(new_domain, dev);
    if (ret === 0) return 0;
    const { blocking_domain } = group;
    const must = (flags & IOMMU_SET_DOMAIN_MUST_SUCCEED) !== 0;
    if (must && blocking_domain !== null && blocking_domain !== new_domain) {
      yield* __iommu_attach_device(blocking_domain, dev);
    }
    return ret;
  },
);

/**
 * Attaches every device of the group to a domain. An error leaves all on the old one, unless
 * IOMMU_SET_DOMAIN_MUST_SUCCEED: then the group counts as attached to the new one.
 */
export const __iommu_group_set_domain_internal = fn(
  '__iommu_group_set_domain_internal',
  function* (group: iommu_group, new_domain: iommu_domain | null, flags: number): Gen<Rc> {
    lockdep_assert_held(group.mutex);
    if (group.domain === new_domain) return 0;
    if (new_domain === null) {
      WARN_ON(true, `${group.name} is to be attached to no domain`);
      return fail(EINVAL, 'there is no domain to attach to');
    }
    let result: Rc = 0;
    for (const dev of group_devices(group)) {
      const ret = yield* __iommu_device_set_domain(group, dev, new_domain, flags);
      if (ret === 0) continue;
      if ((flags & IOMMU_SET_DOMAIN_MUST_SUCCEED) === 0) {
        yield* revert(group, dev);
        return ret;
      }
      result = ret;
    }
    group.domain = new_domain;
    return result;
  },
);

/** Back to the domain that the group was attached to, for the devices up to the one that refused. */
function* revert(group: iommu_group, last: device): Gen<void> {
  for (const dev of group_devices(group)) {
    if (group.domain !== null) {
      const ret = yield* __iommu_device_set_domain(group, dev, group.domain, IOMMU_SET_DOMAIN_MUST_SUCCEED);
      WARN_ON(ret !== 0, `${dev.name} cannot go back to the domain that it was attached to`);
    }
    if (dev === last) break;
  }
}

export const __iommu_group_set_domain = (group: iommu_group, new_domain: iommu_domain | null): Co<Rc> =>
  __iommu_group_set_domain_internal(group, new_domain, 0);

/** As __iommu_group_set_domain, for what must not fail: it is a WARN when it does. */
export function* __iommu_group_set_domain_nofail(
  group: iommu_group,
  new_domain: iommu_domain | null,
): Gen<void> {
  const ret = yield* __iommu_group_set_domain_internal(group, new_domain, IOMMU_SET_DOMAIN_MUST_SUCCEED);
  WARN_ON(ret !== 0, `${group.name} cannot be attached to a domain that it must be attached to`);
}

/** Back to a domain of the core's own: nothing reaches memory while somebody owns the group. */
function __iommu_group_set_core_domain(group: iommu_group): Co<void> {
  const owned = group.owner !== null && !(group.owner instanceof dma_api_token);
  return __iommu_group_set_domain_nofail(group, owned ? group.blocking_domain : group.default_domain);
}

const __iommu_attach_group = fn(
  '__iommu_attach_group',
  function* (domain: iommu_domain, group: iommu_group): Gen<Rc> {
    if (
      group.domain !== null &&
      group.domain !== group.default_domain &&
      group.domain !== group.blocking_domain
    ) {
      return fail(EBUSY, 'the group is attached to another domain');
    }
    const dev = iommu_group_first_dev(group);
    if (!dev_has_iommu(dev) || dev_iommu_ops(dev) !== domain.owner) {
      return fail(EINVAL, 'the domain is of another IOMMU driver');
    }
    return yield* __iommu_group_set_domain(group, domain);
  },
);

const attachDevice = variant('attach-device', {
  at: 'drivers/iommu/iommu.c:iommu_attach_device',
  about: 'When a driver may attach its device to a domain of its own',
  choices: {
    '6.12': { about: 'when the device is alone in its group', source: 'Linux 6.12' },
    'owner-cnt': {
      about:
        'when its driver is the only one that uses the group, which the count tells; or the group is attached there',
      source: `${THREAD}: Murphy, 2022-02-23, "from singleton to unowned"; Gunthorpe, 2022-02-22, on the next series`,
    },
    walk: {
      about: 'when no sibling has a driver that uses the DMA API at the moment',
      source: `${THREAD}: Gunthorpe, 2022-02-22, "I don't think this list can replace it there"`,
    },
  },
});

/** Attaches the group, if the driver of the device has it for itself as far as the design can tell. */
function* attach_alone(domain: iommu_domain, group: iommu_group, dev: device): Gen<Rc> {
  switch (attachDevice()) {
    case '6.12':
      if (!list_is_singular(group.devices)) return fail(EINVAL, 'the device shares its group with others');
      break;
    case 'owner-cnt':
      if (group.domain === domain) return 0;
      if (group.owner_cnt !== 1 || group.owner !== null) return fail(EBUSY, 'others use the group');
      break;
    case 'walk':
      if (group.domain === domain) return 0;
      for (const sibling of group_devices(group)) {
        if (sibling === dev) continue;
        const drv = yield* READ_ONCE(sibling, 'driver');
        if (drv !== null && !drv.driver_managed_dma) return fail(EBUSY, 'a sibling has a driver');
      }
  }
  return yield* __iommu_attach_group(domain, group);
}

/**
 * For a driver that is bound to the device: attaches it to a domain of the driver's own. -ENODEV: no group;
 * -EINVAL: it shares its group with others, or the domain is another driver's; -EBUSY: attached to another.
 */
export const iommu_attach_device = fn(
  'iommu_attach_device',
  function* (domain: iommu_domain, dev: device): Gen<Rc> {
    const group = dev.iommu_group;
    if (group === null) return fail(ENODEV, 'the device is in no IOMMU group');
    yield* mutex_lock(group.mutex);
    const ret = yield* attach_alone(domain, group, dev);
    yield* mutex_unlock(group.mutex);
    return ret;
  },
);

/** Undoes iommu_attach_device. (6.12 warns, too, where the group has come to have several devices.) */
export const iommu_detach_device = fn(
  'iommu_detach_device',
  function* (domain: iommu_domain, dev: device): Gen<void> {
    const group = dev.iommu_group;
    if (group === null) return;
    yield* mutex_lock(group.mutex);
    const other = WARN_ON(domain !== group.domain, `${group.name} is not attached to ${domain.name}`);
    if (!other) yield* __iommu_group_set_core_domain(group);
    yield* mutex_unlock(group.mutex);
  },
);

/**
 * The handle that a domain was attached with, until it is detached. `type` 0: of any type of domain. -ENOENT:
 * none; -EBUSY: a domain of another type is attached.
 */
export const iommu_attach_handle_get = fn(
  'iommu_attach_handle_get',
  function* (group: iommu_group, pasid: number, type: number): Gen<iommu_attach_handle | Err> {
    yield* xa_lock(group.pasid_array);
    const handle = xa_load(group.pasid_array, pasid);
    const other = type !== 0 && handle !== null && handle.domain?.type !== type;
    yield* xa_unlock(group.pasid_array);
    if (handle === null) return fail(ENOENT, 'no domain is attached with a handle');
    return other ? fail(EBUSY, 'a domain of another type is attached') : handle;
  },
);

const attachHandle = variant('attach-handle', {
  at: 'drivers/iommu/iommu.c:iommu_attach_group_handle',
  about: 'When a page request first finds the handle of an attach',
  choices: {
    '6.12': { about: 'before the driver attaches; taken away again where it fails', source: 'Linux 6.12' },
    'after-driver': {
      about: 'when the driver has attached; only the place is reserved before',
      source:
        'iommu: Swap the order of setting group->pasid_array and calling attach op of iommu drivers (5e9f822c9c68, 6.15)',
    },
  },
});

/**
 * Attaches a group that only the core uses, and keeps `handle` while it is attached. -EBUSY: attached already;
 * -EINVAL: another driver's domain, or one that does not go with the device; what the driver says.
 */
export const iommu_attach_group_handle = fn(
  'iommu_attach_group_handle',
  function* (domain: iommu_domain, group: iommu_group, handle: iommu_attach_handle | null): Gen<Rc> {
    if (handle !== null) handle.domain = domain;
    yield* mutex_lock(group.mutex);
    let ret: Rc;
    const late = attachHandle() === 'after-driver';
    if (yield* xa_insert(group.pasid_array, IOMMU_NO_PASID, late ? XA_ZERO_ENTRY : handle)) {
      ret = yield* __iommu_attach_group(domain, group);
      if (ret !== 0) yield* xa_erase(group.pasid_array, IOMMU_NO_PASID);
      else if (late) yield* xa_store(group.pasid_array, IOMMU_NO_PASID, handle);
    } else {
      ret = fail(EBUSY, 'the group is attached with a handle already');
    }
    yield* mutex_unlock(group.mutex);
    return ret;
  },
);

/** Undoes iommu_attach_group_handle; the handle is the caller's again. */
export const iommu_detach_group_handle = fn(
  'iommu_detach_group_handle',
  function* (_domain: iommu_domain, group: iommu_group): Gen<void> {
    yield* mutex_lock(group.mutex);
    yield* __iommu_group_set_core_domain(group);
    yield* xa_erase(group.pasid_array, IOMMU_NO_PASID);
    yield* mutex_unlock(group.mutex);
  },
);

/** Attaches the group to another domain without a moment on none. -EINVAL: no domain; what the driver says. */
export const iommu_replace_group_handle = fn(
  'iommu_replace_group_handle',
  function* (
    group: iommu_group,
    new_domain: iommu_domain | null,
    handle: iommu_attach_handle | null,
  ): Gen<Rc> {
    if (new_domain === null) return fail(EINVAL, 'there is no domain to attach to');
    yield* mutex_lock(group.mutex);
    if (handle !== null) {
      yield* xa_reserve(group.pasid_array, IOMMU_NO_PASID);
      handle.domain = new_domain;
    }
    const ret = yield* __iommu_group_set_domain(group, new_domain);
    if (ret === 0) yield* xa_store(group.pasid_array, IOMMU_NO_PASID, handle);
    else yield* xa_release(group.pasid_array, IOMMU_NO_PASID);
    yield* mutex_unlock(group.mutex);
    return ret;
  },
);
