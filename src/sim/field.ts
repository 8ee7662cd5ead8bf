// SPDX-License-Identifier: GPL-2.0-only

/**
 * The kinds of field that a struct can declare. A *scalar* is assigned (`hwpt.domain = d`) and every
 * assignment is recorded; a *member* (lock, list, xarray, embedded struct) is made with its owner, is never
 * assigned, and records its own transitions.
 */
import { context } from './context.ts';
import { Observed } from './observed.ts';

/** How a scalar's value becomes an Int32 of a trace record, and text again. */
export type Encoding = 'int' | 'u32' | 'bool' | 'ref' | 'value';

export interface FieldOptions {
  /**
   * The lock that must be held to touch the field: a path from the object, such as `lock` or
   * `igroup.lock`. Checked while checkers are on.
   */
  readonly guardedBy?: string;
  /** The field is all there is to its object (a counter's count): it is printed under the object's name. */
  readonly itself?: true;
  /** Touched by atomic operations only: accesses to it are no data race. */
  readonly atomic?: true;
}

export interface Scalar<T> extends FieldOptions {
  readonly member: false;
  readonly encoding: Encoding;
  /** The value of a zeroed object; JavaScript source for the generated constructor. */
  readonly zero: string;
  readonly show: (value: unknown) => string;
  /** Carries the type; never there at run time. */
  readonly type?: T;
}

export interface Member<T> extends FieldOptions {
  readonly member: true;
  readonly make: (owner: Observed, role: string, options: FieldOptions) => T;
}

export type AnyField = Scalar<unknown> | Member<unknown>;

const plain = (v: unknown): string => String(v);
const hex = (v: unknown): string =>
  typeof v === 'number' || typeof v === 'bigint' ? `0x${v.toString(16)}` : String(v);
const named = (v: unknown): string => (v instanceof Observed ? v.name : '-');

function scalar<T>(
  encoding: Encoding,
  zero: string,
  show: (v: unknown) => string,
  o?: FieldOptions,
): Scalar<T> {
  return { member: false, encoding, zero, show, ...o };
}

/** A signed number of at most 32 bits (C int, bool counters, sizes known small). */
export const int = (o?: FieldOptions): Scalar<number> => scalar('int', '0', plain, o);
/** An unsigned 32-bit number, printed in decimal. */
export const u32 = (o?: FieldOptions): Scalar<number> => scalar('u32', '0', plain, o);
/** Unsigned 32-bit flags, printed in hex. */
export const flags32 = (o?: FieldOptions): Scalar<number> => scalar('u32', '0', hex, o);
/** An unsigned 64-bit number or address, printed in hex. */
export const u64 = (o?: FieldOptions): Scalar<bigint> => scalar('value', '0n', hex, o);
/** A whole number up to 2^53 (C unsigned long that counts pages or bytes), printed in decimal. */
export const count = (o?: FieldOptions): Scalar<number> => scalar('value', '0', plain, o);
export const bool = (o?: FieldOptions): Scalar<boolean> => scalar('bool', 'false', plain, o);
/**
 * A pointer to another observed object. It keeps nothing alive: counting is the model's business. (T is not
 * constrained to Observed because a struct that points to itself could not be declared then.)
 */
export const ref = <T>(o?: FieldOptions): Scalar<T | null> => scalar('ref', 'null', named, o);
/** An immutable JavaScript value (string, tuple of a cookie, table of functions), shown by `show`. */
export const value = <T>(zero: T & (string | null), show: (v: T) => string, o?: FieldOptions): Scalar<T> =>
  // cast: show is only ever given what was stored in this very field
  scalar('value', JSON.stringify(zero), show as (v: unknown) => string, o);
/** One of a C enum's constants, stored as its number and printed by its name. */
export function enumeration<const N extends Readonly<Record<string, number>>>(
  names: N,
  o?: FieldOptions,
): Scalar<N[keyof N]> {
  const byNumber = new Map(Object.entries(names).map(([name, n]) => [n, name]));
  return scalar('int', '0', (v) => (typeof v === 'number' ? (byNumber.get(v) ?? String(v)) : String(v)), o);
}

/** A struct (or lock, or collection) that lives inside its owner, as a C member that is no pointer. */
export function embed<T extends Observed>(
  type: new (owner: Observed, role: string, embedded: true) => T,
  o?: FieldOptions,
): Member<T> {
  return { member: true, make: (owner, role) => new type(owner, role, true), ...o };
}

/** Reads an encoded scalar back. */
export function decode(encoding: Encoding, raw: number): unknown {
  switch (encoding) {
    case 'int':
      return raw;
    case 'u32':
      return raw >>> 0;
    case 'bool':
      return raw !== 0;
    case 'ref':
      return raw < 0 ? null : (context.machine?.objects[raw] ?? null);
    case 'value':
      return context.trace.values[raw];
  }
}
