// SPDX-License-Identifier: GPL-2.0-only
import { existsSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Case } from '../case/case.ts';
import { onDesign, onDesigns } from '../case/designs.ts';
import { CaseError } from '../case/place.ts';
import type { Progress } from '../explore/traces.ts';
import type { ScriptLine } from '../sim/policies/script.ts';
import { DECIDES } from './claims.ts';
import { type DesignOptions, designOf, designOptions } from './design-option.ts';
import { load } from './evaluate.ts';
import {
  type Departures,
  type Ended,
  type Explored,
  exploreCase,
  type Found,
  type Mode,
  type Schedule,
} from './exploration.ts';
import { type Judged, judge, type Result, updateOutcomes } from './outcomes.ts';
import { select } from './project.ts';
import { report } from './report.ts';
import { EXIT, oracle, refuseInCi, Unusable } from './unusable.ts';
import { saveWitness } from './witness.ts';

interface Options extends DesignOptions {
  readonly mode: Exclude<Mode, 'schedule'>;
  readonly executions?: number;
  readonly seconds?: number;
  readonly schedule?: string;
  readonly reduce: boolean;
  readonly schedules?: true;
  readonly saveWitness?: string;
  readonly update?: true;
  readonly json?: true;
  readonly root?: string;
}

/** Executions after which an exploration is given up, where nobody says. */
const EXECUTIONS = 100_000;

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
      "give up after so many executions (default: the case's limits, or 100000); or how many samples",
      positive,
    )
    .option('--seconds <number>', "give up after so long (default: the case's limits)", positive)
    .option(
      '--no-reduce',
      'run every interleaving, or look at every state: what comes of it is the same, and takes far longer',
    )
    .option(
      '-s, --schedule <schedule>',
      'run this one only: a file with what explore printed, or that text itself; says which label does not fit',
    )
    .option(
      '--schedules',
      'print a schedule for each outcome and finding, as --schedule takes it, and the stacks of every finding (else: of the first of each kind)',
    )
    .option(
      '--save-witness <file>',
      'write a case that fails as this one does, with the schedule that leads there',
    )
    .option('-u, --update', 'write the goldens of outcomes and findings anew, where the claims hold')
    .option('--json', 'print one JSON document')
    .option('--root <folder>', 'the folder that holds cases/ and golden/ (default: the nearest one upwards)')
    .addHelpText(
      'after',
      `
${modes()}

What single steps expect ("errno", success) is about the case's own schedule: say "always", "sometimes" and "never"
of all. Executions beyond the runs that claims are counted over were cut: they would have repeated another.

Beside who goes on, what a case opens under "inject" is explored: failing allocations, wake-ups for nothing, timers
that are early. Where a race is found, its accesses become places at which others come in, and a few more runs
show what comes of it. A case whose outcomes are in golden/<case>.outcomes is compared with them (mode traces).

Exit code: 0 all claims hold; 1 one fails, a checker found something that the case does not speak of, or the golden
differs; 2 unusable input; 3 incomplete, or something that is not modelled.

Examples:
  ${oracle()} explore iommufd/race-destroy-option --schedules
  ${oracle()} explore iommufd --json | jq '.results[] | {case, status}'
  ${oracle()} explore iommufd/race-destroy-option --schedule '["a: start", …]'`,
    )
    .action(async (patterns: readonly string[], options: Options) => {
      process.exitCode = await explore(patterns, options);
    });
}

const modes = (): string =>
  (['traces', 'states', 'random', 'pct'] as const)
    .map((mode) => {
      const { decides, undecided } = DECIDES[mode];
      return `Mode ${mode} decides ${decides}.\n  Not: ${undecided}.`;
    })
    .join('\n');

function positive(text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 1)
    throw new InvalidArgumentError('a whole number above 0 is expected.');
  return n;
}

