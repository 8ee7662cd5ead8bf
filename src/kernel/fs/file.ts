// SPDX-License-Identifier: GPL-2.0-only

/** Open files and descriptor tables: fs/file.c, fs/file_table.c, include/linux/fs.h (6.12). */
import { list_add_tail, list_del, list_first_entry_or_null } from '../../sim/collections/list.ts';
import {
  __xa_alloc,
  __xa_erase,
  __xa_store,
  xa_for_each,
  xa_load,
  xa_lock,
  xa_unlock,
} from '../../sim/collections/xarray.ts';
import { current } from '../../sim/context.ts';
import { done } from '../../sim/coroutine.ts';
import { type Err, fail } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { refcount_dec_and_test, refcount_inc, refcount_init } from '../../sim/sync/refcount.ts';
import type { spinlock } from '../../sim/sync/spinlock.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EBADF, EMFILE, ENOMEM } from '../../uapi/errno.ts';
import { task_struct } from '../sched/task.ts';
import { file, type file_operations, type files_struct } from './file.h.ts';

export { file, type file_operations } from './file.h.ts';

/** Descriptors below it are never handed out by `open`: a program starts with them taken. */
const FIRST_FREE_FD = 3;
/** RLIMIT_NOFILE as distributions set it. */
const RLIMIT_NOFILE = 1024;

const fn = sourceFile('fs/file.c');
const tableFn = sourceFile('fs/file_table.c');

/** A new file of a kind, with one reference; -ENOMEM. (6.12 has -ENFILE where an unprivileged user has all files open that there may be.). */
export const alloc_file = tableFn('alloc_file', (creator: Named, f_op: file_operations, flags: number) => {
  const filp = kzalloc(file, creator, 'file');
  if (filp === null) return fail(ENOMEM, 'no memory for a struct file');
  refcount_init(filp.f_count, 1);
  filp.f_op = f_op;
  filp.f_flags = flags;
  return filp;
});

/** Takes the lowest free descriptor without showing a file there yet. -EMFILE at the limit. */
export const get_unused_fd_flags = fn('get_unused_fd_flags', function* (files: files_struct): Gen<
  number | Err
> {
  yield* xa_lock(files.fdt);
  const fd = __xa_alloc(files.fdt, null, { min: FIRST_FREE_FD, max: RLIMIT_NOFILE - 1 });
  yield* xa_unlock(files.fdt);
  return fd ?? fail(EMFILE, 'every descriptor up to RLIMIT_NOFILE is taken');
});

/** Gives back a descriptor that no file was installed at. */
export const put_unused_fd = fn('put_unused_fd', function* (files: files_struct, fd: number): Gen<void> {
  yield* xa_lock(files.fdt);
  __xa_erase(files.fdt, fd);
  yield* xa_unlock(files.fdt);
});

/** Shows the file at the descriptor; the table owns the reference from here on. */
export const fd_install = fn(
  'fd_install',
  function* (files: files_struct, fd: number, filp: file): Gen<void> {
    yield* xa_lock(files.fdt);
    __xa_store(files.fdt, fd, filp);
    yield* xa_unlock(files.fdt);
  },
);

/**
 * Linux looks a descriptor up under RCU, and looks again if the file went meanwhile: as if at one moment, which
 * is before or after each change of the table. Whoever sees the file there has the table's own reference.
 */
const FGET = op<spinlock>('fget', { commutes: ['fget'] as const, opaque: true });

/** One more reference to a file of which the caller has one. Pair with fput. */
export const get_file = (filp: file): Co<void> => refcount_inc(filp.f_count);

/** The file at a descriptor with a reference of the caller's own, or null. Pair with fput. */
export const fget = fn('fget', function* (files: files_struct, fd: number): Gen<file | null> {
  return yield* operation(FGET, files.fdt.xa_lock, () => {
    const filp = xa_load(files.fdt, fd);
    if (filp !== null) filp.f_count.refs += 1;
    return filp;
  });
});

/**
 * The file at a descriptor for the length of a system call, or null. A table that no other thread shares
 * needs no reference. Pair with fdput.
 */
export function fdget(files: files_struct, fd: number): Co<file | null> {
  return files.count > 1 ? fget(files, fd) : done(xa_load(files.fdt, fd));
}

/** Ends what fdget began. `shared`: what `files.count > 1` was then. */
export const fdput = (filp: file, shared: boolean): Co<void> => (shared ? fput(filp) : done(undefined));

const __fput = tableFn('__fput', function* (filp: file): Gen<void> {
  if (filp.f_op?.release !== undefined) yield* filp.f_op.release(filp);
  kfree(filp);
});

/**
 * Drops a reference. The last one releases the file, but not here: the work is put off to the moment at which
 * the task returns to user space (task_work), after everything that this system call still does.
 */
export const fput = tableFn('fput', function* (filp: file): Gen<void> {
  if (!(yield* refcount_dec_and_test(filp.f_count))) return;
  const task = current();
  if (task instanceof task_struct) list_add_tail(filp.f_task_work, task.task_works);
  else yield* __fput(filp);
});

/** Drops a reference, and releases the file before it returns if that was the last. */
export const __fput_sync = tableFn('__fput_sync', function* (filp: file): Gen<void> {
  if (yield* refcount_dec_and_test(filp.f_count)) yield* __fput(filp);
});

/** Does what was put off until the return to user space (kernel/task_work.c). */
export function* task_work_run(task: task_struct): Gen<void> {
  for (;;) {
    const filp = list_first_entry_or_null(task.task_works);
    if (filp === null) return;
    list_del(filp.f_task_work);
    yield* __fput(filp);
  }
}

/** Takes the file off the descriptor; the caller gets the table's reference. -EBADF when there is none. */
export const file_close_fd = fn('file_close_fd', function* (files: files_struct, fd: number): Gen<
  file | Err
> {
  yield* xa_lock(files.fdt);
  const filp = __xa_erase(files.fdt, fd);
  yield* xa_unlock(files.fdt);
  return filp ?? fail(EBADF, 'nothing is open at that descriptor');
});

/** Shows what `oldf` has open in `files` too, an empty table that nobody else sees: a process forks. */
export const dup_fd = fn('dup_fd', function* (oldf: files_struct, files: files_struct): Gen<void> {
  yield* xa_lock(oldf.fdt);
  yield* xa_lock(files.fdt);
  for (const [fd, filp] of xa_for_each(oldf.fdt)) {
    yield* refcount_inc(filp.f_count);
    __xa_store(files.fdt, fd, filp);
  }
  yield* xa_unlock(files.fdt);
  yield* xa_unlock(oldf.fdt);
});

/** Closes every descriptor, lowest first: a process exits. */
export const exit_files = fn('exit_files', function* (files: files_struct): Gen<void> {
  for (const [fd, filp] of xa_for_each(files.fdt)) {
    yield* xa_lock(files.fdt);
    __xa_erase(files.fdt, fd);
    yield* xa_unlock(files.fdt);
    yield* fput(filp);
  }
});
