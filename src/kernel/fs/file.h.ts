// SPDX-License-Identifier: GPL-2.0-only

/** The structs of open files and descriptor tables: include/linux/fs.h, fdtable.h (6.12). */
import { list_node } from '../../sim/collections/list.ts';
import { XA_FLAGS_ALLOC, xarray } from '../../sim/collections/xarray.ts';
import type { Err } from '../../sim/errno.ts';
import { embed, flags32, int } from '../../sim/field.ts';
import type { Observed } from '../../sim/observed.ts';
import { root, struct } from '../../sim/struct.ts';
import { refcount_t } from '../../sim/sync/refcount.ts';
import type { Co } from '../../sim/task.ts';
import type { poll_table } from './select.ts';

/** What a kind of file does (include/linux/fs.h: struct file_operations). Absent: the call is refused. */
export interface file_operations {
  readonly name: string;
  open?(filp: file): Co<Err | 0>;
  release?(filp: file): Co<void>;
  unlocked_ioctl?(filp: file, cmd: number, arg: bigint): Co<number>;
  /** Bytes read or written, or an errno. */
  read?(filp: file, buf: bigint, count: number): Co<number>;
  write?(filp: file, buf: bigint, count: number): Co<number>;
  /** What there is of EPOLL*; tells `wait` who is woken when that changes. */
  poll?(filp: file, wait: poll_table): Co<number>;
}

export class file extends struct('file', root, {
  f_count: embed(refcount_t),
  f_flags: flags32(),
  /** On task_struct.task_works while its release is put off. */
  f_task_work: list_node<file>(),
}) {
  f_op: file_operations | null = null;
  /** The object that the file stands for; the driver's `open` sets it. */
  private_data: Observed | null = null;
}

/** A descriptor table. Slots 0 to 2 are the program's standard streams. */
export class files_struct extends struct('files_struct', root, {
  /** Descriptor to file; a reserved slot is one that is being opened. Its lock is Linux's file_lock. */
  fdt: xarray<file>(XA_FLAGS_ALLOC),
  /** Threads that share the table. */
  count: int({ atomic: true }),
}) {}
