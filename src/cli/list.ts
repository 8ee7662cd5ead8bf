// SPDX-License-Identifier: GPL-2.0-only
import type { Command } from 'commander';
import type { Case } from '../case/case.ts';
import { designName, onDesigns } from '../case/designs.ts';
import { runCase } from '../case/run.ts';
import { didYouMean } from '../case/suggest.ts';
import { functionsOf } from '../case/touched.ts';
import { declaredFunctions } from '../sim/fn.ts';
import { Trace } from '../sim/trace.ts';
import { ioctlByName } from '../uapi/ioctls.ts';
import { load } from './evaluate.ts';
import { paint } from './paint.ts';
import { Progress } from './progress.ts';
import { select } from './project.ts';
import { EXIT, oracle, Unusable } from './unusable.ts';

interface Options {
  readonly ioctl?: string;
  readonly function?: string;
  readonly variant?: string;
  readonly by?: string;
  readonly root?: string;
}

export function register(program: Command): void {
  program
    .command('list')
    .summary('list cases: by area, by variant, by function or ioctl that they touch')
    .argument('[case...]', 'names, areas, patterns or files; all when none is given')
    .option('--ioctl <name>', 'only cases that make this ioctl')
    .option('--function <name>', 'only cases that run through this function of the kernel')
    .option('--variant <name>', 'only cases of this variant: its decision point, its choice, or point=choice')
    .option('--by <what>', 'in groups: area, variant, function or ioctl', 'area')
    .option('--root <folder>', 'the folder that holds cases/ and golden/ (default: the nearest one upwards)')
    .addHelpText(
      'after',
      `
Examples:
  ${oracle()} list                                     every case, by area
  ${oracle()} list --function iommufd_object_remove    who runs through it
  ${oracle()} list iommufd --by ioctl                  which cases make which ioctls`,
    )
    .action(async (patterns: readonly string[], options: Options) => {
      await list(patterns, options);
      process.exitCode = EXIT.ok;
    });
}

type Keys = (it: Case, functions: () => readonly string[]) => readonly string[];

const ways: Readonly<Record<string, Keys>> = {
  area: (it) => [it.name.includes('/') ? it.name.slice(0, it.name.lastIndexOf('/')) : '.'],
  variant: (it) => onDesigns(it).map(({ outline }) => designName(outline)),
  ioctl: (it) => ioctlsOf(it),
  function: (_, functions) => functions(),
};

const ioctlsOf = (it: Case): string[] => [
  ...new Set(
    it.tasks.flatMap(({ steps }) => steps.flatMap(({ ioctl }) => (ioctl === undefined ? [] : [ioctl]))),
  ),
];

async function list(patterns: readonly string[], options: Options): Promise<void> {
  const { by = 'area' } = options;
  const keysOf = ways[by];
  if (keysOf === undefined)
    throw new Unusable(`--by ${by}: no such grouping`, didYouMean(by, Object.keys(ways)));
  checkNames(options);
  const { cases } = await select(patterns, options.root);
  const groups = new Map<string, Case[]>();
  const progress = new Progress();
  const trace = new Trace();
  for (const [i, selected] of cases.entries()) {
    await progress.tick(() => `${i}/${cases.length} ${selected.name}`);
    const it = load(selected);
    // What a case touches is what it runs through, not what its text says.
    let touched: readonly string[] | undefined;
    const functions = (): readonly string[] => {
      touched ??= functionsOf(runCase(it, { trace }));
      return touched;
    };
    if (!isWanted(it, functions, options)) continue;
    for (const key of keysOf(it, functions)) groups.set(key, [...(groups.get(key) ?? []), it]);
  }
  progress.stop();
  const { bold } = paint(process.stdout);
  for (const [key, members] of [...groups].sort(([a], [b]) => (a < b ? -1 : 1))) {
    console.log(bold(key));
    for (const { name, outline } of members) console.log(`  ${name}  ${outline.title}`);
  }
}

function isWanted(
  it: Case,
  functions: () => readonly string[],
  { ioctl, variant, function: name }: Options,
): boolean {
  if (ioctl !== undefined && !ioctlsOf(it).includes(ioctl)) return false;
  if (name !== undefined && !functions().includes(name)) return false;
  if (variant === undefined) return true;
  return onDesigns(it)
    .flatMap(({ outline }) => [
      ...Object.entries(outline.variant ?? {}),
      ...(outline.bugs ?? []).map((id) => ['bug', id]),
    ])
    .some(([point, choice]) => [point, choice, `${point}=${choice}`].includes(variant));
}

function checkNames({ ioctl, function: name }: Options): void {
  if (ioctl !== undefined && !ioctlByName.has(ioctl)) {
    throw new Unusable(`no such ioctl: ${ioctl}`, didYouMean(ioctl, ioctlByName.keys()));
  }
  const functions = declaredFunctions().map((each) => each.name);
  if (name !== undefined && !functions.includes(name)) {
    throw new Unusable(`no such function is modelled: ${name}`, didYouMean(name, functions));
  }
}
