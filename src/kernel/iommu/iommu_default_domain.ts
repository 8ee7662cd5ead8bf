// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommu.c (6.12): the domain that a group has while nobody owns it, and its type in sysfs. */
import { klist_node_attached } from '../../sim/collections/klist.ts';
import { LIST_HEAD, list_empty, list_is_singular } from '../../sim/collections/list.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { lockdep_assert_held, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import type { Gen } from '../../sim/task.ts';
import { variant } from '../../sim/variant.ts';
import { printk, WARN_ON } from '../../sim/warn.ts';
import { EACCES, EBUSY, EINVAL, EPERM } from '../../uapi/errno.ts';
import { type device, device_lock, device_unlock, get_device, put_device } from '../driver-core/device.ts';
import { capable } from '../sched/task.ts';
import { iommu_dma_init_fq, iommu_setup_dma_ops } from './dma-iommu.ts';
import {
  type iommu_domain,
  iommu_domain_type,
  type iommu_group,
  iommu_is_dma_domain,
  type iommu_resv_region,
  iommu_resv_type,
} from './iommu.h.ts';
import {
  dev_iommu_ops,
  iommu_domain_free,
  iommu_get_resv_regions,
  iommu_iova_to_phys,
  iommu_map,
  iommu_put_resv_regions,
} from './iommu.ts';
import {
  __iommu_group_domain_alloc,
  __iommu_group_set_domain_internal,
  group_devices,
  IOMMU_SET_DOMAIN_MUST_SUCCEED,
  iommu,
  iommu_group_first_dev,
} from './iommu_group.ts';

const fn = sourceFile('drivers/iommu/iommu.c');

const align = (n: bigint, size: bigint): bigint => (n + size - 1n) & -size;

/** Maps the region 1:1 as far as nothing is mapped there yet. */
function* map_direct(domain: iommu_domain, entry: iommu_resv_region, pg_size: bigint): Gen<Rc> {
  const end = align(entry.start + entry.length, pg_size);
  let map_size = 0n;
  for (let addr = align(entry.start, pg_size); addr <= end; addr += pg_size) {
    if (addr !== end && iommu_iova_to_phys(domain, addr) === 0) {
      map_size += pg_size;
      continue;
    }
    if (map_size === 0n) continue;
    const start = addr - map_size;
    const ret = yield* iommu_map(domain, start, Number(start), Number(map_size), entry.prot);
    if (ret !== 0) return ret;
    map_size = 0n;
  }
  return 0;
}

/**
 * Maps what firmware wants mapped 1:1 for the device, and notes whether it wants that at all times. -EINVAL: a
 * domain without page sizes; what iommu_map says.
 */
export const iommu_create_device_direct_mappings = fn(
  'iommu_create_device_direct_mappings',
  function* (domain: iommu_domain, dev: device): Gen<Rc> {
    const pg_size = domain.pgsize_bitmap & -domain.pgsize_bitmap;
    const maps = iommu_is_dma_domain(domain);
    if (WARN_ON(maps && pg_size === 0n, `${domain.name} has no page sizes`)) {
      return fail(EINVAL, 'a DMA domain without page sizes');
    }
    const { IOMMU_RESV_DIRECT, IOMMU_RESV_DIRECT_RELAXABLE } = iommu_resv_type;
    const mappings = LIST_HEAD<iommu_resv_region>('mappings');
    let ret: Rc = 0;
    yield* iommu_get_resv_regions(dev, mappings);
    for (const entry of mappings) {
      if (entry.type === IOMMU_RESV_DIRECT && dev.iommu !== null) dev.iommu.require_direct = true;
      if (entry.type !== IOMMU_RESV_DIRECT && entry.type !== IOMMU_RESV_DIRECT_RELAXABLE) continue;
      if (maps) ret = yield* map_direct(domain, entry, pg_size);
      if (ret !== 0) break;
    }
    if (ret === 0 && maps && !list_empty(mappings) && domain.ops?.flush_iotlb_all) {
      yield* domain.ops.flush_iotlb_all(domain);
    }
    iommu_put_resv_regions(dev, mappings);
    return ret;
  },
);

function driver_domain_type(group: iommu_group, dev: device, cur_type: number): number {
  const ops = dev_iommu_ops(dev);
  const type = ops.default_domain?.type ?? ops.def_domain_type?.(dev) ?? cur_type;
  if (type === 0 || cur_type === type) return cur_type;
  if (cur_type === 0) return type;
  printk(`the IOMMU driver wants conflicting types of default domain in ${group.name}`);
  return type === iommu_domain_type.IOMMU_DOMAIN_IDENTITY ? type : cur_type;
}

