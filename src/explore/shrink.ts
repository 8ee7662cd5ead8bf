// SPDX-License-Identifier: GPL-2.0-only

/**
 * The shortest schedules on which something goes wrong: fewest departures from run-to-block, in which a task
 * goes on until it waits. All schedules with none are tried, then all with one, then two: the first that fails
 * needs as few as possible. What is deeper than the tries reach is shortened from a schedule that is known.
 */
import type { Choice, Policy } from '../sim/choice.ts';
import type { Execute, Run } from './traces.ts';

export interface Shrunk {
  /** Options to take at the first choices; then run-to-block. */
  readonly options: readonly number[];
  /** Departures from run-to-block. */
  readonly departures: number;
}

/** Takes the given options, then falls back; notes what was taken, and what else could have been. */
export class Departing implements Policy {
  readonly #options: readonly number[];
  readonly taken: number[] = [];
  readonly counts: number[] = [];

  constructor(options: readonly number[]) {
    this.#options = options;
  }

  choose(choice: Choice): number {
    const option = this.#options[this.taken.length] ?? choice.fallback;
    this.taken.push(option);
    this.counts.push(choice.count);
    return option;
  }
}

/**
 * Searches at most `budget` executions for a run on which each of `failures` holds, as many departures as it
 * takes. Null where none was found.
 */
export function shortest(
  execute: Execute,
  failures: readonly ((run: Run) => boolean)[],
  budget: number,
): (Shrunk | null)[] {
  const found: (Shrunk | null)[] = failures.map(() => null);
  let left = failures.length;
  let executions = 0;
  let level: Iterable<readonly number[]> = [[]];
  for (let departures = 0; left > 0; departures++) {
    const runs: { readonly from: number; readonly policy: Departing }[] = [];
    for (const prefix of level) {
      if (executions++ === budget) return found;
      const policy = new Departing(prefix);
      const run = execute(policy);
      for (const [i, fails] of failures.entries()) {
        if (found[i] !== null || !fails(run)) continue;
        found[i] = { options: policy.taken.slice(0, prefix.length), departures };
        left--;
      }
      if (left === 0) return found;
      runs.push({ from: prefix.length, policy });
    }
    if (runs.length === 0) return found;
    level = departuresOf(runs);
  }
  return found;
}

/** Each run with one departure more, after its last. */
function* departuresOf(
  runs: readonly { readonly from: number; readonly policy: Departing }[],
): Generator<readonly number[]> {
  for (const { from, policy } of runs)
    for (let at = from; at < policy.taken.length; at++)
      for (let option = 0; option < (policy.counts[at] ?? 0); option++)
        if (option !== policy.taken[at]) yield [...policy.taken.slice(0, at), option];
}

/** What was done between two switches, in labels. */
type Stretch = readonly string[];

/**
 * Takes what comes next in a list of labels and can be done now; with nothing left that can, falls back. So a list
 * whose parts were moved is followed as far as it fits.
 */
class Following implements Policy {
  readonly labels: string[] = [];
  readonly taken: number[] = [];
  /** Up to and with the last departure. */
  length = 0;
  departures = 0;
  readonly #wanted: string[];

  constructor(wanted: readonly string[]) {
    this.#wanted = [...wanted];
  }

  choose(choice: Choice): number {
    const options = Array.from({ length: choice.count }, (_, option) => choice.label(option));
    const next = this.#wanted.findIndex((label) => options.includes(label));
    const option = next === -1 ? choice.fallback : options.indexOf(this.#wanted[next] ?? '');
    if (next !== -1) this.#wanted.splice(next, 1);
    this.labels.push(options[option] ?? '?');
    this.taken.push(option);
    if (option !== choice.fallback) {
      this.departures++;
      this.length = this.taken.length;
    }
    return option;
  }
}

/**
 * A run with fewer departures that `fails` as a known one does, from moving what tasks do between two switches to
 * where the same task goes on anyway. Not always the shortest. Null if the known one does not fail by itself.
 */
export function shorten(
  execute: Execute,
  fails: (run: Run) => boolean,
  known: Policy,
  budget: number,
): Shrunk | null {
  const labels: string[] = [];
  const recording: Policy = {
    choose(choice) {
      const option = known.choose(choice);
      labels.push(choice.label(option));
      return option;
    },
  };
  execute(recording);
  let best = new Following(labels);
  if (!fails(execute(best))) return null;
  let executions = 2;
  for (let improved = true; improved; ) {
    improved = false;
    for (const moved of moves(stretches(best.labels))) {
      if (executions++ >= budget) break;
      const tried = new Following(moved);
      if (!fails(execute(tried)) || tried.departures >= best.departures) continue;
      best = tried;
      improved = true;
      break;
    }
  }
  return { options: best.taken.slice(0, best.length), departures: best.departures };
}

const taskOf = (label: string | undefined): string | undefined => label?.split(':')[0];

function stretches(labels: readonly string[]): Stretch[] {
  const found: string[][] = [];
  for (const label of labels) {
    const last = found.at(-1);
    if (last !== undefined && taskOf(last[0]) === taskOf(label)) last.push(label);
    else found.push([label]);
  }
  return found;
}

/** Every way to put one stretch directly after the one before, or before the next one, of the same task. */
function* moves(all: readonly Stretch[]): Generator<readonly string[]> {
  for (const [i, stretch] of all.entries()) {
    const rest = all.toSpliced(i, 1);
    const same = (other: Stretch): boolean => taskOf(other[0]) === taskOf(stretch[0]);
    const before = rest.slice(0, i).findLastIndex(same);
    if (before !== -1) yield rest.toSpliced(before + 1, 0, stretch).flat();
    const after = rest.slice(i).findIndex(same);
    if (after !== -1) yield rest.toSpliced(i + after, 0, stretch).flat();
  }
}
