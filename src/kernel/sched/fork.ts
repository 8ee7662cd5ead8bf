// SPDX-License-Identifier: GPL-2.0-only

/** How processes begin and end: kernel/fork.c, kernel/exit.c (6.12), as far as memory and files hear of it. */
import { current } from '../../sim/context.ts';
import { type Err, IS_ERR } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { dup_fd, exit_files, task_work_run } from '../fs/file.ts';
import { dup_mm } from '../mm/fork.ts';
import { exit_mm } from '../mm/util.ts';
import { current_process, process, task_struct } from './task.ts';

const forkFn = sourceFile('kernel/fork.c');
const exitFn = sourceFile('kernel/exit.c');

const EXIT = op<process>('do_exit', { enables: ['wait4'] as const });
const WAIT = op<process>('wait4', { ready: (it) => it.exited, sleeps: true });

/**
 * A copy of the calling process, without a thread yet: the same files, a copy of its memory, the same rights.
 * What dup_mm says.
 */
export const copy_process = forkFn('copy_process', function* (creator: Named, role: string): Gen<
  process | Err
> {
  const parent = current_process();
  const { mm } = parent;
  if (mm === null) throw new Error(`${parent.name} forks though it has exited`);
  const child = new process(creator, role, parent.user, parent.capabilities, parent.rlimit_memlock);
  yield* dup_fd(parent.files, child.files);
  const copy = yield* dup_mm(mm, child, 'mm');
  if (IS_ERR(copy)) {
    yield* exit_files(child.files);
    return copy;
  }
  child.mm = copy;
  return child;
});

/** The end of the calling thread's process, of which it is the only thread: first memory, then files. */
export const do_exit = exitFn('do_exit', function* (): Gen<void> {
  const task = current();
  if (!(task instanceof task_struct)) throw new Error(`${task.name} is no thread of a process`);
  const { process } = task;
  yield* exit_mm(process);
  yield* exit_files(process.files);
  yield* task_work_run(task);
  yield* operation(EXIT, process, (it) => {
    it.exited = true;
  });
});

/** Waits until a process has exited. */
export const wait4 = (child: process): Co<void> => operation(WAIT, child, () => {});
