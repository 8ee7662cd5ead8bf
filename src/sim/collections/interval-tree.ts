// SPDX-License-Identifier: GPL-2.0-only

import { current } from '../context.ts';
/**
 * Linux's interval trees (include/linux/interval_tree.h): nodes embedded in what they stand for, closed
 * intervals that may overlap, ordered by start and, where those are equal, as inserted. A tree's keys are
 * bigint (u64 addresses) or number (page indexes), as its declaration says. The balancing is not Linux's:
 * see interval-index.ts.
 */
import { count, embed, type FieldOptions, type Member, u64 } from '../field.ts';
import { type Named, Observed } from '../observed.ts';
import { struct } from '../struct.ts';
import { WARN_ON } from '../warn.ts';
import { Collection, member, reads, writes } from './collection.ts';
import { type Block, type Interval, IntervalIndex, type Key } from './interval-index.ts';

/** What trees and their users see of a node. `start` and `last` must not change while it is in a tree. */
interface Node<T, K extends Key> extends Observed, Interval<K> {
  start: K;
  last: K;
  /** The tree that it is in. */
  $tree: IntervalTree<T, K> | null;
  /** What the node is embedded in: container_of(). */
  readonly item: T;
}

class AddressNode<T> extends struct('interval_tree_node', Observed, { start: u64(), last: u64() }) {
  /** Where the accessors keep `start` and `last`: reading the tree is not reading every node. */
  declare readonly _start: bigint;
  declare readonly _last: bigint;
  $in: Block | null = null;
  $tree: IntervalTree<T, bigint> | null = null;

  get item(): T {
    return itemOf(this);
  }
}

class IndexNode<T> extends struct('interval_tree_index_node', Observed, { start: count(), last: count() }) {
  declare readonly _start: number;
  declare readonly _last: number;
  $in: Block | null = null;
  $tree: IntervalTree<T, number> | null = null;

  get item(): T {
    return itemOf(this);
  }
}

function itemOf<T>(node: Observed): T {
  // cast: a node is declared as `interval_tree_node<T>()` in T itself, which made it
  return node.$creator as T;
}

export type interval_tree_node<T, K extends Key = bigint> = Node<T, K>;
/** A node for a tree of addresses. */
export const interval_tree_node = <T>(o?: FieldOptions): Member<interval_tree_node<T>> =>
  embed(AddressNode<T>, o);
/** A node for a tree of page indexes: the same struct in Linux. */
export const interval_tree_index_node = <T>(o?: FieldOptions): Member<interval_tree_node<T, number>> =>
  embed(IndexNode<T>, o);

export class IntervalTree<T, K extends Key> extends Collection {
  readonly $index = new IntervalIndex<K, Node<T, K>>();

  override $state(see: (value: unknown) => void): void {
    for (const node of this.$index.all()) {
      see(node._start);
      see(node._last);
      see(node.item);
    }
  }

  $insert(node: Node<T, K>): void {
    writes(this);
    this.$index.insert(node);
    node.$tree = this;
    this.$gain({ start: node._start, last: node._last }, node.item);
  }

  $remove(node: Node<T, K>): void {
    writes(this);
    this.$index.remove(node);
    node.$tree = null;
    this.$lose({ start: node._start, last: node._last }, node.item);
  }
}

/** The root of a tree: Linux's struct rb_root_cached. */
export type interval_tree<T, K extends Key = bigint> = IntervalTree<T, K>;
export const interval_tree = <T, K extends Key = bigint>(o?: FieldOptions): Member<interval_tree<T, K>> =>
  member((owner: Observed, role, { guardedBy }) => new IntervalTree<T, K>(owner, role, true, guardedBy), o);

/** An empty tree on the stack of the running task: RB_ROOT_CACHED. */
export const RB_ROOT_CACHED = <T, K extends Key = bigint>(
  role: string,
  on: Named = current(),
): interval_tree<T, K> => new IntervalTree<T, K>(on, role, true);

/** Adds the node, behind those of the same start. WARN, and nothing done, when it is in a tree already. */
export function interval_tree_insert<T, K extends Key>(node: Node<T, K>, tree: interval_tree<T, K>): void {
  if (node.$tree === null) tree.$insert(node);
  else WARN_ON(true, `interval_tree_insert of ${node.name}, which is in ${node.$tree.name}`);
}

/** Takes the node out. WARN, and nothing done, when it is not in this tree. */
export function interval_tree_remove<T, K extends Key>(node: Node<T, K>, tree: interval_tree<T, K>): void {
  if (node.$tree === tree) tree.$remove(node);
  else WARN_ON(true, `interval_tree_remove of ${node.name}, which is not in ${tree.name}`);
}

/** The first node that intersects [start, last], or null. */
export function interval_tree_iter_first<T, K extends Key>(
  tree: interval_tree<T, K>,
  start: K,
  last: K,
): interval_tree_node<T, K> | null {
  reads(tree);
  return tree.$index.first(start, last);
}

/** The node after `node` that intersects [start, last], or null. `node` must be in a tree. */
export function interval_tree_iter_next<T, K extends Key>(
  node: interval_tree_node<T, K>,
  start: K,
  last: K,
): interval_tree_node<T, K> | null {
  const tree = node.$tree;
  if (tree === null) {
    WARN_ON(true, `interval_tree_iter_next from ${node.name}, which is in no tree`);
    return null;
  }
  reads(tree);
  return tree.$index.next(node, start, last);
}

/** True when the tree holds nothing. (Linux asks its rb_root.) */
export function RB_EMPTY_ROOT<T, K extends Key>(tree: interval_tree<T, K>): boolean {
  reads(tree);
  return tree.$index.isEmpty;
}
