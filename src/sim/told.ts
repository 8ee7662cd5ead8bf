// SPDX-License-Identifier: GPL-2.0-only

/** What a task was told since it began what it does now, as fingerprint.ts keeps it in the task. */
import { context } from './context.ts';
import type { Task } from './task.ts';

export interface Told {
  readonly told: number;
  readonly told2: number;
  readonly before: readonly number[];
  readonly of: readonly number[];
  readonly ofBefore: readonly (readonly number[])[];
}

export const toldOf = ({ told, told2, toldBefore, toldOf: of, toldOfBefore }: Task): Told => ({
  told,
  told2,
  before: [...toldBefore],
  of: [...of],
  ofBefore: toldOfBefore.map((each) => [...each]),
});

/** The task is where another was, in a run before, that was told this. */
export function tellAgain(task: Task, { told, told2, before, of, ofBefore }: Told): void {
  task.told = told;
  task.told2 = told2;
  task.toldBefore.splice(0, task.toldBefore.length, ...before);
  task.toldOf = [...of];
  task.toldOfBefore.splice(0, task.toldOfBefore.length, ...ofBefore.map((each) => [...each]));
}

/**
 * A task begins another operation (a step of its program) at which nothing it was told before matters any
 * more, except what `progress` says: where it is, and what it keeps.
 */
export function beginOperation(task: Task, progress: string): void {
  task.stage++;
  context.watch?.begins?.(task, progress);
}
