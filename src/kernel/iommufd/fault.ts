// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/fault.c (6.12): queues of page requests that user space answers. */
import { LIST_HEAD, list_add_tail, list_del, list_move } from '../../sim/collections/list.ts';
import { xa_destroy, xa_erase, xa_for_each } from '../../sim/collections/xarray.ts';
import { fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { refcount_dec, refcount_inc } from '../../sim/sync/refcount.ts';
import { spin_lock, spin_unlock } from '../../sim/sync/spinlock.ts';
import { wake_up_all } from '../../sim/sync/wait.ts';
import type { Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EOPNOTSUPP } from '../../uapi/errno.ts';
import { iommu_fault_alloc } from '../../uapi/iommufd.ts';
import { view } from '../../uapi/layout.ts';
import { anon_inode_getfile } from '../fs/anon_inodes.ts';
import { O_RDWR } from '../fs/fcntl.ts';
import { fd_install, get_unused_fd_flags, put_unused_fd } from '../fs/file.ts';
import {
  type iommu_page_response_code,
  type iopf_group,
  type iopf_handler,
  iommu_page_response_code as response,
} from '../iommu/io-pgfault.h.ts';
import { iopf_free_group, iopf_group_dequeue, iopf_group_response } from '../iommu/io-pgfault.ts';
import { iommu_dev_disable_feature, iommu_dev_enable_feature } from '../iommu/iommu.ts';
import { current_process } from '../sched/task.ts';
import { iommufd_fault_fops } from './fault_fops.ts';
import {
  bound,
  type iommufd_attach_handle,
  type iommufd_device,
  iommufd_fault,
  iommufd_hw_pagetable,
  iommufd_object_type,
  type iommufd_ucmd,
  iommufd_ucmd_respond,
} from './iommufd_private.h.ts';
import {
  _iommufd_object_alloc,
  iommufd_ctx_get,
  iommufd_ctx_put,
  iommufd_object_abort_and_destroy,
  iommufd_object_finalize,
} from './main.ts';

const fn = sourceFile('drivers/iommu/iommufd/fault.c');

/** Takes page requests of the device, until as many iommufd_fault_iopf_disable. What the IOMMU driver says. */
export const iommufd_fault_iopf_enable = fn(
  'iommufd_fault_iopf_enable',
  function* (idev: iommufd_device): Gen<Rc> {
    // 6.12 refuses virtual functions of PCI devices (-EINVAL); no modelled device is one.
    yield* mutex_lock(idev.iopf_lock);
    let ret: Rc = 0;
    if (++idev.iopf_enabled === 1) {
      ret = yield* iommu_dev_enable_feature(bound(idev).dev, 'IOMMU_DEV_FEAT_IOPF');
      if (ret !== 0) --idev.iopf_enabled;
    }
    yield* mutex_unlock(idev.iopf_lock);
    return ret;
  },
);

/** Undoes iommufd_fault_iopf_enable. */
export const iommufd_fault_iopf_disable = fn(
  'iommufd_fault_iopf_disable',
  function* (idev: iommufd_device): Gen<void> {
    yield* mutex_lock(idev.iopf_lock);
    const never = WARN_ON(idev.iopf_enabled === 0, `page requests of ${idev.name} are off already`);
    if (!never && --idev.iopf_enabled === 0) {
      yield* iommu_dev_disable_feature(bound(idev).dev, 'IOMMU_DEV_FEAT_IOPF');
    }
    yield* mutex_unlock(idev.iopf_lock);
  },
);

/** Answers a group that is on no list any more, and frees it. */
function* answer(group: iopf_group, code: iommu_page_response_code): Gen<void> {
  yield* iopf_group_response(group, code);
  yield* iopf_free_group(group);
}

/** Refuses what came by an attach handle and user space has not answered; it will get no answers for it. */
export const iommufd_auto_response_faults = fn(
  'iommufd_auto_response_faults',
  function* (fault: iommufd_fault, handle: iommufd_attach_handle | null): Gen<void> {
    const free_list = LIST_HEAD<iopf_group>('free_list');
    yield* mutex_lock(fault.mutex);
    yield* spin_lock(fault.lock);
    for (const group of fault.deliver) {
      if (group.attach_handle === handle) list_move(group.node, free_list);
    }
    yield* spin_unlock(fault.lock);

    for (const group of free_list) {
      list_del(group.node);
      yield* answer(group, response.IOMMU_PAGE_RESP_INVALID);
    }
    for (const [index, group] of xa_for_each(fault.response)) {
      if (group.attach_handle !== handle) continue;
      yield* xa_erase(fault.response, index);
      yield* answer(group, response.IOMMU_PAGE_RESP_INVALID);
    }
    yield* mutex_unlock(fault.mutex);
  },
);

/** Refuses what user space has not answered. */
export const iommufd_fault_destroy = fn('iommufd_fault_destroy', function* (fault: iommufd_fault): Gen<void> {
  for (const group of fault.deliver) {
    list_del(group.node);
    yield* answer(group, response.IOMMU_PAGE_RESP_INVALID);
  }
  for (const [index, group] of xa_for_each(fault.response)) {
    yield* xa_erase(fault.response, index);
    yield* answer(group, response.IOMMU_PAGE_RESP_INVALID);
  }
  yield* xa_destroy(fault.response);
});

const bugA3 = bug('A3', {
  at: 'drivers/iommu/iommufd/fault.c:iommufd_fault_alloc',
  about:
    'Where a queue is taken back, the references of its file are dropped, and once more when the file is released',
  source: 'iommufd: Fix out_fput in iommufd_fault_alloc() (CVE-2024-56624; 6.11 to 6.12.4)',
  cure: 'Only the release of the file drops them',
});

/**
 * IOMMU_FAULT_QUEUE_ALLOC: a queue, and a file to read its page requests from and write answers to. -EOPNOTSUPP:
 * flags; -ENOMEM, -EBUSY, -EMFILE, -EFAULT.
 */
export const iommufd_fault_alloc = fn('iommufd_fault_alloc', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const { flags } = view(iommu_fault_alloc, ucmd.bytes);
  if (flags !== 0) return fail(EOPNOTSUPP, 'flags is not 0');
  const type = iommufd_object_type.IOMMUFD_OBJ_FAULT;
  const fault = yield* _iommufd_object_alloc(ucmd.ictx, iommufd_fault, 'fault', type);
  if (IS_ERR(fault)) return fault;
  fault.ictx = ucmd.ictx;
  const rc = yield* open_file(ucmd, fault);
  if (rc === 0) return 0;
  if (bugA3() && fault.filep !== null) {
    yield* refcount_dec(fault.users);
    yield* iommufd_ctx_put(ucmd.ictx);
  }
  yield* iommufd_object_abort_and_destroy(ucmd.ictx, fault);
  return rc;
});