async function explore(patterns: readonly string[], options: Options): Promise<number> {
  const design = designOf(options);
  const { cases: selected } = await select(patterns, options.root);
  if (options.update) refuseInCi();
  const mode: Mode = options.schedule === undefined ? options.mode : 'schedule';
  if (options.update && (mode !== 'traces' || design !== undefined))
    throw new Unusable(
      '--update writes what mode traces finds on the designs of a case',
      'leave out --mode, --schedule, --variant and --bug',
    );
  if (!options.reduce && mode !== 'traces' && mode !== 'states')
    throw new Unusable(
      `mode ${mode} reduces nothing`,
      'leave out --no-reduce, or take mode traces or states',
    );
  if (options.saveWitness !== undefined && existsSync(options.saveWitness))
    throw new Unusable(`${options.saveWitness} is there already`, 'name another file');
  const schedules =
    options.schedule === undefined
      ? null
      : (await import('./schedule-option.ts')).schedulesOf(options.schedule);
  const results: Judged[] = [];
  for (const each of selected) {
    try {
      const loaded = load(each);
      const { executions = EXECUTIONS, seconds } = { ...loaded.outline.limits, ...options };
      const ofCase: Result[] = [];
      for (const it of design === undefined ? onDesigns(loaded) : [onDesign(loaded, design)]) {
        const schedule = schedules?.();
        const stop = progressOf(each.name, executions, seconds);
        const { reduce } = options;
        const how = { mode, executions, stop, reduce, ...(schedule === undefined ? {} : { schedule }) };
        ofCase.push({ it, explored: exploreCase(it, how) });
      }
      const judged = judge(each, ofCase, design === undefined);
      results.push(judged);
      if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
      if (options.json || options.update) continue;
      if (results.length === 1)
        console.log(`mode ${mode} decides ${DECIDES[mode].decides}\n  not: ${DECIDES[mode].undecided}`);
      tell(judged, options.schedules === true);
    } catch (e) {
      if (!(e instanceof CaseError)) throw e;
      report(e);
      return EXIT.unusable;
    }
  }
  if (options.update) return updateOutcomes(results);
  if (options.json) console.log(JSON.stringify({ results: results.flatMap(forTools) }, null, 2));
  if (options.saveWitness !== undefined) {
    const failed = saveWitness(options.saveWitness, results);
    console.error(
      failed === null
        ? `${options.saveWitness} is not written: nothing failed in a run`
        : `wrote ${options.saveWitness}, which fails as ${failed} does`,
    );
  }
  if (results.some(({ status }) => status === 'failed')) return EXIT.failed;
  return results.every(({ status }) => status === 'passed') ? EXIT.ok : EXIT.incomplete;
}

const titleOf = ({ name, design }: Pick<Case, 'name' | 'design'>): string =>
  design === null ? name : `${name} on ${design}`;

const PERIOD = 200;

/** On a terminal, how far a long exploration is and what is left; stops it when its time is over. */
function progressOf(
  name: string,
  executions: number,
  seconds: number | undefined,
): (progress: Progress) => boolean {
  const start = performance.now();
  let shown = start;
  return (progress) => {
    const now = performance.now();
    if (process.stderr.isTTY && now - shown > PERIOD) {
      shown = now;
      const share = progress.share();
      const left = Math.round(progress.executions / share) - progress.executions;
      const estimate =
        share > 0 && Number.isFinite(left)
          ? `about ${(share * 100).toPrecision(2)} % done, ${left} to go if what is left is like what was seen`
          : 'no estimate yet';
      process.stderr.write(
        `\r\x1b[K${name}: ${progress.executions} executions of at most ${executions}, ${estimate}`,
      );
      if (progress.executions + 1 >= executions) process.stderr.write('\r\x1b[K');
    }
    return seconds !== undefined && now - start > seconds * 1000;
  };
}

function tell({ results, difference }: Judged, schedules: boolean): void {
  for (const result of results) tellOne(result, schedules);
  if (difference !== null) console.log(difference);
}

