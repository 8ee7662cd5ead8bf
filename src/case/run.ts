// SPDX-License-Identifier: GPL-2.0-only

/** Runs a case once, under its schedule or another. */
import { Check } from '../sim/check/check.ts';
import type { Finding } from '../sim/check/finding.ts';
import { stopAt } from '../sim/check/racing.ts';
import { type AccessWatch, context, current } from '../sim/context.ts';
import { Unsupported } from '../sim/errors.ts';
import { Machine } from '../sim/machine.ts';
import type { Observed } from '../sim/observed.ts';
import { ScheduleMismatch } from '../sim/policies/replay.ts';
import type { Ending } from '../sim/scheduler.ts';
import type { Gen } from '../sim/task.ts';
import { beginOperation } from '../sim/told.ts';
import { CALL, RET, Trace } from '../sim/trace.ts';
import { recordReads } from '../sim/watch.ts';
import type { Case, CaseTask, Step } from './case.ts';
import { type Judgement, judge } from './condition.ts';
import { EveryState } from './every-state.ts';
import { beginStep, passOn, stepMark, waitFor } from './handover.ts';
import { showErrno } from './ioctl-call.ts';
import { RunNames } from './names.ts';
import { type Scheduled, scheduled } from './schedule.ts';
import { type Condition, EARLY_TIMERS, type Outline } from './schema.ts';
import { setUp, tearDown, unwatched } from './setup.ts';
import { type Answer, endOf } from './step.ts';
import { show } from './words.ts';

/** How a step went. */
export interface StepResult {
  readonly task: CaseTask;
  readonly step: Step;
  /** Null: it was not run, for the reason beside it. */
  readonly answer: Answer | null;
  /** The answer in words: what the trace says. */
  readonly text: string;
  readonly notRun?: string;
  /** Not run, and that is fine: what it needs was not made, which the case allows for. */
  readonly excused?: boolean;
  /** Where its records begin and end in the trace. */
  readonly from: number;
  readonly to: number;
}

export interface Run {
  readonly it: Case;
  readonly machine: Machine;
  /** Null: it came to something that is not modelled. */
  readonly ending: Ending | null;
  readonly unsupported: string | null;
  readonly results: readonly StepResult[];
  /** How the run did not fit the schedule. */
  readonly misfit: string | null;
  readonly names: RunNames;
  /** Memory that is there only to hold arguments of system calls. */
  readonly scratch: ReadonlySet<Observed>;
  /** Where in the trace the last step of the case ended; then its processes exit. */
  readonly end: number;
  /** Which of its conditions held when the last step had ended. */
  readonly judgements: ReadonlyMap<Condition, Judgement>;
  /** What the checkers found. */
  readonly findings: readonly Finding[];
}

export interface RunOptions {
  /** Instead of the case's own schedule. */
  readonly schedule?: Scheduled;
  /** A trace to be used again; it is cleared. */
  readonly trace?: Trace;
  /** What is learnt over the runs of one case, for checkers. */
  readonly check?: Check;
  /** Who is told of accesses; without: the checkers. */
  readonly watch?: AccessWatch;
  /** Is filled in as the run goes on, for who looks at it midway. */
  readonly progress?: Progress;
}

/** What is known of a run that is not over. */
export class Progress {
  readonly results: StepResult[] = [];
  /** Null: some step has not ended. */
  judgements: ReadonlyMap<Condition, Judgement> | null = null;
}

/** Runs a case. The machine stays powered on until the next one is. */
export function runCase(it: Case, options: RunOptions = {}): Run {
  const { outline } = it;
  const schedule = options.schedule ?? scheduled(outline.schedule);
  const inject = outline.inject ?? [];
  const claims = claimsOf(outline);
  const everyState = claims.filter(({ condition }) => condition.at === 'every-state');
  const states = new EveryState(
    schedule.policy,
    everyState.map(({ condition }) => condition),
    (condition) => unwatched(() => judge(condition, soFar)),
  );
  const machine = new Machine(
    everyState.length === 0 ? schedule.policy : states,
    {
      choices: new Set(inject),
      design: outline,
      earlyTimers: inject.includes(EARLY_TIMERS),
      ...(outline.limits?.steps === undefined ? {} : { stepLimit: outline.limits.steps }),
    },
    options.trace ?? new Trace(),
  ).powerOn();
  const names = new RunNames();
  const progress = options.progress ?? new Progress();
  const { results } = progress;
  let scratch: ReadonlySet<Observed> = new Set();
  const soFar: Run = {
    it,
    machine,
    results,
    names,
    ending: null,
    unsupported: null,
    misfit: null,
    scratch: new Set(),
    end: 0,
    findings: [],
    judgements: new Map(),
  };
  try {
    const stage = setUp(it, machine, names, (task) => program(task, it.tasks.length > 1, names, results));
    scratch = stage.scratch;
    const { points = new Set() } = schedule;
    const inner = options.watch ?? recordReads;
    context.watch = points.size === 0 ? inner : stopAt(points, inner);
    const ending = machine.run();
    const over: Run = { ...soFar, ending, misfit: schedule.misfit(), scratch, end: machine.trace.len };
    context.watch = inner;
    states.end();
    // Of a run that was given up, only what was looked at on the way is known.
    const judged = claims.filter(
      ({ condition }) => ending.status !== 'abandoned' || condition.at === 'every-state',
    );
    const judgements = new Map(
      judged.map(({ word, condition }) => [
        condition,
        states.judgement(condition, word === 'always' || word === 'end') ??
          unwatched(() => judge(condition, over)),
      ]),
    );
    progress.judgements = judgements;
    if (ending.status === 'finished' && !tearDown(machine, stage)) {
      return { ...over, judgements, ending: { status: 'abandoned' } };
    }
    // Of a run that was given up there is nothing to say that another will not show.
    const findings = ending.status === 'abandoned' ? [] : (options.check ?? new Check()).run(machine, ending);
    return { ...over, judgements, findings };
  } catch (e) {
    const end = machine.trace.len;
    if (e instanceof Unsupported) return { ...soFar, ending: null, unsupported: e.what, scratch, end };
    if (!(e instanceof ScheduleMismatch)) throw e;
    return { ...soFar, ending: { status: 'abandoned' }, misfit: e.message, scratch, end };
  } finally {
    context.current = null;
    context.watch = null;
  }
}

