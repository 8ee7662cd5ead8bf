// SPDX-License-Identifier: GPL-2.0-only

/** All interleavings of a case, what they come to, and what its claims are worth over them. */
import { type Case, stepName } from '../case/case.ts';
import { Progress as CaseProgress, type Run as CaseRun, runCase, type StepResult } from '../case/run.ts';
import { type Scheduled, scheduled } from '../case/schedule.ts';
import { type Alike, interchangeable } from '../case/symmetry.ts';
import { Departing, type Shrunk, shorten, shortest } from '../explore/shrink.ts';
import { exploreStates } from '../explore/states.ts';
import {
  type Execute,
  type Exploration,
  exploreTraces,
  type Limits,
  type Progress,
  type Run,
} from '../explore/traces.ts';
import { Check } from '../sim/check/check.ts';
import type { Finding } from '../sim/check/finding.ts';
import { ABANDON, type Choice, type Policy } from '../sim/choice.ts';
import type { AccessWatch } from '../sim/context.ts';
import { Unsupported } from '../sim/errors.ts';
import { Pct } from '../sim/policies/pct.ts';
import { SeededRandom } from '../sim/policies/random.ts';
import { Recorded } from '../sim/policies/recorded.ts';
import type { ScriptLine } from '../sim/policies/script.ts';
import { Scripting } from '../sim/policies/scripting.ts';
import { Trace } from '../sim/trace.ts';
import { type Answered, Claims, type Failure, type Witness, wordOf } from './claims.ts';

export type Mode = 'traces' | 'states' | 'random' | 'pct' | 'schedule';

export interface ExploreOptions {
  readonly mode: Mode;
  /** Executions after which it is given up, or the number of samples. */
  readonly executions: number;
  /** In modes `traces` and `states`. False: every interleaving, every state; to check the reductions by. */
  readonly reduce?: boolean;
  /** Executions in which shorter schedules are looked for, all together; 0: those that were met are good enough. */
  readonly shrinking?: number;
  /** In mode `states`. False: no tasks are taken for interchangeable; to check that by. */
  readonly symmetry?: boolean;
  /** In mode `schedule`: the one that is run. */
  readonly schedule?: Scheduled;
  /** Told before each execution how far it is. It is given up when the answer is true. */
  stop?(progress: Progress): boolean;
}

/** A run in labels, as a case's schedule takes it. */
export interface Schedule {
  readonly replay: readonly string[];
  /** Racing fields at which others came in between. */
  readonly points?: readonly string[];
}

/** What the tasks were told, in one way that a run can end; and a schedule that leads there. */
export interface Ended {
  readonly key: string;
  readonly results: readonly string[];
  readonly schedule: Schedule;
}

/** How many departures from run-to-block its schedule has, and whether it is known that fewer do not do; null: not looked at. */
export type Departures = { readonly count: number; readonly fewest: boolean } | null;

export interface Found {
  readonly finding: Finding;
  readonly schedule: Schedule;
  /** The same as a person would write it; null where that does not lead there. */
  readonly script: readonly ScriptLine[] | null;
  readonly departures: Departures;
}

/** A claim of the case over all runs: in herd's words. */
export interface Claimed extends Omit<Answered, 'failure'> {
  /** Leads to a run that refutes it. */
  readonly schedule?: Schedule;
  readonly script?: readonly ScriptLine[] | null;
  readonly departures?: Departures;
}

/** What came of letting others in at the accesses that race. It is not every order of them. */
export interface Rerun {
  readonly points: readonly string[];
  readonly executions: number;
  /** Those that no run without has come to. */
  readonly outcomes: readonly Ended[];
  readonly findings: readonly Found[];
}

