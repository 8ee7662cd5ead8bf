// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/iommu/iommufd/double_span.h (6.12): spans over two interval trees at once. Where both trees
 * are used, the first one's span is shown; the second's are cut where a span of the first begins.
 */
import { type Key, successor } from '../../sim/collections/interval-index.ts';
import type { interval_tree } from '../../sim/collections/interval-tree.ts';
import {
  interval_tree_span_iter,
  interval_tree_span_iter_advance,
  interval_tree_span_iter_done,
} from '../../sim/collections/spans.ts';
import { sourceFile } from '../../sim/fn.ts';

const fn = sourceFile('drivers/iommu/iommufd/pages.c');

/** 0: a hole in both; 1: used in the first; 2: used in the second; -1: the iteration is over. */
type Use = -1 | 0 | 1 | 2;

/** Stands on one span, `last` included; Linux's start_hole and start_used are one here. */
export interface interval_tree_double_span_iter<K extends Key = number> {
  readonly first: interval_tree_span_iter<unknown, K>;
  readonly second: interval_tree_span_iter<unknown, K>;
  start: K;
  last: K;
  is_used: Use;
}

const interval_tree_double_span_iter_update = fn(
  'interval_tree_double_span_iter_update',
  <K extends Key>(iter: interval_tree_double_span_iter<K>): void => {
    const { first, second } = iter;
    if (interval_tree_span_iter_done(first)) {
      iter.is_used = -1;
    } else if (first.is_hole === 0) {
      iter.is_used = 1;
      iter.start = first.start_used;
      iter.last = first.last_used;
    } else {
      iter.is_used = second.is_hole === 0 ? 2 : 0;
      iter.start = second.start_hole;
      iter.last = first.last_hole < second.last_hole ? first.last_hole : second.last_hole;
    }
  },
);

/** Stands on the first span of [first_index, last_index]. */
export const interval_tree_double_span_iter_first = fn(
  'interval_tree_double_span_iter_first',
  <T, U, K extends Key>(
    itree1: interval_tree<T, K>,
    itree2: interval_tree<U, K>,
    first_index: K,
    last_index: K,
  ): interval_tree_double_span_iter<K> => {
    const iter: interval_tree_double_span_iter<K> = {
      first: new interval_tree_span_iter<unknown, K>(itree1, first_index, last_index),
      second: new interval_tree_span_iter<unknown, K>(itree2, first_index, last_index),
      start: first_index,
      last: last_index,
      is_used: -1,
    };
    interval_tree_double_span_iter_update(iter);
    return iter;
  },
);

export const interval_tree_double_span_iter_next = fn(
  'interval_tree_double_span_iter_next',
  <K extends Key>(iter: interval_tree_double_span_iter<K>): void => {
    if (iter.is_used === -1 || iter.last === iter.first.last_index) {
      iter.is_used = -1;
      return;
    }
    const index = successor(iter.last);
    interval_tree_span_iter_advance(iter.first, index);
    interval_tree_span_iter_advance(iter.second, index);
    interval_tree_double_span_iter_update(iter);
  },
);

export const interval_tree_double_span_iter_done = <K extends Key>(
  iter: interval_tree_double_span_iter<K>,
): boolean => iter.is_used === -1;

/** The spans of [first_index, last_index]; each time the same iterator, standing on the next. */
export function* interval_tree_for_each_double_span<T, U, K extends Key>(
  itree1: interval_tree<T, K>,
  itree2: interval_tree<U, K>,
  first_index: K,
  last_index: K,
): Generator<interval_tree_double_span_iter<K>, void> {
  const iter = interval_tree_double_span_iter_first(itree1, itree2, first_index, last_index);
  for (; !interval_tree_double_span_iter_done(iter); interval_tree_double_span_iter_next(iter)) yield iter;
}
