// SPDX-License-Identifier: GPL-2.0-only

/**
 * State mode: every state once, by its fingerprint. Decides what depends on states alone: end states and what
 * each task was told, hangs, invariants. It does not decide races and lock order, which are about paths: a
 * path into a state that was seen before is not followed.
 *
 * Why that is enough: the fingerprint holds all that the future of a run depends on, and all that the verdict
 * will say of the past (what the tasks were told). So what can follow a state that was seen has been seen, or
 * is still on the way to be.
 */
import { ABANDON, type Choice, type Policy } from '../sim/choice.ts';
import { context } from '../sim/context.ts';
import { fingerprint } from '../sim/fingerprint.ts';
import type { Execute, Exploration, Limits, Run } from './traces.ts';

interface Node {
  readonly count: number;
  taken: number;
}

/**
 * Explores a program's states. `visit` is called for each execution that came to an end. `extra`: what the
 * verdict depends on that is in no observed object.
 */
export function exploreStates(
  execute: Execute,
  visit: (run: Run, options: () => number[]) => void,
  limits: Limits,
  extra: () => string = () => '',
): Exploration {
  const explorer = new StateExplorer(extra);
  let executions = 0;
  let redundant = 0;
  do {
    if (executions === limits.executions || limits.stop?.() === true)
      return { complete: false, executions, redundant, states: explorer.states };
    const run = execute(explorer.begin());
    executions++;
    if (run.ending.status === 'abandoned') redundant++;
    else visit(run, () => explorer.options());
  } while (explorer.next());
  return { complete: true, executions, redundant, states: explorer.states };
}

class StateExplorer implements Policy {
  readonly #path: Node[] = [];
  readonly #seen = new Set<number>();
  readonly #extra: () => string;
  #depth = 0;

  constructor(extra: () => string) {
    this.#extra = extra;
  }

  get states(): number {
    return this.#seen.size;
  }

  begin(): Policy {
    this.#depth = 0;
    return this;
  }

  choose(choice: Choice): number {
    const node = this.#path[this.#depth] ?? this.#grow(choice);
    if (node === null) return ABANDON;
    this.#depth++;
    return node.taken;
  }

  next(): boolean {
    for (let last = this.#path.at(-1); last !== undefined; last = this.#path.at(-1)) {
      if (last.taken + 1 < last.count) {
        last.taken++;
        return true;
      }
      this.#path.pop();
    }
    return false;
  }

  options(): number[] {
    return this.#path.map((node) => node.taken);
  }

  /** A place where no run has been by this path. Null: the state was seen. */
  #grow(choice: Choice): Node | null {
    if (choice.kind === 'task') {
      const { machine } = context;
      if (machine === null) throw new Error('a run is going on');
      const key = fingerprint(machine, this.#extra());
      if (this.#seen.has(key)) return null;
      this.#seen.add(key);
    }
    const node = { count: choice.count, taken: 0 };
    this.#path.push(node);
    return node;
  }
}
