// SPDX-License-Identifier: GPL-2.0-only

/** Counters that are signalled and waited for through a descriptor: fs/eventfd.c (6.12). */
import { fail, IS_ERR } from '../../sim/errno.ts';
import { Unsupported } from '../../sim/errors.ts';
import { sourceFile } from '../../sim/fn.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import {
  eventfd_add,
  eventfd_ctx,
  eventfd_read_nonblock,
  eventfd_read as eventfd_take,
} from '../../sim/sync/eventfd.ts';
import type { Gen } from '../../sim/task.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { copy_from_user, put_user_u64 } from '../mm/uaccess.ts';
import { current_process } from '../sched/task.ts';
import { anon_inode_getfile } from './anon_inodes.ts';
import { O_CLOEXEC, O_NONBLOCK, O_RDWR } from './fcntl.ts';
import { fd_install, type file, type file_operations, get_unused_fd_flags, put_unused_fd } from './file.ts';

const fn = sourceFile('fs/eventfd.c');

const EFD_SEMAPHORE = 1;
const EFD_FLAGS_SET = O_CLOEXEC | O_NONBLOCK | EFD_SEMAPHORE;
const BYTES = 8;
const U64_MAX = 0xffff_ffff_ffff_ffffn;

function context_of(filp: file): eventfd_ctx {
  if (!(filp.private_data instanceof eventfd_ctx)) throw new Error(`${filp.name} is no eventfd`);
  return filp.private_data;
}

const eventfd_release = fn('eventfd_release', function* (filp: file): Gen<void> {
  kfree(context_of(filp));
});

const eventfd_read = fn('eventfd_read', function* (filp: file, buf: bigint, count: number): Gen<number> {
  const ctx = context_of(filp);
  if (count < BYTES) return fail(EINVAL, 'the buffer is shorter than a u64');
  const nonblock = (filp.f_flags & O_NONBLOCK) !== 0;
  const got = nonblock ? yield* eventfd_read_nonblock(ctx) : yield* eventfd_take(ctx);
  if (got === 0n) return fail(EAGAIN, 'the counter is 0 and the file does not block');
  return (yield* put_user_u64(buf, got)) === 0 ? BYTES : fail(EFAULT, 'the buffer cannot be written');
});

const eventfd_write = fn('eventfd_write', function* (filp: file, buf: bigint, count: number): Gen<number> {
  const ctx = context_of(filp);
  if (count !== BYTES) return fail(EINVAL, 'what is written is no u64');
  const bytes = new Uint8Array(BYTES);
  if ((yield* copy_from_user(bytes, buf)) !== 0) return fail(EFAULT, 'the buffer cannot be read');
  const ucnt = new DataView(bytes.buffer).getBigUint64(0, true);
  if (ucnt === U64_MAX) return fail(EINVAL, 'the largest u64 cannot be added');
  if (yield* eventfd_add(ctx, ucnt)) return BYTES;
  if ((filp.f_flags & O_NONBLOCK) === 0) throw new Unsupported('a write that waits until an eventfd is read');
  return fail(EAGAIN, 'the counter would overflow and the file does not block');
});

const eventfd_fops: file_operations = {
  name: 'eventfd_fops',
  release: eventfd_release,
  read: eventfd_read,
  write: eventfd_write,
};

/** eventfd2(2), without the way in and out: a descriptor. -EINVAL: flags; -ENOMEM, -EMFILE. */
export const do_eventfd = fn('do_eventfd', function* (count: number, flags: number): Gen<number> {
  if ((flags & ~EFD_FLAGS_SET) !== 0) return fail(EINVAL, 'unknown flags');
  const { files } = current_process();
  const ctx = kzalloc(eventfd_ctx, files, 'eventfd');
  if (ctx === null) return fail(ENOMEM, 'no memory for the eventfd');
  ctx.count = BigInt(count);
  ctx.semaphore = (flags & EFD_SEMAPHORE) !== 0;
  const fd = yield* get_unused_fd_flags(files);
  const filp = IS_ERR(fd) ? fd : anon_inode_getfile(eventfd_fops, ctx, O_RDWR | (flags & ~EFD_SEMAPHORE));
  if (IS_ERR(filp)) {
    if (!IS_ERR(fd)) yield* put_unused_fd(files, fd);
    kfree(ctx);
    return filp;
  }
  yield* fd_install(files, fd, filp);
  return fd;
});