export interface Explored {
  readonly name: string;
  readonly mode: Mode;
  readonly complete: boolean;
  readonly executions: number;
  /** Of these, runs that were given up as endless. */
  readonly endless: number;
  readonly states?: number;
  /** Tasks that do the same: of the states that differ only in who of them is who there is one. */
  readonly interchangeable?: readonly (readonly string[])[];
  /** Why they are not, after all. */
  readonly asymmetry?: string;
  readonly outcomes: readonly Ended[];
  readonly findings: readonly Found[];
  /** Null: nothing raced. */
  readonly rerun: Rerun | null;
  readonly claims: readonly Claimed[];
  readonly status: 'passed' | 'failed' | 'incomplete' | 'unsupported';
  readonly unsupported: string | null;
  /** How a schedule did not fit. */
  readonly misfit: string | null;
}

const SHRINKING = 2_000;
/** Executions in which one schedule is shortened that the search for the shortest did not come to. */
const SHORTENING = 200;
/** Executions of the rerun after races: they multiply with every access. */
const RERUN_BUDGET = 2_000;

export function exploreCase(it: Case, options: ExploreOptions): Explored {
  try {
    return new CaseExplorer(it, options).explore();
  } catch (e) {
    if (!(e instanceof Unsupported)) throw e;
    return {
      name: it.name,
      mode: options.mode,
      complete: false,
      executions: 0,
      endless: 0,
      outcomes: [],
      findings: [],
      rerun: null,
      claims: [],
      status: 'unsupported',
      unsupported: e.what,
      misfit: null,
    };
  }
}

/** What a case comes to, without the way there. */
export interface Reached {
  readonly executions: number;
  readonly outcomes: readonly string[];
  readonly findings: readonly string[];
}

/** As exploreCase, without schedules, claims and the rerun; null: not complete, or something is not modelled. */
export function reachedBy(it: Case, options: ExploreOptions): Reached | null {
  try {
    return new CaseExplorer(it, options).reached();
  } catch (e) {
    if (!(e instanceof Unsupported)) throw e;
    return null;
  }
}

const NO_POINTS: ReadonlySet<string> = new Set();
const fits = (): null => null;
const never = (): boolean => false;

/** How a run is done, other than by its policy. */
interface How {
  readonly check?: Check;
  readonly watch?: AccessWatch | undefined;
  misfit?(): string | null;
  /** Asked now and then whether to give it up. */
  isOver?(): boolean;
}

class CaseExplorer {
  readonly #case: Case;
  readonly #options: ExploreOptions;
  readonly #trace = new Trace();
  readonly #check = new Check();
  readonly #outcomes = new Map<string, { readonly results: readonly string[]; readonly witness: Witness }>();
  readonly #findings = new Map<string, Failure & { readonly finding: Finding }>();
  readonly #claims: Claims;
  /** Of the run that goes on. */
  #progress = new CaseProgress();
  #run: CaseRun | null = null;
  #witness: Witness = { options: [], points: NO_POINTS };
  /** Fields at whose accesses others come in between. */
  #points = NO_POINTS;
  #alike: Alike | null = null;
  /** Runs that were given up, and so say nothing of what comes later. */
  #endless = 0;
  /** Whether time was over in the middle of a run. */
  #cut = false;
  /** How far the exploration was before the run that goes on. */
  #far: Progress = { executions: 0, share: () => 0 };

  constructor(it: Case, options: ExploreOptions) {
    this.#case = it;
    this.#options = options;
    const { always = [], sometimes = [], never = [], end = [] } = it.outline.expect ?? {};
    // What a case expects of the end of its own schedule is no claim about others.
    const atEnd = it.outline.schedule === undefined ? [end].flat() : [];
    this.#claims = new Claims({ always: [...always, ...atEnd], sometimes, never });
  }

