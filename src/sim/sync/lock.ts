// SPDX-License-Identifier: GPL-2.0-only

/** What every lock has in common: that it is taken and given back is recorded, for whoever checks lock order. */
import { context } from '../context.ts';
import type { Observed } from '../observed.ts';
import { GIVE, TAKE } from '../trace.ts';

/** The running task holds the lock from now on. `shared`: others may, too. (lockdep's lock_acquire.) */
export function lock_acquired(lock: Observed, shared = false): void {
  context.trace.push(TAKE, lock.$id, Number(shared), 0);
}

/** The running task holds it no longer. */
export function lock_released(lock: Observed): void {
  context.trace.push(GIVE, lock.$id, 0, 0);
}
