// SPDX-License-Identifier: GPL-2.0-only

/** A case that was loaded: everything in it is known to fit together. */
import type { Path } from './jsonc.ts';
import type { Outline } from './schema.ts';
import type { Use } from './scope.ts';
import type { Expectation, Making, Prepared } from './step.ts';

export interface Step extends Prepared {
  /** Index in its task. */
  readonly index: number;
  readonly label: string | undefined;
  readonly makes: readonly (Making & { readonly name: string })[];
  readonly uses: readonly Use[];
  /** Steps of other tasks that it comes after. */
  readonly waits: readonly Use[];
  readonly expectation: Expectation;
  /** Line of the file, from 1. */
  readonly line: number;
  readonly path: Path;
}

/** A thread of user space, or a device that does something by itself. */
export interface CaseTask {
  readonly name: string;
  readonly isDevice: boolean;
  readonly steps: readonly Step[];
}

export interface Case {
  /** `iommufd/lowest-free-id`: its file below cases/, without the ending. */
  readonly name: string;
  /** As messages show it. */
  readonly path: string;
  readonly outline: Outline;
  /** Which of several designs it is on; null: it is on the one that it names itself. */
  readonly design: string | null;
  /** Threads, then devices. */
  readonly tasks: readonly CaseTask[];
  /** Names that another task uses than the one that makes them. */
  readonly shared: ReadonlySet<string>;
}

/** A step in messages: `vmm[3]`, or its label. */
export const stepName = (task: CaseTask, step: Step): string => step.label ?? `${task.name}[${step.index}]`;
