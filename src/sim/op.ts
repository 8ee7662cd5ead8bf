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
  /** Whether the task can do it now. Absent: always. */
  ready?(object: T, task: Task): boolean;
  /** Who keeps it from being ready, for hang reports. */
  holders?(object: T, task: Task): readonly Task[];
  /** Names of the kinds that commute with this one on the same object. On different objects all do. */
  readonly commutes: ReadonlySet<string>;
  /** May sleep: not allowed in atomic context. */
  readonly sleeps: boolean;
}

export interface OpOptions<T extends Observed> {
  ready?(object: T, task: Task): boolean;
  holders?(object: T, task: Task): readonly Task[];
  readonly commutes?: readonly string[];
  readonly sleeps?: boolean;
}

const kinds: OpKind[] = [];

/** Declares a kind of operation; name it as the Linux function that does it. */
export function op<T extends Observed>(name: string, options: OpOptions<T> = {}): OpKind<T> {
  const { commutes = [], sleeps = false, ...methods } = options;
  const kind: OpKind<T> = { id: kinds.length, name, commutes: new Set(commutes), sleeps, ...methods };
  kinds.push(kind);
  return kind;
}

/** The kind behind a trace record's operation id. */
export function opKind(id: number): OpKind {
  const kind = kinds[id];
  if (kind === undefined) throw new Error(`no operation has id ${id}`);
  return kind;
}

/** Whether two operations give the same state in either order. Conservative: false when in doubt. */
export function independent(a: OpKind, objectA: Observed, b: OpKind, objectB: Observed): boolean {
  return objectA !== objectB || (a.commutes.has(b.name) && b.commutes.has(a.name));
}
