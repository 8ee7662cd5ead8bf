// SPDX-License-Identifier: GPL-2.0-only
import { machine } from './context.ts';

/**
 * Whether something happens that need not: an allocation fails, a sleeper wakes for nothing. A choice between
 * two options if the run opens choices of this kind, else no. `label`: each answer in words.
 */
export function happens(kind: string, label: (yes: boolean) => string): boolean {
  const { options, scheduler, certain } = machine();
  if (certain || !options.choices.has(kind)) return false;
  const choice = { kind, count: 2, fallback: 0, tasks: [], label: (option: number) => label(option === 1) };
  return scheduler.choose(choice) === 1;
}
