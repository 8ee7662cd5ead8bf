// SPDX-License-Identifier: GPL-2.0-only

/** Linux's atomic64_t, as far as counters of pages need it. Each call is a point at which others may go first. */
import { count } from '../../sim/field.ts';
import { Observed } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { struct } from '../../sim/struct.ts';
import type { Co } from '../../sim/task.ts';

export class atomic64_t extends struct('atomic64_t', Observed, {
  counter: count({ itself: true, atomic: true }),
}) {}

const CHANGES: readonly string[] = ['atomic64_add', 'atomic64_sub'];
const READS: readonly string[] = ['atomic64_read'];
const ADD = op<atomic64_t>('atomic64_add', { commutes: CHANGES, orders: false });
const SUB = op<atomic64_t>('atomic64_sub', { commutes: CHANGES, orders: false });
const READ = op<atomic64_t>('atomic64_read', { commutes: READS, orders: false });

function add(v: atomic64_t, n: number): void {
  v.counter += n;
}

function sub(v: atomic64_t, n: number): void {
  v.counter -= n;
}

export const atomic64_add = (n: number, v: atomic64_t): Co<void> => operation(ADD, v, add, n);
export const atomic64_sub = (n: number, v: atomic64_t): Co<void> => operation(SUB, v, sub, n);
export const atomic64_read = (v: atomic64_t): Co<number> => operation(READ, v, (it) => it.counter);

const CMPXCHG = op<atomic64_t>('atomic64_cmpxchg');

/** Stores `n` when the value is `old`. Returns the value that was there: `old` when it was stored. */
export const atomic64_cmpxchg = (v: atomic64_t, old: number, n: number): Co<number> =>
  operation(CMPXCHG, v, (it) => {
    const { counter } = it;
    if (counter === old) it.counter = n;
    return counter;
  });
