// SPDX-License-Identifier: GPL-2.0-only

/**
 * Trace mode: one run for every class of runs that differ only in the order of operations which do not
 * conflict, by replay from the start. Decides whatever is a property of a path: outcomes, races, lock order.
 *
 * Why one run a class is enough: two operations of different tasks that are on different objects, or whose
 * kinds commute, give the same state in either order, and what lies between operations touches only what the
 * task owns or has locked (else it is a data race, which the race checker reports). So a run and its reordering
 * agree on every outcome.
 *
 * Source sets (Abdulla, Aronis, Jonsson, Sagonas: Optimal dynamic partial order reduction, 2014): when a run
 * shows that operation j conflicts with an earlier i and nothing between orders the two, some run must do j
 * first. It starts, where i was done, with any task that can begin what of the rest does not depend on i; if
 * none of these tasks is on the list of that place yet, one is put there. A lock taken by the one and given
 * back by the other is no such pair; the two takings are.
 *
 * Sleep sets (Godefroid): what was explored from a place need not be explored again after a step that does not
 * conflict with it. A task sleeps until something conflicting with its operation is done; a run in which all
 * that can go on sleep repeats one that was seen.
 */
import { ABANDON, type Choice, type Policy } from '../sim/choice.ts';
import type { AccessWatch } from '../sim/context.ts';
import type { Machine } from '../sim/machine.ts';
import { scheduler } from '../sim/point.ts';
import type { Ending } from '../sim/scheduler.ts';
import type { Task } from '../sim/task.ts';
import { conflict, History, type Operation } from './history.ts';
import { Names } from './names.ts';

/** A finished execution. Its machine is valid until the next one starts. */
export interface Run {
  readonly machine: Machine;
  readonly ending: Ending;
}

/** Runs the program once, from the start, with this policy. The same answers give the same run. */
export type Execute = (policy: Policy) => Run;

/** As Execute; `watch` has to be the run's watch from its first choice to its last. */
export type ExecuteWatched = (policy: Policy, watch?: AccessWatch) => Run;

export interface Limits {
  /** Executions after which exploration is given up as incomplete. */
  readonly executions: number;
  /** Asked before each execution: exploration is given up when it says so. */
  stop?(progress: Progress): boolean;
}

/** How far an exploration is. */
export interface Progress {
  readonly executions: number;
  /**
   * The share of the tree of choices that is behind, as if every branch of a place led to as much as its
   * neighbours (Knuth: Estimating the efficiency of backtrack programs, 1975; here along the path that is left). In
   * trace mode branches are found on the way: what is not known yet comes on top.
   */
  share(): number;
}

export interface Exploration {
  /** Every class of runs was seen. */
  readonly complete: boolean;
  readonly executions: number;
  /** Executions that were cut because they would have repeated another. */
  readonly redundant: number;
  /** Different states that were met, in state mode. */
  readonly states?: number;
  /** In state mode: why tasks that were said to be interchangeable are not; absent: they are, or none was. */
  readonly asymmetry?: string;
}

interface Step {
  readonly type: 'step';
  /** What each task that could go on was about to do; by option. */
  readonly enabled: readonly Operation[];
  taken: number;
  /** Tasks that have to be tried from here, and those that need not be (any more). */
  readonly backtrack: Set<number>;
  readonly sleep: Map<number, Operation>;
  /** How many tasks have been tried from here before the one that is taken. */
  tried: number;
  /** Its number among the steps. */
  readonly at: number;
}

/** A choice that is not about tasks: every option is tried. */
interface Branch {
  readonly type: 'branch';
  readonly count: number;
  taken: number;
  /** Number of the step after the one that it belongs to. */
  readonly at: number;
}

type Node = Step | Branch;

/**
 * Explores a program. `visit` is called for each execution that came to an end, with what gives its schedule
 * as option numbers. `reduce` false: every interleaving, for comparison.
 */
export function exploreTraces(
  execute: Execute,
  visit: (run: Run, options: () => number[]) => void,
  limits: Limits,
  reduce = true,
): Exploration {
  const explorer = new TraceExplorer(reduce);
  let executions = 0;
  let redundant = 0;
  do {
    if (
      executions === limits.executions ||
      limits.stop?.({ executions, share: () => explorer.share() }) === true
    )
      return { complete: false, executions, redundant };
    const run = execute(explorer.begin());
    executions++;
    if (run.ending.status === 'abandoned') redundant++;
    else visit(run, () => explorer.options());
    explorer.end(run);
  } while (explorer.next());
  return { complete: true, executions, redundant };
}

class TraceExplorer implements Policy {
  readonly everyStep = true;
  readonly #reduce: boolean;
  readonly #path: Node[] = [];
  readonly #history = new History();
  /** Tasks apart from objects, to keep clocks short. */
  readonly #tasks = new Names();
  readonly #objects = new Names();
  #depth = 0;
  #lastStep: Step | null = null;

  constructor(reduce: boolean) {
    this.#reduce = reduce;
  }

  /** The policy of the next run. */
  begin(): Policy {
    this.#depth = 0;
    this.#lastStep = null;
    return this;
  }

