// SPDX-License-Identifier: GPL-2.0-only

/** `--variant` and `--bug`: another design than the case's own. */
import type { Command } from 'commander';
import { didYouMean } from '../case/suggest.ts';
import { type Design, decisions } from '../sim/variant.ts';
import { Unusable } from './unusable.ts';

export interface DesignOptions {
  /** `point=choice`, each. */
  readonly variant?: readonly string[];
  readonly bug?: readonly string[];
}

/** For options that can be given several times. */
export const more = (value: string, all: readonly string[] | undefined): readonly string[] => [
  ...(all ?? []),
  value,
];

/** Gives a verb the options. */
export const designOptions = (command: Command): Command =>
  command
    .option(
      '--variant <point=choice>',
      'on another design; `variants` lists them. Can be given several times',
      more,
    )
    .option('--bug <id>', 'with a historical bug put back. Can be given several times', more);

/** The design that the options name; undefined when they name none. Throws Unusable. */
export const designOf = (options: DesignOptions): Design | undefined =>
  options.variant === undefined && options.bug === undefined ? undefined : designNamed(options);

/** As designOf; Linux 6.12 when the options name nothing. */
export function designNamed({ variant, bug }: DesignOptions): Design {
  return { variant: Object.fromEntries((variant ?? []).map(choiceOf)), bugs: (bug ?? []).map(knownBug) };
}

/** Point and choice of `point=choice`. Throws Unusable. */
function choiceOf(option: string): readonly [point: string, choice: string] {
  const [name = '', choice = ''] = option.split('=', 2);
  const points = decisions.points();
  const point = points.find((each) => each.name === name);
  if (point === undefined) {
    const known = points.map((each) => each.name);
    throw new Unusable(`--variant ${option}: no decision point is called '${name}'`, didYouMean(name, known));
  }
  if (!point.choices.has(choice)) {
    throw new Unusable(
      option.includes('=')
        ? `--variant ${option}: ${name} has no choice '${choice}'`
        : `--variant ${option}: which choice of ${name}?`,
      didYouMean(choice, point.choices.keys()),
    );
  }
  return [name, choice];
}

/** Throws Unusable. */
function knownBug(id: string): string {
  const known = decisions.bugs().map((each) => each.id);
  if (known.includes(id)) return id;
  throw new Unusable(`--bug ${id}: no such bug`, didYouMean(id, known));
}