/**
 * The type of default domain that the driver wants for the devices of a group, or else `target`; 0: nobody minds.
 * -EINVAL: the driver wants another than `target`.
 */
function iommu_get_default_domain_type(group: iommu_group, target: number): number {
  lockdep_assert_held(group.mutex);
  let type = 0;
  for (const dev of group_devices(group)) type = driver_domain_type(group, dev, type);
  if (target === 0) return type;
  return type !== 0 && type !== target ? fail(EINVAL, 'the driver wants another type of domain') : target;
}

function* iommu_group_alloc_default_domain(group: iommu_group, req_type: number): Gen<iommu_domain | Err> {
  const { default_domain } = dev_iommu_ops(iommu_group_first_dev(group));
  if (default_domain !== undefined) {
    return req_type === default_domain.type
      ? default_domain
      : fail(EINVAL, 'the driver has another default domain');
  }
  if (req_type !== 0) return yield* __iommu_group_domain_alloc(group, req_type, 'default_domain');
  const { iommu_def_domain_type } = iommu();
  const dom = yield* __iommu_group_domain_alloc(group, iommu_def_domain_type, 'default_domain');
  if (!IS_ERR(dom)) return dom;
  if (iommu_def_domain_type === iommu_domain_type.IOMMU_DOMAIN_DMA) {
    return fail(EINVAL, 'the driver has no domains for the DMA API');
  }
  return yield* __iommu_group_domain_alloc(group, iommu_domain_type.IOMMU_DOMAIN_DMA, 'default_domain');
}

function* create_group_direct_mappings(group: iommu_group, dom: iommu_domain): Gen<Rc> {
  let failed: Rc = 0;
  for (const dev of group_devices(group)) {
    const ret = yield* iommu_create_device_direct_mappings(dom, dev);
    if (ret !== 0) failed = ret;
  }
  return failed;
}

/** Undoes what setting up the domain has done so far, where the group had another before. */
function* restore(group: iommu_group, dom: iommu_domain, old: iommu_domain | null): Gen<void> {
  if (old === null) return;
  yield* iommu_domain_free(dom);
  group.default_domain = old;
}

/**
 * Gives the group a default domain of a type, or of the one that its driver likes (0), and attaches it. -EINVAL:
 * the driver has none of the type, or wants another; what the driver says. Then it keeps the one it had, if any.
 */
export const iommu_setup_default_domain = fn(
  'iommu_setup_default_domain',
  function* (group: iommu_group, target_type: number): Gen<Rc> {
    lockdep_assert_held(group.mutex);
    const old = group.default_domain;
    const req_type = iommu_get_default_domain_type(group, target_type);
    if (IS_ERR(req_type)) return req_type;
    const dom = yield* iommu_group_alloc_default_domain(group, req_type);
    if (IS_ERR(dom)) return dom;
    if (dom === old) return 0;
    const direct_failed = (yield* create_group_direct_mappings(group, dom)) !== 0;
    group.default_domain = dom;
    const flags = group.domain === null ? IOMMU_SET_DOMAIN_MUST_SUCCEED : 0;
    let ret = yield* __iommu_group_set_domain_internal(group, dom, flags);
    if (ret !== 0 && flags === 0) yield* restore(group, dom, old);
    if (ret !== 0) {
      WARN_ON(flags !== 0, `the driver refuses to attach ${group.name} for the first time`);
      return ret;
    }
    // Some drivers map nothing in a domain before something is attached to it.
    if (direct_failed) ret = yield* create_group_direct_mappings(group, dom);
    if (ret !== 0) {
      if (old !== null) yield* __iommu_group_set_domain_internal(group, old, IOMMU_SET_DOMAIN_MUST_SUCCEED);
      yield* restore(group, dom, old);
      return ret;
    }
    if (old !== null) yield* iommu_domain_free(old);
    return 0;
  },
);

const {
  IOMMU_DOMAIN_BLOCKED,
  IOMMU_DOMAIN_DMA,
  IOMMU_DOMAIN_DMA_FQ,
  IOMMU_DOMAIN_IDENTITY,
  IOMMU_DOMAIN_UNMANAGED,
} = iommu_domain_type;

