// SPDX-License-Identifier: GPL-2.0-only

/** A case on its way from a recording to text: steps whose names are not spelled yet. */

/** Something that a step makes, and what it is called after: `ioas` becomes `ioas1`, `ioas2`, in order. */
export class Name {
  readonly word: string;
  /** The descriptor that it is an id of, or was got by. */
  readonly on: Name | null;

  constructor(word: string, on: Name | null = null) {
    this.word = word;
    this.on = on;
  }
}

/** A name, or an address that far into what it names. */
export class Ref {
  readonly name: Name;
  readonly offset: bigint;

  constructor(name: Name, offset = 0n) {
    this.name = name;
    this.offset = offset;
  }
}

export type Value = string | number | Ref | readonly Value[] | { readonly [key: string]: Value };
export type StepDraft = Readonly<Record<string, Value>>;

/** What `as` says: the field that tells it, and the name. The first is what `as` alone would name. */
export interface Made {
  readonly from: string;
  readonly name: Name;
  /** The number that was recorded; absent: an address, which is another in every run. */
  readonly value?: bigint;
}

export const END = Number.POSITIVE_INFINITY;

/** What one event of a recording, or a part of it, comes to: steps that only make sense together. */
export interface Item {
  /** Line of the recording; END for what comes after the last. */
  readonly line: number;
  /** The task whose steps these are: the thread of a child that was forked; null: that of the first process. */
  readonly task: Name | null;
  /** Compared calls are there for their answer; the rest only for what others make of it. */
  readonly isCall: boolean;
  /** The last is the call itself, unless `checks` follow. */
  readonly steps: readonly StepDraft[];
  readonly makes: readonly Made[];
  /** Which of the steps is the call that makes them and whose answer counts. */
  readonly at: number;
  /** Consecutive bytes of one store, to be joined again. */
  readonly store?: { readonly at: Ref; readonly bytes: Uint8Array };
}

/** The names that occur in a value. */
export function* namesIn(value: Value): Generator<Name> {
  if (value instanceof Ref) yield value.name;
  else if (typeof value === 'object') for (const each of Object.values(value)) yield* namesIn(each);
}

/** The names that an item needs others to make. */
export function usesOf(item: Item): Set<Name> {
  const own = new Set(item.makes.map(({ name }) => name));
  const used = new Set(item.task === null ? [] : [item.task]);
  for (const step of item.steps) for (const name of namesIn(step)) if (!own.has(name)) used.add(name);
  return used;
}
