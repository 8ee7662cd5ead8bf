// SPDX-License-Identifier: GPL-2.0-only

/**
 * Linux's xarrays (include/linux/xarray.h). As there, `xa_store` and its like take the array's own spinlock
 * and are points at which others may come first; `__xa_store` and its like are for who holds it already; and
 * looking things up takes no lock (RCU): it is a plain read, a race unless something else orders it.
 *
 * A reserved index (XA_ZERO_ENTRY) is not empty and not free, but loads as null and is skipped. An index is
 * a whole number up to 2^53 - 2. No call runs out of memory.
 */
import { context } from '../context.ts';
import type { FieldOptions, Member } from '../field.ts';
import type { Named, Observed } from '../observed.ts';
import { spin_lock, spin_unlock, spinlock } from '../sync/spinlock.ts';
import type { Co, Gen } from '../task.ts';
import { WARN_ON } from '../warn.ts';
import { Collection, member, reads, writes } from './collection.ts';
import { ExtentMap, type ExtentRule } from './extent-map.ts';

/** Stored, it reserves the index. */
export const XA_ZERO_ENTRY = null;

/** The array hands out indexes: xa_alloc; storing null keeps an index reserved. */
export const XA_FLAGS_ALLOC = 1;
/** As XA_FLAGS_ALLOC, from 1 on. */
export const XA_FLAGS_ALLOC1 = 3;

/** The indexes that xa_alloc may take, `max` included. */
export interface xa_limit {
  readonly min: number;
  readonly max: number;
}
export const xa_limit_16b: xa_limit = { min: 0, max: 0xffff };
export const xa_limit_31b: xa_limit = { min: 0, max: 0x7fffffff };
export const xa_limit_32b: xa_limit = { min: 0, max: 0xffffffff };

const LAST_INDEX = Number.MAX_SAFE_INTEGER - 1;

const taken: ExtentRule<true> = { along: () => true, same: () => true };

export class XArray<T> extends Collection {
  readonly xa_lock = new spinlock(this, 'xa_lock', true);
  readonly xa_flags: number;
  /** By index; null: reserved. */
  readonly #entries = new Map<number, T | null>();
  /** The indexes of #entries, in order. */
  readonly #taken = new ExtentMap(taken);

  constructor(creator: Named, role: string, flags = 0, embedded = false, guardedBy?: string) {
    super(creator, role, embedded, guardedBy);
    this.xa_flags = flags;
  }

