// SPDX-License-Identifier: GPL-2.0-only

/**
 * The system calls on files, as a thread of user space enters them: fs/open.c, fs/ioctl.c, fs/read_write.c
 * (6.12). Each returns what the kernel returns: a value, or a negative errno.
 */
import { current } from '../../sim/context.ts';
import { fail, IS_ERR } from '../../sim/errno.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { EBADF, EFAULT, EINVAL, ENOENT, ENOIOCTLCMD, ENOTTY } from '../../uapi/errno.ts';
import { TASK_SIZE_MAX } from '../mm/mm_types.ts';
import { current_process, task_struct } from '../sched/task.ts';
import { devtmpfs_lookup } from './devtmpfs.ts';
import {
  __fput_sync,
  alloc_file,
  fd_install,
  fdget,
  fdput,
  type file,
  file_close_fd,
  fput,
  get_unused_fd_flags,
  put_unused_fd,
  task_work_run,
} from './file.ts';
import { sysfs_lookup } from './kernfs.ts';
import { do_poll } from './select.ts';

/** Runs a system call's body, then what it put off until the return to user space. */
function* syscall<T>(body: Co<T>): Gen<T> {
  const result = yield* body;
  const task = current();
  if (task instanceof task_struct) yield* task_work_run(task);
  return result;
}

/** Serves a call on the file at `fd`. -EBADF when nothing is open there. */
function* onFile(fd: number, serve: (filp: file) => Co<number>): Gen<number> {
  const { files } = current_process();
  const shared = files.count > 1;
  const filp = yield* fdget(files, fd);
  if (filp === null) return fail(EBADF, 'nothing is open at that descriptor');
  const result = yield* serve(filp);
  yield* fdput(filp, shared);
  return result;
}

function* open(path: string, flags: number): Gen<number> {
  const { files } = current_process();
  const fd = yield* get_unused_fd_flags(files);
  if (IS_ERR(fd)) return fd;
  const found = devtmpfs_lookup(path) ?? (path.startsWith('/sys/') ? yield* sysfs_lookup(path) : null);
  if (found === null) {
    yield* put_unused_fd(files, fd);
    return fail(ENOENT, 'no such file');
  }
  const filp = alloc_file(files, found.f_op, flags);
  if (IS_ERR(filp)) {
    yield* put_unused_fd(files, fd);
    return filp;
  }
  if ('node' in found) filp.private_data = found.node;
  const refused = found.f_op.open === undefined ? 0 : yield* found.f_op.open(filp);
  if (refused !== 0) {
    // Never opened, so never released: the file goes without its driver hearing of it.
    filp.f_op = null;
    yield* fput(filp);
    yield* put_unused_fd(files, fd);
    return refused;
  }
  yield* fd_install(files, fd, filp);
  return fd;
}

function* close(fd: number): Gen<number> {
  const filp = yield* file_close_fd(current_process().files, fd);
  if (IS_ERR(filp)) return filp;
  // 6.12 releases in close() itself, not on the way back to user space (fs/open.c:close).
  yield* __fput_sync(filp);
  return 0;
}

function* ioctl(filp: file, cmd: number, arg: bigint): Gen<number> {
  const serve = filp.f_op?.unlocked_ioctl;
  if (serve === undefined) return fail(ENOTTY, 'the file has no ioctls');
  const result = yield* serve(filp, cmd, arg);
  return result === -ENOIOCTLCMD ? fail(ENOTTY, 'the driver knows no such ioctl') : result;
}

/** Whether a buffer ends within user space. */
const access_ok = (buf: bigint, count: number): boolean => buf + BigInt(count) <= TASK_SIZE_MAX;

/** No call reads or writes more at once, bytes (include/linux/fs.h: INT_MAX, down to a page). */
const MAX_RW_COUNT = 0x7fff_f000;

function* read(filp: file, buf: bigint, count: number): Gen<number> {
  const serve = filp.f_op?.read;
  if (serve === undefined) return fail(EINVAL, 'the file cannot be read');
  if (!access_ok(buf, count)) return fail(EFAULT, 'the buffer is no memory of user space');
  return yield* serve(filp, buf, Math.min(count, MAX_RW_COUNT));
}

function* write(filp: file, buf: bigint, count: number): Gen<number> {
  const serve = filp.f_op?.write;
  if (serve === undefined) return fail(EINVAL, 'the file cannot be written');
  if (!access_ok(buf, count)) return fail(EFAULT, 'the buffer is no memory of user space');
  return yield* serve(filp, buf, Math.min(count, MAX_RW_COUNT));
}

/** open(2): the lowest free descriptor. -ENOENT, -EMFILE, or what the driver says. */
export const sys_open = (path: string, flags: number): Gen<number> => syscall(open(path, flags));
/** close(2): 0. -EBADF. */
export const sys_close = (fd: number): Gen<number> => syscall(close(fd));
/** ioctl(2): what the driver says; -EBADF, -ENOTTY. `arg` as an unsigned 64-bit number. */
export const sys_ioctl = (fd: number, cmd: number, arg: bigint): Gen<number> =>
  syscall(onFile(fd, (filp) => ioctl(filp, cmd, arg)));
/** read(2): bytes read to user address `buf`; -EBADF, -EINVAL, -EFAULT, or what the driver says. */
export const sys_read = (fd: number, buf: bigint, count: number): Gen<number> =>
  syscall(onFile(fd, (filp) => read(filp, buf, count)));
/** write(2): bytes taken from user address `buf`; -EBADF, -EINVAL, -EFAULT, or what the driver says. */
export const sys_write = (fd: number, buf: bigint, count: number): Gen<number> =>
  syscall(onFile(fd, (filp) => write(filp, buf, count)));
/** poll(2) of one descriptor: its events as do_poll says; -EBADF, where Linux has POLLNVAL among the events. */
export const sys_poll = (fd: number, events: number, timeout: number): Gen<number> =>
  syscall(onFile(fd, (filp) => do_poll(filp, events, timeout)));
