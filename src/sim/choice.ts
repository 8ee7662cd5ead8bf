// SPDX-License-Identifier: GPL-2.0-only

/**
 * The one place that chooses. Every nondeterminism of a run (which task goes on, whether an allocation
 * fails, whether a waiter wakes for nothing, which of two completions comes first) is a choice with labelled
 * options, and a policy answers it. Policies are peers: see policies/.
 */
import type { Task } from './task.ts';

export interface Choice {
  /** `task`: who goes on. Others are named by who asks: `kmalloc`, `spurious wake-up`, … */
  readonly kind: string;
  /** How many options there are: at least two, or one for a policy that wants to see every step. */
  readonly count: number;
  /** The option taken when nobody has an opinion: the task that runs goes on, nothing fails. */
  readonly fallback: number;
  /** What an option is, in words that mean the same in another run: `b: mutex_lock ioas1.mutex`. */
  label(option: number): string;
  /** For kind `task`: its first `count` are the tasks, in option order, during the call. Else empty. */
  readonly tasks: readonly Task[];
}

export interface Policy {
  /** The option taken, below `choice.count`; or ABANDON. */
  choose(choice: Choice): number;
  /** It is asked before every step of a task, also where only one can go on. */
  readonly everyStep?: true;
}

/** Answered by a policy that wants to see no more of this run. */
export const ABANDON = -1;

/** The choice between tasks; one object a scheduler, filled anew for each choice. */
export class TaskChoice implements Choice {
  readonly kind = 'task';
  readonly tasks: Task[] = [];
  count = 0;
  fallback = 0;

  label(option: number): string {
    const task = this.tasks[option];
    return task === undefined ? '?' : taskLabel(task);
  }
}

/** What a task is about to do: `b: mutex_lock ioas1.mutex`; and whether it gives up waiting for that. */
function taskLabel(task: Task): string {
  const { op, object, deadline } = task;
  const givesUp = deadline !== null && !op.immediate && !op.ready(object, task);
  return `${task.name}: ${operationLabel(task)}${givesUp ? ' (time runs out)' : ''}`;
}

/** The operation alone: `mutex_lock ioas1.mutex`; the start of a task is just `start`. */
export function operationLabel(task: Task): string {
  return task.object === task ? task.op.name : `${task.op.name} ${task.object.name}`;
}
