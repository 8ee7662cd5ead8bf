// SPDX-License-Identifier: GPL-2.0-only

/** What the observed collections have in common: how they record what they gain and lose. */
import { context } from '../context.ts';
import type { FieldOptions, Member } from '../field.ts';
import { type Named, Observed } from '../observed.ts';
import { ADD, DEL, PUT } from '../trace.ts';

/** A collection is one location to whoever watches accesses: itself, with this for a field id. */
export const CONTENTS = -1;

/** Tells the watch, if there is one, that `object`'s contents are read. */
export function reads(object: Observed): void {
  if (context.watch !== null) context.watch.read(object, CONTENTS, undefined);
}

/** Tells the watch, if there is one, that `object`'s contents are written. */
export function writes(object: Observed): void {
  if (context.watch !== null) context.watch.write(object, CONTENTS);
}

export abstract class Collection extends Observed {
  /** The lock that must be held to touch it: a path from `$creator`, as a field's `guardedBy`. */
  declare readonly $guardedBy: string | undefined;

  constructor(creator: Named, role: string, embedded = false, guardedBy?: string) {
    super(creator, role, embedded);
    this.$guardedBy = guardedBy;
  }

  /** Records a new member, known by `key` or (undefined) by nothing else. Neither may change afterwards. */
  protected $gain(key: unknown, value: unknown): void {
    this.#record(ADD, key, value);
  }

  protected $lose(key: unknown, value: unknown): void {
    this.#record(DEL, key, value);
  }

  /** Records what is at `key`, for a collection that has one value a key. undefined: nothing. */
  protected $put(key: unknown, before: unknown, after: unknown): void {
    const { trace } = context;
    const keyAt = trace.value(key);
    const beforeAt = trace.value(before);
    trace.value(after);
    trace.push(PUT, this.$id, keyAt, beforeAt);
  }

  #record(kind: number, key: unknown, value: unknown): void {
    const { trace } = context;
    const keyAt = key === undefined ? -1 : trace.value(key);
    trace.push(kind, this.$id, keyAt, trace.value(value));
  }
}

/** The declaration of a member that `make` makes. */
export const member = <C>(
  make: (owner: Observed, role: string, options: FieldOptions) => C,
  o?: FieldOptions,
): Member<C> => ({ member: true, make, ...o });