/** Every condition that the case judges by, and of what word. */
function claimsOf({ expect = {} }: Outline): { readonly word: string; readonly condition: Condition }[] {
  const { end = [], always = [], sometimes = [], never = [] } = expect;
  return Object.entries({ end: [end].flat(), always, sometimes, never }).flatMap(([word, claims]) =>
    claims.flatMap((claim) => (typeof claim === 'string' ? [] : [{ word, condition: claim }])),
  );
}

/** What a thread or a device does: its steps, one after the other. */
function* program(task: CaseTask, isOneOfMany: boolean, names: RunNames, results: StepResult[]): Gen<void> {
  for (const step of task.steps) {
    for (const { maker } of [...step.uses, ...step.waits]) {
      const handover = maker.task === task.name ? undefined : names.handover(maker.name);
      if (handover !== undefined && !handover.settled) yield* waitFor(handover);
    }
    if (isOneOfMany && step.label !== undefined) yield* beginStep(step.label);
    beginOperation(current(), step.text);
    results.push(yield* perform(task, step, names));
    for (const { name } of step.makes) {
      const handover = names.handover(name);
      if (handover !== undefined) yield* passOn(handover);
    }
    const ended = step.label === undefined ? undefined : names.handover(stepMark(step.label));
    if (ended !== undefined) yield* passOn(ended);
  }
}

function* perform(task: CaseTask, step: Step, names: RunNames): Gen<StepResult> {
  const trace = context.trace;
  const from = trace.len;
  trace.push(CALL, 0, trace.value(step.text), 0);
  const end = (text: string): number => {
    trace.push(RET, 0, trace.value(text), 0);
    return trace.len;
  };
  const missing = step.uses.find(({ maker }) => !names.has(maker.name));
  if (missing !== undefined) {
    const notRun = `there is no '${missing.maker.name}'`;
    const text = `not run: ${notRun}`;
    const excused = names.isExcused(missing.maker.name);
    for (const { name } of step.makes) names.fail(name, excused);
    return { task, step, answer: null, notRun, excused, from, text, to: end(text) };
  }
  const as = new Map(step.makes.map((making) => [making.from, making.name]));
  const thread = current();
  for (const [role, name] of step.objects?.(as) ?? []) thread.expectName(role, name);
  const answer = yield* step.call(names);
  thread.forgetNames();
  for (const { name, from: field, kind, on, length = 0n } of step.makes) {
    const value = field === 'ret' ? answer.ret : answer.out?.get(field);
    if (answer.ret < 0n || value === undefined) names.fail(name, allows(step, answer));
    else names.set(name, { kind, value, on: typeof on === 'string' ? on : undefined, length, from });
  }
  const text = answerText(step, answer, names);
  return { task, step, answer, text, from, to: end(text) };
}

const allows = (step: Step, answer: Answer): boolean => step.expectation.ends?.has(endOf(answer)) ?? true;

/** `= 0 {out_ioas_id=ioas1}` without the `= `: by name what has one. */
function answerText(step: Step, answer: Answer, names: RunNames): string {
  const { ret, text, out, told = [], on, fault } = answer;
  if (fault !== undefined) {
    const moved = ret === 0n ? [] : [show(ret), ...(text === undefined ? [] : [text]), 'and then'];
    return [...moved, `fault: ${fault}`].join(' ');
  }
  const asked = ret < 0n ? [] : [...step.expectation.out.keys()];
  const fields = [...new Set([...told, ...asked])].flatMap((field) => {
    const value = out?.get(field);
    if (value === undefined) return [];
    const kind = /_fd$/.test(field) ? 'fd' : /_(dev)?id$/.test(field) ? 'id' : null;
    return [`${field}=${(kind === null ? undefined : names.nameOf(kind, value, on)) ?? show(value)}`];
  });
  const made = step.makes.find((making) => making.from === 'ret');
  return [
    ret < 0n ? showErrno(ret) : (made?.name ?? show(ret)),
    ...(text === undefined ? [] : [text]),
    ...(fields.length === 0 ? [] : [`{${fields.join(', ')}}`]),
  ].join(' ');
}
