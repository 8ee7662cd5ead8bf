// SPDX-License-Identifier: GPL-2.0-only

/** All interleavings of a case, and what its claims are worth over them. */
import { type Case, stepName } from '../case/case.ts';
import { type Run as CaseRun, Progress, runCase, type StepResult } from '../case/run.ts';
import type { Claim } from '../case/schema.ts';
import { Departing, shrink } from '../explore/shrink.ts';
import { exploreStates } from '../explore/states.ts';
import { type Execute, type Exploration, exploreTraces, type Run } from '../explore/traces.ts';
import { Check } from '../sim/check/check.ts';
import type { Finding } from '../sim/check/finding.ts';
import type { Choice, Policy } from '../sim/choice.ts';
import type { AccessWatch } from '../sim/context.ts';
import { Unsupported } from '../sim/errors.ts';
import { Pct } from '../sim/policies/pct.ts';
import { SeededRandom } from '../sim/policies/random.ts';
import { Recorded } from '../sim/policies/recorded.ts';
import { Trace } from '../sim/trace.ts';

export type Mode = 'traces' | 'states' | 'random' | 'pct';

export interface ExploreOptions {
  readonly mode: Mode;
  /** Executions after which it is given up, or the number of samples. */
  readonly executions: number;
  /** Told now and then how far it is. */
  onProgress?(executions: number): void;
}

/** What the tasks were told, in one way that a run can end; and a schedule that leads there. */
export interface Ended {
  readonly key: string;
  readonly schedule: readonly string[];
}

export interface Found {
  readonly finding: Finding;
  readonly schedule: readonly string[];
  /** Departures from run-to-block that it needs; null: the schedule could not be shortened. */
  readonly departures: number | null;
}

/** A claim of the case over all runs: in herd's words. */
export interface Claimed {
  readonly text: string;
  readonly answer: 'holds' | 'fails' | 'unknown';
  readonly why: string;
  /** Leads to a run that refutes it. */
  readonly schedule?: readonly string[];
}

export interface Explored {
  readonly name: string;
  readonly mode: Mode;
  readonly complete: boolean;
  readonly executions: number;
  readonly states?: number;
  readonly outcomes: readonly Ended[];
  readonly findings: readonly Found[];
  readonly claims: readonly Claimed[];
  readonly status: 'passed' | 'failed' | 'incomplete' | 'unsupported';
  readonly unsupported: string | null;
}

const SHRINK_BUDGET = 2_000;

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
      outcomes: [],
      findings: [],
      claims: [],
      status: 'unsupported',
      unsupported: e.what,
    };
  }
}

class CaseExplorer {
  readonly #case: Case;
  readonly #options: ExploreOptions;
  readonly #trace = new Trace();
  readonly #check = new Check();
  readonly #outcomes = new Map<string, readonly number[]>();
  readonly #findings = new Map<string, { readonly finding: Finding; readonly options: readonly number[] }>();
  /** Over the runs so far. */
  readonly #tallies = new Map<Claim, Tally>();
  /** Of the run that goes on. */
  #progress = new Progress();
  #run: CaseRun | null = null;
  #executions = 0;

  constructor(it: Case, options: ExploreOptions) {
    this.#case = it;
    this.#options = options;
  }

