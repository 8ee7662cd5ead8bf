// SPDX-License-Identifier: GPL-2.0-only

import { sys_ioctl } from '../kernel/fs/syscalls.ts';
import { type mm_struct, user_load, user_store } from '../kernel/mm/mm.ts';
/** ioctl(2) as a program makes it: a struct is laid out in its memory, and read again afterwards. */
import { current } from '../sim/context.ts';
import type { Gen } from '../sim/task.ts';
import { type AnyLayout, setRaw } from '../uapi/layout.ts';
import { Thread } from './process.ts';

export interface IoctlAnswer {
  /** What the kernel returned: a value or a negative errno. */
  readonly ret: number;
  /** The struct as it was afterwards, with what follows it. */
  readonly bytes: Uint8Array;
}

/** The struct of an ioctl in bytes: fields as named, the others zero; then `tail`. Throws RangeError on misfits. */
export function encode(
  layout: AnyLayout,
  fields: Iterable<readonly [string, bigint]>,
  tail: Uint8Array | null = null,
): Uint8Array {
  const bytes = new Uint8Array(layout.size + (tail?.length ?? 0));
  for (const [name, value] of fields) {
    const field = layout.fields[name];
    if (field === undefined) throw new RangeError(`struct ${layout.name} has no field ${name}`);
    setRaw(field, bytes, value);
  }
  if (tail !== null) bytes.set(tail, layout.size);
  return bytes;
}

function calling_thread(): Thread {
  const task = current();
  if (!(task instanceof Thread)) throw new Error(`${task.name} is no program`);
  return task;
}

/** The memory of the calling process. */
export function calling_mm(): mm_struct {
  const thread = calling_thread();
  const { mm } = thread.process;
  if (mm === null) throw new Error(`${thread.name} calls though its process has exited`);
  return mm;
}

/** A page of the calling thread's own, where arguments of system calls are put. */
export const scratch = (): { readonly mm: mm_struct; readonly at: bigint } => ({
  mm: calling_mm(),
  at: calling_thread().arguments,
});

/** Makes the ioctl `cmd` on `fd` with a struct in the thread's memory. */
export function* ioctl_struct(fd: number, cmd: number, struct: Uint8Array): Gen<IoctlAnswer> {
  const { mm, at } = scratch();
  if (!user_store(mm, at, struct)) throw new Error('the argument page is not there');
  const ret = yield* sys_ioctl(fd, cmd, at);
  const bytes = user_load(mm, at, struct.length);
  if (bytes === null) throw new Error('the argument page is gone');
  return { ret, bytes };
}
