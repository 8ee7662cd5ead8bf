// SPDX-License-Identifier: GPL-2.0-only

/**
 * Linux's klists (lib/klist.c): lists that are walked while others add and delete. A node that is deleted
 * stays where it is as long as somebody stands on it. Their spinlock is not modelled: each operation is atomic
 * by it. What the callbacks of klist_init do (take and drop a reference) is left to the callers.
 */
import { embed, type FieldOptions, type Member } from '../field.ts';
import { Observed } from '../observed.ts';
import { op } from '../op.ts';
import { operation } from '../point.ts';
import type { Co, Gen } from '../task.ts';
import { WARN_ON } from '../warn.ts';
import { Collection, member, reads, writes } from './collection.ts';

class KlistNode<T> extends Observed {
  $klist: Klist<T> | null = null;
  /** The list's own reference, and one of each who stands on it. */
  $refs = 0;
  /** Deleted: nobody comes to it any more. */
  $dead = false;

  override get $recorded(): boolean {
    return false;
  }

  override $state(see: (value: unknown) => void): void {
    see(this.$refs);
    see(this.$dead);
  }

  /** What the node is embedded in: container_of(). */
  get item(): T {
    // cast: a node is declared as `klist_node<T>()` in T itself, which made it
    return this.$creator as T;
  }
}

export class Klist<T> extends Collection {
  readonly $nodes: KlistNode<T>[] = [];

  override $state(see: (value: unknown) => void): void {
    for (const node of this.$nodes) see(node);
  }

  $append(node: KlistNode<T>): void {
    if (WARN_ON(node.$klist !== null, `${node.name} is on a list already`)) return;
    writes(this);
    node.$klist = this;
    node.$refs = 1;
    node.$dead = false;
    this.$nodes.push(node);
    this.$gain(undefined, node.item);
  }

  $kill(node: KlistNode<T>): void {
    if (WARN_ON(node.$dead || node.$klist !== this, `${node.name} is deleted already`)) return;
    writes(this);
    node.$dead = true;
    this.$lose(undefined, node.item);
    this.$drop(node);
  }

  $drop(node: KlistNode<T>): void {
    if (--node.$refs > 0) return;
    this.$nodes.splice(this.$nodes.indexOf(node), 1);
    node.$klist = null;
  }

  /** Stands on the next node, and no longer on `from`. */
  $advance(from: KlistNode<T> | null, wanted: (item: T) => boolean): KlistNode<T> | null {
    reads(this);
    const after = this.$nodes.slice(from === null ? 0 : this.$nodes.indexOf(from) + 1);
    const next = after.find((node) => !node.$dead && wanted(node.item));
    if (next !== undefined) next.$refs++;
    if (from !== null) this.$drop(from);
    return next ?? null;
  }
}

export type klist<T> = Klist<T>;
export type klist_node<T> = KlistNode<T>;
export const klist = <T>(o?: FieldOptions): Member<klist<T>> =>
  member((owner: Observed, role) => new Klist<T>(owner, role, true), o);
/** A node by which items of the declaring struct T stand on a klist. */
export const klist_node = <T>(o?: FieldOptions): Member<klist_node<T>> => embed(KlistNode<T>, o);

const WALK: readonly string[] = ['klist_next', 'klist_iter_exit'];
const NEXT = op<Klist<unknown>>('klist_next', { commutes: WALK, opaque: true });
const EXIT = op<Klist<unknown>>('klist_iter_exit', { commutes: WALK, opaque: true });
const ADD = op<Klist<unknown>>('klist_add_tail', { opaque: true });
const DEL = op<Klist<unknown>>('klist_del', { opaque: true });
const REMOVED = op<Klist<unknown>>('klist_remove (waiting)', {
  ready: (list, { operand }) => list.$nodes.every(({ $id }) => $id !== operand),
  sleeps: true,
});

export const klist_add_tail = <T>(node: klist_node<T>, list: klist<T>): Co<void> =>
  operation(ADD, list, () => list.$append(node));

/** Deletes the node; who stands on it may stay there. */
export const klist_del = <T>(node: klist_node<T>, list: klist<T>): Co<void> =>
  operation(DEL, list, () => list.$kill(node));

/** Deletes the node, and waits until nobody stands on it. */
export function* klist_remove<T>(node: klist_node<T>, list: klist<T>): Gen<void> {
  yield* klist_del(node, list);
  yield* operation(REMOVED, list, () => {}, node.$id);
}

/** Whether the node is on a list, and not deleted. For who knows that nobody adds or deletes it now. */
export const klist_node_attached = <T>(node: klist_node<T>): boolean => node.$klist !== null && !node.$dead;

/**
 * Goes from item to item, of those that `wanted` holds for, until `visit` gives something else than null, and
 * returns that. The item that is visited stays on the list meanwhile.
 */
export function* klist_for_each<T, R>(
  list: klist<T>,
  visit: (item: T) => Co<R | null>,
  wanted: (item: T) => boolean = () => true,
): Gen<R | null> {
  let node = yield* operation(NEXT, list, () => list.$advance(null, wanted));
  while (node !== null) {
    const at: KlistNode<T> = node;
    const found = yield* visit(at.item);
    if (found !== null) {
      yield* operation(EXIT, list, () => list.$drop(at));
      return found;
    }
    node = yield* operation(NEXT, list, () => list.$advance(at, wanted));
  }
  return null;
}

/** The first item that `wanted` holds for, or null; nothing keeps it there. */
export const klist_find = <T>(list: klist<T>, wanted: (item: T) => boolean): Co<T | null> =>
  operation(NEXT, list, () => {
    reads(list);
    return list.$nodes.find((node) => !node.$dead && wanted(node.item))?.item ?? null;
  });

/** The last item, or null. */
export const klist_last = <T>(list: klist<T>): Co<T | null> =>
  operation(NEXT, list, () => {
    reads(list);
    return list.$nodes.at(-1)?.item ?? null;
  });