/** What user space calls the types of domain. */
const TYPE_NAMES: ReadonlyMap<number, string> = new Map<number, string>([
  [IOMMU_DOMAIN_BLOCKED, 'blocked'],
  [IOMMU_DOMAIN_IDENTITY, 'identity'],
  [IOMMU_DOMAIN_UNMANAGED, 'unmanaged'],
  [IOMMU_DOMAIN_DMA, 'DMA'],
  [IOMMU_DOMAIN_DMA_FQ, 'DMA-FQ'],
]);

/** For sysfs: the type of the group's default domain. */
export const iommu_group_show_type = fn('iommu_group_show_type', function* (group: iommu_group): Gen<string> {
  yield* mutex_lock(group.mutex);
  const type = group.default_domain === null ? undefined : TYPE_NAMES.get(group.default_domain.type);
  yield* mutex_unlock(group.mutex);
  return `${type ?? 'unknown'}\n`;
});

const REQUESTED: ReadonlyMap<string, number> = new Map<string, number>([
  ['identity', IOMMU_DOMAIN_IDENTITY],
  ['DMA', IOMMU_DOMAIN_DMA],
  ['DMA-FQ', IOMMU_DOMAIN_DMA_FQ],
  ['auto', 0],
]);

const groupType = variant('group-type', {
  at: 'drivers/iommu/iommu.c:iommu_group_store_type',
  about: 'Which groups can be given a default domain of another type',
  choices: {
    '6.12': { about: 'those that nobody uses or owns', source: 'Linux 6.12' },
    singleton: {
      about: 'those of one device, to which no driver is bound',
      source:
        'Linux 5.18: iommu_group_store_type; Lu in Fix BUG_ON in vfio_iommu_group_notifier(), v6 02/11, 2022-02-23',
    },
  },
});

/**
 * For sysfs: gives the group a default domain of another type. -EACCES: the caller may not; -EINVAL: no such
 * type, or the driver has none; -EPERM: somebody uses or owns the group.
 */
export const iommu_group_store_type = fn(
  'iommu_group_store_type',
  function* (group: iommu_group, buf: string): Gen<number> {
    if (!capable('CAP_SYS_ADMIN') || !capable('CAP_SYS_RAWIO')) return fail(EACCES, 'the caller may not');
    const req_type = REQUESTED.get(buf.replace(/\n$/, ''));
    if (req_type === undefined) return fail(EINVAL, 'no such type of domain');
    const rc =
      groupType() === 'singleton'
        ? yield* store_singleton(group, req_type)
        : yield* store_any(group, req_type);
    return rc === 0 ? buf.length : rc;
  },
);

function* store_any(group: iommu_group, req_type: number): Gen<Rc> {
  yield* mutex_lock(group.mutex);
  const unused = !list_empty(group.devices) && group.owner_cnt === 0;
  const rc = yield* store_type(group, req_type, unused ? 0 : fail(EPERM, 'the group is used or owned'));
  yield* mutex_unlock(group.mutex);
  return rc;
}

/** As 5.18 had it: device_lock keeps drivers away, and only one can be taken under the mutex of the group. */
function* store_singleton(group: iommu_group, req_type: number): Gen<Rc> {
  yield* mutex_lock(group.mutex);
  const dev = list_is_singular(group.devices) ? iommu_group_first_dev(group) : null;
  if (dev !== null) yield* get_device(dev);
  yield* mutex_unlock(group.mutex);
  if (dev === null) return fail(EINVAL, 'the group has several devices');
  yield* device_lock(dev);
  const bound = klist_node_attached(dev.knode_driver) ? fail(EBUSY, 'a driver is bound to the device') : 0;
  yield* mutex_lock(group.mutex);
  const rc = yield* store_type(group, req_type, bound);
  yield* mutex_unlock(group.mutex);
  yield* device_unlock(dev);
  yield* put_device(dev);
  return rc;
}

/** `refused`: what follows where the domain has to be torn down, which bringing up a flush queue spares. */
function* store_type(group: iommu_group, req_type: number, refused: Rc): Gen<Rc> {
  const { default_domain } = group;
  // 6.12 looks at this before it takes the mutex.
  if (default_domain === null) return fail(EINVAL, 'the group has no default domain');
  if (req_type === IOMMU_DOMAIN_DMA_FQ && default_domain.type === IOMMU_DOMAIN_DMA) {
    const rc = iommu_dma_init_fq(default_domain);
    if (rc === 0) default_domain.type = IOMMU_DOMAIN_DMA_FQ;
    return rc;
  }
  if (refused !== 0) return refused;
  const rc = yield* iommu_setup_default_domain(group, req_type);
  if (rc === 0) for (const dev of group_devices(group)) iommu_setup_dma_ops(dev);
  return rc;
}