  override $state(see: (value: unknown) => void): void {
    for (const [index, entry] of [...this.#entries].sort(([a], [b]) => a - b)) {
      see(index);
      see(entry);
    }
  }

  get $isEmpty(): boolean {
    reads(this);
    return this.#taken.isEmpty;
  }

  /** The entry; null: reserved; undefined: none. */
  $get(index: number): T | null | undefined {
    reads(this);
    return this.#entries.get(index);
  }

  /** The first index in [index, max] that is taken, reserved ones included. */
  $firstTaken(index: number, max: number): number | null {
    reads(this);
    return this.#taken.first(index, max)?.start ?? null;
  }

  $firstFree(index: number, max: number): number | null {
    reads(this);
    return this.#taken.firstHole(index, max);
  }

  /** Puts what $get returns afterwards. Returns what it returned before. */
  $replace(index: number, entry: T | null | undefined): T | null | undefined {
    const locked = this.xa_lock.owner === context.current;
    if (!locked) WARN_ON(true, `${this.xa_lock.name} is not held by the task that changes ${this.name}`);
    writes(this);
    const old = this.#entries.get(index);
    if (old === entry) return old;
    this.$put(index, old, entry);
    if (entry === undefined) {
      this.#entries.delete(index);
      this.#taken.clear(index, index);
    } else {
      this.#entries.set(index, entry);
      if (old === undefined) this.#taken.set(index, index, true);
    }
    return old;
  }
}

export type xarray<T> = XArray<T>;
/** `flags`: XA_FLAGS_ALLOC, XA_FLAGS_ALLOC1 or none. */
export const xarray = <T>(flags = 0, o?: FieldOptions): Member<xarray<T>> =>
  member((owner: Observed, role, { guardedBy }) => new XArray<T>(owner, role, flags, true, guardedBy), o);

export const xa_lock = <T>(xa: xarray<T>): Co<void> => spin_lock(xa.xa_lock);
export const xa_unlock = <T>(xa: xarray<T>): Co<void> => spin_unlock(xa.xa_lock);

/** The entry at an index; null when there is none or the index is only reserved. */
export const xa_load = <T>(xa: xarray<T>, index: number): T | null => xa.$get(index) ?? null;

/** Not even an index is reserved. */
export const xa_empty = <T>(xa: xarray<T>): boolean => xa.$isEmpty;

/** The first entry at an index in [index, max], with its index; null when there is none. */
export function xa_find<T>(xa: xarray<T>, index: number, max = LAST_INDEX): readonly [number, T] | null {
  for (let at = xa.$firstTaken(index, max); at !== null; at = xa.$firstTaken(at + 1, max)) {
    const entry = xa_load(xa, at);
    if (entry !== null) return [at, entry];
  }
  return null;
}

/** Indexes and entries, in order; what the body stores or erases further on is seen, as in Linux. */
export function* xa_for_each<T>(xa: xarray<T>): Generator<readonly [number, T], void> {
  for (let found = xa_find(xa, 0); found !== null; found = xa_find(xa, found[0] + 1)) yield found;
}

/** Stores an entry; null takes it away, or keeps the index reserved in an array that hands out indexes. */
export function __xa_store<T>(xa: xarray<T>, index: number, entry: T | null): T | null {
  const allocates = (xa.xa_flags & XA_FLAGS_ALLOC) !== 0;
  return xa.$replace(index, entry === null && !allocates ? undefined : entry) ?? null;
}

/** Takes the entry or the reservation away. Returns the entry. */
export const __xa_erase = <T>(xa: xarray<T>, index: number): T | null =>
  xa.$replace(index, undefined) ?? null;

/**
 * Stores `entry` when the entry is `old`. Returns what was there: `old` when it was stored. As in Linux, null
 * for `old` means that there is nothing; a reserved index is not stored to, though null is returned.
 */
export function __xa_cmpxchg<T>(xa: xarray<T>, index: number, old: T | null, entry: T | null): T | null {
  const now = xa.$get(index);
  if (now === (old ?? undefined)) xa.$replace(index, entry ?? undefined);
  return now ?? null;
}

/** Stores the entry, or reserves, where there is nothing yet. False: there was something (-EBUSY in Linux). */
export function __xa_insert<T>(xa: xarray<T>, index: number, entry: T | null): boolean {
  if (xa.$get(index) !== undefined) return false;
  xa.$replace(index, entry);
  return true;
}

/**
 * Stores the entry, or reserves, at the lowest free index within `limit`. Returns the index; null when none is
 * free, where Linux says -EBUSY.
 */
export function __xa_alloc<T>(xa: xarray<T>, entry: T | null, { min, max }: xa_limit): number | null {
  if ((xa.xa_flags & XA_FLAGS_ALLOC) === 0) {
    WARN_ON(true, `xa_alloc from ${xa.name}, which has no XA_FLAGS_ALLOC`);
    return null;
  }
  const index = xa.$firstFree(xa.xa_flags === XA_FLAGS_ALLOC1 ? Math.max(min, 1) : min, max);
  if (index !== null) xa.$replace(index, entry);
  return index;
}

/** Runs a plain form with the lock held. */
function* locked<T, R>(xa: xarray<T>, body: () => R): Gen<R> {
  yield* spin_lock(xa.xa_lock);
  const result = body();
  yield* spin_unlock(xa.xa_lock);
  return result;
}

/** As __xa_store, with the lock taken for it. */
export const xa_store = <T>(xa: xarray<T>, index: number, entry: T | null): Co<T | null> =>
  locked(xa, () => __xa_store(xa, index, entry));

/** As __xa_erase, with the lock taken for it. */
export const xa_erase = <T>(xa: xarray<T>, index: number): Co<T | null> =>
  locked(xa, () => __xa_erase(xa, index));

/** As __xa_cmpxchg, with the lock taken for it. */
export const xa_cmpxchg = <T>(xa: xarray<T>, index: number, old: T | null, entry: T | null): Co<T | null> =>
  locked(xa, () => __xa_cmpxchg(xa, index, old, entry));

/** As __xa_insert, with the lock taken for it. */
export const xa_insert = <T>(xa: xarray<T>, index: number, entry: T | null): Co<boolean> =>
  locked(xa, () => __xa_insert(xa, index, entry));

/**
 * As __xa_alloc, with the lock taken for it. Where others must not see the entry without its index, take the
 * lock and use __xa_alloc.
 */
export const xa_alloc = <T>(xa: xarray<T>, entry: T | null, limit: xa_limit): Co<number | null> =>
  locked(xa, () => __xa_alloc(xa, entry, limit));

/** Reserves an index that is empty; leaves one that is not as it is. */
export const xa_reserve = <T>(xa: xarray<T>, index: number): Co<void> =>
  locked(xa, () => void __xa_insert(xa, index, XA_ZERO_ENTRY));

/** Gives a reserved index back; leaves an entry where there is one. */
export const xa_release = <T>(xa: xarray<T>, index: number): Co<void> =>
  locked(xa, () => {
    if (xa.$get(index) === null) xa.$replace(index, undefined);
  });

/** Takes everything away, without touching the entries themselves. */
export const xa_destroy = <T>(xa: xarray<T>): Co<void> =>
  locked(xa, () => {
    for (let at = xa.$firstTaken(0, LAST_INDEX); at !== null; at = xa.$firstTaken(at + 1, LAST_INDEX)) {
      xa.$replace(at, undefined);
    }
  });
