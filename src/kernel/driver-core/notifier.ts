// SPDX-License-Identifier: GPL-2.0-only

/** kernel/notifier.c (6.12): chains of those who want to be told, called under a rwsem. */
import { list, list_add_tail, list_node } from '../../sim/collections/list.ts';
import { embed } from '../../sim/field.ts';
import type { Observed } from '../../sim/observed.ts';
import { root, struct } from '../../sim/struct.ts';
import { down_read, down_write, rw_semaphore, up_read, up_write } from '../../sim/sync/rwsem.ts';
import type { Co, Gen } from '../../sim/task.ts';

/** Somebody who wants to be told. What he answers is not asked for by anybody here. */
export class notifier_block extends struct('notifier_block', root, { list: list_node<notifier_block>() }) {
  notifier_call: ((action: string, data: Observed) => Co<void>) | null = null;
}

export class blocking_notifier_head extends struct('blocking_notifier_head', root, {
  rwsem: embed(rw_semaphore),
  head: list<notifier_block>({ guardedBy: 'rwsem' }),
}) {}

/** From now on the block is told, after those that were there. */
export function* blocking_notifier_chain_register(nh: blocking_notifier_head, nb: notifier_block): Gen<void> {
  yield* down_write(nh.rwsem);
  list_add_tail(nb.list, nh.head);
  yield* up_write(nh.rwsem);
}

/** Tells everybody, one after the other. (Linux spares itself the lock where there is nobody.) */
export function* blocking_notifier_call_chain(
  nh: blocking_notifier_head,
  action: string,
  data: Observed,
): Gen<void> {
  yield* down_read(nh.rwsem);
  for (const nb of nh.head) if (nb.notifier_call !== null) yield* nb.notifier_call(action, data);
  yield* up_read(nh.rwsem);
}
