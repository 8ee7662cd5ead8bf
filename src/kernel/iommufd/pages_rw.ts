// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/pages.c (6.12): copies between pages and kernel memory. */
import { PAGE_SIZE } from '../../hw/memory.ts';
import { fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { Unsupported } from '../../sim/errors.ts';
import { sourceFile } from '../../sim/fn.ts';
import { mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EFAULT, EINVAL, EPERM } from '../../uapi/errno.ts';
import { FOLL_WRITE, pin_user_pages_remote } from '../mm/gup.ts';
import { type page_run, unpin_user_page } from '../mm/page.ts';
import { copy_from_user, copy_to_user } from '../mm/uaccess.ts';
import { mmget_not_zero, mmput } from '../mm/util.ts';
import type { iopt_pages } from './io_pagetable.h.ts';
import {
  __IOMMUFD_ACCESS_RW_SLOW_PATH,
  IOMMUFD_ACCESS_RW_KTHREAD,
  IOMMUFD_ACCESS_RW_WRITE,
} from './iommufd_private.h.ts';
import { current_mm_or_null, source_of, uptr_of } from './pages_account.ts';
import { batch_rw, copy_data_page } from './pages_batch.ts';
import {
  pfn_reader_destroy,
  pfn_reader_done,
  pfn_reader_first,
  pfn_reader_next,
  pfn_reader_unpin,
} from './pfn_reader.ts';
import { iommufd_should_fail } from './selftest_inject.ts';

const fn = sourceFile('drivers/iommu/iommufd/pages.c');

/** Copies by way of the pfn_reader: whatever the pages are in, as a device would see them. */
const iopt_pages_rw_slow = fn(
  'iopt_pages_rw_slow',
  function* (
    pages: iopt_pages,
    start_index: number,
    last_index: number,
    offset: number,
    data: Uint8Array,
    write: boolean,
  ): Gen<Rc> {
    yield* mutex_lock(pages.mutex);
    const rc = yield* rw_slow_locked(pages, start_index, last_index, offset, data, write);
    yield* mutex_unlock(pages.mutex);
    return rc;
  },
);

function* rw_slow_locked(
  pages: iopt_pages,
  start_index: number,
  last_index: number,
  offset: number,
  data: Uint8Array,
  write: boolean,
): Gen<Rc> {
  const pfns = yield* pfn_reader_first(pages, start_index, last_index);
  if (IS_ERR(pfns)) return pfns;
  let copied = 0;
  let rc: Rc = 0;
  while (rc === 0 && !pfn_reader_done(pfns)) {
    copied += yield* batch_rw(pfns.batch, data.subarray(copied), copied === 0 ? offset : 0, write);
    yield* pfn_reader_unpin(pfns);
    rc = yield* pfn_reader_next(pfns);
  }
  if (rc === 0 && WARN_ON(copied !== data.length, 'a copy ends early'))
    rc = fail(EINVAL, 'the copy ended early');
  yield* pfn_reader_destroy(pfns);
  return rc;
}

/** Copies within one page, pinned for the purpose; what the domains have may be another page. */
const iopt_pages_rw_page = fn(
  'iopt_pages_rw_page',
  function* (pages: iopt_pages, index: number, offset: number, data: Uint8Array, write: boolean): Gen<Rc> {
    const { mm } = source_of(pages);
    if (!(yield* mmget_not_zero(mm))) {
      return yield* iopt_pages_rw_slow(pages, index, index, offset, data, write);
    }
    const rc = yield* rw_page_of_mm(pages, index, offset, data, write);
    yield* mmput(mm);
    return rc;
  },
);

function* rw_page_of_mm(
  pages: iopt_pages,
  index: number,
  offset: number,
  data: Uint8Array,
  write: boolean,
): Gen<Rc> {
  const { mm } = source_of(pages);
  if (iommufd_should_fail()) return fail(EINVAL, 'fault injection');
  const page_list: page_run[] = [];
  yield* down_read(mm.mmap_lock);
  const rc = yield* pin_user_pages_remote(mm, uptr_of(pages, index), 1, write ? FOLL_WRITE : 0, page_list);
  yield* up_read(mm.mmap_lock);
  if (IS_ERR(rc)) return rc;
  const page = page_list[0]?.start;
  if (WARN_ON(rc !== 1, 'one page was asked for') || page === undefined) {
    return fail(EINVAL, 'one page was asked for');
  }
  yield* copy_data_page(page, data, offset, write);
  yield* unpin_user_page(page);
  return 0;
}

/**
 * Copies between `data` and the pages, from `start_byte` of them on. `flags`: IOMMUFD_ACCESS_RW_*. In the
 * process that the memory is of it is a user copy. -EPERM: to write what is mapped for reading only; -EFAULT:
 * the memory cannot be accessed; errors of pfn_reader_first.
 */
export const iopt_pages_rw_access = fn(
  'iopt_pages_rw_access',
  function* (pages: iopt_pages, start_byte: bigint, data: Uint8Array, flags: number): Gen<Rc> {
    const page = BigInt(PAGE_SIZE);
    const start_index = Number(start_byte / page);
    const last_index = Number((start_byte + BigInt(data.length) - 1n) / page);
    const slow = (flags & __IOMMUFD_ACCESS_RW_SLOW_PATH) !== 0;
    const change_mm = slow || current_mm_or_null() !== source_of(pages).mm;
    const write = (flags & IOMMUFD_ACCESS_RW_WRITE) !== 0;
    if (write && !pages.writable) return fail(EPERM, 'the memory is mapped for reading only');

    if (change_mm) {
      if ((flags & IOMMUFD_ACCESS_RW_KTHREAD) !== 0) throw new Unsupported('IOMMUFD_ACCESS_RW_KTHREAD');
      const offset = Number(start_byte % page);
      if (start_index === last_index)
        return yield* iopt_pages_rw_page(pages, start_index, offset, data, write);
      return yield* iopt_pages_rw_slow(pages, start_index, last_index, offset, data, write);
    }
    const uptr = pages.uptr + start_byte;
    const left = write ? yield* copy_to_user(uptr, data) : yield* copy_from_user(data, uptr);
    return left === 0 ? 0 : fail(EFAULT, 'the memory cannot be accessed');
  },
);
