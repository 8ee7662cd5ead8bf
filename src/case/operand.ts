// SPDX-License-Identifier: GPL-2.0-only

import type { process } from '../kernel/sched/task.ts';

/** What names stand for while a case runs. */
export interface Names {
  /** Throws (a bug of ours) when it is not made: the runner looks before a step uses it. */
  value(name: string): bigint;
  /** The name of what is known by a number; undefined when it has none. */
  nameOf(kind: 'id' | 'fd', value: bigint, on?: string): string | undefined;
  /** The process of a task is there: the task begins. */
  forked(task: string, group: process): void;
}

/** A number of a step: known when the case is loaded, or when what it names is made. */
export interface Operand {
  /** As the trace shows it: by name where there is one. */
  readonly text: string;
  /** The number, where it does not depend on the run. */
  readonly constant?: bigint;
  of(names: Names): bigint;
}
