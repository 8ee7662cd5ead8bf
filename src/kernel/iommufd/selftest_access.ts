// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/selftest.c (6.12): a driver that accesses an IOAS from the CPU, behind a descriptor. */
import { list, list_add_tail, list_del, list_node } from '../../sim/collections/list.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { embed, ref, u32, u64 } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { kfree, kvzalloc, kzalloc } from '../../sim/slab.ts';
import { root, struct } from '../../sim/struct.ts';
import { mutex, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import type { Gen } from '../../sim/task.ts';
import { EBADE, EBADFD, EFAULT, ENOENT, ENOMEM, EOPNOTSUPP } from '../../uapi/errno.ts';
import {
  iommu_test_cmd_access_pages,
  iommu_test_cmd_access_rw,
  iommu_test_cmd_create_access,
  MOCK_ACCESS_RW_SLOW_PATH,
  MOCK_ACCESS_RW_WRITE,
  MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
  MOCK_FLAGS_ACCESS_SYZ,
  MOCK_FLAGS_ACCESS_WRITE,
} from '../../uapi/iommufd_test.ts';
import { type ViewOf, view } from '../../uapi/layout.ts';
import { anon_inode_getfile } from '../fs/anon_inodes.ts';
import { O_RDWR } from '../fs/fcntl.ts';
import {
  fd_install,
  fget,
  type file,
  type file_operations,
  fput,
  get_unused_fd_flags,
  put_unused_fd,
} from '../fs/file.ts';
import { PAGE_SIZE } from '../mm/mm.ts';
import type { page_run } from '../mm/page.ts';
import { copy_from_user, copy_to_user } from '../mm/uaccess.ts';
import { current_process } from '../sched/task.ts';
import {
  iommufd_access_attach,
  iommufd_access_create,
  iommufd_access_destroy,
  iommufd_access_pin_pages,
  iommufd_access_replace,
  iommufd_access_rw,
  iommufd_access_unpin_pages,
} from './access.ts';
import {
  type iommufd_access,
  type iommufd_access_ops,
  type iommufd_ucmd,
  iommufd_ucmd_respond,
} from './iommufd_private.h.ts';
import { get_user_frame } from './selftest_check.ts';
import { iommufd_test_syz_conv_iova } from './selftest_syz.ts';

const fn = sourceFile('drivers/iommu/iommufd/selftest.c');

const ULONG_MAX = 0xffff_ffff_ffff_ffffn;
const PAGE = BigInt(PAGE_SIZE);
/** No op accepts more bytes at once. */
const MAX_LENGTH = 16n << 20n;

class selftest_access extends struct('selftest_access', root, {
  access: ref<iommufd_access>(),
  file: ref<file>(),
  lock: embed(mutex),
  items: list<selftest_access_item>({ guardedBy: 'lock' }),
  next_id: u32({ guardedBy: 'lock' }),
}) {}

/** Pages that are pinned. `iova` and `length` in bytes. */
class selftest_access_item extends struct('selftest_access_item', root, {
  items_elm: list_node<selftest_access_item>(),
  iova: u64(),
  length: u64(),
  id: u32(),
}) {}

/** What a descriptor stands for, with a reference to its file that put_access drops. -EBADFD. */
function* iommufd_access_get(fd: number): Gen<selftest_access | Err> {
  const filp = yield* fget(current_process().files, fd);
  if (filp === null) return fail(EBADFD, 'nothing is open at that descriptor');
  if (filp.private_data instanceof selftest_access) return filp.private_data;
  yield* fput(filp);
  return fail(EBADFD, 'the descriptor is none of an access');
}

function* put_access({ file }: selftest_access): Gen<void> {
  if (file !== null) yield* fput(file);
}

/** The access itself, which is there as soon as the descriptor can be found. */
function access_of({ access, name }: selftest_access): iommufd_access {
  if (access === null) throw new Error(`${name} has no access`);
  return access;
}

/** Takes an item off the list and its pins away. */
function* drop_item(staccess: selftest_access, item: selftest_access_item): Gen<void> {
  list_del(item.items_elm);
  yield* iommufd_access_unpin_pages(access_of(staccess), item.iova, item.length);
}

const iommufd_test_access_unmap = fn(
  'iommufd_test_access_unmap',
  function* (data: Observed, iova: bigint, length: bigint): Gen<void> {
    if (!(data instanceof selftest_access)) throw new Error(`${data.name} is no access of the selftest`);
    const iova_last = iova + length - 1n;
    yield* mutex_lock(data.lock);
    for (const item of data.items) {
      if (iova > item.iova + item.length - 1n || iova_last < item.iova) continue;
      yield* drop_item(data, item);
      kfree(item);
    }
    yield* mutex_unlock(data.lock);
  },
);

/** IOMMU_TEST_OP_DESTROY_ACCESS_PAGES: unpins what an ACCESS_PAGES has pinned. -EBADFD; -ENOENT: no such item. */
export const iommufd_test_access_item_destroy = fn(
  'iommufd_test_access_item_destroy',
  function* (access_id: number, item_id: number): Gen<Rc> {
    const staccess = yield* iommufd_access_get(access_id);
    if (IS_ERR(staccess)) return staccess;
    yield* mutex_lock(staccess.lock);
    for (const item of staccess.items) {
      if (item.id !== item_id) continue;
      yield* drop_item(staccess, item);
      yield* mutex_unlock(staccess.lock);
      kfree(item);
      yield* put_access(staccess);
      return 0;
    }
    yield* mutex_unlock(staccess.lock);
    yield* put_access(staccess);
    return fail(ENOENT, 'no item has that id');
  },
);

const iommufd_test_staccess_release = fn('iommufd_test_staccess_release', function* (filp: file): Gen<void> {
  const staccess = filp.private_data;
  if (!(staccess instanceof selftest_access)) throw new Error(`${filp.name} is no access`);
  const { access } = staccess;
  if (access !== null) {
    yield* iommufd_test_access_unmap(staccess, 0n, ULONG_MAX);
    yield* iommufd_access_destroy(access);
  }
  kfree(staccess);
});

const selftest_access_ops_pin: iommufd_access_ops = {
  needs_pin_pages: true,
  unmap: iommufd_test_access_unmap,
};

const selftest_access_ops: iommufd_access_ops = {
  needs_pin_pages: false,
  unmap: iommufd_test_access_unmap,
};

const iommfd_test_staccess_fops: file_operations = {
  name: 'iommfd_test_staccess_fops',
  release: iommufd_test_staccess_release,
};

const iommufd_test_alloc_access = fn(
  'iommufd_test_alloc_access',
  ({ ictx }: iommufd_ucmd): selftest_access | Err => {
    const staccess = kzalloc(selftest_access, ictx, 'staccess');
    if (staccess === null) return fail(ENOMEM, 'no memory for the access');
    const filp = anon_inode_getfile(iommfd_test_staccess_fops, staccess, O_RDWR);
    if (IS_ERR(filp)) {
      kfree(staccess);
      return filp;
    }
    staccess.file = filp;
    return staccess;
  },
);

/**
 * IOMMU_TEST_OP_CREATE_ACCESS: a descriptor for an access to an IOAS. -EOPNOTSUPP: flags; -ENOMEM, also when
 * there is no descriptor left; what attaching says; -EFAULT.
 */
export const iommufd_test_create_access = fn(
  'iommufd_test_create_access',
  function* (ucmd: iommufd_ucmd): Gen<Rc> {
    const flags = view(iommu_test_cmd_create_access, ucmd.bytes)['create_access.flags'];
    if ((flags & ~MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES) !== 0) return fail(EOPNOTSUPP, 'unknown flags');
    const staccess = iommufd_test_alloc_access(ucmd);
    if (IS_ERR(staccess)) return staccess;
    const rc = yield* open_access(ucmd, staccess, flags);
    if (rc !== 0) yield* put_access(staccess);
    return rc;
  },
);

function* open_access(ucmd: iommufd_ucmd, staccess: selftest_access, flags: number): Gen<Rc> {
  const { files } = current_process();
  const fdno = yield* get_unused_fd_flags(files);
  if (IS_ERR(fdno)) return fail(ENOMEM, 'no descriptor is left');
  const rc = yield* create_access(ucmd, staccess, flags, fdno);
  if (rc !== 0) yield* put_unused_fd(files, fdno);
  else if (staccess.file !== null) yield* fd_install(files, fdno, staccess.file);
  return rc;
}

function* create_access(ucmd: iommufd_ucmd, staccess: selftest_access, flags: number, fdno: number): Gen<Rc> {
  const needs_pin_pages = (flags & MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES) !== 0;
  const ops = needs_pin_pages ? selftest_access_ops_pin : selftest_access_ops;
  const access = yield* iommufd_access_create(ucmd.ictx, ops, staccess);
  if (IS_ERR(access)) return access;
  const cmd = view(iommu_test_cmd_create_access, ucmd.bytes);
  let rc = yield* iommufd_access_attach(access, cmd.id);
  if (rc === 0) {
    cmd['create_access.out_access_fd'] = fdno;
    rc = yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
  }
  if (rc === 0) staccess.access = access;
  else yield* iommufd_access_destroy(access);
  return rc;
}

/** IOMMU_TEST_OP_ACCESS_REPLACE_IOAS: the access goes over to another IOAS. -EBADFD; what replacing says. */
export const iommufd_test_access_replace_ioas = fn(
  'iommufd_test_access_replace_ioas',
  function* (access_id: number, ioas_id: number): Gen<Rc> {
    const staccess = yield* iommufd_access_get(access_id);
    if (IS_ERR(staccess)) return staccess;
    const rc = yield* iommufd_access_replace(access_of(staccess), ioas_id);
    yield* put_access(staccess);
    return rc;
  },
);

/** Whether the pages are those behind `uptr`. -EBADE: one is not; -EFAULT. */
const iommufd_test_check_pages = fn(
  'iommufd_test_check_pages',
  function* (uptr: bigint, pages: readonly page_run[]): Gen<Rc> {
    let at = uptr;
    for (const { start, count } of pages) {
      for (let i = 0; i < count; i++) {
        const page = yield* get_user_frame(at);
        if (IS_ERR(page)) return page;
        if (page !== start + i) return fail(EBADE, 'another page than the one that is pinned');
        at = BigInt.asUintN(64, at + PAGE);
      }
    }
    return 0;
  },
);

/**
 * IOMMU_TEST_OP_ACCESS_PAGES: pins pages until they are unpinned or unmapped. -ENOMEM: also for more than
 * 16 MiB; -EOPNOTSUPP: flags, or an access that does not pin; -EBADFD; what pinning says; -EBADE: they are
 * not those behind `uptr`; -EFAULT.
 */
export const iommufd_test_access_pages = fn(
  'iommufd_test_access_pages',
  function* (ucmd: iommufd_ucmd): Gen<Rc> {
    const cmd = view(iommu_test_cmd_access_pages, ucmd.bytes);
    const flags = cmd['access_pages.flags'];
    if (cmd['access_pages.length'] > MAX_LENGTH) return fail(ENOMEM, 'more than 16 MiB');
    if ((flags & ~(MOCK_FLAGS_ACCESS_WRITE | MOCK_FLAGS_ACCESS_SYZ)) !== 0) {
      return fail(EOPNOTSUPP, 'unknown flags');
    }
    const staccess = yield* iommufd_access_get(cmd.id);
    if (IS_ERR(staccess)) return staccess;
    const rc =
      access_of(staccess).ops === selftest_access_ops_pin
        ? yield* access_pages(ucmd, staccess)
        : fail(EOPNOTSUPP, 'the access does not pin');
    yield* put_access(staccess);
    return rc;
  },
);

function* access_pages(ucmd: iommufd_ucmd, staccess: selftest_access): Gen<Rc> {
  const cmd = view(iommu_test_cmd_access_pages, ucmd.bytes);
  const flags = cmd['access_pages.flags'];
  const length = cmd['access_pages.length'];
  const access = access_of(staccess);
  let iova = cmd['access_pages.iova'];
  if ((flags & MOCK_FLAGS_ACCESS_SYZ) !== 0) iova = yield* iommufd_test_syz_conv_iova(access, iova);
  const npages = (iova + length + PAGE - 1n) / PAGE - iova / PAGE;
  // Linux wants room for pointers to them.
  if (kvzalloc(8 * Number(npages), 'an array of pages') === null)
    return fail(ENOMEM, 'no memory for the pages');

  const pages: page_run[] = [];
  yield* mutex_lock(staccess.lock);
  let rc = yield* iommufd_access_pin_pages(access, iova, length, pages, flags & MOCK_FLAGS_ACCESS_WRITE);
  if (rc === 0) {
    rc = yield* keep_pages(ucmd, staccess, iova, pages);
    if (rc !== 0) yield* iommufd_access_unpin_pages(access, iova, length);
  }
  yield* mutex_unlock(staccess.lock);
  return rc;
}

function* keep_pages(
  ucmd: iommufd_ucmd,
  staccess: selftest_access,
  iova: bigint,
  pages: readonly page_run[],
): Gen<Rc> {
  const cmd = view(iommu_test_cmd_access_pages, ucmd.bytes);
  const uptr = cmd['access_pages.uptr'];
  if (uptr !== 0n) {
    const rc = yield* iommufd_test_check_pages(BigInt.asUintN(64, uptr - (iova % PAGE)), pages);
    if (rc !== 0) return rc;
  }
  const item = kzalloc(selftest_access_item, staccess, 'item');
  if (item === null) return fail(ENOMEM, 'no memory for the item');
  item.iova = iova;
  item.length = cmd['access_pages.length'];
  item.id = staccess.next_id;
  staccess.next_id += 1;
  list_add_tail(item.items_elm, staccess.items);
  cmd['access_pages.out_access_pages_id'] = item.id;
  const rc = yield* iommufd_ucmd_respond(ucmd, ucmd.bytes.length);
  if (rc !== 0) {
    list_del(item.items_elm);
    kfree(item);
  }
  return rc;
}

const RW_FLAGS = MOCK_ACCESS_RW_WRITE | MOCK_ACCESS_RW_SLOW_PATH | MOCK_FLAGS_ACCESS_SYZ;

/**
 * IOMMU_TEST_OP_ACCESS_RW: copies between IOVA and user memory. -ENOMEM: also for more than 16 MiB;
 * -EOPNOTSUPP: flags; -EBADFD, -EFAULT; what the access says.
 */
export const iommufd_test_access_rw = fn('iommufd_test_access_rw', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const cmd = view(iommu_test_cmd_access_rw, ucmd.bytes);
  if (cmd['access_rw.length'] > MAX_LENGTH) return fail(ENOMEM, 'more than 16 MiB');
  if ((cmd['access_rw.flags'] & ~RW_FLAGS) !== 0) return fail(EOPNOTSUPP, 'unknown flags');
  const staccess = yield* iommufd_access_get(cmd.id);
  if (IS_ERR(staccess)) return staccess;
  const rc = yield* access_rw(cmd, access_of(staccess));
  yield* put_access(staccess);
  return rc;
});

function* access_rw(cmd: ViewOf<typeof iommu_test_cmd_access_rw>, access: iommufd_access): Gen<Rc> {
  const flags = cmd['access_rw.flags'];
  const uptr = cmd['access_rw.uptr'];
  const writes = (flags & MOCK_ACCESS_RW_WRITE) !== 0;
  let iova = cmd['access_rw.iova'];
  const tmp = kvzalloc(Number(cmd['access_rw.length']), 'a buffer');
  if (tmp === null) return fail(ENOMEM, 'no memory for the buffer');
  if (writes && (yield* copy_from_user(tmp, uptr)) !== 0) return fail(EFAULT, 'the buffer cannot be read');
  if ((flags & MOCK_FLAGS_ACCESS_SYZ) !== 0) iova = yield* iommufd_test_syz_conv_iova(access, iova);
  const rc = yield* iommufd_access_rw(access, iova, tmp, flags);
  if (rc !== 0) return rc;
  if (!writes && (yield* copy_to_user(uptr, tmp)) !== 0) return fail(EFAULT, 'the buffer cannot be written');
  return 0;
}
