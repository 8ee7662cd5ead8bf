// SPDX-License-Identifier: GPL-2.0-only
import { type Command, Option } from 'commander';
import type { Case } from '../case/case.ts';
import { CaseError } from '../case/place.ts';
import type { Run } from '../case/run.ts';
import { linesOf } from '../case/story.ts';
import { formatLine, LEVELS, type Level } from '../sim/text.ts';
import { Trace } from '../sim/trace.ts';
import { type DesignOptions, designOf, designOptions } from './design-option.ts';
import { type EvaluateOptions, evaluate, load, type Outcome } from './evaluate.ts';
import { Progress } from './progress.ts';
import { type Selected, select } from './project.ts';
import { report } from './report.ts';
import { tell } from './tell.ts';
import { EXIT, oracle, refuseInCi, Unusable } from './unusable.ts';

interface Options extends DesignOptions {
  readonly update?: true;
  readonly review?: true;
  readonly trace?: true;
  readonly level?: Level;
  readonly schedule?: string;
  readonly json?: true;
  readonly format?: 'ktap' | 'junit';
  readonly root?: string;
}

export function register(program: Command): void {
  designOptions(program.command('run'))
    .summary('run cases and compare with their goldens')
    .argument(
      '[case...]',
      'names (iommufd/destroy), areas (iommufd), patterns (iommufd/*) or files; all when none is given',
    )
    .option('-u, --update', 'write the goldens of these cases anew, where their verdicts hold')
    .option('--review', 'walk through what changed, and accept or reject each change')
    .option('-t, --trace', 'print the trace of each case')
    .addOption(new Option('-l, --level <level>', 'how much of the trace --trace prints').choices(LEVELS))
    .option(
      '-s, --schedule <schedule>',
      "instead of the case's own: run-to-block, round-robin, random:SEED, or a file",
    )
    .option('--json', 'print one JSON document')
    .addOption(new Option('--format <format>', 'print for other tools').choices(['ktap', 'junit']))
    .option('--root <folder>', 'the folder that holds cases/ and golden/ (default: the nearest one upwards)')
    .addHelpText(
      'after',
      `
Exit code: 0 all as expected; 1 a failed verdict, or a golden that differs; 2 unusable input; 3 incomplete, or
something that is not modelled.

Examples:
  ${oracle()} run                            every case
  ${oracle()} run iommufd/destroy --trace    one, with its trace
  ${oracle()} run 'iommufd/*' --update       accept what changed in an area, all at once
  ${oracle()} run --review                   or one change at a time
  ${oracle()} run bugs/E1 --bug E1           with a bug put back: does the case notice?`,
    )
    .action(async (patterns: readonly string[], options: Options) => {
      process.exitCode = await run(patterns, options);
    });
}

async function run(patterns: readonly string[], options: Options): Promise<number> {
  checkOptions(options);
  const { cases: selected, orphans } = await select(patterns, options.root);
  const cases: [Selected, Case][] = [];
  const unusable: [Selected, CaseError][] = [];
  for (const each of selected) {
    try {
      cases.push([each, load(each)]);
    } catch (e) {
      if (!(e instanceof CaseError)) throw e;
      unusable.push([each, e]);
    }
  }
  if (unusable.length > 0) {
    for (const [, error] of unusable) report(error);
    const format = options.json ? 'json' : options.format;
    if (format !== undefined) {
      const { printUnusable } = await import('./formats.ts');
      printUnusable(selected, new Map(unusable.map(([each, error]) => [each.path, error])), format);
    }
    return EXIT.unusable;
  }
  const outcomes = await evaluateAll(cases, options);
  if (options.update || options.review) {
    const { update } = await import('./update.ts');
    return update(outcomes, orphans, options.review === true);
  }
  if (options.json || options.format !== undefined) {
    const { print } = await import('./formats.ts');
    print(outcomes, orphans, options.json ? 'json' : (options.format ?? 'json'));
  } else await tell(outcomes, orphans);
  return exitCode(outcomes, orphans.length);
}

function exitCode(outcomes: readonly Outcome[], orphans: number): number {
  if (orphans > 0 || outcomes.some(({ status }) => status === 'failed')) return EXIT.failed;
  return outcomes.every(({ status }) => status === 'passed') ? EXIT.ok : EXIT.incomplete;
}

/** What only the grammar of options lets pass. Throws Unusable. */
function checkOptions({ update, review, json, format, trace, level, schedule, variant, bug }: Options): void {
  const isUpdate = update === true || review === true;
  if (isUpdate && (variant ?? bug) !== undefined) {
    throw new Unusable(
      '--update with --variant or --bug: a golden belongs to the design of its case',
      'leave them out, or put the design into a case: "variants"',
    );
  }
  if (isUpdate && schedule !== undefined) {
    throw new Unusable(
      '--update with --schedule: a golden belongs to the schedule of its case',
      'leave one out',
    );
  }
  if (isUpdate && (json || format !== undefined || trace)) {
    throw new Unusable(
      '--update prints what it wrote, and nothing else',
      'leave out --json, --format and --trace',
    );
  }
  if (json && format !== undefined)
    throw new Unusable('--json and --format ask for two documents', 'leave one out');
  if (trace && (json || format !== undefined)) {
    throw new Unusable('--trace does not fit into a document for tools', 'leave one out');
  }
  if (level !== undefined && !trace)
    throw new Unusable('--level says how much --trace prints', 'add --trace');
  if (isUpdate) refuseInCi();
}

async function evaluateAll(cases: readonly [Selected, Case][], options: Options): Promise<Outcome[]> {
  const schedules =
    options.schedule === undefined
      ? null
      : (await import('./schedule-option.ts')).schedulesOf(options.schedule);
  const design = designOf(options);
  const progress = new Progress();
  const trace = new Trace();
  const outcomes: Outcome[] = [];
  for (const [selected, it] of cases) {
    await progress.tick(() => `${outcomes.length}/${cases.length} ${selected.name}`);
    const how: EvaluateOptions = {
      trace,
      ...(schedules === null ? {} : { schedule: schedules }),
      ...(design === undefined ? {} : { design }),
      ...(options.trace ? { onRun: (run: Run) => printTrace(run, options.level) } : {}),
    };
    outcomes.push(evaluate(selected, it, how));
  }
  progress.stop();
  return outcomes;
}

function printTrace(run: Run, level: Level | undefined): void {
  const { name, outline, design } = run.it;
  console.log(`# ${name}${design === null ? '' : ` on ${design}`}: ${outline.title}`);
  for (const line of linesOf(run, level ?? outline.trace ?? 'state')) console.log(formatLine(line));
  console.log();
}
