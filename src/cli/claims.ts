// SPDX-License-Identifier: GPL-2.0-only

/** What a case's claims are worth over many runs: in herd's words, with a run that shows it. */
import type { Run } from '../case/run.ts';
import type { Claim } from '../case/schema.ts';
import type { Finding } from '../sim/check/finding.ts';
import type { Mode } from './exploration.ts';

/** A run as the options it took, and the racing fields at which it stopped. */
export interface Witness {
  readonly options: readonly number[];
  readonly points: ReadonlySet<string>;
}

/** A run on which something goes wrong, and whether another is such a run, too. */
export interface Failure {
  readonly witness: Witness;
  shows(run: Run): boolean;
}

export interface Answered {
  readonly text: string;
  readonly answer: 'holds' | 'fails' | 'unknown';
  readonly why: string;
  /** Where it fails because of a run. */
  readonly failure?: Failure;
}

export type Word = 'always' | 'sometimes' | 'never';

/** Findings about paths, not states. */
const PATHS: ReadonlySet<string> = new Set([
  'data-race',
  'lock-order',
  'unguarded-access',
  'sleep-in-atomic',
  'lost-wake-up',
  'use-after-free',
  'double-free',
]);

/** What a mode decides when it ran to its end, and what it does not. */
export const DECIDES: Readonly<Record<Mode, { readonly decides: string; readonly undecided: string }>> = {
  traces: {
    decides: 'outcomes, end states, and all that checkers find (a lock order over the runs so far)',
    undecided: 'conditions at every state: it sees one order of what does not depend on each other',
  },
  states: {
    decides: 'outcomes, end states, hangs, leaks, warnings, and conditions at every state',
    undecided: 'races, lock order and lifetimes, which are about paths: of those into a state it follows one',
  },
  random: { decides: 'nothing: it shows what it meets', undecided: 'what it does not meet' },
  pct: { decides: 'nothing: it shows what it meets', undecided: 'what it does not meet' },
  schedule: { decides: 'nothing: it is one run', undecided: 'all other runs' },
};

interface Tally {
  held: number;
  failed: number;
  /** Why a run could not say. */
  unknown: string | null;
  /** The first run in which it held, and in which it did not. */
  holding: Witness | null;
  failing: Witness | null;
}

const isAtEveryState = (claim: Claim): boolean => typeof claim !== 'string' && claim.at === 'every-state';

export class Claims {
  readonly #claims: ReadonlyMap<Claim, Word>;
  readonly #tallies = new Map<Claim, Tally>();

  constructor(claims: Readonly<Record<Word, readonly Claim[]>>) {
    const of = (word: Word): [Claim, Word][] => claims[word].map((claim) => [claim, word]);
    this.#claims = new Map([...of('always'), ...of('sometimes'), ...of('never')]);
  }

  /** A run that came to its end. */
  count(run: Run, witness: Witness): void {
    for (const [claim] of this.#claims) {
      if (typeof claim !== 'string') this.#noteUnknown(claim, run);
      this.#add(claim, holds(claim, run), witness);
    }
  }

  /** A run that was cut: its states count as those of any other. */
  countStates(run: Run, witness: Witness): void {
    for (const [claim, word] of this.#claims) {
      if (typeof claim === 'string' || !isAtEveryState(claim)) continue;
      const held = holds(claim, run);
      if (held === (word !== 'always')) this.#add(claim, held, witness);
    }
  }

  get hasStates(): boolean {
    return [...this.#claims.keys()].some(isAtEveryState);
  }

  /** `unspoken`: findings of which the case does not speak; each is one too many. */
  answers(mode: Mode, complete: boolean, unspoken: ReadonlyMap<string, Witness>): Answered[] {
    const spoken = [...this.#claims].map(([claim, word]) =>
      answer(word, claim, this.#tallies.get(claim) ?? NO_RUN, mode, complete),
    );
    const others = [...unspoken]
      .filter(([kind]) => ![...this.#claims.keys()].some((claim) => claim === kind))
      .map(
        ([kind, witness]): Answered => ({
          text: `never ${kind}`,
          answer: 'fails',
          why: 'the case does not speak of it',
          failure: { witness, shows: ({ findings }) => findings.some((each) => isCalled(each, kind)) },
        }),
      );
    return [...spoken, ...others];
  }

  #noteUnknown(claim: Exclude<Claim, string>, run: Run): void {
    const judgement = run.judgements.get(claim);
    if (typeof judgement?.holds === 'boolean') return;
    this.#tally(claim).unknown ??= judgement?.why ?? 'the run ended before it could be looked at';
  }

  #add(claim: Claim, held: boolean | null, witness: Witness): void {
    const tally = this.#tally(claim);
    if (held === true) {
      tally.held++;
      tally.holding ??= witness;
    }
    if (held === false) {
      tally.failed++;
      tally.failing ??= witness;
    }
  }

  #tally(claim: Claim): Tally {
    let tally = this.#tallies.get(claim);
    if (tally === undefined) {
      tally = { ...NO_RUN };
      this.#tallies.set(claim, tally);
    }
    return tally;
  }
}

const NO_RUN: Tally = { held: 0, failed: 0, unknown: null, holding: null, failing: null };

/** Null: it could not be looked at. */
function holds(claim: Claim, run: Run): boolean | null {
  return typeof claim === 'string'
    ? run.findings.some((finding) => isCalled(finding, claim))
    : (run.judgements.get(claim)?.holds ?? null);
}

function answer(word: Word, claim: Claim, tally: Tally, mode: Mode, complete: boolean): Answered {
  const { held, failed, unknown, holding, failing } = tally;
  const text = `${word} ${typeof claim === 'string' ? claim : JSON.stringify(claim)}`;
  const often = `${held} of ${held + failed} runs`;
  const isOfPaths = mode === 'states' && typeof claim === 'string' && PATHS.has(claim);
  // A run of states that lacks what is about paths says nothing: another path into its states may have it.
  const missing = isOfPaths ? null : failing;
  const witness = word === 'always' ? missing : holding;
  if (witness !== null && word === 'sometimes') return { text, answer: 'holds', why: often };
  if (witness !== null) {
    const refuting = word === 'never';
    return {
      text,
      answer: 'fails',
      why: often,
      failure: { witness, shows: (run) => holds(claim, run) === refuting },
    };
  }
  if (unknown !== null) return { text, answer: 'unknown', why: unknown };
  if (!complete) return { text, answer: 'unknown', why: `${often}, and not every run was seen` };
  if (isOfPaths)
    return { text, answer: 'unknown', why: 'states do not decide what depends on paths: --mode traces does' };
  if (mode === 'traces' && isAtEveryState(claim))
    return { text, answer: 'unknown', why: 'traces do not come by every state: --mode states does' };
  return { text, answer: word === 'sometimes' ? 'fails' : 'holds', why: often };
}

/** As a case speaks of it. */
export const wordOf = ({ kind, title }: Finding): string =>
  kind === 'warn' && title.startsWith('BUG: ') ? 'bug' : kind;

const isCalled = (finding: Finding, claim: string): boolean =>
  finding.kind === claim || wordOf(finding) === claim;
