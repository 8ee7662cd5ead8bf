// SPDX-License-Identifier: GPL-2.0-only

/**
 * Linux's bitmaps (include/linux/bitmap.h, find.h), as runs of set bits. They have no size of their own: as
 * in Linux the caller says how many bits he means. None of these is atomic; a lock must guard the bitmap.
 */
import type { FieldOptions, Member } from '../field.ts';
import type { Named, Observed } from '../observed.ts';
import { member } from './collection.ts';
import { type ExtentKind, Extents } from './extents.ts';

const bits: ExtentKind<true> = { along: () => true, same: () => true, show: () => '' };

export class Bitmap extends Extents<true> {
  constructor(creator: Named, role: string, embedded = false, guardedBy?: string) {
    super(creator, role, bits, embedded, guardedBy);
  }
}

export type bitmap = Bitmap;
export const bitmap = (o?: FieldOptions): Member<bitmap> =>
  member((owner: Observed, role, { guardedBy }) => new Bitmap(owner, role, true, guardedBy), o);

/** Sets `len` bits from `start` on. Recorded: the runs of bits that were clear. */
export function bitmap_set(map: bitmap, start: number, len: number): void {
  if (len > 0) map.set(start, start + len - 1, true);
}

/** Clears `len` bits from `start` on. Recorded: the runs of bits that were set. */
export function bitmap_clear(map: bitmap, start: number, len: number): void {
  if (len > 0) map.clear(start, start + len - 1);
}

export const bitmap_zero = (map: bitmap, nbits: number): void => bitmap_clear(map, 0, nbits);
export const bitmap_empty = (map: bitmap, nbits: number): boolean => map.first(0, nbits - 1) === null;

/** How many of the first `nbits` bits are set. */
export function bitmap_weight(map: bitmap, nbits: number): number {
  let weight = 0;
  for (const { start, last } of map.within(0, nbits - 1)) weight += last - start + 1;
  return weight;
}

export const __set_bit = (nr: number, map: bitmap): void => map.set(nr, nr, true);
export const test_bit = (nr: number, map: bitmap): boolean => map.get(nr) === true;
export const __clear_bit = (nr: number, map: bitmap): void => void map.clear(nr, nr);

/** Sets a bit; returns whether it was set before. */
export function __test_and_set_bit(nr: number, map: bitmap): boolean {
  if (test_bit(nr, map)) return true;
  __set_bit(nr, map);
  return false;
}

/** Clears a bit; returns whether it was set before. */
export const __test_and_clear_bit = (nr: number, map: bitmap): boolean => map.clear(nr, nr) === 1;

/** The first set bit in [offset, size); `size` when there is none. */
export const find_next_bit = (map: bitmap, size: number, offset: number): number =>
  map.first(offset, size - 1)?.start ?? size;
export const find_first_bit = (map: bitmap, size: number): number => find_next_bit(map, size, 0);

/** The first clear bit in [offset, size); `size` when there is none. */
export const find_next_zero_bit = (map: bitmap, size: number, offset: number): number =>
  map.firstHole(offset, size - 1) ?? size;
export const find_first_zero_bit = (map: bitmap, size: number): number => find_next_zero_bit(map, size, 0);

/** The set bits below `size`, in order; the body may set and clear bits. */
export function* for_each_set_bit(map: bitmap, size: number): Generator<number, void> {
  for (let bit = find_first_bit(map, size); bit < size; bit = find_next_bit(map, size, bit + 1)) yield bit;
}
