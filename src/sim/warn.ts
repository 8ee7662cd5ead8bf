// SPDX-License-Identifier: GPL-2.0-only
import { FINDING_KINDS, type FindingKind } from './check/finding.ts';
import { context } from './context.ts';
import { Oops } from './errors.ts';
import type { Observed } from './observed.ts';
import { BREACH, NOTE, WARN } from './trace.ts';

/**
 * As Linux: returns the condition; when it holds, the run has a finding. `text` names the condition; `about`: the
 * reference count that went wrong.
 */
export function WARN_ON(condition: boolean, text: string, about: Observed | null = null): boolean {
  if (condition) context.trace.push(WARN, about?.$id ?? -1, context.trace.value(text), 0);
  return condition;
}

/** As Linux: when the condition holds, the task dies where it stands, with everything it holds. */
export function BUG_ON(condition: boolean, text: string): void {
  if (!condition) return;
  context.trace.push(WARN, -1, context.trace.value(`BUG: ${text}`), 0);
  throw new Oops(text);
}

/** A pointer that leads nowhere is followed: the task dies as by a BUG_ON. `text`: where it was followed. */
export function oops(text: string): never {
  BUG_ON(true, text);
  throw new Oops(text);
}

/** Something happens that software must never let happen, and that nothing in the run notices. `of`: to what. */
export function breach(kind: FindingKind, text: string, of: Observed | null): void {
  context.trace.push(BREACH, FINDING_KINDS.indexOf(kind), context.trace.value(text), of?.$id ?? -1);
}

/** A line of the kernel's log. */
export function printk(text: string): void {
  context.trace.push(NOTE, 0, context.trace.value(text), 0);
}