  explore(): Explored {
    const { mode, executions } = this.#options;
    const execute: Execute = (policy) => this.#execute(policy);
    const visit = (_: unknown, options: () => number[]): void => this.#visit(options());
    const limits = { executions };
    const done: Exploration =
      mode === 'traces'
        ? exploreTraces(execute, visit, limits)
        : mode === 'states'
          ? exploreStates((policy, watch) => this.#execute(policy, this.#check, watch), visit, {
              ...limits,
              extra: () => this.#told(),
            })
          : this.#sample(mode, executions);
    const claims = this.#claims(done.complete);
    const findings = [...this.#findings.values()].map(({ finding, options }) =>
      this.#shortest(finding, options),
    );
    return {
      name: this.#case.name,
      mode,
      complete: done.complete,
      executions: done.executions,
      ...(done.states === undefined ? {} : { states: done.states }),
      outcomes: [...this.#outcomes]
        .map(([key, options]) => ({ key, schedule: this.#labels(options) }))
        .sort((a, b) => (a.key < b.key ? -1 : 1)),
      findings,
      claims,
      status: statusOf(done.complete, claims),
      unsupported: null,
    };
  }

  #execute(policy: Policy, check = this.#check, watch?: AccessWatch): Run {
    this.#options.onProgress?.(this.#executions++);
    this.#progress = new Progress();
    const run = runCase(this.#case, {
      schedule: { policy, misfit: () => null },
      trace: this.#trace,
      check,
      progress: this.#progress,
      ...(watch === undefined ? {} : { watch }),
    });
    this.#run = run;
    if (run.ending === null) throw new Unsupported(run.unsupported ?? 'what this case does');
    return { machine: run.machine, ending: run.ending };
  }

  #visit(options: readonly number[]): void {
    const run = this.#run;
    if (run === null) throw new Error('an execution comes before its visit');
    const key = outcomeOf(run);
    if (!this.#outcomes.has(key)) this.#outcomes.set(key, options);
    for (const finding of run.findings) {
      const title = `${finding.kind}: ${finding.title}`;
      if (!this.#findings.has(title)) this.#findings.set(title, { finding, options });
    }
    const { always = [], sometimes = [], never = [], end = [] } = this.#case.outline.expect ?? {};
    for (const claim of [...always, ...sometimes, ...never, ...[end].flat()]) {
      const tally = this.#tallies.get(claim) ?? {
        held: 0,
        failed: 0,
        unknown: null,
        holding: null,
        failing: null,
      };
      this.#tallies.set(claim, tally);
      const held =
        typeof claim === 'string' ? run.findings.some((f) => isCalled(f, claim)) : holds(claim, run, tally);
      if (held === true) {
        tally.held++;
        tally.holding ??= options;
      }
      if (held === false) {
        tally.failed++;
        tally.failing ??= options;
      }
    }
  }

  /** What the verdict depends on beside the state. */
  #told(): string {
    const { results, judgements } = this.#progress;
    const held = judgements === null ? [] : [...judgements.values()].map(({ holds }) => String(holds));
    return [told(results), ...held].join('; ');
  }