  choose(choice: Choice): number {
    const node = this.#path[this.#depth] ?? this.#grow(choice);
    if (node === null) return ABANDON;
    this.#depth++;
    if (node.type === 'step') {
      this.#lastStep = node;
      if (node.at === this.#history.length) this.#happen(node);
    }
    return node.taken;
  }

  /**
   * The run is over, or was cut since all that could go on sleep: what its blocked tasks would have done next
   * counts for races, too.
   */
  end({ machine }: Run): void {
    if (!this.#reduce) return;
    this.#noteBirths();
    for (const task of machine.scheduler.live) this.#reverseRaces(this.#operation(task));
  }

  /** Turns to the next run; false when there is none. */
  next(): boolean {
    for (let last = this.#path.at(-1); last !== undefined; last = this.#path.at(-1)) {
      const option = last.type === 'step' ? nextTask(last) : last.taken + 1;
      if (option >= 0 && (last.type === 'step' || option < last.count)) {
        last.taken = option;
        this.#history.truncate(last.at);
        return true;
      }
      this.#path.pop();
    }
    return false;
  }

  /** The run as the options that were taken where there was more than one. */
  options(): number[] {
    return this.#path
      .filter((node) => node.type === 'branch' || node.enabled.length > 1)
      .map((node) => node.taken);
  }

  /** See Progress. */
  share(): number {
    let share = 0;
    let weight = 1;
    for (const node of this.#path) {
      const [tried, all] = node.type === 'branch' ? [node.taken, node.count] : branchesOf(node);
      share += (weight * tried) / all;
      weight /= all;
    }
    return share;
  }

  /** A place where no run has been. Null: all that could go on here sleep. */
  #grow(choice: Choice): Node | null {
    const at = this.#history.length;
    if (choice.kind !== 'task') {
      const branch: Branch = { type: 'branch', count: choice.count, taken: 0, at };
      this.#path.push(branch);
      return branch;
    }
    this.#noteBirths();
    const enabled = choice.tasks.slice(0, choice.count).map((task) => this.#operation(task));
    const sleep = this.#asleep();
    const awake = (option: number): boolean => !sleep.has(enabled[option]?.task ?? -1);
    const taken = awake(choice.fallback) ? choice.fallback : enabled.findIndex((_, option) => awake(option));
    const first = enabled[taken];
    if (first === undefined) return null;
    const backtrack = new Set(this.#reduce ? [first.task] : enabled.map((o) => o.task));
    const step: Step = { type: 'step', enabled, taken, backtrack, sleep, tried: 0, at };
    this.#path.push(step);
    return step;
  }

  /** Who sleeps after the last step. */
  #asleep(): Map<number, Operation> {
    const sleep = new Map<number, Operation>();
    const last = this.#lastStep;
    const done = last?.enabled[last.taken];
    if (!this.#reduce || last === null || done === undefined) return sleep;
    for (const [task, operation] of last.sleep) {
      if (task !== done.task && !conflict(operation, done)) sleep.set(task, operation);
    }
    return sleep;
  }

  #happen(step: Step): void {
    const operation = step.enabled[step.taken];
    if (operation === undefined) throw new Error('the option that was taken is there');
    if (this.#reduce) this.#reverseRaces(operation);
    this.#history.add(operation);
  }

  #reverseRaces(operation: Operation): void {
    const waited = (at: number): boolean => !this.#step(at).enabled.some((o) => o.task === operation.task);
    for (const at of this.#history.races(operation, waited)) {
      const step = this.#step(at);
      const initials = this.#history.initials(at, operation);
      if (initials.some((task) => step.backtrack.has(task))) continue;
      const first = initials.includes(operation.task) ? operation.task : initials[0];
      const possible = step.enabled.some((o) => o.task === first);
      if (first !== undefined && possible) step.backtrack.add(first);
      else for (const o of step.enabled) step.backtrack.add(o.task);
    }
  }

  #step(at: number): Step {
    for (const node of this.#path) if (node.type === 'step' && node.at === at) return node;
    throw new Error(`event ${at} is on the path`);
  }

  #noteBirths(): void {
    for (const task of scheduler().live) {
      const key = this.#tasks.key(task);
      const maker = task.$maker;
      if (!this.#history.knows(key)) {
        this.#history.born(key, maker === null ? null : this.#tasks.key(maker));
      }
    }
  }

  #operation(task: Task): Operation {
    return {
      task: this.#tasks.key(task),
      object: this.#objects.key(task.object),
      kind: task.op,
      timed: task.deadline !== null,
    };
  }
}

/** How many branches of a place are behind, and how many it has as far as is known. */
function branchesOf({ backtrack, sleep, enabled, taken, tried }: Step): readonly [number, number] {
  const now = enabled[taken]?.task;
  let open = 0;
  for (const { task } of enabled) if (task !== now && backtrack.has(task) && !sleep.has(task)) open++;
  return [tried, tried + 1 + open];
}

/** The next task to be tried from a place; -1 when it has been explored. */
function nextTask(step: Step): number {
  const done = step.enabled[step.taken];
  if (done !== undefined) step.sleep.set(done.task, done);
  step.tried++;
  return step.enabled.findIndex(({ task }) => step.backtrack.has(task) && !step.sleep.has(task));
}
