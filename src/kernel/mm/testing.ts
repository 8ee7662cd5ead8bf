// SPDX-License-Identifier: GPL-2.0-only

/** For the tests of this directory: programs that run in processes of their own. */
import { context } from '../../sim/context.ts';
import { IS_ERR } from '../../sim/errno.ts';
import { Machine } from '../../sim/machine.ts';
import { runToBlock } from '../../sim/policies/run-to-block.ts';
import type { Gen } from '../../sim/task.ts';
import { KIND_MASK, STRIDE, WARN } from '../../sim/trace.ts';
import { process, task_struct, user_struct } from '../sched/task.ts';
import { do_mmap, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, type MmapOptions, mm_struct } from './mm.ts';

type Program = (mm: mm_struct, group: process) => Gen<void>;

/** RLIMIT_MEMLOCK of the processes here, bytes. */
export const MEMLOCK = 0x10000n;

/** A process with an address space, empty or given, and a thread that runs its program. */
export function spawn(on: Machine, role: string, program: Program, mm?: mm_struct): process {
  const group = new process(on.root, role, new user_struct(on.root, 'user'), new Set(), MEMLOCK);
  const own = mm ?? new mm_struct(group, 'mm');
  group.mm = own;
  thread(on, group, `${role}.t`, program(own, group));
  return group;
}

/** One more thread of a process. */
export function thread(on: Machine, group: process, role: string, program: Gen<void>): void {
  on.scheduler.add(new task_struct(on.root, role, program, group));
}

/** Runs a program in a process of its own. Throws when it does not end. Returns what warned. */
export function run(program: Program): string[] {
  const on = new Machine(runToBlock).powerOn();
  spawn(on, 'p0', program);
  return finish(on);
}

/** Runs a machine to its end. Throws when that is no good one. Returns what warned. */
export function finish(on: Machine): string[] {
  const ending = on.run();
  if (ending.status !== 'finished') throw new Error(ending.status === 'hang' ? ending.report : ending.status);
  return warnings();
}

/** What has warned so far. */
function warnings(): string[] {
  const { buf, len, values } = context.trace;
  const found: string[] = [];
  for (let at = 0; at < len; at += STRIDE) {
    if (((buf[at] ?? 0) & KIND_MASK) === WARN) found.push(String(values[buf[at + 2] ?? -1]));
  }
  return found;
}

/** Maps memory of nobody's file at a fixed address, private unless flags say otherwise. Throws when that fails. */
export function map(
  mm: mm_struct,
  addr: bigint,
  len: bigint,
  prot: number,
  flags = MAP_PRIVATE,
  options: MmapOptions = {},
): void {
  const at = do_mmap(mm, addr, len, prot, flags | MAP_ANONYMOUS | MAP_FIXED, options);
  if (IS_ERR(at)) throw new Error(`mmap: ${at}`);
}

/** `n` bytes, none of them zero, at most 20,000. */
export const pattern = (n: number, seed = 1): Uint8Array => BYTES.slice(seed * 13, seed * 13 + n);

const BYTES: Readonly<Uint8Array> = Uint8Array.from({ length: 21_000 }, (_, i) => ((i * 7) % 255) + 1);
