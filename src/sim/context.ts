// SPDX-License-Identifier: GPL-2.0-only

/**
 * What runs now, for code that has no argument to carry it: as `current` in Linux. Exactly one machine is
 * powered on at a time (`Machine.powerOn`); the process has one thread, so nobody sees it change midway.
 */
import type { Machine } from './machine.ts';
import type { Observed } from './observed.ts';
import type { Scheduler } from './scheduler.ts';
import type { Task } from './task.ts';
import { Trace } from './trace.ts';

/** Told of accesses to fields while `context.watch` is set: checkers and exploration, nobody else. */
export interface AccessWatch {
  /** `value`: what was read; of a collection, which reads as a whole, undefined. */
  read(object: Observed, fieldId: number, value: unknown): void;
  write(object: Observed, fieldId: number): void;
  /** An operation told its task this. */
  result?(value: unknown): void;
  /** The running task enters a model function with these arguments; leaves one with this result. */
  enter?(args: readonly unknown[]): void;
  exit?(value: unknown): void;
  /** A task begins another operation of its program: see beginOperation. */
  begins?(task: Task, progress: string): void;
}

export interface Context {
  trace: Trace;
  machine: Machine | null;
  scheduler: Scheduler | null;
  /** The task whose code runs; null while the machine itself works (boot, teardown). */
  current: Task | null;
  watch: AccessWatch | null;
}

export const context: Context = {
  trace: new Trace(),
  machine: null,
  scheduler: null,
  current: null,
  watch: null,
};

/** The powered machine. Throws (a bug of ours) when there is none. */
export function machine(): Machine {
  if (context.machine === null) throw new Error('no machine is powered on');
  return context.machine;
}

/** The running task, as Linux's `current`. Throws (a bug of ours) outside a task. */
export function current(): Task {
  if (context.current === null) throw new Error('no task is running');
  return context.current;
}
