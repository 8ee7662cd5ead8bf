// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/io-pgfault.c (6.12): the queue of an IOMMU, and the devices that are on it. */
import { list_add, list_del, list_del_init } from '../../sim/collections/list.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { rcu_assign_pointer, rcu_dereference } from '../../sim/sync/rcu.ts';
import { refcount_init } from '../../sim/sync/refcount.ts';
import { alloc_workqueue, destroy_workqueue, flush_workqueue } from '../../sim/sync/workqueue.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EBUSY, EINVAL, ENODEV, ENOMEM } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import { iommu_fault_param, iommu_page_response_code, iopf_queue } from './io-pgfault.h.ts';
import { dev_iommu_of, iopf_free_group, iopf_put_dev_fault_param, page_response } from './io-pgfault.ts';
import type { dev_iommu } from './iommu.h.ts';
import { dev_iommu_ops } from './iommu.ts';

const fn = sourceFile('drivers/iommu/io-pgfault.c');

/** Works of a queue that may run at once (include/linux/workqueue.h). */
const WQ_DFL_ACTIVE = 256;

/** Waits for the handlers of what the device has asked for so far. -ENODEV: it is on no queue. */
export const iopf_queue_flush_dev = fn('iopf_queue_flush_dev', function* (dev: device): Gen<Rc> {
  const iopf_param = yield* rcu_dereference(dev_iommu_of(dev), 'fault_param');
  const wq = iopf_param?.queue?.wq ?? null;
  if (wq === null) {
    WARN_ON(true, `the page requests of ${dev.name} are flushed though it is on no queue`);
    return fail(ENODEV, 'the device is on no queue');
  }
  yield* flush_workqueue(wq);
  return 0;
});

/** Forgets every request the last of whose group may have been lost. -EINVAL: no queue. */
export const iopf_queue_discard_partial = fn(
  'iopf_queue_discard_partial',
  function* (queue: iopf_queue | null): Gen<Rc> {
    if (queue === null) return fail(EINVAL, 'there is no queue');
    yield* mutex_lock(queue.lock);
    for (const iopf_param of queue.devices) {
      yield* mutex_lock(iopf_param.lock);
      for (const iopf of iopf_param.partial) {
        list_del(iopf.list);
        kfree(iopf);
      }
      yield* mutex_unlock(iopf_param.lock);
    }
    yield* mutex_unlock(queue.lock);
    return 0;
  },
);

/** Takes page requests of the device. -ENODEV: its driver cannot answer any; -EBUSY: on a queue; -ENOMEM. */
export const iopf_queue_add_device = fn(
  'iopf_queue_add_device',
  function* (queue: iopf_queue, dev: device): Gen<Rc> {
    const param = dev_iommu_of(dev);
    if (!dev_iommu_ops(dev).page_response) return fail(ENODEV, 'the driver cannot answer page requests');
    yield* mutex_lock(queue.lock);
    yield* mutex_lock(param.lock);
    const ret = yield* add_device(queue, param, dev);
    yield* mutex_unlock(param.lock);
    yield* mutex_unlock(queue.lock);
    return ret;
  },
);

function* add_device(queue: iopf_queue, param: dev_iommu, dev: device): Gen<Rc> {
  if (param.fault_param !== null) return fail(EBUSY, 'the device is on a queue already');
  const fault_param = kzalloc(iommu_fault_param, dev, 'fault_param');
  if (fault_param === null) return fail(ENOMEM, 'no memory for the fault parameter');
  fault_param.dev = dev;
  refcount_init(fault_param.users, 1);
  list_add(fault_param.queue_list, queue.devices);
  fault_param.queue = queue;
  yield* rcu_assign_pointer(param, 'fault_param', fault_param);
  return 0;
}

/** Takes no more page requests of the device; what no handler has taken yet is answered. */
export const iopf_queue_remove_device = fn(
  'iopf_queue_remove_device',
  function* (queue: iopf_queue, dev: device): Gen<void> {
    const param = dev_iommu_of(dev);
    yield* mutex_lock(queue.lock);
    yield* mutex_lock(param.lock);
    const { fault_param } = param;
    if (fault_param === null || fault_param.queue !== queue) {
      WARN_ON(true, `${dev.name} is removed from a queue that it is not on`);
    } else {
      yield* answer_all(fault_param, dev);
      list_del(fault_param.queue_list);
      yield* rcu_assign_pointer(param, 'fault_param', null);
      yield* iopf_put_dev_fault_param(fault_param);
    }
    yield* mutex_unlock(param.lock);
    yield* mutex_unlock(queue.lock);
  },
);

function* answer_all(fault_param: iommu_fault_param, dev: device): Gen<void> {
  yield* mutex_lock(fault_param.lock);
  // 6.12 does this: they stay on the list, to which a report that has begun still adds.
  for (const partial_iopf of fault_param.partial) kfree(partial_iopf);
  for (const group of fault_param.faults) {
    yield* page_response(dev, group.last_fault, iommu_page_response_code.IOMMU_PAGE_RESP_INVALID);
    list_del_init(group.pending_node);
    yield* iopf_free_group(group);
  }
  yield* mutex_unlock(fault_param.lock);
}

/** A queue that no device is on. `name`: its own, among queues. Null: no memory. */
export const iopf_queue_alloc = fn('iopf_queue_alloc', (creator: Named, name: string): iopf_queue | null => {
  const queue = kzalloc(iopf_queue, creator, 'iopf_queue');
  if (queue === null) return null;
  queue.wq = alloc_workqueue(queue, name, WQ_DFL_ACTIVE);
  return queue;
});

/** Ends a queue; devices that are on it are removed. */
export const iopf_queue_free = fn('iopf_queue_free', function* (queue: iopf_queue | null): Gen<void> {
  if (queue === null) return;
  for (const { dev } of queue.devices) if (dev !== null) yield* iopf_queue_remove_device(queue, dev);
  if (queue.wq !== null) yield* destroy_workqueue(queue.wq);
  kfree(queue);
});
