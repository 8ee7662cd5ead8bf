// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/fault.c (6.12): the file by which user space answers page requests. */
import { list_empty } from '../../sim/collections/list.ts';
import { xa_alloc, xa_erase, xa_limit_32b } from '../../sim/collections/xarray.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { refcount_dec } from '../../sim/sync/refcount.ts';
import { spin_lock, spin_unlock } from '../../sim/sync/spinlock.ts';
import type { Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { EBUSY, EFAULT, EINVAL, ESPIPE } from '../../uapi/errno.ts';
import {
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
  iommu_hwpt_page_response,
  iommu_hwpt_pgfault,
} from '../../uapi/iommufd.ts';
import { view } from '../../uapi/layout.ts';
import type { file, file_operations } from '../fs/file.ts';
import { EPOLLIN, EPOLLOUT, EPOLLRDNORM, type poll_table, poll_wait } from '../fs/select.ts';
import type { iommu_fault, iopf_group } from '../iommu/io-pgfault.h.ts';
import { iopf_free_group, iopf_group_response } from '../iommu/io-pgfault.ts';
import { copy_from_user, copy_to_user } from '../mm/uaccess.ts';
import {
  iommufd_attach_handle,
  iommufd_fault,
  iommufd_fault_deliver_fetch,
  iommufd_fault_deliver_restore,
} from './iommufd_private.h.ts';
import { iommufd_ctx_put } from './main.ts';

const fn = sourceFile('drivers/iommu/iommufd/fault.c');

function fault_of(filep: file): iommufd_fault {
  if (!(filep.private_data instanceof iommufd_fault)) throw new Error(`${filep.name} is no fault queue`);
  return filep.private_data;
}

function iommufd_compose_fault_message({ prm }: iommu_fault, dev_id: number, cookie: number): Uint8Array {
  const data = new Uint8Array(iommu_hwpt_pgfault.size);
  const hwpt_fault = view(iommu_hwpt_pgfault, data);
  hwpt_fault.flags = prm.flags;
  hwpt_fault.dev_id = dev_id;
  hwpt_fault.pasid = prm.pasid;
  hwpt_fault.grpid = prm.grpid;
  hwpt_fault.perm = prm.perm;
  hwpt_fault.addr = prm.addr;
  hwpt_fault.length = 0;
  hwpt_fault.cookie = cookie;
  return data;
}

function device_id_of({ name, attach_handle }: iopf_group): number {
  const idev = attach_handle instanceof iommufd_attach_handle ? attach_handle.idev : null;
  if (idev === null) throw new Error(`${name} is of no device`);
  return idev.id;
}

/** Copies a whole group to user space, which can answer it from then on. -EFAULT: nothing has happened. */
function* deliver(fault: iommufd_fault, group: iopf_group, buf: bigint): Gen<Rc> {
  const cookie = yield* xa_alloc(fault.response, group, xa_limit_32b);
  if (cookie === null) return fail(EBUSY, 'every cookie is taken');
  group.cookie = cookie;
  const dev_id = device_id_of(group);
  let to = buf;
  for (const iopf of group.faults) {
    const data = iommufd_compose_fault_message(iopf.fault, dev_id, cookie);
    if ((yield* copy_to_user(to, data)) !== 0) {
      yield* xa_erase(fault.response, cookie);
      return fail(EFAULT, 'the buffer cannot be written');
    }
    to += BigInt(data.length);
  }
  return 0;
}

const bugE4a = bug('E4a', {
  at: 'drivers/iommu/iommufd/fault.c:iommufd_fault_fops_read',
  about: 'A read that cannot write to its buffer puts the group back, and takes it again',
  source: 'iommufd/fault: Break the loop on failure in iommufd_fault_fops_read() (6.11 to 7.1, 6.12.100)',
  cure: 'It ends',
});

const bugE4c = bug('E4c', {
  at: 'drivers/iommu/iommufd/fault.c:iommufd_fault_fops_read',
  about: 'A read with no room for the first group returns 0, as if there were none',
  source: 'iommufd/fault: Reject invalid read count in iommufd_fault_fops_read() (6.11 to 7.1, 6.12.100)',
  cure: '-EINVAL',
});

/**
 * Groups, oldest first, as many as fit; never part of one. 0: there are none, it does not wait. -ESPIPE: the
 * buffer is for no whole number of requests; -EINVAL: the first group does not fit; -EFAULT.
 */
const iommufd_fault_fops_read = fn(
  'iommufd_fault_fops_read',
  function* (filep: file, buf: bigint, count: number): Gen<number> {
    const fault = fault_of(filep);
    const fault_size = iommu_hwpt_pgfault.size;
    if (count % fault_size !== 0) return fail(ESPIPE, 'the length is no multiple of the struct');
    let done = 0;
    let rc: Rc = 0;
    yield* mutex_lock(fault.mutex);
    // What went wrong with one group is forgotten in the buggy form when there is another.
    while (rc === 0 || bugE4a()) {
      const group = yield* iommufd_fault_deliver_fetch(fault);
      if (group === null) break;
      const size = group.fault_count * fault_size;
      if (done >= count || size > count - done) {
        yield* iommufd_fault_deliver_restore(fault, group);
        if (done === 0 && !bugE4c()) rc = fail(EINVAL, 'the first group does not fit');
        break;
      }
      rc = yield* deliver(fault, group, buf + BigInt(done));
      if (rc === 0) done += size;
      else yield* iommufd_fault_deliver_restore(fault, group);
    }
    yield* mutex_unlock(fault.mutex);
    return done === 0 ? rc : done;
  },
);

const bugE5 = bug('E5', {
  at: 'drivers/iommu/iommufd/fault.c:iommufd_fault_fops_write',
  about:
    'A write from memory that cannot be read returns how many bytes were not read, as if they were written',
  source: 'iommufd: Fix return value of iommufd_fault_fops_write() (6.11 to 7.0, 6.12.93)',
  cure: '-EFAULT',
});

/** Takes one answer. -EFAULT; -EINVAL: no such code, or nothing waits under that cookie. */
function* respond(fault: iommufd_fault, buf: bigint): Gen<number> {
  const bytes = new Uint8Array(iommu_hwpt_page_response.size);
  const left = yield* copy_from_user(bytes, buf);
  if (left !== 0) return bugE5() ? left : fail(EFAULT, 'the buffer cannot be read');
  const { code, cookie } = view(iommu_hwpt_page_response, bytes);
  // The numbers of both are the kernel's own.
  if (code !== IOMMUFD_PAGE_RESP_SUCCESS && code !== IOMMUFD_PAGE_RESP_INVALID) {
    return fail(EINVAL, 'no such code of an answer');
  }
  const group = yield* xa_erase(fault.response, cookie);
  if (group === null) return fail(EINVAL, 'no group waits under that cookie');
  yield* iopf_group_response(group, code);
  yield* iopf_free_group(group);
  return 0;
}

/**
 * Answers to groups that were read, as many as are good; an error only if the first is not. -ESPIPE: no whole
 * number of answers; else as respond.
 */
const iommufd_fault_fops_write = fn(
  'iommufd_fault_fops_write',
  function* (filep: file, buf: bigint, count: number): Gen<number> {
    const fault = fault_of(filep);
    const response_size = iommu_hwpt_page_response.size;
    if (count % response_size !== 0) return fail(ESPIPE, 'the length is no multiple of the struct');
    let done = 0;
    let rc = 0;
    yield* mutex_lock(fault.mutex);
    while (count > done && rc === 0) {
      rc = yield* respond(fault, buf + BigInt(done));
      if (rc === 0) done += response_size;
    }
    yield* mutex_unlock(fault.mutex);
    return done === 0 ? rc : done;
  },
);

const iommufd_fault_fops_poll = fn(
  'iommufd_fault_fops_poll',
  function* (filep: file, wait: poll_table): Gen<number> {
    const fault = fault_of(filep);
    poll_wait(filep, fault.wait_queue, wait);
    yield* spin_lock(fault.lock);
    const readable = list_empty(fault.deliver) ? 0 : EPOLLIN | EPOLLRDNORM;
    yield* spin_unlock(fault.lock);
    return EPOLLOUT | readable;
  },
);

const iommufd_fault_fops_release = fn('iommufd_fault_fops_release', function* (filep: file): Gen<void> {
  const fault = fault_of(filep);
  // Once it has no users the queue may be gone.
  const { ictx } = fault;
  yield* refcount_dec(fault.users);
  if (ictx !== null) yield* iommufd_ctx_put(ictx);
});

export const iommufd_fault_fops: file_operations = {
  name: 'iommufd_fault_fops',
  read: iommufd_fault_fops_read,
  write: iommufd_fault_fops_write,
  poll: iommufd_fault_fops_poll,
  release: iommufd_fault_fops_release,
};
