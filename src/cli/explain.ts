// SPDX-License-Identifier: GPL-2.0-only
import type { Command } from 'commander';
import { type Case, stepName } from '../case/case.ts';
import { onDesign, onDesigns } from '../case/designs.ts';
import { ledTo, linesOfStep, originOf, reasonOf } from '../case/explain.ts';
import { type Run, runCase, type StepResult } from '../case/run.ts';
import { didYouMean } from '../case/suggest.ts';
import { verdictOf } from '../case/verdict.ts';
import { type DesignOptions, designOf, designOptions } from './design-option.ts';
import { load } from './evaluate.ts';
import { paint } from './paint.ts';
import { select } from './project.ts';
import { EXIT, oracle, Unusable } from './unusable.ts';

export function register(program: Command): void {
  designOptions(program.command('explain'))
    .summary('say why steps of a case ended as they did')
    .argument('<case>', 'its name or file')
    .argument(
      '[step]',
      'a label, vmm[3] for the fourth step of vmm, or 3 where there is one task; all steps in short when not given',
    )
    .option('--root <folder>', 'the folder that holds cases/ and golden/ (default: the nearest one upwards)')
    .addHelpText(
      'after',
      `
For a step that failed: the function and the condition that gave the error, what that function had looked at and
who left it so, and the lines of the trace down to there. For one that succeeded: what it did. Of a case that runs on
several designs, the first, unless --variant or --bug say another.

Examples:
  ${oracle()} explain iommufd/destroy
  ${oracle()} explain iommufd/destroy vmm[3]`,
    )
    .action(async (name: string, step: string | undefined, options: Options) => {
      await explain(name, step, options);
      process.exitCode = EXIT.ok;
    });
}

interface Options extends DesignOptions {
  readonly root?: string;
}

async function explain(name: string, step: string | undefined, options: Options): Promise<void> {
  const design = designOf(options);
  const { cases } = await select([name], options.root);
  const [selected, second] = cases;
  if (selected === undefined || second !== undefined) {
    throw new Unusable(`'${name}' names ${cases.length} cases`, 'explain takes one');
  }
  const loaded = load(selected);
  const [it = loaded] = design === undefined ? onDesigns(loaded) : [onDesign(loaded, design)];
  const run = runCase(it);
  if (it.design !== null) console.log(`On ${it.design}.`);
  if (step === undefined) overview(run);
  else detail(run, find(it, run, step));
  if (run.unsupported !== null)
    console.log(`\nThe run came to what is not modelled: ${run.unsupported}. What follows is unknown.`);
}

function overview(run: Run): void {
  const { bold } = paint(process.stdout);
  for (const result of run.results) {
    const { task, step } = result;
    console.log(`${bold(stepName(task, step))}  ${step.text}`);
    console.log(`    ${reasonOf(run, result)}`);
  }
  const { status, reasons } = verdictOf(run);
  console.log(`\n${status}${reasons.length === 0 ? '' : ':'}`);
  for (const reason of reasons) console.log(`  ${reason.replaceAll('\n', '\n  ')}`);
}

function find(it: Case, run: Run, wanted: string): StepResult {
  const steps = it.tasks.flatMap((task) => task.steps.map((step) => ({ task, step })));
  const only = it.tasks.length === 1 ? it.tasks[0]?.name : undefined;
  const found = steps.find(
    ({ task, step }) =>
      step.label === wanted ||
      wanted === `${task.name}[${step.index}]` ||
      wanted === `${task.name}.${step.index}` ||
      (task.name === only && wanted === String(step.index)),
  );
  if (found === undefined) {
    const known = steps.flatMap(({ task, step }) => [
      `${task.name}[${step.index}]`,
      ...(step.label === undefined ? [] : [step.label]),
    ]);
    throw new Unusable(
      `${it.name} has no step '${wanted}'`,
      didYouMean(wanted, known) ?? `${oracle()} explain ${it.name} names them`,
    );
  }
  const result = run.results.find(({ step }) => step === found.step);
  if (result === undefined)
    throw new Unusable(`the run did not come to ${wanted}`, `${oracle()} explain ${it.name} says why`);
  return result;
}

function detail(run: Run, result: StepResult): void {
  const { bold } = paint(process.stdout);
  const { task, step } = result;
  const origin = originOf(run, result);
  console.log(bold(`${stepName(task, step)} (${run.it.path}:${step.line})  ${step.text}`));
  console.log(`  ${reasonOf(run, result)}`);
  if (origin !== null) {
    if (origin.stack.length > 0) console.log(`\n${bold('in')}`);
    for (const each of origin.stack) console.log(`  ${each}`);
    const causes = ledTo(run, result, origin);
    if (causes.length > 0) console.log(`\n${bold('which had looked at')}`);
    for (const { line, call } of causes) console.log(`  ${line.text}    by ${line.task}: ${call}`);
  }
  console.log(`\n${bold(origin === null ? 'what it did' : 'down to there')}`);
  for (const line of linesOfStep(run, result, origin?.at ?? null)) console.log(`  ${line}`);
}
