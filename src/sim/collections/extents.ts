// SPDX-License-Identifier: GPL-2.0-only

/**
 * Bulk state: page tables, pinned pages, anything that Linux keeps one entry a page. Entries that follow from
 * their neighbours are one extent, in memory and in the trace, however many pages that is.
 */
import type { FieldOptions, Member } from '../field.ts';
import type { Named, Observed } from '../observed.ts';
import { Unordered } from '../unordered.ts';
import { Collection, member, reads, writes } from './collection.ts';
import { type Extent, ExtentMap, type ExtentRule } from './extent-map.ts';

/** How the values of a collection of extents follow from each other, and look. */
export interface ExtentKind<V> extends ExtentRule<V> {
  /** An extent of `length` values, the first of which is `value`. */
  show(value: V, length: number): string;
  /** What stands in text for no value: `0` where values are counts. Absent: `-`. */
  readonly none?: string;
  /** What a value is as state, where it says it by a number that others would have in its place. */
  state?(value: V): unknown;
  /** What a key counts, in bytes: keys are shown in bytes then (a page table's IOVA). Absent: as they are. */
  readonly unit?: number;
}

const hex = (n: number): string => `0x${n.toString(16)}`;

/** Page frame numbers, one after the other. */
export const frames: ExtentKind<number> = {
  along: (pfn, distance) => pfn + distance,
  same: (a, b) => a === b,
  show: (pfn, length) => `pfn ${hex(pfn)}${length === 1 ? '' : `-${hex(pfn + length - 1)}`}`,
};

export class Extents<V> extends Collection {
  readonly $kind: ExtentKind<V>;
  readonly #map: ExtentMap<V>;

  constructor(creator: Named, role: string, kind: ExtentKind<V>, embedded = false, guardedBy?: string) {
    super(creator, role, embedded, guardedBy);
    this.$kind = kind;
    this.#map = new ExtentMap(kind);
  }

  override $state(see: (value: unknown) => void): void {
    const { state } = this.$kind;
    const shown = [...this.#map];
    // Where they are says in which order they are.
    see(
      new Unordered(
        state === undefined ? shown : shown.map(({ start, last, value }) => [start, last, state(value)]),
      ),
    );
  }

  get isEmpty(): boolean {
    reads(this);
    return this.#map.isEmpty;
  }

  /** The value at a key; undefined when there is none. */
  get(key: number): V | undefined {
    reads(this);
    return this.#map.get(key);
  }

  /** The first piece of an extent within [start, last]; null when there is none. */
  first(start: number, last: number): Extent<V> | null {
    reads(this);
    return this.#map.first(start, last);
  }

  /** The first key in [start, last] without a value; null when there is none. */
  firstHole(start: number, last: number): number | null {
    reads(this);
    return this.#map.firstHole(start, last);
  }

  /** The pieces of extents within [start, last], in order; each is looked up when the one before is done. */
  *within(start: number, last: number): Generator<Extent<V>, void> {
    for (let piece = this.first(start, last); piece !== null; ) {
      yield piece;
      piece = piece.last === last ? null : this.first(piece.last + 1, last);
    }
  }

  /**
   * Gives [start, last] the value that is `value` at `start`, whatever was there. What had that value already
   * is no transition.
   */
  set(start: number, last: number, value: V): void {
    writes(this);
    const map = this.#map;
    const kind = this.$kind;
    for (let at = start; at <= last; ) {
      const old = map.first(at, last);
      const hole = (old?.start ?? last + 1) - 1;
      if (at <= hole) this.$put({ start: at, last: hole }, undefined, kind.along(value, at - start));
      if (old === null) break;
      const now = kind.along(value, old.start - start);
      if (!kind.same(old.value, now)) this.$put({ start: old.start, last: old.last }, old.value, now);
      at = old.last + 1;
    }
    map.set(start, last, value);
  }

  /** Takes the values of [start, last] away. Returns how many there were. */
  clear(start: number, last: number): number {
    writes(this);
    let count = 0;
    for (let at = start; at <= last; ) {
      const old = this.#map.first(at, last);
      if (old === null) break;
      this.$put({ start: old.start, last: old.last }, old.value, undefined);
      count += old.last - old.start + 1;
      at = old.last + 1;
    }
    this.#map.clear(start, last);
    return count;
  }
}

export type extents<V> = Extents<V>;
/** A member that holds one value a key, by extents. Keys: whole numbers from 0 to 2^53 - 2. */
export const extents = <V>(kind: ExtentKind<V>, o?: FieldOptions): Member<extents<V>> =>
  member((owner: Observed, role, { guardedBy }) => new Extents(owner, role, kind, true, guardedBy), o);