function tellOne({ it: { name, design }, explored: it }: Result, schedules: boolean): void {
  const states = it.states === undefined ? '' : `, ${it.states} states`;
  const endless = it.endless === 0 ? '' : `, ${it.endless} of them given up as endless`;
  const how =
    it.unsupported !== null ? `${it.unsupported} is not modelled` : it.complete ? 'complete' : 'not complete';
  console.log(
    `${it.status} ${titleOf({ name, design })}: ${it.executions} executions${states}${endless}, ${how}`,
  );
  for (const tasks of it.interchangeable ?? []) {
    const who = tasks.join(' and ');
    console.log(
      it.asymmetry === undefined
        ? `  ${who} are interchangeable: which of them is which makes no other state`
        : `  ${who} do the same, but are not interchangeable: ${it.asymmetry}`,
    );
  }
  if (it.misfit !== null) console.log(`  ${it.misfit.replaceAll('\n', '\n  ')}`);
  console.log(`  ${it.outcomes.length} outcomes`);
  tellRuns(it, schedules);
  if (it.rerun !== null) {
    const { points, executions, outcomes, findings } = it.rerun;
    console.log(
      `  with others coming in at what raced (${points.join(', ')}): ${executions} executions, not every order`,
    );
    console.log(`    ${outcomes.length} further outcomes, ${findings.length} further findings`);
    tellRuns(it.rerun, schedules);
  }
  for (const { text, answer, why, departures, schedule, script } of it.claims) {
    console.log(`  ${answer}: ${text} (${why}${departing(departures ?? null, '; ', '')})`);
    if (schedule !== undefined) printShort(schedule, script, schedules);
  }
}

/** A schedule as a person would write it; all choices only where they are wanted. */
function printShort(
  schedule: Schedule,
  script: readonly ScriptLine[] | null | undefined,
  whole: boolean,
): void {
  for (const line of script ?? []) console.log(`      ${JSON.stringify(line)}`);
  if (whole) print(schedule);
}

function departing(departures: Departures, before: string, after: string): string {
  if (departures === null) return '';
  const { count, fewest } = departures;
  const many = `${count} departure${count === 1 ? '' : 's'} from run-to-block`;
  return `${before}${fewest ? many : `with ${many}, maybe fewer`}${after}`;
}

function tellRuns({ outcomes, findings }: Pick<Explored, 'outcomes' | 'findings'>, schedules: boolean): void {
  for (const { key, schedule } of outcomes) {
    console.log(`    ${key}`);
    if (schedules) print(schedule);
  }
  const told = new Set<string>();
  for (const { finding, schedule, script, departures } of findings) {
    console.log(`  ${finding.kind}: ${finding.title}${departing(departures, ' (', ')')}`);
    // Where there are many of a kind, the first says where to look.
    if (schedules || !told.has(finding.kind)) console.log(finding.detail.replace(/^/gm, '    '));
    told.add(finding.kind);
    if (schedules) printShort(schedule, script, true);
  }
}

function print(schedule: Schedule): void {
  console.log(`      ${JSON.stringify(schedule)}`);
}

const labels = ({
  replay,
  points,
}: Schedule): { schedule: readonly string[]; points?: readonly string[] } => ({
  schedule: replay,
  ...(points === undefined ? {} : { points }),
});

const endedForTools = ({ key, schedule }: Ended): unknown => ({ key, ...labels(schedule) });
const foundForTools = ({ finding, schedule }: Found): unknown => ({
  kind: finding.kind,
  message: finding.title,
  detail: finding.detail,
  ...labels(schedule),
});

const forTools = ({ results, difference }: Judged): unknown[] =>
  results.map(({ it, explored }) => ({
    case: it.name,
    ...(it.design === null ? {} : { design: it.design }),
    mode: explored.mode,
    complete: explored.complete,
    executions: explored.executions,
    ...(explored.states === undefined ? {} : { states: explored.states }),
    ...(explored.interchangeable === undefined ? {} : { interchangeable: explored.interchangeable }),
    ...(explored.asymmetry === undefined ? {} : { asymmetry: explored.asymmetry }),
    outcomes: explored.outcomes.map(endedForTools),
    findings: explored.findings.map(foundForTools),
    status: difference === null || explored.status !== 'passed' ? explored.status : 'failed',
    ...(explored.rerun === null
      ? {}
      : {
          rerun: {
            ...explored.rerun,
            outcomes: explored.rerun.outcomes.map(endedForTools),
            findings: explored.rerun.findings.map(foundForTools),
          },
        }),
    claims: explored.claims.map(({ schedule, departures: _, script: __, ...claim }) => ({
      ...claim,
      ...(schedule === undefined ? {} : labels(schedule)),
    })),
    ...DECIDES[explored.mode],
    ...(explored.unsupported === null ? {} : { unsupported: explored.unsupported }),
    ...(explored.misfit === null ? {} : { misfit: explored.misfit }),
    ...(difference === null ? {} : { golden: difference }),
  }));
