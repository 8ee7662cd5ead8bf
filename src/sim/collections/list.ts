// SPDX-License-Identifier: GPL-2.0-only

/**
 * Linux's doubly linked lists (include/linux/list.h): heads embedded in the owner, nodes in the items. The
 * checks of CONFIG_DEBUG_LIST are on: what would corrupt a list warns and does nothing.
 */
import { current } from '../context.ts';
import { embed, type FieldOptions, type Member } from '../field.ts';
import { type Named, Observed } from '../observed.ts';
import { oops, WARN_ON } from '../warn.ts';
import { Collection, member, reads, writes } from './collection.ts';

class ListNode<T> extends Observed {
  $list: list_head<T> | null = null;
  $next: ListNode<T> | null = null;
  $prev: ListNode<T> | null = null;
  /** On no list, and points to itself: list_empty() holds. Not so in a zeroed node, nor after list_del. */
  $empty = false;

  override $state(see: (value: unknown) => void): void {
    see(this.$empty);
  }

  /** What the node is embedded in: container_of(). */
  get item(): T {
    // cast: a node is declared as `list_node<T>()` in T itself, which made it
    return this.$creator as T;
  }
}

export type list_node<T> = ListNode<T>;
/** A node by which items of the declaring struct T stand on a list. */
export const list_node = <T>(o?: FieldOptions): Member<list_node<T>> => embed(ListNode<T>, o);

export class list_head<T> extends Collection {
  $first: ListNode<T> | null = null;
  $last: ListNode<T> | null = null;

  /**
   * The items, first to last. The body may take the current one off the list, as with
   * list_for_each_entry_safe; taking the one after it off as well is a WARN and the end of the iteration.
   */
  *[Symbol.iterator](): Generator<T, void> {
    reads(this);
    for (let node = this.$first; node !== null; ) {
      const next: ListNode<T> | null = node.$next;
      yield node.item;
      reads(this);
      if (node.$list === this) {
        node = node.$next;
        continue;
      }
      const lost = next !== null && next.$list !== this;
      if (WARN_ON(lost, `the next entry of ${this.name} went away during an iteration`)) return;
      node = next;
    }
  }

  override $state(see: (value: unknown) => void): void {
    for (let node = this.$first; node !== null; node = node.$next) see(node);
  }

  /** Puts a node, which is on no list, behind `prev`; null: at the front. */
  $link(node: ListNode<T>, prev: ListNode<T> | null): void {
    writes(this);
    writes(node);
    const next = prev === null ? this.$first : prev.$next;
    node.$list = this;
    node.$prev = prev;
    node.$next = next;
    node.$empty = false;
    if (prev === null) this.$first = node;
    else prev.$next = node;
    if (next === null) this.$last = node;
    else next.$prev = node;
    this.$gain(next === null ? undefined : FRONT, node.item);
  }

  $unlink(node: ListNode<T>): void {
    writes(this);
    writes(node);
    const { $prev: prev, $next: next } = node;
    if (prev === null) this.$first = next;
    else prev.$next = next;
    if (next === null) this.$last = prev;
    else next.$prev = prev;
    node.$list = null;
    node.$prev = null;
    node.$next = null;
    this.$lose(undefined, node.item);
  }
}

/** The key of what goes to the front of a list that is not empty; the others have none. */
const FRONT = 'first';

/** A list that the declaring struct owns; its items have a `list_node<T>()`. */
export const list = <T>(o?: FieldOptions): Member<list_head<T>> =>
  member((owner: Observed, role, { guardedBy }) => new list_head<T>(owner, role, true, guardedBy), o);

/** An empty list on the stack of the running task. */
export const LIST_HEAD = <T>(role: string, on: Named = current()): list_head<T> =>
  new list_head<T>(on, role, true);

/** Makes the node one for which list_empty() holds. It must be on no list. */
export function INIT_LIST_HEAD<T>(node: list_node<T>): void {
  writes(node);
  const { $list } = node;
  if ($list === null) node.$empty = true;
  else WARN_ON(true, `INIT_LIST_HEAD of ${node.name}, which is on ${$list.name}`);
}

