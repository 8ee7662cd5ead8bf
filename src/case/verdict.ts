// SPDX-License-Identifier: GPL-2.0-only

/** Whether a run is what its case expects. The golden is another matter: see src/golden. */
import { stepName } from './case.ts';
import type { Judgement } from './condition.ts';
import { type Finding, REPORTED } from './findings.ts';
import type { Run, StepResult } from './run.ts';
import type { Claim } from './schema.ts';
import { endOf } from './step.ts';
import { show } from './words.ts';

export interface Verdict {
  readonly status: 'passed' | 'failed' | 'incomplete' | 'unsupported';
  /** Why it is not `passed`; one sentence each. */
  readonly reasons: readonly string[];
  /** What the case claims of all interleavings, which a single run does not decide. */
  readonly undecided: readonly string[];
}

const UNKNOWN: Judgement = { holds: null, why: 'the run ended before it could be looked at' };

export function verdictOf(run: Run): Verdict {
  if (run.unsupported !== null) {
    return { status: 'unsupported', reasons: [`${run.unsupported} is not modelled`], undecided: [] };
  }
  const failures = run.results.flatMap((result) => stepFailures(result, run));
  const found = findingsOf(run);
  const { always = [], sometimes = [], never = [], end = [] } = run.it.outline.expect ?? {};
  for (const condition of [end].flat()) {
    const judgement = run.judgements.get(condition) ?? UNKNOWN;
    if (judgement.holds === null) failures.push(`expect.end: ${judgement.why}`);
    else if (!judgement.holds)
      failures.push(`expect.end: ${judgement.found}, expected ${JSON.stringify(condition)}`);
  }
  // What a checker finds fails the case, unless the case says that it happens.
  const announced = new Set([...always, ...sometimes].filter((claim) => typeof claim === 'string'));
  for (const [finding, what] of found) if (!announced.has(finding)) failures.push(`${finding}: ${what}`);
  for (const claim of always) failures.push(...refuted('always', claim, run, found));
  for (const claim of never)
    if (typeof claim !== 'string') failures.push(...refuted('never', claim, run, found));
  const undecided = [
    ...always.map((claim) => `always ${tell(claim)}`),
    ...sometimes.map((claim) => `sometimes ${tell(claim)}`),
    ...never.map((claim) => `never ${tell(claim)}`),
  ];
  if (run.misfit !== null) failures.push(run.misfit);
  if (failures.length > 0) return { status: 'failed', reasons: failures, undecided };
  const { ending } = run;
  if (ending?.status === 'limit') {
    return {
      status: 'incomplete',
      reasons: [`given up after ${ending.steps} steps, the limit of the case`],
      undecided,
    };
  }
  if (ending?.status === 'abandoned')
    return { status: 'incomplete', reasons: ['the run was abandoned'], undecided };
  return { status: 'passed', reasons: [], undecided };
}

const tell = (claim: Claim): string => (typeof claim === 'string' ? claim : JSON.stringify(claim));

/** What one run is enough to refute: a counterexample is one, wherever it comes from. */
function refuted(
  word: 'always' | 'never',
  claim: Claim,
  run: Run,
  found: ReadonlyMap<Finding, string>,
): string[] {
  if (typeof claim === 'string') {
    return REPORTED.has(claim) && word === 'always' && !found.has(claim)
      ? [`always ${claim}: not in this run`]
      : [];
  }
  const judgement = run.judgements.get(claim) ?? UNKNOWN;
  if (judgement.holds === null) return [`expect.${word}: ${judgement.why}`];
  if (word === 'always' && !judgement.holds)
    return [`always ${tell(claim)}: not in this run, ${judgement.found}`];
  if (word === 'never' && judgement.holds) {
    const when = claim.at === 'every-state' ? 'in a state of this run' : 'at the end of this run';
    return [`never ${tell(claim)}: it holds ${when}`];
  }
  return [];
}

function stepFailures({ task, step, answer, notRun, excused }: StepResult, { it, names }: Run): string[] {
  const at = `${it.path}:${step.line}: ${stepName(task, step)}: ${step.text}`;
  if (answer === null)
    return excused === true ? [] : [`${at} was not run: ${notRun ?? 'its task had ended'}`];
  const { ends, ret, out } = step.expectation;
  const got = endOf(answer);
  const failures: string[] = [];
  if (ends !== null && !ends.has(got)) {
    const wanted = [...ends].map((each) => (each === '0' ? 'success' : each)).join(' or ');
    failures.push(`${at}: expected ${wanted}, got ${got === '0' ? `success (${show(answer.ret)})` : got}`);
  }
  if (ret !== null && answer.ret !== ret.of(names)) {
    failures.push(`${at}: expected to return ${ret.text}, got ${show(answer.ret)}`);
  }
  // Where an error is fine as well as success, the rest is said of success.
  if (got !== '0' && ends?.has('0') !== false) return failures;
  if (answer.mismatch !== undefined) failures.push(`${at}: ${answer.mismatch}`);
  for (const [field, wanted] of out) {
    const value = answer.out?.get(field);
    if (value === undefined || value === BigInt.asUintN(64, wanted.of(names))) continue;
    failures.push(`${at}: expected ${field} to be ${wanted.text}, got ${show(value)}`);
  }
  return failures;
}

/** What the checkers found: the first of each kind, and how many more. */
function findingsOf(run: Run): Map<Finding, string> {
  const found = new Map<Finding, string[]>();
  for (const { kind, title, detail } of run.findings) {
    const word = kind === 'warn' && title.startsWith('BUG: ') ? 'bug' : kind;
    if (REPORTED.has(word)) found.set(word, [...(found.get(word) ?? []), `${title}\n${detail}`]);
  }
  return new Map(
    [...found].map(([word, all]) => [
      word,
      `${all[0] ?? ''}${all.length > 1 ? `\nand ${all.length - 1} more` : ''}`,
    ]),
  );
}
