// SPDX-License-Identifier: GPL-2.0-only
import { type Command, Option } from 'commander';
import type { Case } from '../case/case.ts';
import { onDesign, onDesigns } from '../case/designs.ts';
import type { Paint } from '../case/place.ts';
import { headingOf } from '../golden/compare.ts';
import { diffOf } from '../golden/show.ts';
import { LEVELS, type Level } from '../sim/text.ts';
import { LINUX_6_12 } from '../sim/variant.ts';
import { type Comparison, compareSides, isSame, type Side, type Split, sideOf } from './comparison.ts';
import { designNamed, more } from './design-option.ts';
import { load } from './evaluate.ts';
import type { Claimed, Mode } from './exploration.ts';
import { paint } from './paint.ts';
import { select } from './project.ts';
import { EXIT, oracle, Unusable } from './unusable.ts';

interface Options {
  readonly variant?: readonly string[];
  readonly bug?: readonly string[];
  readonly mode: Mode;
  readonly executions: number;
  readonly level: Level;
  readonly all?: true;
  readonly json?: true;
  readonly root?: string;
}

export function register(program: Command): void {
  program
    .command('compare')
    .summary(
      'set designs side by side: where their runs part, and what can happen on one and not on the other',
    )
    .argument('<case>', 'its name or file')
    .option('--variant <point=choice>', 'a design to compare; several choices of one design: a=x,b=y', more)
    .option('--bug <id>', 'the design of the case with a bug put back; several: A1,A2', more)
    .addOption(
      new Option('-m, --mode <mode>', 'all runs (traces), or all states')
        .choices(['traces', 'states'])
        .default('traces'),
    )
    .addOption(
      new Option('-n, --executions <number>', 'give up an exploration after so many executions')
        .default(100_000)
        .argParser(Number),
    )
    .addOption(
      new Option('-l, --level <level>', 'what of the traces is compared').choices(LEVELS).default('state'),
    )
    .option('--all', 'print every difference of the traces, not only the first ones')
    .option('--json', 'print one JSON document')
    .option('--root <folder>', 'the folder that holds cases/ and golden/ (default: the nearest one upwards)')
    .addHelpText(
      'after',
      `
One --variant or --bug is compared with the design of the case, which is Linux 6.12 when it names none; of several,
each with the first. Without any, the designs that the case has under "variants" are compared.

Exit code: 0 the designs do the same in this case; 1 they differ; 2 unusable input; 3 not every interleaving was seen.

Examples:
  ${oracle()} compare bugs/E1                                            the designs of the case
  ${oracle()} compare iommufd/map-unmap --variant attach-handle=after-driver
  ${oracle()} compare iommufd/race-destroy-option --bug A1 --json`,
    )
    .action(async (name: string, options: Options) => {
      process.exitCode = await compareDesigns(name, options);
    });
}

async function compareDesigns(name: string, options: Options): Promise<number> {
  const { cases } = await select([name], options.root);
  const [selected, second] = cases;
  if (selected === undefined || second !== undefined)
    throw new Unusable(`'${name}' names ${cases.length} cases`, 'compare takes one');
  const [first, ...others] = sidesOf(load(selected), options).map((it) => sideOf(it, options.level, options));
  if (first === undefined || others.length === 0)
    throw new Unusable(
      `${selected.name} runs on one design only`,
      `name another: --variant point=choice, or --bug id (${oracle()} variants lists them)`,
    );
  const comparisons = others.map((other) => compareSides(first, other));
  if (options.json) console.log(JSON.stringify(forTools(selected.name, comparisons), null, 2));
  else for (const each of comparisons) tell(selected.name, each, options.all === true);
  if (!comparisons.every(isSame)) return EXIT.failed;
  return [first, ...others].every(({ explored }) => explored.complete) ? EXIT.ok : EXIT.incomplete;
}

function sidesOf(it: Case, { variant = [], bug = [] }: Options): readonly Case[] {
  const named = [
    ...variant.map((each) => designNamed({ variant: each.split(',') })),
    ...bug.map((each) => designNamed({ bug: each.split(',') })),
  ];
  if (named.length === 0) return onDesigns(it);
  return (named.length === 1 ? [LINUX_6_12, ...named] : named).map((design) => onDesign(it, design));
}