function* open_file(ucmd: iommufd_ucmd, fault: iommufd_fault): Gen<Rc> {
  const { files } = current_process();
  const filep = anon_inode_getfile(iommufd_fault_fops, fault, O_RDWR);
  if (IS_ERR(filep)) return filep;
  // The file's, which its release drops, whatever happens here.
  yield* refcount_inc(fault.users);
  yield* iommufd_ctx_get(ucmd.ictx);
  fault.filep = filep;

  const fdno = yield* get_unused_fd_flags(files);
  if (IS_ERR(fdno)) return fdno;
  const cmd = view(iommu_fault_alloc, ucmd.bytes);
  cmd.out_fault_id = fault.id;
  cmd.out_fault_fd = fdno;
  const rc = yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
  if (rc !== 0) {
    yield* put_unused_fd(files, fdno);
    return rc;
  }
  yield* iommufd_object_finalize(ucmd.ictx, fault);
  yield* fd_install(files, fdno, filep);
  return 0;
}

const bugE2 = bug('E2', {
  at: 'drivers/iommu/iommufd/fault.c:iommufd_fault_iopf_handler',
  about: 'Who reports a page request waits for who reads the queue, and so for the memory of user space',
  source: 'iommufd/fault: Use a separate spinlock to protect fault->deliver list (6.11 to 6.13, 6.12.13)',
  cure: 'It takes a spinlock, which is not held over copies',
});

/** Puts a group where user space reads it. Always 0. */
const iommufd_fault_iopf_handler = fn('iommufd_fault_iopf_handler', function* (group: iopf_group): Gen<Rc> {
  const hwpt = group.attach_handle?.domain?.fault_data;
  if (!(hwpt instanceof iommufd_hw_pagetable) || hwpt.fault === null) {
    throw new Error(`${group.name} is for no queue of user space's`);
  }
  const { fault } = hwpt;
  yield* iopf_group_dequeue(group);
  const waits = bugE2();
  if (waits) yield* mutex_lock(fault.mutex);
  yield* spin_lock(fault.lock);
  list_add_tail(group.node, fault.deliver);
  yield* spin_unlock(fault.lock);
  if (waits) yield* mutex_unlock(fault.mutex);
  yield* wake_up_all(fault.wait_queue);
  return 0;
});

/** For a page table's domain whose page requests user space answers; its fault_data is the page table. */
export const iommufd_iopf_handler: iopf_handler = {
  name: 'iommufd_fault_iopf_handler',
  handle: iommufd_fault_iopf_handler,
};
