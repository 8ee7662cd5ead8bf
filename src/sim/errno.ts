// SPDX-License-Identifier: GPL-2.0-only

/**
 * Errors of the model are values: a negative errno, as in Linux. The type tells it from other numbers, and
 * the only way to make one is `fail`, which records where and why it was born.
 */
import { context } from './context.ts';
import { ERRNO } from './trace.ts';

declare const brand: unique symbol;
/** A negative errno. */
export type Err = number & { readonly [brand]: 'errno' };
/** What a C function that returns 0 or a negative errno returns. */
export type Rc = Err | 0;

/**
 * A new error: `return fail(EBUSY, 'users is not 1')`. `errno` is positive; `reason` says which condition
 * failed, in words that are the same in every run.
 */
export function fail(errno: number, reason: string): Err {
  context.trace.push(ERRNO, errno, context.trace.value(reason), 0);
  // cast: the one place where an Err is made
  return -errno as Err;
}

/** As Linux's IS_ERR, for a value that is a pointer or an error. */
export function IS_ERR<T>(value: T | Err): value is Err {
  return typeof value === 'number' && value < 0;
}
