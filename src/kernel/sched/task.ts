// SPDX-License-Identifier: GPL-2.0-only

/** What a task of user space has beside its code (include/linux/sched.h, cred.h): memory, files, rights. */
import { list_head } from '../../sim/collections/list.ts';
import { current } from '../../sim/context.ts';
import { bool, embed, ref } from '../../sim/field.ts';
import type { Named } from '../../sim/observed.ts';
import { root, struct } from '../../sim/struct.ts';
import { type Gen, Task } from '../../sim/task.ts';
import { type file, files_struct } from '../fs/file.h.ts';
import { atomic64_t } from '../mm/atomic64.ts';
import type { mm_struct } from '../mm/mm.ts';

/** A user and what is charged to him (include/linux/sched/user.h). `locked_vm` in pages. */
export class user_struct extends struct('user_struct', root, { locked_vm: embed(atomic64_t) }) {}

export type Capability = 'CAP_IPC_LOCK' | 'CAP_SYS_RESOURCE' | 'CAP_SYS_RAWIO' | 'CAP_SYS_ADMIN';

export const ALL_CAPABILITIES: ReadonlySet<Capability> = new Set([
  'CAP_IPC_LOCK',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_ADMIN',
]);

/** A thread group: what its threads share. `mm` is null once it has exited; `exited`: nothing of it is left. */
export class process extends struct('process', root, { mm: ref<mm_struct>(), exited: bool() }) {
  readonly files: files_struct;
  readonly user: user_struct;
  readonly capabilities: ReadonlySet<Capability>;
  /** RLIMIT_MEMLOCK, bytes. */
  readonly rlimit_memlock: bigint;

  constructor(
    creator: Named,
    role: string,
    user: user_struct,
    capabilities: ReadonlySet<Capability>,
    rlimit_memlock: bigint,
  ) {
    super(creator, role);
    this.files = new files_struct(this, 'files', true);
    this.user = user;
    this.capabilities = capabilities;
    this.rlimit_memlock = rlimit_memlock;
  }
}

/** A thread of user space. */
export class task_struct extends Task {
  readonly process: process;
  /** What is put off until it returns to user space: files to be released. */
  readonly task_works = new list_head<file>(this, 'task_works', true);

  constructor(creator: Named, role: string, body: Gen<void>, group: process) {
    super(creator, role, body);
    this.process = group;
  }
}

/** The process that calls. Throws (a bug of ours) in a kernel thread, which has none. */
export function current_process(): process {
  const task = current();
  if (!(task instanceof task_struct)) throw new Error(`${task.name} is no thread of a process`);
  return task.process;
}

/** Whether the calling process may (include/linux/capability.h). */
export const capable = (capability: Capability): boolean => current_process().capabilities.has(capability);
