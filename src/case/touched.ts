// SPDX-License-Identifier: GPL-2.0-only
import { functionInfo } from '../sim/fn.ts';
import { ENTER, KIND_MASK, STRIDE } from '../sim/trace.ts';
import type { Run } from './run.ts';

/** The names of the kernel functions that the steps of a case ran through, sorted. */
export function functionsOf({ machine, end }: Run): string[] {
  const { buf } = machine.trace;
  const ids = new Set<number>();
  for (let at = 0; at < end; at += STRIDE) {
    if (((buf[at] ?? 0) & KIND_MASK) === ENTER) ids.add(buf[at + 1] ?? 0);
  }
  return [...ids].map((id) => functionInfo(id).name).sort();
}
