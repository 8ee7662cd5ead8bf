// SPDX-License-Identifier: GPL-2.0-only

/** Runs a case once, under its schedule or another. */
import { boot, isPlatform } from '../user/boot.ts';
import { create_process, type ProcessOptions, Thread } from '../user/process.ts';
import { context, current } from '../sim/context.ts';
import { Unsupported } from '../sim/errors.ts';
import { Machine } from '../sim/machine.ts';
import { ScheduleMismatch } from '../sim/policies/replay.ts';
import type { Observed } from '../sim/observed.ts';
import type { Ending } from '../sim/scheduler.ts';
import type { Gen } from '../sim/task.ts';
import { Trace, CALL, RET } from '../sim/trace.ts';
import { vm_area_struct } from '../kernel/mm/mm_types.ts';
import { user_struct } from '../kernel/sched/task.ts';
import type { Case, CaseTask, Step } from './case.ts';
import { beginStep, Handover, passOn, waitFor } from './handover.ts';
import { showErrno } from './ioctl-call.ts';
import { RunNames } from './names.ts';
import { EARLY_TIMERS } from './schema.ts';
import { type Scheduled, scheduled } from './schedule.ts';
import type { Answer } from './step.ts';
import { show } from './words.ts';

/** How a step went. */
export interface StepResult {
  readonly task: CaseTask;
  readonly step: Step;
  /** Null: it was not run, for the reason beside it. */
  readonly answer: Answer | null;
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
}

export interface RunOptions {
  /** Instead of the case's own schedule. */
  readonly schedule?: Scheduled;
  /** A trace to be used again; it is cleared. */
  readonly trace?: Trace;
}

/** Runs a case. The machine stays powered on until the next one is. */
export function runCase(it: Case, options: RunOptions = {}): Run {
  const { outline } = it;
  const schedule = options.schedule ?? scheduled(outline.schedule);
  const inject = outline.inject ?? [];
  const machine = new Machine(
    schedule.policy,
    {
      choices: new Set(inject),
      earlyTimers: inject.includes(EARLY_TIMERS),
      ...(outline.limits?.steps === undefined ? {} : { stepLimit: outline.limits.steps }),
    },
    options.trace ?? new Trace(),
  ).powerOn();
  const names = new RunNames();
  const results: StepResult[] = [];
  const scratch = new Set<Observed>();
  const run = (ending: Ending | null, unsupported: string | null, unfit: string | null): Run => ({
    it,
    machine,
    ending,
    unsupported,
    results,
    misfit: unfit,
    names,
    scratch,
  });
  try {
    setUp(it, machine, names, results);
    for (const object of machine.objects) if (object instanceof vm_area_struct) scratch.add(object);
    const ending = machine.run();
    return run(ending, null, schedule.misfit());
  } catch (e) {
    if (e instanceof Unsupported) return run(null, e.what, null);
    if (e instanceof ScheduleMismatch) return run({ status: 'abandoned' }, null, e.message);
    throw e;
  } finally {
    context.current = null;
  }
}

function setUp(it: Case, machine: Machine, names: RunNames, results: StepResult[]): void {
  const { outline } = it;
  const { iommu = 'mock', ...rest } = outline.platform ?? {};
  for (const [key, value] of Object.entries(rest)) {
    if (value !== undefined) throw new Unsupported(`platform.${key}`);
  }
  if (!isPlatform(iommu)) throw new Unsupported(`platform ${iommu}`);
  for (const [point, choice] of Object.entries(outline.variant ?? {})) throw new Unsupported(`variant ${point}: ${choice}`);
  for (const bug of outline.bugs ?? []) throw new Unsupported(`bug ${bug}`);
  if (outline.hardware !== undefined) throw new Unsupported('hardware that acts by itself');
  boot(machine, iommu);
  for (const name of it.shared) names.share(name, new Handover(name));
  const users = new Map<string, user_struct>();
  const processOf = new Map<string, ReturnType<typeof create_process>>();
  for (const [name, { threads, user, capabilities, rlimit_memlock }] of Object.entries(outline.processes ?? {})) {
    let owner = user === undefined ? undefined : users.get(user);
    if (user !== undefined && owner === undefined) users.set(user, (owner = new user_struct(machine.root, user)));
    const options: ProcessOptions = {
      ...(owner === undefined ? {} : { user: owner }),
      ...(capabilities === undefined ? {} : { capabilities: new Set(capabilities) }),
      ...(rlimit_memlock === undefined ? {} : { rlimit_memlock }),
    };
    const group = create_process(machine.root, name, options);
    for (const thread of threads) processOf.set(thread, group);
  }
  const other = it.tasks.some((task) => !processOf.has(task.name)) ? create_process(machine.root, 'process') : null;
  for (const task of it.tasks) {
    const group = processOf.get(task.name) ?? other;
    if (group !== null) new Thread(group, task.name, program(task, it.tasks.length > 1, names, results));
  }
  // What is set up here is not the case's doing: the trace begins with its first call.
  machine.trace.clear();
}

/** What a thread does: its steps, one after the other. */
function* program(task: CaseTask, isOneOfMany: boolean, names: RunNames, results: StepResult[]): Gen<void> {
  for (const step of task.steps) {
    for (const { maker } of step.uses) {
      const handover = maker.task === task.name ? undefined : names.handover(maker.name);
      if (handover !== undefined && !handover.settled) yield* waitFor(handover);
    }
    if (isOneOfMany && step.label !== undefined) yield* beginStep(step.label);
    results.push(yield* perform(task, step, names));
    for (const { name } of step.makes) {
      const handover = names.handover(name);
      if (handover !== undefined) yield* passOn(handover);
    }
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
    const excused = names.isExcused(missing.maker.name);
    for (const { name } of step.makes) names.fail(name, excused);
    return { task, step, answer: null, notRun, excused, from, to: end(`not run: ${notRun}`) };
  }
  const as = new Map(step.makes.map((making) => [making.from, making.name]));
  const thread = current();
  for (const [role, name] of step.objects?.(as) ?? []) thread.expectName(role, name);
  const answer = yield* step.call(names);
  thread.forgetNames();
  for (const { name, from: field, kind, on } of step.makes) {
    const value = field === 'ret' ? answer.ret : answer.out?.get(field);
    if (answer.ret < 0n || value === undefined) names.fail(name, allows(step, answer));
    else names.set(name, kind, value, typeof on === 'string' ? on : undefined);
  }
  return { task, step, answer, from, to: end(answerText(step, answer, names)) };
}

const allows = (step: Step, { ret }: Answer): boolean => step.expectation.errnos?.has(Number(-ret)) ?? true;

/** `= 0 {out_ioas_id=ioas1}` without the `= `: by name what has one. */
function answerText(step: Step, { ret, text, out, told = [], on }: Answer, names: RunNames): string {
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
