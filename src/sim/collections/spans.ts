// SPDX-License-Identifier: GPL-2.0-only

/**
 * Walks over an interval tree by spans (CONFIG_INTERVAL_TREE_SPAN_ITER): each is a hole that no node touches
 * or a stretch that nodes cover without a hole, as long as can be; together they are the range asked for.
 * Unlike Linux's, an iterator keeps no node between two spans, so that a change of the tree meanwhile is no
 * use after free; and a stretch costs O(log n) however many nodes cover it.
 */
import { reads } from './collection.ts';
import { type Key, predecessor, successor } from './interval-index.ts';
import { type interval_tree, interval_tree_iter_first } from './interval-tree.ts';

const smaller = <K extends Key>(a: K, b: K): K => (a < b ? a : b);

/** The span that an iterator stands on. `_hole` and `_used` are two names of the same, as Linux's union. */
class Span<K extends Key> {
  start_hole: K;
  last_hole: K;
  /** Where the iteration ends. */
  readonly last_index: K;

  constructor(first_index: K, last_index: K) {
    this.start_hole = first_index;
    this.last_hole = first_index;
    this.last_index = last_index;
  }

  get start_used(): K {
    return this.start_hole;
  }
  set start_used(start: K) {
    this.start_hole = start;
  }

  get last_used(): K {
    return this.last_hole;
  }
  set last_used(last: K) {
    this.last_hole = last;
  }
}

export class interval_tree_span_iter<T, K extends Key> extends Span<K> {
  readonly #tree: interval_tree<T, K>;
  /** 1: a hole; 0: used; -1: the iteration is over. */
  is_hole: -1 | 0 | 1 = -1;

  /** As interval_tree_span_iter_first: stands on the first span of [first_index, last_index]. */
  constructor(tree: interval_tree<T, K>, first_index: K, last_index: K) {
    super(first_index, last_index);
    this.#tree = tree;
    this.#standOn(first_index);
  }

  #standOn(index: K): void {
    const { last_index } = this;
    this.start_hole = index;
    reads(this.#tree);
    const reach = this.#tree.$index.reach(index);
    if (reach !== null) {
      this.is_hole = 0;
      this.last_hole = smaller(reach, last_index);
      return;
    }
    const next = interval_tree_iter_first(this.#tree, index, last_index);
    this.is_hole = 1;
    this.last_hole = next === null ? last_index : predecessor(next._start);
  }

  $advance(index: K): void {
    if (this.is_hole === -1) return;
    if (index > this.last_index) this.is_hole = -1;
    else if (this.start_hole <= index && index <= this.last_hole) this.start_hole = index;
    else this.#standOn(index);
  }
}

/** Goes on to the span that `index` lies in, of which it shows the part from `index` on. */
export function interval_tree_span_iter_advance<T, K extends Key>(
  iter: interval_tree_span_iter<T, K>,
  index: K,
): void {
  iter.$advance(index);
}

export const interval_tree_span_iter_next = <T, K extends Key>(iter: interval_tree_span_iter<T, K>): void =>
  iter.$advance(successor(iter.last_hole));

export const interval_tree_span_iter_done = <T, K extends Key>(
  iter: interval_tree_span_iter<T, K>,
): boolean => iter.is_hole === -1;

/** The spans of [first_index, last_index]; each time the same iterator, standing on the next. */
export function* interval_tree_for_each_span<T, K extends Key>(
  tree: interval_tree<T, K>,
  first_index: K,
  last_index: K,
): Generator<interval_tree_span_iter<T, K>, void> {
  const iter = new interval_tree_span_iter(tree, first_index, last_index);
  for (; !interval_tree_span_iter_done(iter); interval_tree_span_iter_next(iter)) yield iter;
}
