// SPDX-License-Identifier: GPL-2.0-only

/** Users of address spaces, and pages charged to them (include/linux/sched/mm.h, mm/util.c, kernel/fork.c, 6.12). */
import { PAGE_SHIFT } from '../../hw/memory.ts';
import { current } from '../../sim/context.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kfree } from '../../sim/slab.ts';
import { refcount_dec_and_test, refcount_inc, refcount_inc_not_zero } from '../../sim/sync/refcount.ts';
import { down_write, up_write } from '../../sim/sync/rwsem.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { ENOMEM } from '../../uapi/errno.ts';
import { capable, current_process, type process } from '../sched/task.ts';
import type { mm_struct } from './mm_types.ts';
import { exit_mmap } from './mmap.ts';

const fn = sourceFile('mm/util.c');
const fork = sourceFile('kernel/fork.c');

/** Keeps the address space in use; it must be. */
const mmget = (mm: mm_struct): Co<void> => refcount_inc(mm.mm_users);
/** False, and nothing done, when nobody uses the address space any more. */
export const mmget_not_zero = (mm: mm_struct): Co<boolean> => refcount_inc_not_zero(mm.mm_users);
/** Keeps the struct, not what it describes. */
export const mmgrab = (mm: mm_struct): Co<void> => refcount_inc(mm.mm_count);

/** Drops a reference of mmgrab; with the last one the struct is freed. */
export function* mmdrop(mm: mm_struct): Gen<void> {
  if (yield* refcount_dec_and_test(mm.mm_count)) kfree(mm);
}

/** Drops a use of the address space; with the last one all mappings go. */
export const mmput = fork('mmput', function* (mm: mm_struct): Gen<void> {
  if (!(yield* refcount_dec_and_test(mm.mm_users))) return;
  yield* exit_mmap(mm);
  yield* mmdrop(mm);
});

/** The address space of a process, in use until the caller's mmput; null once it has exited. */
export const get_task_mm = fork('get_task_mm', function* (group: process): Gen<mm_struct | null> {
  const { mm } = group;
  if (mm !== null) yield* mmget(mm);
  return mm;
});

/** The process has no memory any more: before its files are closed (kernel/exit.c: exit_mm). */
export const exit_mm = sourceFile('kernel/exit.c')('exit_mm', function* (group: process): Gen<void> {
  const { mm } = group;
  if (mm === null) return;
  group.mm = null;
  yield* mmput(mm);
});

/**
 * Charges `pages` pages to an address space whose mmap_lock is held for writing, or takes the charge back
 * (`inc` false). `task`: whose RLIMIT_MEMLOCK counts, unless `bypass_rlim`. 0, or -ENOMEM beyond it.
 */
export const __account_locked_vm = fn(
  '__account_locked_vm',
  (mm: mm_struct, pages: number, inc: boolean, task: process, bypass_rlim: boolean): Rc => {
    WARN_ON(mm.mmap_lock.writer !== current(), `${mm.mmap_lock.name} is not held for writing`);
    const { locked_vm } = mm;
    if (!inc) {
      WARN_ON(pages > locked_vm, `${mm.name}.locked_vm would be negative`);
      mm.locked_vm = locked_vm - pages;
      return 0;
    }
    const limit = Number(task.rlimit_memlock >> BigInt(PAGE_SHIFT));
    if (!bypass_rlim && locked_vm + pages > limit) return fail(ENOMEM, 'RLIMIT_MEMLOCK');
    mm.locked_vm = locked_vm + pages;
    return 0;
  },
);

/** As __account_locked_vm, for the calling process, taking the lock; CAP_IPC_LOCK knows no limit. */
export const account_locked_vm = fn(
  'account_locked_vm',
  function* (mm: mm_struct | null, pages: number, inc: boolean): Gen<Rc> {
    if (pages === 0 || mm === null) return 0;
    yield* down_write(mm.mmap_lock);
    const rc = __account_locked_vm(mm, pages, inc, current_process(), capable('CAP_IPC_LOCK'));
    yield* up_write(mm.mmap_lock);
    return rc;
  },
);