  reached(): Reached | null {
    const { complete, executions } = this.#all();
    if (!complete) return null;
    return {
      executions,
      outcomes: [...this.#outcomes.keys()].sort(),
      findings: [...this.#findings.keys()].sort(),
    };
  }

  explore(): Explored {
    const { mode } = this.#options;
    const done = this.#all();
    const misfit = this.#run?.misfit ?? null;
    const asymmetry = this.#alike?.unlike ?? done.asymmetry;
    const seen = { outcomes: this.#outcomes.size, findings: this.#findings.size };
    const rerun = mode === 'states' || this.#check.racing.size === 0 ? null : this.#rerun();
    const outcomes = [...this.#outcomes];
    const found = [...this.#findings.values()];
    const byKind = new Map<string, Witness>();
    for (const { finding, witness } of found)
      if (!byKind.has(wordOf(finding))) byKind.set(wordOf(finding), witness);
    const answers = this.#claims.answers(mode, done.complete, byKind);
    const shortened = this.#shortened([
      ...found,
      ...answers.flatMap(({ failure }) => (failure === undefined ? [] : [failure])),
    ]);
    const findings = found.map((each) => ({ finding: each.finding, ...this.#witnessed(each, shortened) }));
    const claims = answers.map(({ failure, ...claim }) => ({
      ...claim,
      ...(failure === undefined ? {} : this.#witnessed(failure, shortened)),
    }));
    return {
      name: this.#case.name,
      mode,
      complete: done.complete,
      executions: done.executions,
      endless: done.endless,
      ...(done.states === undefined ? {} : { states: done.states }),
      ...(this.#alike === null ? {} : { interchangeable: this.#alike.tasks }),
      ...(asymmetry === undefined ? {} : { asymmetry }),
      outcomes: this.#ended(outcomes.slice(0, seen.outcomes)),
      findings: findings.slice(0, seen.findings),
      rerun:
        rerun === null
          ? null
          : {
              ...rerun,
              outcomes: this.#ended(outcomes.slice(seen.outcomes)),
              findings: findings.slice(seen.findings),
            },
      claims,
      status: misfit !== null ? 'failed' : statusOf(done.complete, claims),
      unsupported: null,
      misfit,
    };
  }

  /** A run that was given up hides what its tasks would have done: with one, the exploration is not complete. */
  #all(): Exploration & Pick<Explored, 'endless'> {
    const done = this.#allRuns();
    return { ...done, complete: done.complete && this.#endless === 0 && !this.#cut, endless: this.#endless };
  }

  #allRuns(): Exploration {
    const { mode, executions, schedule, reduce = true, symmetry = true } = this.#options;
    const execute: Execute = (policy) => this.#execute(policy);
    const visit = (): void => this.#visit();
    const limits: Limits = { executions, stop: (progress) => this.#stops(progress) };
    switch (mode) {
      case 'traces':
        return exploreTraces(execute, visit, limits, reduce);
      case 'states': {
        const reduces = reduce && !this.#claims.hasStates;
        const alike = reduces && symmetry ? interchangeable(this.#case) : null;
        this.#alike = alike;
        return exploreStates((policy, watch) => this.#execute(policy, { watch }), visit, {
          ...limits,
          extra: () => this.#told(),
          reduce: reduces,
          symmetry: alike?.symmetry ?? null,
        });
      }
      case 'random':
      case 'pct':
        return this.#sample(mode, limits);
      case 'schedule': {
        if (schedule === undefined) throw new Error('mode schedule needs one');
        this.#points = schedule.points ?? NO_POINTS;
        const { ending } = this.#execute(schedule.policy, { misfit: schedule.misfit });
        if (ending.status !== 'abandoned') this.#visit();
        return { complete: false, executions: 1, redundant: 0 };
      }
    }
  }

  #execute(policy: Policy, how: How = {}): Run {
    const { check = this.#check, misfit = fits, watch, isOver = () => this.#isOver() } = how;
    this.#progress = new CaseProgress();
    const counted = new Counted(policy, isOver);
    const run = runCase(this.#case, {
      schedule: { policy: counted, points: this.#points, misfit },
      trace: this.#trace,
      check,
      progress: this.#progress,
      ...(watch === undefined ? {} : { watch }),
    });
    this.#run = run;
    this.#witness = { options: counted.options, points: this.#points };
    if (run.ending === null) throw new Unsupported(run.unsupported ?? 'what this case does');
    if (run.ending.status === 'abandoned') this.#claims.countStates(run, this.#witness);
    return { machine: run.machine, ending: run.ending };
  }

  #stops(progress: Progress): boolean {
    this.#far = progress;
    return this.#options.stop?.(progress) === true;
  }

  #isOver(): boolean {
    const isOver = this.#stops(this.#far);
    this.#cut ||= isOver;
    return isOver;
  }

  #visit(): void {
    const [run, witness] = [this.#run, this.#witness];
    if (run === null) throw new Error('an execution comes before its visit');
    if (run.ending?.status === 'limit') this.#endless++;
    const results = outcomeOf(run);
    const key = results.join('; ');
    if (!this.#outcomes.has(key)) this.#outcomes.set(key, { results, witness });
    for (const finding of run.findings) this.#found(finding);
    this.#claims.count(run, witness);
  }

  #found(finding: Finding): void {
    const title = `${finding.kind}: ${finding.title}`;
    if (this.#findings.has(title)) return;
    const { kind } = finding;
    this.#findings.set(title, {
      finding,
      witness: this.#witness,
      shows: ({ findings }) => findings.some((each) => each.kind === kind && each.title === finding.title),
    });
  }

  /** What the verdict depends on beside the state. */
  #told(): string[] {
    const alike = this.#alike;
    const { results, judgements } = this.#progress;
    const held = [...(judgements ?? [])].map(([condition, { holds }], i) => {
      const speaksOfWho = alike !== null && !alike.isSame(condition);
      return `${speaksOfWho ? JSON.stringify(condition) : i}: ${holds}`;
    });
    return [...told(results).sort(), ...held];
  }

  #sample(mode: 'random' | 'pct', limits: Limits): Exploration {
    let steps = 1;
    for (let seed = 0; seed < limits.executions; seed++) {
      const share = (): number => seed / limits.executions;
      if (limits.stop?.({ executions: seed, share }) === true)
        return { complete: false, executions: seed, redundant: 0 };
      const { ending } = this.#execute(mode === 'random' ? new SeededRandom(seed) : new Pct(seed, 3, steps));
      if (ending.status === 'abandoned') continue;
      steps = Math.max(steps, this.#witness.options.length);
      this.#visit();
    }
    return { complete: false, executions: limits.executions, redundant: 0 };
  }

  /** Once more, with the accesses that raced as places where others can come in between. */
  #rerun(): Pick<Rerun, 'points' | 'executions'> {
    const points = [...this.#check.racing].sort();
    this.#points = new Set(points);
    const { executions } = exploreTraces(
      (policy) => this.#execute(policy),
      () => this.#visit(),
      { executions: RERUN_BUDGET, stop: (progress) => this.#stops(progress) },
    );
    return { points, executions };
  }

  #ended(
    outcomes: readonly (readonly [
      string,
      { readonly results: readonly string[]; readonly witness: Witness },
    ])[],
  ): Ended[] {
    return outcomes
      .map(([key, { results, witness }]) => ({ key, results, schedule: this.#schedule(witness) }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** In labels, what is known by its option numbers. */
  #schedule({ options, points }: Witness): Schedule {
    const recorded = new Recorded(new Departing(options));
    this.#points = points;
    this.#execute(recorded, { check: new Check(), isOver: never });
    return { replay: recorded.labels, ...(points.size === 0 ? {} : { points: [...points] }) };
  }

  /** Of each failure the shortest schedule that a search for all of them finds, or else a shorter one than was met. */
  #shortened(failures: readonly Failure[]): Map<Failure, Shrunk & { readonly fewest: boolean }> {
    const { mode, shrinking = SHRINKING } = this.#options;
    const shortened = new Map<Failure, Shrunk & { readonly fewest: boolean }>();
    if (mode === 'schedule' || shrinking === 0) return shortened;
    // Each try is judged by itself: an order of locks that earlier runs have shown is no news to the shared check.
    const execute: Execute = (policy) => this.#execute(policy, { check: new Check() });
    for (const points of new Set(failures.map(({ witness }) => witness.points))) {
      const ofPoints = failures.filter(({ witness }) => witness.points === points);
      const fails = ofPoints.map(
        ({ shows }) =>
          () =>
            this.#run !== null && shows(this.#run),
      );
      this.#points = points;
      const found = shortest(execute, fails, shrinking);
      for (const [i, failure] of ofPoints.entries()) {
        const fewest = found[i] ?? null;
        const shorter =
          fewest ??
          shorten(execute, fails[i] ?? (() => false), new Departing(failure.witness.options), SHORTENING);
        if (shorter !== null) shortened.set(failure, { ...shorter, fewest: fewest !== null });
      }
    }
    return shortened;
  }

  /** As a person would write it; null where what it leads to does not show the failure. */
  #script({ witness: { points }, shows }: Failure, options: readonly number[]): readonly ScriptLine[] | null {
    if (points.size > 0) return null;
    const scripting = new Scripting(new Departing(options), options.length);
    this.#points = points;
    this.#execute(scripting, { check: new Check() });
    const lines = [...scripting.lines];
    const written = scheduled(lines);
    this.#execute(written.policy, { check: new Check() });
    return written.misfit() === null && this.#run !== null && shows(this.#run) ? lines : null;
  }

  #witnessed(
    failure: Failure,
    shortened: ReadonlyMap<Failure, Shrunk & { readonly fewest: boolean }>,
  ): Pick<Found, 'schedule' | 'script' | 'departures'> {
    const { witness } = failure;
    const shorter = shortened.get(failure);
    const { options } = shorter ?? witness;
    return {
      schedule: this.#schedule({ ...witness, options }),
      script: this.#script(failure, options),
      departures: shorter === undefined ? null : { count: shorter.departures, fewest: shorter.fewest },
    };
  }
}

/** Choices after which a run is asked whether time is over: some runs are long. */
const PATIENCE = 1024;

/** Notes the options that another policy takes where there is more than one; gives up when time is over. */
class Counted implements Policy {
  readonly options: number[] = [];
  readonly everyStep?: true;
  readonly #policy: Policy;
  readonly #isOver: () => boolean;
  #choices = 0;

  constructor(policy: Policy, isOver: () => boolean) {
    this.#policy = policy;
    this.#isOver = isOver;
    if (policy.everyStep === true) this.everyStep = true;
  }

  choose(choice: Choice): number {
    if (++this.#choices % PATIENCE === 0 && this.#isOver()) return ABANDON;
    const option = this.#policy.choose(choice);
    if (choice.count > 1 && option !== ABANDON) this.options.push(option);
    return option;
  }
}

/** What each step was told, in no particular order. */
const told = (results: readonly StepResult[]): string[] =>
  results.map(({ task, step, text }) => `${stepName(task, step)} = ${text}`);

/** What each step was told: task by task, as the case has them, in the order of their steps. */
function outcomeOf({ it, results, ending }: CaseRun): string[] {
  const inOrder = it.tasks.flatMap((task) =>
    results.filter((each) => each.task === task).sort((a, b) => a.step.index - b.step.index),
  );
  return [...told(inOrder), ...(ending?.status === 'finished' ? [] : [ending?.status ?? 'unsupported'])];
}

function statusOf(complete: boolean, claims: readonly Claimed[]): Explored['status'] {
  if (claims.some(({ answer }) => answer === 'fails')) return 'failed';
  return complete && claims.every(({ answer }) => answer === 'holds') ? 'passed' : 'incomplete';
}