  #sample(mode: 'random' | 'pct', executions: number): Exploration {
    let steps = 1;
    for (let seed = 0; seed < executions; seed++) {
      const counted = new Counted(mode === 'random' ? new SeededRandom(seed) : new Pct(seed, 3, steps));
      this.#execute(counted);
      steps = Math.max(steps, counted.options.length);
      this.#visit(counted.options);
    }
    return { complete: false, executions, redundant: 0 };
  }

  /** The labels of a schedule that is known by its option numbers. */
  #labels(options: readonly number[]): readonly string[] {
    const recorded = new Recorded(new Departing(options));
    this.#execute(recorded);
    return recorded.labels;
  }

  #shortest(finding: Finding, options: readonly number[]): Found {
    const fails = (): boolean =>
      this.#run?.findings.some((f) => f.kind === finding.kind && f.title === finding.title) === true;
    // Each try is judged by itself: an order of locks that earlier runs have shown is no news to the shared check.
    const shorter = shrink((policy) => this.#execute(policy, new Check()), fails, SHRINK_BUDGET);
    return {
      finding,
      schedule: this.#labels(shorter?.options ?? options),
      departures: shorter?.departures ?? null,
    };
  }

  #claims(complete: boolean): readonly Claimed[] {
    const { always = [], sometimes = [], never = [], end = [] } = this.#case.outline.expect ?? {};
    const of = (word: Word, claims: readonly Claim[]): Claimed[] =>
      claims.map((claim) => this.#claimed(word, claim, complete));
    // What a case expects of the end of its own schedule is no claim about others; but no finding goes unsaid.
    const spoken = new Set([...always, ...sometimes, ...never].filter((claim) => typeof claim === 'string'));
    const unspoken = [...new Set([...this.#findings.values()].map(({ finding }) => wordOf(finding)))].filter(
      (word) => !spoken.has(word),
    );
    return [
      ...of('always', always),
      ...of('sometimes', sometimes),
      ...of('never', [...never, ...unspoken]),
      ...of(
        'always',
        [end].flat().filter(() => this.#case.outline.schedule === undefined),
      ),
    ];
  }

  #claimed(word: Word, claim: Claim, complete: boolean): Claimed {
    const { held, failed, unknown, holding, failing } = this.#tallies.get(claim) ?? this.#unspoken(claim);
    const text = `${word} ${typeof claim === 'string' ? claim : JSON.stringify(claim)}`;
    const often = `${held} of ${held + failed} runs`;
    const refuted = word === 'always' ? failed > 0 : word === 'never' && held > 0;
    const options = word === 'always' ? failing : holding;
    if (refuted && options !== null)
      return { text, answer: 'fails', why: often, schedule: this.#labels(options) };
    if (unknown !== null) return { text, answer: 'unknown', why: unknown };
    if (word === 'sometimes' && held > 0) return { text, answer: 'holds', why: often };
    if (!complete) return { text, answer: 'unknown', why: `${often}, and not every run was seen` };
    if (typeof claim === 'string' && this.#options.mode === 'states' && PATHS.has(claim)) {
      return { text, answer: 'unknown', why: 'state mode does not decide what depends on paths' };
    }
    return { text, answer: word === 'sometimes' ? 'fails' : 'holds', why: often };
  }

  #unspoken(claim: Claim): Tally {
    const found = [...this.#findings.values()].filter(({ finding }) => wordOf(finding) === claim);
    return {
      held: found.length,
      failed: 0,
      unknown: null,
      holding: found[0]?.options ?? null,
      failing: null,
    };
  }
}

type Word = 'always' | 'sometimes' | 'never';

interface Tally {
  held: number;
  failed: number;
  /** Why a run could not say. */
  unknown: string | null;
  /** The first run in which it held, and in which it did not. */
  holding: readonly number[] | null;
  failing: readonly number[] | null;
}

/** Findings about paths, not states. */
const PATHS: ReadonlySet<string> = new Set([
  'data-race',
  'lock-order',
  'unguarded-access',
  'use-after-free',
  'double-free',
]);

/** Notes the options that another policy takes. */
class Counted implements Policy {
  readonly options: number[] = [];
  readonly #policy: Policy;

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  choose(choice: Choice): number {
    const option = this.#policy.choose(choice);
    this.options.push(option);
    return option;
  }
}

function holds(claim: Exclude<Claim, string>, run: CaseRun, tally: Tally): boolean | null {
  const judgement = run.judgements.get(claim);
  if (judgement === undefined || judgement.holds === null) {
    tally.unknown ??= judgement?.why ?? 'the run ended before it could be looked at';
    return null;
  }
  return judgement.holds;
}

/** As a case speaks of it. */
const wordOf = ({ kind, title }: Finding) => (kind === 'warn' && title.startsWith('BUG: ') ? 'bug' : kind);

const isCalled = (finding: Finding, claim: string): boolean =>
  finding.kind === claim || wordOf(finding) === claim;

/** What each task was told, in program order. */
function told(results: readonly StepResult[]): string {
  return [...results]
    .map(({ task, step, text }) => `${stepName(task, step)} = ${text}`)
    .sort()
    .join('; ');
}

function outcomeOf(run: CaseRun): string {
  const end = run.ending?.status === 'finished' ? [] : [run.ending?.status ?? 'unsupported'];
  return [told(run.results), ...end].join('; ');
}

function statusOf(complete: boolean, claims: readonly Claimed[]): Explored['status'] {
  if (claims.some(({ answer }) => answer === 'fails')) return 'failed';
  return complete && claims.every(({ answer }) => answer === 'holds') ? 'passed' : 'incomplete';
}
