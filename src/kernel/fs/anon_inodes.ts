// SPDX-License-Identifier: GPL-2.0-only

/** Files that no path leads to: fs/anon_inodes.c (6.12). */
import { type Err, IS_ERR } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { current_process } from '../sched/task.ts';
import { alloc_file, type file, type file_operations } from './file.ts';

const fn = sourceFile('fs/anon_inodes.c');

/**
 * A file of a kind that stands for `priv`, with one reference; `flags` as of open(). -ENOMEM. (It cannot be
 * said what the inode is called: nobody sees it.)
 */
export const anon_inode_getfile = fn(
  'anon_inode_getfile',
  (fops: file_operations, priv: Observed, flags: number): file | Err => {
    const filp = alloc_file(current_process().files, fops, flags);
    if (!IS_ERR(filp)) filp.private_data = priv;
    return filp;
  },
);
