// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/pages.c (6.12): how many pages are pinned, and who is charged for them. */
import { PAGE_SHIFT, PAGE_SIZE } from '../../hw/memory.ts';
import { current } from '../../sim/context.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { lockdep_assert_held } from '../../sim/sync/mutex.ts';
import { down_write, up_read, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { atomic64_add, atomic64_cmpxchg, atomic64_read, atomic64_sub } from '../mm/atomic64.ts';
import type { mm_struct } from '../mm/mm.ts';
import type { page_run } from '../mm/page.ts';
import { __account_locked_vm, mmget_not_zero, mmput } from '../mm/util.ts';
import { type process, task_struct, type user_struct } from '../sched/task.ts';
import { type iopt_pages, iopt_pages_account_mode } from './io_pagetable.h.ts';
import { iommufd_should_fail } from './selftest_inject.ts';

const fn = sourceFile('drivers/iommu/iommufd/pages.c');

/** Where the pages come from and who pays for them. */
interface Source {
  readonly mm: mm_struct;
  readonly task: process;
  readonly user: user_struct;
}

/** Of pages that iopt_alloc_pages made. */
export function source_of(pages: iopt_pages): Source {
  const { source_mm: mm, source_task: task, source_user: user } = pages;
  if (mm === null || task === null || user === null) throw new Error(`${pages.name} have no source`);
  return { mm, task, user };
}

/** The user address of a page. */
export const uptr_of = (pages: iopt_pages, index: number): bigint =>
  BigInt.asUintN(64, pages.uptr + BigInt(index) * BigInt(PAGE_SIZE));

/** Linux's current->mm: null in a kernel thread, and once the process exits. */
export function current_mm_or_null(): mm_struct | null {
  const task = current();
  return task instanceof task_struct ? task.process.mm : null;
}

/** pin_user_pages on behalf of iopt_pages, while it goes on: it lives on the stack of one task. */
export interface pfn_reader_user {
  /** What was pinned last; null before the first time. */
  upages: readonly page_run[] | null;
  /** Bytes that pointers to pages may take. */
  upages_len: number;
  /** Page indexes that `upages` is for. */
  upages_start: number;
  upages_end: number;
  readonly gup_flags: number;
  /** 1: mmget() and mmap_lock for reading; 0: only mmget(); -1: neither. Where the mm is current's no mmget(). */
  locked: -1 | 0 | 1;
}

/** Counts `npages` more of the pages as pinned. */
export function iopt_pages_add_npinned(pages: iopt_pages, npages: number): void {
  pages.npinned += npages;
  WARN_ON(pages.npinned > pages.npages, `more of ${pages.name} is pinned than there is`);
}

export function iopt_pages_sub_npinned(pages: iopt_pages, npages: number): void {
  WARN_ON(npages > pages.npinned, `more of ${pages.name} is unpinned than is pinned`);
  pages.npinned -= npages;
}

/** Charges the user, as io_uring does. -ENOMEM: beyond RLIMIT_MEMLOCK. */
const incr_user_locked_vm = fn('incr_user_locked_vm', function* (pages: iopt_pages, npages: number): Gen<Rc> {
  const { task, user } = source_of(pages);
  const lock_limit = Number(task.rlimit_memlock >> BigInt(PAGE_SHIFT));
  let cur_pages = yield* atomic64_read(user.locked_vm);
  for (;;) {
    const new_pages = cur_pages + npages;
    if (new_pages > lock_limit) return fail(ENOMEM, "the user's locked memory would exceed RLIMIT_MEMLOCK");
    const seen = yield* atomic64_cmpxchg(user.locked_vm, cur_pages, new_pages);
    if (seen === cur_pages) return 0;
    cur_pages = seen;
  }
});

function* decr_user_locked_vm(pages: iopt_pages, npages: number): Gen<void> {
  const { locked_vm } = source_of(pages).user;
  if (WARN_ON((yield* atomic64_read(locked_vm)) < npages, `${locked_vm.name} would be negative`)) return;
  yield* atomic64_sub(npages, locked_vm);
}

/** Charges the address space, as VFIO does. -ENOMEM: beyond RLIMIT_MEMLOCK; -EINVAL: nobody uses it any more. */
const update_mm_locked_vm = fn(
  'update_mm_locked_vm',
  function* (pages: iopt_pages, npages: number, inc: boolean, user: pfn_reader_user | null): Gen<Rc> {
    const { mm, task } = source_of(pages);
    let do_put = false;
    // 6.12 does this: -1, no lock, counts as locked too.
    if (user !== null && user.locked !== 0) {
      yield* up_read(mm.mmap_lock);
      user.locked = 0;
    } else if ((user === null || user.upages === null) && mm !== current_mm_or_null()) {
      if (!(yield* mmget_not_zero(mm))) return fail(EINVAL, 'the process that the memory was of has exited');
      do_put = true;
    }
    yield* down_write(mm.mmap_lock);
    const rc = __account_locked_vm(mm, npages, inc, task, false);
    yield* up_write(mm.mmap_lock);
    if (do_put) yield* mmput(mm);
    return rc;
  },
);

function* charge(pages: iopt_pages, npages: number, inc: boolean, user: pfn_reader_user | null): Gen<Rc> {
  switch (pages.account_mode) {
    case iopt_pages_account_mode.IOPT_PAGES_ACCOUNT_NONE:
      return 0;
    case iopt_pages_account_mode.IOPT_PAGES_ACCOUNT_USER:
      if (inc) return yield* incr_user_locked_vm(pages, npages);
      yield* decr_user_locked_vm(pages, npages);
      return 0;
    case iopt_pages_account_mode.IOPT_PAGES_ACCOUNT_MM:
      return yield* update_mm_locked_vm(pages, npages, inc, user);
  }
}

function* do_update_pinned(
  pages: iopt_pages,
  npages: number,
  inc: boolean,
  user: pfn_reader_user | null,
): Gen<Rc> {
  const rc = yield* charge(pages, npages, inc, user);
  if (rc !== 0) return rc;
  pages.last_npinned = pages.npinned;
  const { pinned_vm } = source_of(pages).mm;
  if (inc) yield* atomic64_add(npages, pinned_vm);
  else yield* atomic64_sub(npages, pinned_vm);
  return 0;
}

/** Takes back the charge for pages that were unpinned; none may have been pinned since the last update. */
export function* update_unpinned(pages: iopt_pages): Gen<void> {
  const { npinned, last_npinned } = pages;
  if (WARN_ON(npinned > last_npinned, `${pages.name} have pinned pages that are not charged`)) return;
  if (npinned === last_npinned) return;
  // 6.12 does this: where the process has exited, the charge to its address space stays and is tried again.
  yield* do_update_pinned(pages, last_npinned - npinned, false, null);
}

/**
 * Charges for what was pinned since the last update, or takes back for what was unpinned. After the fact, as
 * how much of a range is pinned already shows only while it is being pinned. -ENOMEM, -EINVAL: see charge.
 */
export const pfn_reader_user_update_pinned = fn(
  'pfn_reader_user_update_pinned',
  function* (user: pfn_reader_user, pages: iopt_pages): Gen<Rc> {
    lockdep_assert_held(pages.mutex);
    const { npinned, last_npinned } = pages;
    if (npinned === last_npinned) return 0;
    if (npinned < last_npinned) {
      return yield* do_update_pinned(pages, last_npinned - npinned, false, user);
    }
    if (iommufd_should_fail()) return fail(ENOMEM, 'fault injection');
    return yield* do_update_pinned(pages, npinned - last_npinned, true, user);
  },
);
