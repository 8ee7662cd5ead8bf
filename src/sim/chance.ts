// SPDX-License-Identifier: GPL-2.0-only
import { context, machine } from './context.ts';

/**
 * Whether something happens that need not: an allocation fails, a sleeper wakes for nothing. A choice between
 * two options if the run opens choices of this kind, else no. `label`: each answer in words.
 */
export const happens = (kind: string, label: (yes: boolean) => string): boolean =>
  which(kind, 2, (option) => label(option === 1)) === 1;

/**
 * Which of `count` things comes next that can come in any order: a choice if the run opens choices of this kind,
 * else the first. `label`: each in words.
 */
export function which(kind: string, count: number, label: (option: number) => string): number {
  const { options, scheduler, certain } = machine();
  if (count < 2 || certain || !options.choices.has(kind)) return 0;
  const option = scheduler.choose({ kind, count, fallback: 0, tasks: [], label });
  // Whoever asked has it in a local, as he has what an operation told him.
  context.watch?.result?.(option);
  return option;
}
