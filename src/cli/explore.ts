// SPDX-License-Identifier: GPL-2.0-only
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { applyEdits, modify } from 'jsonc-parser';
import type { Case } from '../case/case.ts';
import { onDesign, onDesigns } from '../case/designs.ts';
import { CaseError } from '../case/place.ts';
import { type DesignOptions, designOf, designOptions } from './design-option.ts';
import { load } from './evaluate.ts';
import { type Explored, exploreCase, type Mode } from './exploration.ts';
import { type Selected, select } from './project.ts';
import { report } from './report.ts';
import { EXIT, oracle, Unusable } from './unusable.ts';

interface Options extends DesignOptions {
  readonly mode: Mode;
  readonly executions: number;
  readonly schedules?: true;
  readonly saveWitness?: string;
  readonly json?: true;
  readonly root?: string;
}

export function register(program: Command): void {
  designOptions(program.command('explore'))
    .summary('run all interleavings of cases, and answer their claims')
    .argument('[case...]', 'names, areas, patterns or files; all when none is given')
    .addOption(
      new Option('-m, --mode <mode>', 'all runs (traces), all states, or samples')
        .choices(['traces', 'states', 'random', 'pct'])
        .default('traces'),
    )
    .option(
      '-n, --executions <number>',
      'give up after so many executions; or how many samples',
      positive,
      100_000,
    )
    .option('--schedules', 'print a schedule for each outcome and finding, as --schedule of run takes it')
    .option(
      '--save-witness <file>',
      'write a case that fails as this one does, with the schedule that leads there',
    )
    .option('--json', 'print one JSON document')
    .option('--root <folder>', 'the folder that holds cases/ and golden/ (default: the nearest one upwards)')
    .addHelpText(
      'after',
      `
Mode traces decides every claim; mode states decides outcomes, end states and hangs, often with far fewer
executions, but no races and no lock order. Samples decide nothing but what they find.

Exit code: 0 all claims hold; 1 one fails, or a checker found something that the case does not speak of;
2 unusable input; 3 incomplete, or something that is not modelled.

Example:
  ${oracle()} explore iommufd/race-destroy-option --schedules`,
    )
    .action(async (patterns: readonly string[], options: Options) => {
      process.exitCode = await explore(patterns, options);
    });
}

function positive(text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 1)
    throw new InvalidArgumentError('a whole number above 0 is expected.');
  return n;
}

async function explore(patterns: readonly string[], options: Options): Promise<number> {
  const design = designOf(options);
  const { cases: selected } = await select(patterns, options.root);
  const results: Result[] = [];
  for (const each of selected) {
    try {
      const loaded = load(each);
      for (const it of design === undefined ? onDesigns(loaded) : [onDesign(loaded, design)]) {
        const explored = exploreCase(it, { ...options, onProgress: progressOf(each.name) });
        const result = { it, selected: each, explored };
        results.push(result);
        if (!options.json) tell(result, options.schedules === true);
      }
    } catch (e) {
      if (!(e instanceof CaseError)) throw e;
      report(e);
      return EXIT.unusable;
    }
  }
  if (options.saveWitness !== undefined) saveWitness(options.saveWitness, results);
  if (options.json) console.log(JSON.stringify({ results: results.map(forTools) }, null, 2));
  if (results.some(({ explored }) => explored.status === 'failed')) return EXIT.failed;
  return results.every(({ explored }) => explored.status === 'passed') ? EXIT.ok : EXIT.incomplete;
}

/** A case on one design. */
interface Result {
  readonly it: Case;
  readonly selected: Selected;
  readonly explored: Explored;
}

/** Writes the first case that failed, with a schedule that leads to what failed. Throws Unusable. */
function saveWitness(file: string, results: readonly Result[]): void {
  const first = results.find(({ explored }) => explored.status === 'failed');
  const failed = first?.explored;
  const schedule =
    failed?.claims.find(({ answer }) => answer === 'fails')?.schedule ?? failed?.findings[0]?.schedule;
  if (first === undefined || schedule === undefined) {
    throw new Unusable('there is no witness: nothing failed', 'leave out --save-witness');
  }
  if (existsSync(file)) throw new Unusable(`${file} is there already`, 'name another file');
  const { it, selected } = first;
  let text = readFileSync(selected.path, 'utf8');
  const put = (key: string, value: unknown): void => {
    const formattingOptions = { insertSpaces: true, tabSize: 2 };
    text = applyEdits(text, modify(text, [key], value, { formattingOptions }));
  };
  put('schedule', { replay: schedule });
  if (it.design !== null) {
    const { variant, bugs, expect } = it.outline;
    for (const [key, value] of Object.entries({ variants: undefined, variant, bugs, expect }))
      put(key, value);
  }
  writeFileSync(file, text, { flag: 'wx' });
  console.error(`${file}: fails as ${titleOf(it)} does`);
}

const titleOf = ({ name, design }: Pick<Case, 'name' | 'design'>): string =>
  design === null ? name : `${name} on ${design}`;

/** On a terminal, how far a long exploration is. */
function progressOf(name: string): (executions: number) => void {
  if (!process.stderr.isTTY) return () => {};
  return (executions) => {
    if (executions % 1000 === 0 && executions > 0)
      process.stderr.write(`\r${name}: ${executions} executions `);
  };
}

function tell({ it: { name, design }, explored: it }: Result, schedules: boolean): void {
  const states = it.states === undefined ? '' : `, ${it.states} states`;
  const how =
    it.unsupported !== null ? `${it.unsupported} is not modelled` : it.complete ? 'complete' : 'not complete';
  console.log(`${it.status} ${titleOf({ name, design })}: ${it.executions} executions${states}, ${how}`);
  console.log(`  ${it.outcomes.length} outcomes`);
  for (const { key, schedule } of it.outcomes) {
    console.log(`    ${key}`);
    if (schedules) print(schedule);
  }
  for (const { finding, schedule, departures } of it.findings) {
    const departing = departures === null ? '' : ` (${departures} departures from run-to-block)`;
    console.log(`  ${finding.kind}: ${finding.title}${departing}`);
    if (!schedules) continue;
    console.log(finding.detail.replace(/^/gm, '    '));
    print(schedule);
  }
  for (const { text, answer, why } of it.claims) console.log(`  ${answer}: ${text} (${why})`);
}

function print(schedule: readonly string[]): void {
  console.log(`      { "replay": ${JSON.stringify(schedule)} }`);
}

const forTools = ({ it, explored }: Result): unknown => {
  const { mode, complete, executions, states, outcomes, findings, claims, status } = explored;
  return {
    case: it.name,
    ...(it.design === null ? {} : { design: it.design }),
    mode,
    complete,
    executions,
    ...(states === undefined ? {} : { states }),
    outcomes,
    findings: findings.map(({ finding, schedule }) => ({
      kind: finding.kind,
      message: finding.title,
      schedule,
    })),
    claims,
    status,
  };
};