const HUNKS = 4;

function tell(name: string, it: Comparison, all: boolean): void {
  const colours = paint(process.stdout);
  const { bold } = colours;
  console.log(bold(name));
  console.log(`  ${bold('A')}: ${it.a.design}`);
  console.log(`  ${bold('B')}: ${it.b.design}`);
  console.log(`\n${bold('One run, by the schedule of the case')}`);
  tellTraces(it, all, colours);
  for (const { step, a, b } of it.results) tellTwo(step, a ?? 'not run', b ?? 'not run');
  for (const [side, { verdict }] of sides(it)) {
    const why = verdict.reasons.map((reason) => `\n       ${reason.split('\n')[0]}`).join('');
    console.log(`  verdict on ${side}: ${verdict.status}${why}`);
  }
  console.log(`\n${bold('All interleavings')}`);
  for (const [side, { explored }] of sides(it)) {
    const { executions, complete, unsupported } = explored;
    const how =
      unsupported === null ? (complete ? 'complete' : 'not complete') : `${unsupported} is not modelled`;
    console.log(`  ${side}: ${executions} executions, ${how}`);
  }
  tellSplit('outcomes', 'outcome', it.outcomes);
  tellSplit('what the checkers found', 'finding', it.findings);
  if (it.claims.length > 0) console.log('  claims');
  for (const { text, a, b } of it.claims) {
    const [ofA, ofB] = [answerOf(a), answerOf(b)];
    if (ofA === ofB) console.log(`    ${text}: ${ofA} on both`);
    else tellTwo(text, ofA, ofB, '  ');
  }
  console.log(isSame(it) ? '\nThe designs do the same in this case.\n' : '');
}

const sides = ({ a, b }: Comparison): readonly (readonly [string, Side])[] => [
  ['A', a],
  ['B', b],
];

function tellTraces({ same, hunks }: Comparison, all: boolean, colours: Paint): void {
  const [first] = hunks;
  if (same === null || first === undefined) {
    console.log('  the traces are the same');
    return;
  }
  console.log(`  the traces part after ${same} lines, in ${headingOf(first) || 'no call'}`);
  const shown = all ? hunks : hunks.slice(0, HUNKS);
  for (const hunk of shown) console.log(diffOf(hunk, colours).join('\n'));
  const rest = hunks.length - shown.length;
  if (rest > 0) console.log(`and ${rest} more differences: --all prints them`);
}

function tellTwo(what: string, a: string, b: string, indent = ''): void {
  console.log(`${indent}  ${what}`);
  console.log(`${indent}    A: ${a}`);
  console.log(`${indent}    B: ${b}`);
}

function tellSplit(title: string, one: string, { both, onlyA, onlyB }: Split<string>): void {
  if (both.length + onlyA.length + onlyB.length === 0) return;
  console.log(`  ${title}`);
  for (const [where, all] of [
    ['in both', both],
    ['only in A', onlyA],
    ['only in B', onlyB],
  ] as const) {
    if (all.length === 0) continue;
    console.log(`    ${where}: ${all.length} ${one}${all.length === 1 ? '' : 's'}`);
    for (const each of all) console.log(`      ${each}`);
  }
}

const answerOf = (claim: Claimed | null): string =>
  claim === null ? 'not claimed' : `${claim.answer} (${claim.why})`;

const forTools = (name: string, comparisons: readonly Comparison[]): unknown => ({
  case: name,
  comparisons: comparisons.map(({ a, b, same, hunks, results, outcomes, findings, claims }) => ({
    a: sideForTools(a),
    b: sideForTools(b),
    trace:
      same === null
        ? null
        : {
            same,
            differences: hunks.map(({ task, calls, lines, words }) => ({ task, calls, lines, words })),
          },
    results,
    outcomes,
    findings,
    claims,
  })),
});

const sideForTools = ({ design, verdict, explored }: Side): unknown => ({
  design,
  status: verdict.status,
  reasons: verdict.reasons,
  explored: {
    mode: explored.mode,
    complete: explored.complete,
    executions: explored.executions,
    status: explored.status,
  },
});
