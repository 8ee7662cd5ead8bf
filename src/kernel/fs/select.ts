// SPDX-License-Identifier: GPL-2.0-only

/** Waiting until a file can be read or written: fs/select.c, include/linux/poll.h (6.12). */
import { wait_event, wait_event_timeout, type wait_queue_head } from '../../sim/sync/wait.ts';
import type { Gen } from '../../sim/task.ts';
import type { file } from './file.h.ts';

/* include/uapi/linux/eventpoll.h, which poll(2) shares */
export const EPOLLIN = 0x01;
export const EPOLLOUT = 0x04;
export const EPOLLERR = 0x08;
export const EPOLLHUP = 0x10;
export const EPOLLRDNORM = 0x40;
const EPOLLWRNORM = 0x100;

/** Of a file that does not say. */
const DEFAULT_POLLMASK = EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM;

/** Where a file's `poll` says who is woken when its answer changes. */
export interface poll_table {
  queue: wait_queue_head | null;
}

export function poll_wait(_filp: file, wait_address: wait_queue_head, p: poll_table): void {
  p.queue = wait_address;
}

/**
 * poll(2) of one file, without the way in and out: which of `events` there are (errors always count), at the
 * latest after `timeout` ms of virtual time, then 0; a negative one waits for ever.
 */
export function* do_poll(filp: file, events: number, timeout: number): Gen<number> {
  const wanted = events | EPOLLERR | EPOLLHUP;
  const serve = filp.f_op?.poll;
  if (serve === undefined) return DEFAULT_POLLMASK & wanted;
  const table: poll_table = { queue: null };
  let mask = 0;
  const ready = function* (): Gen<boolean> {
    mask = (yield* serve(filp, table)) & wanted;
    return mask !== 0;
  };
  if ((yield* ready()) || timeout === 0 || table.queue === null) return mask;
  if (timeout < 0) yield* wait_event(table.queue, ready);
  else yield* wait_event_timeout(table.queue, ready, timeout);
  return mask;
}
