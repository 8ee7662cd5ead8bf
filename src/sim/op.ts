// SPDX-License-Identifier: GPL-2.0-only

/**
 * Kinds of synchronisation operation. A task announces the operation it is about to do *before* it does it,
 * so that at every choice the next operation of every task is known: what is enabled, what would conflict.
 */
import type { Observed } from './observed.ts';
import type { Task } from './task.ts';

// Methods, not function properties: an OpKind<mutex> must pass where any OpKind is wanted.
export interface OpKind<T extends Observed = Observed> {
  readonly id: number;
  /** As Linux calls it: `mutex_lock`. */
  readonly name: string;
  /** It is never waited for: `ready` need not be asked. */
  readonly immediate: boolean;
  /** Whether the task can do it now. */
  ready(object: T, task: Task): boolean;
  /** Who keeps it from being ready, for hang reports. */
  holders(object: T, task: Task): readonly Task[];
  /** Names of the kinds that commute with this one on the same object. On different objects all do. */
  readonly commutes: ReadonlySet<string>;
  /**
   * Names of the kinds that are never possible at the same moment as this one on the same object: a lock and
   * its unlock. Their order is no choice. (A wait and its wake-up are not such: another may have woken it.)
   */
  readonly enables: ReadonlySet<string>;
  /** May sleep: not allowed in atomic context. */
  readonly sleeps: boolean;
  /** Other accesses are ordered by it: what came before one is before what comes after a conflicting other. */
  readonly orders: boolean;
  /** What it touches is under locks that are not modelled: the whole of it is atomic, and no race. */
  readonly opaque: boolean;
  /** The access that it makes is meant to race with others: READ_ONCE. */
  readonly marks: boolean;
  /** What it adds to a reference count, and looks at nothing but whether that is 0. 0: it is not of that kind. */
  readonly counts: number;
}

export interface OpOptions<T extends Observed> {
  /** Absent: it is always ready. */
  ready?(object: T, task: Task): boolean;
  holders?(object: T, task: Task): readonly Task[];
  readonly commutes?: readonly string[];
  readonly enables?: readonly string[];
  readonly sleeps?: boolean;
  readonly orders?: boolean;
  readonly opaque?: boolean;
  readonly marks?: boolean;
  readonly counts?: number;
}

const kinds: OpKind[] = [];
const always = (): boolean => true;
const nobody = (): readonly Task[] => [];

/** Declares a kind of operation; name it as the Linux function that does it. */
export function op<T extends Observed>(name: string, options: OpOptions<T> = {}): OpKind<T> {
  // Every kind is made of the same properties in the same order: the scheduler looks at them at each step.
  const kind: OpKind<T> = {
    id: kinds.length,
    name,
    immediate: options.ready === undefined,
    ready: options.ready ?? always,
    holders: options.holders ?? nobody,
    commutes: new Set(options.commutes),
    enables: new Set(options.enables),
    sleeps: options.sleeps ?? false,
    orders: options.orders ?? true,
    opaque: options.opaque ?? false,
    marks: options.marks ?? false,
    counts: options.counts ?? 0,
  };
  kinds.push(kind);
  return kind;
}

/** The kind behind a trace record's operation id. */
export function opKind(id: number): OpKind {
  const kind = kinds[id];
  if (kind === undefined) throw new Error(`no operation has id ${id}`);
  return kind;
}

/** Whether two operations on one object give the same state in either order. On different objects all do. */
export const commute = (a: OpKind, b: OpKind): boolean => a.commutes.has(b.name) && b.commutes.has(a.name);
