// SPDX-License-Identifier: GPL-2.0-only

/** Linux's eventfd (fs/eventfd.c): a 64-bit counter that is signalled, read to zero, and waited for. */
import { u64 } from '../field.ts';
import { Observed } from '../observed.ts';
import { op } from '../op.ts';
import { operation } from '../point.ts';
import { struct } from '../struct.ts';
import type { Co } from '../task.ts';

export class eventfd_ctx extends struct('eventfd_ctx', Observed, { count: u64() }) {
  /** EFD_SEMAPHORE: a read takes one, not all. */
  semaphore = false;
}

/** The counter stops one below the largest u64. */
const MAX = 0xffff_ffff_ffff_fffen;

const SIGNAL = op<eventfd_ctx>('eventfd_signal', { commutes: ['eventfd_signal'] });
const ADD = op<eventfd_ctx>('eventfd_write');
const READ = op<eventfd_ctx>('eventfd_read', { ready: (ctx) => ctx.count > 0n, sleeps: true });
const TRYREAD = op<eventfd_ctx>('eventfd_read (nonblocking)');

function take(ctx: eventfd_ctx): bigint {
  const got = ctx.semaphore && ctx.count > 0n ? 1n : ctx.count;
  ctx.count -= got;
  return got;
}

/** Adds one; may be called in atomic context. A full counter stays full. */
export const eventfd_signal = (ctx: eventfd_ctx): Co<void> =>
  operation(SIGNAL, ctx, () => {
    if (ctx.count < MAX) ctx.count += 1n;
  });

/** Adds `n`. False, and nothing done, when the counter has no room for that. */
export const eventfd_add = (ctx: eventfd_ctx, n: bigint): Co<boolean> =>
  operation(ADD, ctx, () => {
    if (MAX - ctx.count < n) return false;
    ctx.count += n;
    return true;
  });

/** Waits until the counter is above 0; returns what was taken. */
export const eventfd_read = (ctx: eventfd_ctx): Co<bigint> => operation(READ, ctx, take);

/** What was taken; 0n when there was nothing (EAGAIN for a nonblocking read). */
export const eventfd_read_nonblock = (ctx: eventfd_ctx): Co<bigint> => operation(TRYREAD, ctx, take);
