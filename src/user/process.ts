// SPDX-License-Identifier: GPL-2.0-only

/** Programs: processes that make system calls. */
import {
  do_mmap,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  mm_struct,
  PROT_READ,
  PROT_WRITE,
  user_load,
} from '../kernel/mm/mm.ts';
import {
  ALL_CAPABILITIES,
  type Capability,
  process,
  task_struct,
  user_struct,
} from '../kernel/sched/task.ts';
import { machine } from '../sim/context.ts';
import { IS_ERR } from '../sim/errno.ts';
import type { Named } from '../sim/observed.ts';
import type { Gen } from '../sim/task.ts';

/**
 * Where a thread puts the arguments of its system calls: a mapping each, as each has a stack of its own. Copies
 * to and from different mappings commute.
 */
const ARGUMENTS = 0x7ffd_0000_0000n;
export const ARGUMENT_BYTES = 4096n;
const MAX_THREADS = 64;

export interface ProcessOptions {
  readonly user?: user_struct;
  readonly capabilities?: ReadonlySet<Capability>;
  /** RLIMIT_MEMLOCK in bytes; what Linux gives by default is an eighth of the memory, 8 MiB at least. */
  readonly rlimit_memlock?: bigint;
}

const DEFAULT_MEMLOCK = 8n << 20n;

/** A process that has opened and mapped nothing. */
export function create_process(creator: Named, role: string, options: ProcessOptions = {}): process {
  const it = new process(
    creator,
    role,
    options.user ?? machine().singleton(root_user),
    options.capabilities ?? ALL_CAPABILITIES,
    options.rlimit_memlock ?? DEFAULT_MEMLOCK,
  );
  it.mm = new mm_struct(it, 'mm');
  return it;
}

const root_user = (creator: Named): user_struct => new user_struct(creator, 'root');

/** A thread of a process. It runs when the machine runs. */
export class Thread extends task_struct {
  /** Where its system calls' arguments are put. */
  readonly arguments: bigint;

  constructor(group: process, role: string, body: Gen<void>) {
    super(machine().root, role, body, group);
    if (group.files.count >= MAX_THREADS)
      throw new RangeError(`${group.name} has ${MAX_THREADS} threads already`);
    this.arguments = ARGUMENTS + ARGUMENT_BYTES * BigInt(group.files.count);
    group.files.count += 1;
    if (group.mm !== null) provideArguments(group.mm, this.arguments, `${this.name}.arguments`);
    machine().scheduler.add(this);
  }
}

function provideArguments(mm: mm_struct, at: bigint, role: string): void {
  if (user_load(mm, at, 1) !== null) return;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  if (IS_ERR(do_mmap(mm, at, ARGUMENT_BYTES, PROT_READ | PROT_WRITE, flags, { role }))) {
    throw new Error(`${mm.name} has no room for the arguments of a thread`);
  }
}