function canAdd<T>(node: list_node<T>): boolean {
  if (node.$list === null) return true;
  WARN_ON(true, `list_add double add: ${node.name} is on ${node.$list.name}`);
  return false;
}

function canDelete<T>(node: list_node<T>): boolean {
  if (node.$list !== null) return true;
  WARN_ON(true, `list_del corruption: ${node.name} is on no list`);
  return false;
}

/** Adds at the front. WARN, and nothing done, when the node is on a list already. */
export function list_add<T>(node: list_node<T>, head: list_head<T>): void {
  if (canAdd(node)) head.$link(node, null);
}

/** Adds at the end. WARN, and nothing done, when the node is on a list already. */
export function list_add_tail<T>(node: list_node<T>, head: list_head<T>): void {
  if (canAdd(node)) head.$link(node, head.$last);
}

/** Takes the node off its list. WARN, and nothing done, when it is on none. */
export function list_del<T>(node: list_node<T>): void {
  if (canDelete(node)) node.$list?.$unlink(node);
}

/** As list_del; list_empty() of the node holds afterwards. A node for which it holds already stays so. */
export function list_del_init<T>(node: list_node<T>): void {
  if (!node.$empty) list_del(node);
  node.$empty = true;
}

/** Takes the node off its list and adds it at the front of another, or of the same. */
export function list_move<T>(node: list_node<T>, head: list_head<T>): void {
  list_del(node);
  list_add(node, head);
}

/** Takes the node off its list and adds it at the end of another, or of the same. */
export function list_move_tail<T>(node: list_node<T>, head: list_head<T>): void {
  list_del(node);
  list_add_tail(node, head);
}

/** Moves all of `list`, in its order, to the front of `head`. */
export function list_splice<T>(from: list_head<T>, head: list_head<T>): void {
  while (from.$last !== null) list_move(from.$last, head);
}

/** Moves all of `list`, in its order, to the end of `head`. */
export function list_splice_tail<T>(from: list_head<T>, head: list_head<T>): void {
  while (from.$first !== null) list_move_tail(from.$first, head);
}

/** Of a head: nothing is on the list. Of a node: it was set up with INIT_LIST_HEAD or list_del_init, and is on none. */
export function list_empty<T>(it: list_head<T> | list_node<T>): boolean {
  reads(it);
  return it instanceof ListNode ? it.$empty : it.$first === null;
}

/** Exactly one item is on the list. */
export function list_is_singular<T>(head: list_head<T>): boolean {
  reads(head);
  return head.$first !== null && head.$first === head.$last;
}

export function list_count_nodes<T>(head: list_head<T>): number {
  let count = 0;
  for (const _ of head) count++;
  return count;
}

export function list_first_entry_or_null<T>(head: list_head<T>): T | null {
  reads(head);
  return head.$first === null ? null : head.$first.item;
}

/** The first item. In Linux nonsense when there is none; here the task dies. */
export function list_first_entry<T>(head: list_head<T>): T {
  return list_first_entry_or_null(head) ?? noEntry(head);
}

/** The last item. In Linux nonsense when there is none; here the task dies. */
export function list_last_entry<T>(head: list_head<T>): T {
  reads(head);
  return head.$last === null ? noEntry(head) : head.$last.item;
}

function noEntry<T>(head: list_head<T>): never {
  oops(`an entry is asked of ${head.name}, which is empty`);
}

/** The item after the one whose node this is; null at the end, where Linux comes to the head. */
export function list_next_entry<T>(node: list_node<T>): T | null {
  reads(node.$list ?? node);
  return node.$next === null ? null : node.$next.item;
}

/** The item before the one whose node this is; null at the front, where Linux comes to the head. */
export function list_prev_entry<T>(node: list_node<T>): T | null {
  reads(node.$list ?? node);
  return node.$prev === null ? null : node.$prev.item;
}

/** The items, last to first. The body must not take the current one off. */
export function* list_for_each_entry_reverse<T>(head: list_head<T>): Generator<T, void> {
  reads(head);
  for (let node = head.$last; node !== null; node = node.$prev) {
    yield node.item;
    reads(head);
  }
}
