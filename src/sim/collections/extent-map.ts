// SPDX-License-Identifier: GPL-2.0-only

/** Ranges of whole numbers to values, kept as few extents as the values allow. Records nothing: see extents.ts. */
import { type Block, IntervalIndex } from './interval-index.ts';

/** What values of a kind mean along an extent. */
export interface ExtentRule<V> {
  /** The value `distance` >= 0 after the one at which it is `value`; `value` itself at 0. */
  along(value: V, distance: number): V;
  same(a: V, b: V): boolean;
}

/** [start, last], with the value at `start`. */
export interface Extent<V> {
  readonly start: number;
  readonly last: number;
  readonly value: V;
}

class Entry<V> {
  $in: Block | null = null;
  _start: number;
  _last: number;
  value: V;

  constructor(start: number, last: number, value: V) {
    this._start = start;
    this._last = last;
    this.value = value;
  }
}

export class ExtentMap<V> {
  readonly rule: ExtentRule<V>;
  readonly #index = new IntervalIndex<number, Entry<V>>();

  constructor(rule: ExtentRule<V>) {
    this.rule = rule;
  }

  get isEmpty(): boolean {
    return this.#index.isEmpty;
  }

  /** Every extent, in order. */
  *[Symbol.iterator](): Generator<Extent<V>, void> {
    for (const { _start, _last, value } of this.#index.all()) yield { start: _start, last: _last, value };
  }

  /** The value at a place; undefined when there is none. */
  get(at: number): V | undefined {
    const entry = this.#index.first(at, at);
    return entry === null ? undefined : this.rule.along(entry.value, at - entry._start);
  }

  /** The first piece of an extent within [start, last]; null when there is none. */
  first(start: number, last: number): Extent<V> | null {
    const entry = this.#index.first(start, last);
    if (entry === null) return null;
    const from = Math.max(entry._start, start);
    const value = this.rule.along(entry.value, from - entry._start);
    return { start: from, last: Math.min(entry._last, last), value };
  }

  /** The first place in [start, last] without a value; null when there is none. */
  firstHole(start: number, last: number): number | null {
    const reach = this.#index.reach(start);
    const hole = reach === null ? start : reach + 1;
    return hole > last ? null : hole;
  }

  /** Gives [start, last] the value that is `value` at `start`, whatever was there. */
  set(start: number, last: number, value: V): void {
    if (this.#index.first(start - 1, last + 1) === null) {
      this.#index.insert(new Entry(start, last, value));
      return;
    }
    this.clear(start, last);
    const { rule } = this;
    const left = this.#index.first(start - 1, start - 1);
    const right = this.#index.first(last + 1, last + 1);
    const joinsRight = right !== null && rule.same(rule.along(value, last + 1 - start), right.value);
    if (left !== null && rule.same(rule.along(left.value, start - left._start), value)) {
      if (joinsRight) this.#index.remove(right);
      this.#resize(left, left._start, joinsRight ? right._last : last);
    } else if (joinsRight) {
      right.value = value;
      this.#resize(right, start, right._last);
    } else {
      this.#index.insert(new Entry(start, last, value));
    }
  }

  /** Takes the values of [start, last] away. */
  clear(start: number, last: number): void {
    for (;;) {
      const entry = this.#index.first(start, last);
      if (entry === null) return;
      const { _start, _last } = entry;
      const after = last < _last ? this.rule.along(entry.value, last + 1 - _start) : undefined;
      if (_start < start) {
        this.#resize(entry, _start, start - 1);
        if (after !== undefined) this.#index.insert(new Entry(last + 1, _last, after));
      } else if (after !== undefined) {
        entry.value = after;
        this.#resize(entry, last + 1, _last);
      } else {
        this.#index.remove(entry);
      }
    }
  }

  #resize(entry: Entry<V>, start: number, last: number): void {
    entry._start = start;
    entry._last = last;
    this.#index.resized(entry);
  }
}
