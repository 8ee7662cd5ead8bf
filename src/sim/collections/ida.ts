// SPDX-License-Identifier: GPL-2.0-only

/** Linux's struct ida (lib/idr.c): hands out numbers, the lowest first. Each call takes the ida's own lock. */
import type { FieldOptions, Member } from '../field.ts';
import type { Observed } from '../observed.ts';
import { spin_lock, spin_unlock, spinlock } from '../sync/spinlock.ts';
import type { Gen } from '../task.ts';
import { WARN_ON } from '../warn.ts';
import { __set_bit, __test_and_clear_bit, Bitmap, find_next_zero_bit } from './bitmap.ts';
import { member } from './collection.ts';

export class Ida extends Bitmap {
  readonly xa_lock = new spinlock(this, 'xa_lock', true);
}

export type ida = Ida;
export const ida = (o?: FieldOptions): Member<ida> =>
  member((owner: Observed, role, { guardedBy }) => new Ida(owner, role, true, guardedBy), o);

const INT_MAX = 0x7fffffff;

/** Takes the lowest free number in [min, max]; null when there is none, where Linux says -ENOSPC. */
export function* ida_alloc_range(it: ida, min: number, max: number): Gen<number | null> {
  yield* spin_lock(it.xa_lock);
  const id = find_next_zero_bit(it, max + 1, min);
  if (id <= max) __set_bit(id, it);
  yield* spin_unlock(it.xa_lock);
  return id <= max ? id : null;
}

/** Takes the lowest free number; null when there is none. */
export const ida_alloc = (it: ida): Gen<number | null> => ida_alloc_range(it, 0, INT_MAX);

/** Takes the lowest free number up to `max`; null when there is none. */
export const ida_alloc_max = (it: ida, max: number): Gen<number | null> => ida_alloc_range(it, 0, max);

/** Gives a number back. WARN when it was not taken. */
export function* ida_free(it: ida, id: number): Gen<void> {
  yield* spin_lock(it.xa_lock);
  const taken = __test_and_clear_bit(id, it);
  yield* spin_unlock(it.xa_lock);
  WARN_ON(!taken, `ida_free called for id=${id} of ${it.name} which is not allocated`);
}
