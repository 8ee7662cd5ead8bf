// SPDX-License-Identifier: GPL-2.0-only

/**
 * Lost wake-up: a task sleeps in wait_event though what it waits for has come to hold, after it last looked, and
 * nobody woke it. It shows where nothing else can wake it any more: it hangs, or its time runs out. A task whose
 * condition does not hold is another matter: that is a plain hang, or a timeout.
 */
import type { Machine } from '../machine.ts';
import type { Observed } from '../observed.ts';
import type { OpKind } from '../op.ts';
import { missedWakeUp } from '../sync/wait.ts';
import type { Task } from '../task.ts';
import type { Findings } from './finding.ts';
import { type Checker, type Place, type Stack, side } from './walk.ts';

/** What a task looked at since it prepared to wait. */
interface Look {
  readonly queue: Observed;
  stack: Stack;
  readonly objects: Set<Observed>;
  /** Who wrote to one of them afterwards, last. */
  changed: Stack | null;
}

export class WakeUpChecker implements Checker {
  readonly #findings: Findings;
  readonly #looks = new Map<Task | null, Look>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  operation(kind: OpKind, object: Observed, place: Place): void {
    if (kind.name === 'prepare_to_wait') {
      this.#looks.set(place.task, { queue: object, stack: place.stack(), objects: new Set(), changed: null });
      return;
    }
    const look = this.#looks.get(place.task);
    if (look === undefined) return;
    // What a condition reads it reads by operations; so they are known even where reads are not on the trace.
    look.objects.add(object);
    if (look.changed === null) look.stack = place.stack();
  }

  write(object: Observed, _field: number, place: Place): void {
    for (const [task, look] of this.#looks)
      if (task !== place.task && look.objects.has(object)) look.changed = place.stack();
  }

  missed(queue: Observed, place: Place): void {
    this.#report(place.task, queue, 'until its time runs out');
  }

  end({ scheduler }: Machine): void {
    for (const task of scheduler.live)
      if (!task.daemon && missedWakeUp(task)) this.#report(task, task.object, 'for ever');
  }

  #report(task: Task | null, queue: Observed, howLong: string): void {
    const look = this.#looks.get(task);
    this.#findings.add(
      'lost-wake-up',
      `${task?.name} sleeps on ${queue.name} ${howLong}, though what it waits for holds`,
      () => [
        ...(look === undefined ? [] : [side(`${task?.name} looked and went to sleep in`, look.stack)]),
        ...(look?.changed == null
          ? []
          : [side('what it waits for was changed, without a wake-up after it, by', look.changed)]),
      ],
    );
  }
}
