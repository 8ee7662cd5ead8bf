// SPDX-License-Identifier: GPL-2.0-only

/** How a synchronisation primitive announces an operation and then does it. */
import { context } from './context.ts';
import { done, suspendBefore } from './coroutine.ts';
import type { Observed } from './observed.ts';
import type { OpKind } from './op.ts';
import type { Scheduler } from './scheduler.ts';
import type { Co } from './task.ts';
import { DONE, OPAQUE } from './trace.ts';

export function scheduler(): Scheduler {
  if (context.scheduler === null) throw new Error('no machine is powered on');
  return context.scheduler;
}

/** Does what a program or hardware does atomically, by means that are not modelled: no races are looked for. */
export function opaque<T>(object: Observed, body: () => T): T {
  context.trace.push(OPAQUE, object.$id, 0, 0);
  const value = body();
  context.trace.push(DONE, object.$id, 0, 0);
  return value;
}

/**
 * One operation: lets the policy decide who goes first, waits until it is ready, then performs `effect` as
 * the start of the task's next step.
 */
export function operation<O extends Observed, T>(
  kind: OpKind<O>,
  object: O,
  effect: (object: O, operand: number) => T,
  operand = 0,
): Co<T> {
  const task = scheduler().point(kind, object, operand);
  if (task !== null) return suspendBefore(task, effect);
  const value = effect(object, operand);
  if (kind.opaque) context.trace.push(DONE, object.$id, 0, 0);
  if (context.watch?.result !== undefined) context.watch.result(value);
  return done(value);
}
