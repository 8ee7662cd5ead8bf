// SPDX-License-Identifier: GPL-2.0-only

/** lib/kobject.c (6.12): a reference count with a release function. sysfs is not modelled. */
import { embed } from '../../sim/field.ts';
import { root, struct } from '../../sim/struct.ts';
import { refcount_dec_and_test, refcount_inc, refcount_init, refcount_t } from '../../sim/sync/refcount.ts';
import type { Co, Gen } from '../../sim/task.ts';

export class kobject extends struct('kobject', root, { kref: embed(refcount_t) }) {
  release: (() => Co<void>) | null = null;
}

/** The first reference is the caller's; `release` runs when the last is put. */
export function kobject_init(kobj: kobject, release: () => Co<void>): void {
  refcount_init(kobj.kref, 1);
  kobj.release = release;
}

export const kobject_get = (kobj: kobject): Co<void> => refcount_inc(kobj.kref);

export function* kobject_put(kobj: kobject): Gen<void> {
  if ((yield* refcount_dec_and_test(kobj.kref)) && kobj.release !== null) yield* kobj.release();
}
