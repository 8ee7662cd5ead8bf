// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/io-pgfault.c (6.12): page requests, from the device to the handler and back as one answer. */
import {
  INIT_LIST_HEAD,
  list_add,
  list_count_nodes,
  list_del_init,
  list_move,
} from '../../sim/collections/list.ts';
import { current } from '../../sim/context.ts';
import { fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { call_rcu, rcu_dereference, rcu_read_lock, rcu_read_unlock } from '../../sim/sync/rcu.ts';
import { refcount_dec_and_test, refcount_inc_not_zero } from '../../sim/sync/refcount.ts';
import type { Gen } from '../../sim/task.ts';
import { printk, WARN_ON } from '../../sim/warn.ts';
import { EINVAL, ENOMEM } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import {
  IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
  type iommu_fault,
  type iommu_fault_param,
  iommu_fault_type,
  iommu_page_response_code,
  type iopf_event,
  iopf_fault,
  iopf_group,
} from './io-pgfault.h.ts';
import { type dev_iommu, IOMMU_NO_PASID, type iommu_attach_handle, iommu_domain_type } from './iommu.h.ts';
import { dev_iommu_ops } from './iommu.ts';
import { iommu_attach_handle_get } from './iommu_group.ts';

const fn = sourceFile('drivers/iommu/io-pgfault.c');

function there<T>(it: T | null | undefined, of: { readonly name: string }, what: string): T {
  if (it === null || it === undefined) throw new Error(`${of.name} has no ${what}`);
  return it;
}

/** What the IOMMU core keeps for the device. Throws (a bug of ours) when it is behind no IOMMU. */
export const dev_iommu_of = (dev: device): dev_iommu => there(dev.iommu, dev, 'iommu');
const fault_param_of = (group: iopf_group): iommu_fault_param =>
  there(group.fault_param, group, 'fault_param');

/** Has the driver send an answer. Throws (a bug of ours) when it cannot: then its requests are not taken. */
export function* page_response(dev: device, evt: iopf_event, code: iommu_page_response_code): Gen<void> {
  const { pasid, grpid } = evt.fault.prm;
  const ops = dev_iommu_ops(dev);
  if (!ops.page_response) throw new Error(`${ops.name} cannot answer page requests`);
  yield* ops.page_response(dev, evt, { pasid, grpid, code });
}

/** What handles the device's page requests, with a reference; null: nothing does. */
function* iopf_get_dev_fault_param(dev: device): Gen<iommu_fault_param | null> {
  const param = dev_iommu_of(dev);
  yield* rcu_read_lock();
  let fault_param = yield* rcu_dereference(param, 'fault_param');
  if (fault_param !== null && !(yield* refcount_inc_not_zero(fault_param.users))) fault_param = null;
  yield* rcu_read_unlock();
  return fault_param;
}

/** Gives up a reference; the last one frees it when nobody reads it any more. */
export const iopf_put_dev_fault_param = fn(
  'iopf_put_dev_fault_param',
  function* (fault_param: iommu_fault_param): Gen<void> {
    if (!(yield* refcount_dec_and_test(fault_param.users))) return;
    yield* call_rcu(fault_param, function* () {
      kfree(fault_param);
    });
  },
);

const is_last = (fault: iopf_event['fault']): boolean =>
  (fault.prm.flags & IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE) !== 0;

/** What a group holds; the last request lives in the group itself. */
function* __iopf_free_group(group: iopf_group): Gen<void> {
  for (const iopf of group.faults) if (!is_last(iopf.fault)) kfree(iopf);
  yield* iopf_put_dev_fault_param(fault_param_of(group));
}

/** Frees a group that has its answer. */
export const iopf_free_group = fn('iopf_free_group', function* (group: iopf_group): Gen<void> {
  yield* __iopf_free_group(group);
  kfree(group);
});

function copy_fault(to: iommu_fault, { type, prm }: iopf_event['fault']): void {
  to.type = type;
  to.prm.flags = prm.flags;
  to.prm.pasid = prm.pasid;
  to.prm.grpid = prm.grpid;
  to.prm.perm = prm.perm;
  to.prm.addr = prm.addr;
}

/** A request that is not the last of its group waits for that. -ENOMEM: it is forgotten. */
function* report_partial_fault(fault_param: iommu_fault_param, evt: iopf_event): Gen<Rc> {
  const iopf = kzalloc(iopf_fault, fault_param, 'partial_fault');
  if (iopf === null) return fail(ENOMEM, 'no memory for the page request');
  copy_fault(iopf.fault, evt.fault);
  yield* mutex_lock(fault_param.lock);
  list_add(iopf.list, fault_param.partial);
  yield* mutex_unlock(fault_param.lock);
  return 0;
}

/** Makes the group that the last request completes. */
function* fill_group(group: iopf_group, iopf_param: iommu_fault_param, evt: iopf_event): Gen<void> {
  group.fault_param = iopf_param;
  copy_fault(group.last_fault.fault, evt.fault);
  INIT_LIST_HEAD(group.pending_node);
  list_add(group.last_fault.list, group.faults);

  yield* mutex_lock(iopf_param.lock);
  // The newest is first there, so that the group has them oldest first.
  for (const iopf of iopf_param.partial) {
    if (iopf.fault.prm.grpid === evt.fault.prm.grpid) list_move(iopf.list, group.faults);
  }
  list_add(group.pending_node, iopf_param.faults);
  yield* mutex_unlock(iopf_param.lock);
  group.fault_count = list_count_nodes(group.faults);
}

/**
 * What the domain that the request is about was attached with, when its owner handles page requests. There is no
 * reference to it: the driver must not report while it is detached.
 */
function* find_fault_handler(dev: device, { fault }: iopf_event): Gen<iommu_attach_handle | null> {
  const group = there(dev.iommu_group, dev, 'iommu_group');
  const has_pasid = (fault.prm.flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID) !== 0;
  const pasid = has_pasid ? fault.prm.pasid : IOMMU_NO_PASID;
  let attach_handle = yield* iommu_attach_handle_get(group, pasid, 0);
  if (IS_ERR(attach_handle) && has_pasid) {
    if (dev_iommu_ops(dev).user_pasid_table !== true) return null;
    const { IOMMU_DOMAIN_NESTED } = iommu_domain_type;
    attach_handle = yield* iommu_attach_handle_get(group, IOMMU_NO_PASID, IOMMU_DOMAIN_NESTED);
  }
  if (IS_ERR(attach_handle)) return null;
  return (attach_handle.domain?.iopf_handler ?? null) === null ? null : attach_handle;
}

function* bad_iopf(dev: device, evt: iopf_event, reason: string): Gen<Rc> {
  if (evt.fault.type === iommu_fault_type.IOMMU_FAULT_PAGE_REQ) {
    yield* page_response(dev, evt, iommu_page_response_code.IOMMU_PAGE_RESP_INVALID);
  }
  return fail(EINVAL, reason);
}

/**
 * A driver has a page request of a device: it waits for the rest of its group, or the domain's handler gets the
 * group, or it is answered at once. -EINVAL: nobody handles it, and it has been answered; -ENOMEM: it is
 * forgotten, and is none that is answered.
 */
export const iommu_report_device_fault = fn(
  'iommu_report_device_fault',
  function* (dev: device, evt: iopf_event): Gen<Rc> {
    const attach_handle = yield* find_fault_handler(dev, evt);
    if (attach_handle === null) return yield* bad_iopf(dev, evt, 'nobody handles page requests');
    const iopf_param = yield* iopf_get_dev_fault_param(dev);
    if (iopf_param === null) {
      WARN_ON(true, `${dev.name} has a domain with a page request handler, but is on no queue`);
      return yield* bad_iopf(dev, evt, 'the device is on no queue');
    }
    if (!is_last(evt.fault)) {
      const ret = yield* report_partial_fault(iopf_param, evt);
      yield* iopf_put_dev_fault_param(iopf_param);
      return ret;
    }

    // A group is needed even to refuse it: without memory, one on the stack.
    const allocated = kzalloc(iopf_group, iopf_param, 'iopf_group');
    const group = allocated ?? new iopf_group(current(), 'abort_group', true);
    // The reference goes to the group.
    yield* fill_group(group, iopf_param, evt);
    if (allocated !== null) {
      group.attach_handle = attach_handle;
      const { iopf_handler } = there(attach_handle.domain, attach_handle, 'domain');
      if ((yield* there(iopf_handler, attach_handle, 'handler').handle(group)) === 0) return 0;
    }
    printk(`iopf with pasid ${evt.fault.prm.pasid} aborted`);
    yield* iopf_group_response(group, iommu_page_response_code.IOMMU_PAGE_RESP_FAILURE);
    if (allocated === null) yield* __iopf_free_group(group);
    else yield* iopf_free_group(group);
    return 0;
  },
);

/** Answers a group; it is the caller's to free. */
export const iopf_group_response = fn(
  'iopf_group_response',
  function* (group: iopf_group, status: iommu_page_response_code): Gen<void> {
    const fault_param = fault_param_of(group);
    yield* mutex_lock(fault_param.lock);
    yield* page_response(there(fault_param.dev, fault_param, 'dev'), group.last_fault, status);
    list_del_init(group.pending_node);
    yield* mutex_unlock(fault_param.lock);
  },
);

/** The handler keeps the group by itself from now on, and answers it later. */
export const iopf_group_dequeue = fn('iopf_group_dequeue', function* (group: iopf_group): Gen<void> {
  const fault_param = fault_param_of(group);
  yield* mutex_lock(fault_param.lock);
  list_del_init(group.pending_node);
  yield* mutex_unlock(fault_param.lock);
});
