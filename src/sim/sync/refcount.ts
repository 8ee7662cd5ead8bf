// SPDX-License-Identifier: GPL-2.0-only

/**
 * Linux's refcount_t (lib/refcount.c), with its warnings. Each call is one atomic operation, and so a point
 * at which others may go first: what two counters say together is no longer atomic.
 */
import { int } from '../field.ts';
import { Observed } from '../observed.ts';
import { op } from '../op.ts';
import { operation } from '../point.ts';
import { struct } from '../struct.ts';
import type { Co } from '../task.ts';
import { WARN_ON } from '../warn.ts';

export class refcount_t extends struct('refcount_t', Observed, {
  refs: int({ itself: true, atomic: true }),
}) {}

/** What a counter that went wrong stays at, so that nothing is freed under a user. */
const SATURATED = -0x40000000;

const READ = op<refcount_t>('refcount_read', { commutes: ['refcount_read'], orders: false });
const SET = op<refcount_t>('refcount_set', { orders: false });
const INC = op<refcount_t>('refcount_inc', {
  commutes: ['refcount_inc', 'refcount_add'],
  orders: false,
  counts: 1,
});
const ADD = op<refcount_t>('refcount_add', { commutes: ['refcount_inc', 'refcount_add'], orders: false });
const DEC = op<refcount_t>('refcount_dec', { commutes: ['refcount_dec'], counts: -1 });
const INC_NOT_ZERO = op<refcount_t>('refcount_inc_not_zero', {
  commutes: ['refcount_inc_not_zero'],
  orders: false,
  counts: 1,
});
const DEC_AND_TEST = op<refcount_t>('refcount_dec_and_test', { counts: -1 });
const SUB_AND_TEST = op<refcount_t>('refcount_sub_and_test');
const DEC_IF_ONE = op<refcount_t>('refcount_dec_if_one');

function saturate(r: refcount_t, what: string): void {
  WARN_ON(true, `refcount_t ${r.name}: ${what}`, r);
  r.refs = SATURATED;
}

function add(r: refcount_t, n: number): void {
  if (r.refs > 0) r.refs += n;
  else saturate(r, r.refs === 0 ? 'addition on 0; use-after-free' : 'saturated; leaking memory');
}

const inc = (r: refcount_t): void => add(r, 1);

function incNotZero(r: refcount_t): boolean {
  if (r.refs === 0) return false;
  inc(r);
  return true;
}

function dec(r: refcount_t): void {
  if (r.refs > 1) r.refs -= 1;
  else saturate(r, r.refs === 1 ? 'decrement hit 0; leaking memory' : 'underflow; use-after-free');
}

function subAndTest(r: refcount_t, n: number): boolean {
  if (r.refs >= n) {
    r.refs -= n;
    return r.refs === 0;
  }
  saturate(r, 'underflow; use-after-free');
  return false;
}

const decAndTest = (r: refcount_t): boolean => subAndTest(r, 1);

function decIfOne(r: refcount_t): boolean {
  if (r.refs !== 1) return false;
  r.refs = 0;
  return true;
}

function set(r: refcount_t, n: number): void {
  r.refs = n;
}

/** Sets the count of an object that nobody else can see yet; no point for others. */
export const refcount_init = set;
export const refcount_set = (r: refcount_t, n: number): Co<void> => operation(SET, r, set, n);
export const refcount_read = (r: refcount_t): Co<number> => operation(READ, r, (it) => it.refs);
export const refcount_inc = (r: refcount_t): Co<void> => operation(INC, r, inc);
/** `n` references at once. */
export const refcount_add = (r: refcount_t, n: number): Co<void> => operation(ADD, r, add, n);
/** False, and nothing done, when the count is 0. */
export const refcount_inc_not_zero = (r: refcount_t): Co<boolean> => operation(INC_NOT_ZERO, r, incNotZero);
/** For a count that must not reach 0 here. */
export const refcount_dec = (r: refcount_t): Co<void> => operation(DEC, r, dec);
/** True when this was the last reference. */
export const refcount_dec_and_test = (r: refcount_t): Co<boolean> => operation(DEC_AND_TEST, r, decAndTest);
/** Drops `n` references at once. True when they were the last. */
export const refcount_sub_and_test = (r: refcount_t, n: number): Co<boolean> =>
  operation(SUB_AND_TEST, r, subAndTest, n);
/** True, and the count 0, when it was 1. */
export const refcount_dec_if_one = (r: refcount_t): Co<boolean> => operation(DEC_IF_ONE, r, decIfOne);
