// SPDX-License-Identifier: GPL-2.0-only

/**
 * Pipes: fs/pipe.c (6.12). Modelled as far as programs use them to learn that the other end is gone: nothing
 * can be written into one.
 */
import { fail, IS_ERR } from '../../sim/errno.ts';
import { Unsupported } from '../../sim/errors.ts';
import { embed, int } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { root, struct } from '../../sim/struct.ts';
import { mutex, mutex_lock, mutex_unlock } from '../../sim/sync/mutex.ts';
import { READ_ONCE } from '../../sim/sync/rcu.ts';
import { wait_event, wait_queue_head, wake_up_all } from '../../sim/sync/wait.ts';
import type { Gen } from '../../sim/task.ts';
import { EAGAIN, EINVAL, ENFILE, EPIPE } from '../../uapi/errno.ts';
import { current_process } from '../sched/task.ts';
import { anon_inode_getfile } from './anon_inodes.ts';
import { O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_WRONLY } from './fcntl.ts';
import {
  fd_install,
  type file,
  type file_operations,
  fput,
  get_unused_fd_flags,
  put_unused_fd,
} from './file.ts';

const fn = sourceFile('fs/pipe.c');

class pipe_inode_info extends struct('pipe_inode_info', root, {
  mutex: embed(mutex),
  rd_wait: embed(wait_queue_head),
  /** Open files of either end, and of both. */
  readers: int(),
  writers: int(),
  files: int({ guardedBy: 'mutex' }),
}) {}

function pipe_of(filp: file): pipe_inode_info {
  if (!(filp.private_data instanceof pipe_inode_info)) throw new Error(`${filp.name} is no pipe`);
  return filp.private_data;
}

const reads = (filp: file): boolean => (filp.f_flags & O_WRONLY) === 0;

const pipe_release = fn('pipe_release', function* (filp: file): Gen<void> {
  const pipe = pipe_of(filp);
  yield* mutex_lock(pipe.mutex);
  if (reads(filp)) pipe.readers -= 1;
  else pipe.writers -= 1;
  if ((pipe.readers === 0) !== (pipe.writers === 0)) yield* wake_up_all(pipe.rd_wait);
  pipe.files -= 1;
  const last = pipe.files === 0;
  yield* mutex_unlock(pipe.mutex);
  if (last) kfree(pipe);
});

/** Somebody who reads need not wait: nobody is left who could write. */
function* pipe_readable(pipe: pipe_inode_info): Gen<boolean> {
  return (yield* READ_ONCE(pipe, 'writers')) === 0;
}

const pipe_read = fn('pipe_read', function* (filp: file, _buf: bigint, count: number): Gen<number> {
  const pipe = pipe_of(filp);
  if (count === 0) return 0;
  yield* mutex_lock(pipe.mutex);
  while (pipe.writers > 0) {
    const nonblock = (filp.f_flags & O_NONBLOCK) !== 0;
    yield* mutex_unlock(pipe.mutex);
    if (nonblock) return fail(EAGAIN, 'the pipe is empty and the file does not block');
    yield* wait_event(pipe.rd_wait, () => pipe_readable(pipe));
    yield* mutex_lock(pipe.mutex);
  }
  yield* mutex_unlock(pipe.mutex);
  return 0;
});

const pipe_write = fn('pipe_write', function* (filp: file, _buf: bigint, count: number): Gen<number> {
  const pipe = pipe_of(filp);
  if (count === 0) return 0;
  yield* mutex_lock(pipe.mutex);
  const { readers } = pipe;
  yield* mutex_unlock(pipe.mutex);
  if (readers > 0) throw new Unsupported('writing to a pipe');
  return fail(EPIPE, 'nobody has the end to read open');
});

const read_fops: file_operations = { name: 'pipefifo_fops', release: pipe_release, read: pipe_read };
const write_fops: file_operations = { name: 'pipefifo_fops', release: pipe_release, write: pipe_write };

/**
 * pipe2(2), without the way in and out: the descriptors of the end to read and of the end to write, or
 * -EINVAL: flags; -ENFILE, -EMFILE.
 */
export const do_pipe2 = fn('do_pipe2', function* (flags: number): Gen<readonly [number, number] | number> {
  const { files } = current_process();
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) !== 0) return fail(EINVAL, 'unknown flags');
  const pipe = kzalloc(pipe_inode_info, files, 'pipe');
  if (pipe === null) return fail(ENFILE, 'no memory for the pipe');
  pipe.readers = 1;
  pipe.writers = 1;
  pipe.files = 2;
  const write = anon_inode_getfile(write_fops, pipe, O_WRONLY | flags);
  if (IS_ERR(write)) {
    kfree(pipe);
    return write;
  }
  const read = anon_inode_getfile(read_fops, pipe, O_RDONLY | flags);
  if (IS_ERR(read)) {
    pipe.readers = 0;
    pipe.files = 1;
    yield* fput(write);
    return read;
  }
  const fdr = yield* get_unused_fd_flags(files);
  const fdw = IS_ERR(fdr) ? fdr : yield* get_unused_fd_flags(files);
  if (IS_ERR(fdw)) {
    if (!IS_ERR(fdr)) yield* put_unused_fd(files, fdr);
    yield* fput(read);
    yield* fput(write);
    return fdw;
  }
  yield* fd_install(files, fdr, read);
  yield* fd_install(files, fdw, write);
  return [fdr, fdw];
});
