// SPDX-License-Identifier: GPL-2.0-only

/**
 * State mode: every state once. A run is cut where it comes to a state that was there before. Decides what
 * depends on states: outcomes, end states, hangs, warnings. It does not decide races and lock order, which are
 * about paths: a path into a state that was seen before is not followed.
 *
 * Why that is enough: the fingerprint holds all that the future of a run depends on, and all that the verdict
 * will say of the past (what the tasks were told, what was warned of). So what can follow a state that was
 * seen has been seen, or is still on the way to be.
 *
 * Two reductions, each left out by `reduce: false`. Movers: an operation that no other task can tell from one
 * done earlier is done at once (see movers.ts). Sleep sets (Godefroid, Holzmann, Pirottin: State-space caching
 * revisited, 1992): after a step of one task, another that was tried before it from the same place sleeps as
 * long as nothing is done that conflicts with what it is about to do; for that order has been seen. They cut
 * ways, not states: a state that is met again is left alone only if all that sleeps there now and did not
 * then is tried from it, too.
 *
 * And symmetry: where tasks are interchangeable, states that differ only in who of them is who are one (see
 * fingerprint.ts). The runs from the one are those from the other under other names, as the names of objects mean
 * nothing to them; so nothing is lost, if it is true that those tasks do the same, that no other tells one from
 * another, and that they begin alike. Who says that they are answers for it: of a case its text is compared
 * (src/case/symmetry.ts). What can be seen of the contrary is looked for besides: the first state must be the same
 * whoever of them is who; a task that comes to a member's own without having been told of it knows members by
 * itself; and for each end that is met its images are run, too, each step for step as the run that it is the image
 * of. What does not fit ends the reduction, and exploration begins anew without. Who
 * sleeps is kept by the places that tasks take in the fingerprint; what tasks were seen to do counts as seen of all
 * that are like them (movers.ts).
 */
import { ABANDON, type Choice, type Policy } from '../sim/choice.ts';
import { context } from '../sim/context.ts';
import { Fingerprint } from '../sim/fingerprint.ts';
import type { Machine } from '../sim/machine.ts';
import type { Symmetry } from '../sim/symmetry.ts';
import { refcount_t } from '../sim/sync/refcount.ts';
import type { Task } from '../sim/task.ts';
import type { Told } from '../sim/told.ts';
import { conflict, type Operation } from './history.ts';
import { Mirrors } from './mirror.ts';
import { type Image, Movers, NOBODY, NOT_YET } from './movers.ts';
import { Names } from './names.ts';
import { Seen } from './seen.ts';
import { Standings } from './standing.ts';
import type { ExecuteWatched, Exploration, Limits, Run } from './traces.ts';

export interface StatesOptions extends Limits {
  /** What the verdict depends on that is in no observed object; in any order. */
  readonly extra?: () => readonly string[];
  /** False: every state at every operation, for comparison and for who looks at each state on the way. */
  readonly reduce?: boolean;
  /** Tasks that are interchangeable. */
  readonly symmetry?: Symmetry | null;
}

/** More permutations than these are not tried at each end. */
const MOST_PERMUTATIONS = 5_040;

/** Explores a program's states. `visit` is called for each execution that came to an end. */
export function exploreStates(
  execute: ExecuteWatched,
  visit: (run: Run, options: () => number[]) => void,
  options: StatesOptions,
): Exploration {
  const { extra = () => [], reduce = true, symmetry: given = null } = options;
  let symmetry = reduce ? given : null;
  let asymmetry: string | null = null;
  if (symmetry !== null && symmetry.order > MOST_PERMUTATIONS) {
    asymmetry = `there are ${symmetry.order} ways in which tasks can be each other`;
    symmetry = null;
  }
  let explorer = new StateExplorer(extra, reduce, symmetry);
  let mirrors = symmetry === null ? null : new Mirrors(symmetry, extra);
  let executions = 0;
  let redundant = 0;
  const isEnough = (): boolean =>
    executions >= options.executions ||
    options.stop?.({ executions, share: () => explorer.share() }) === true;
  const result = (complete: boolean): Exploration => ({
    complete,
    executions,
    redundant,
    states: explorer.states,
    ...(asymmetry === null ? {} : { asymmetry }),
  });
  for (let more = true; more; ) {
    if (isEnough()) return result(false);
    const run = execute(explorer.begin(), explorer.fingerprint);
    executions++;
    explorer.end(run);
    const isOver = run.ending.status !== 'abandoned';
    const images = isOver ? (mirrors?.of(explorer.fingerprint) ?? []) : [];
    if (isOver) visit(run, () => explorer.options());
    else redundant++;
    asymmetry = explorer.asymmetry ?? explorer.fingerprint.asymmetry ?? asymmetry;
    for (const image of images) {
      if (isEnough()) return result(false);
      asymmetry ??= mirrors?.run(execute, explorer.answers, image, visit) ?? null;
      executions += 2;
    }
    if (asymmetry === null || mirrors === null) {
      more = explorer.next();
    } else {
      explorer = new StateExplorer(extra, reduce, null);
      mirrors = null;
    }
  }
  return result(true);
}

/** A choice between tasks, in a state where no run has been. */
interface Place {
  readonly type: 'place';
  /** Its number among the answers. */
  readonly at: number;
  readonly told: readonly Told[];
  /** What each task that could go on was about to do; by option. */
  readonly enabled: readonly Operation[];
  /** By option: the tasks, as bits, whose operation conflicts with it here. */
  readonly conflicts: readonly number[];
  /** Options still to be taken, last first; and how many there were. */
  readonly left: number[];
  readonly all: number;
  /** Tasks that sleep, as bits: those that came asleep, and those that were tried. */
  asleep: number;
}

/** A choice of another kind: every option is tried. */
interface Branch {
  readonly type: 'branch';
  readonly at: number;
  readonly told: readonly Told[];
  readonly left: number[];
  readonly all: number;
}

const BITS = 31;

/** The bit of a task; 0 for those that there is none for: they never sleep. */
const bit = (task: number): number => (task < BITS ? 1 << task : 0);

/** Tasks, as bits, by the places that they take. One whose place has no bit is lost. */
function placed(tasks: number, places: readonly number[] | null): number {
  if (places === null || tasks === -1) return tasks;
  return places.reduce((bits, place, task) => ((tasks & bit(task)) === 0 ? bits : bits | place), 0);
}

/** The tasks that take these places. */
function unplaced(bits: number, places: readonly number[] | null): number {
  if (places === null || bits === -1) return bits;
  return places.reduce((tasks, place, task) => ((bits & place) === 0 ? tasks : tasks | bit(task)), 0);
}

const OVER = Number.POSITIVE_INFINITY;
const NO_CHANGE: readonly number[] = [];
const NO_IMAGES: Image[] = [];

class StateExplorer implements Policy {
  readonly everyStep = true;
  readonly fingerprint: Fingerprint;
  /** Why tasks are not interchangeable that were said to be. */
  asymmetry: string | null = null;
  readonly #reduce: boolean;
  readonly #extra: () => readonly string[];
  readonly #symmetry: Symmetry | null;
  readonly #names: Names;
  readonly #tasks: Names;
  readonly #seen = new Seen();
  readonly #movers: Movers;
  readonly #standings: Standings;
  /** By task, how far it is, NOT_YET or OVER. */
  readonly #stages: number[] = [];
  readonly #path: (Place | Branch)[] = [];
  /** The options taken, and of how many, at every call of `choose`. */
  readonly #answers: number[] = [];
  readonly #counts: number[] = [];
  /** Calls of `choose` so far in this run; and whether there was a run before. */
  #calls = 0;
  #hasBegun = false;

  constructor(extra: () => readonly string[], reduce: boolean, symmetry: Symmetry | null) {
    this.#extra = extra;
    this.#reduce = reduce;
    this.#symmetry = symmetry;
    this.fingerprint = new Fingerprint(symmetry);
    this.#names = new Names(symmetry);
    this.#tasks = new Names(symmetry);
    this.#standings = new Standings(this.#tasks, this.#names);
    this.#movers = new Movers((seen) => this.#images(seen));
  }

  /** The options that were taken, at every call of `choose`. */
  get answers(): readonly number[] {
    return this.#answers;
  }

  get states(): number {
    return this.#seen.size;
  }

  begin(): Policy {
    this.#calls = 0;
    return this;
  }

  choose(choice: Choice): number {
    // As the machine boots there is nothing to choose.
    if (context.watch !== this.fingerprint) return choice.fallback;
    if (this.#calls === 0) this.#first();
    if (this.asymmetry !== null) return ABANDON;
    // The task that runs is not told of what is looked at here.
    context.watch = null;
    // At the last choice that is known the way parts from those that were gone before.
    const last = this.#path.at(-1);
    if (last !== undefined && last.at === this.#calls && this.#calls === this.#answers.length - 1)
      this.fingerprint.arrive(last.told);
    const answer = this.#answers[this.#calls] ?? this.#answer(choice);
    context.watch = this.fingerprint;
    if (answer !== ABANDON) this.#calls++;
    return answer;
  }

  /** The run is over: what its blocked tasks would have done next counts for movers, too. */
  end({ machine, ending }: Run): void {
    if (ending.status === 'abandoned') return;
    if (this.#reduce) this.#meetAll(machine);
    if (this.#symmetry !== null) this.fingerprint.look(this.#extra());
  }

  /** Turns to the next run; false when there is none. */
  next(): boolean {
    if (this.#movers.refuted) {
      this.#movers.again();
      this.#seen.clear();
      this.#path.length = 0;
      this.#answers.length = 0;
      this.#counts.length = 0;
      return true;
    }
    for (let last = this.#path.at(-1); last !== undefined; last = this.#path.at(-1)) {
      const done = this.#answers[last.at];
      this.#answers.length = last.at;
      this.#counts.length = last.at + 1;
      const option = last.left.pop();
      if (option !== undefined) {
        if (last.type === 'place') last.asleep |= bit(last.enabled[done ?? -1]?.task ?? 31);
        this.#answers.push(option);
        return true;
      }
      this.#path.pop();
    }
    return false;
  }

  /** See Progress. */
  share(): number {
    let share = 0;
    let weight = 1;
    for (const { left, all } of this.#path) {
      share += (weight * (all - 1 - left.length)) / all;
      weight /= all;
    }
    return share;
  }

  /** The run as the options that were taken where there was more than one. */
  options(): number[] {
    return this.#answers.filter((_, call) => (this.#counts[call] ?? 0) > 1);
  }

  /** At the first choice of a run. */
  #first(): void {
    const { machine } = context;
    if (machine === null) throw new Error('a run is going on');
    this.fingerprint.begin(machine);
    this.#standings.begin();
    this.#movers.begin();
    this.#stages.length = 0;
    if (this.#answers.length > 0) this.fingerprint.pass();
    if (!this.#hasBegun && this.#symmetry !== null) this.asymmetry = this.#unlike(this.#symmetry);
    this.#hasBegun = true;
  }

  /** How the tasks of an orbit begin unlike each other; null: they do not. */
  #unlike(symmetry: Symmetry): string | null {
    this.fingerprint.look(this.#extra());
    const [a, b] = this.fingerprint.under(NO_CHANGE);
    const isLike = symmetry.exchanges.every((exchange) => {
      const [x, y] = this.fingerprint.under(exchange);
      return x === a && y === b;
    });
    return isLike ? null : 'the tasks begin unlike each other';
  }

  /** What other members of orbits would do, of what a task was seen to do. */
  #images({ task, object, held }: Image): Image[] {
    const symmetry = this.#symmetry;
    if (symmetry === null) return NO_IMAGES;
    const locks = held.map((code) => code >> 1);
    const members = [
      ...(task === NOBODY ? [] : this.#tasks.members(task)),
      ...this.#names.members(object),
      ...locks.flatMap((lock) => this.#names.members(lock)),
    ];
    if (members.length === 0) return NO_IMAGES;
    return symmetry.images(members).map((permutation) => ({
      task: task === NOBODY ? NOBODY : this.#tasks.image(task, permutation),
      object: this.#names.image(object, permutation),
      held: held
        .map((code) => this.#names.image(code >> 1, permutation) * 2 + (code & 1))
        .sort((x, y) => x - y),
    }));
  }

  #answer(choice: Choice): number {
    const option = choice.kind === 'task' ? this.#place(choice) : this.#branch(choice);
    if (option === ABANDON) return ABANDON;
    this.#answers.push(option);
    this.#counts.push(choice.count);
    return option;
  }

  #branch({ count }: Choice): number {
    const left = Array.from({ length: count - 1 }, (_, i) => count - 1 - i);
    const told = this.fingerprint.told();
    this.#path.push({ type: 'branch', at: this.#calls, told, left, all: count });
    return 0;
  }

  #place({ tasks, count }: Choice): number {
    const enabled: Operation[] = [];
    for (let option = 0; option < count; option++) {
      const task = tasks[option];
      if (task !== undefined) enabled.push(this.#operation(task));
    }
    for (const task of context.machine?.scheduler.live ?? []) this.fingerprint.goesFor(task, task.object);
    this.asymmetry ??= this.fingerprint.asymmetry;
    if (this.asymmetry !== null) return ABANDON;
    if (this.#reduce) {
      const mover = this.#mover(enabled, tasks);
      if (this.#movers.refuted) return ABANDON;
      if (mover >= 0) return mover;
    }
    this.fingerprint.look(this.#extra());
    const { a, b } = this.fingerprint;
    const places = this.#places();
    const asleep = unplaced(placed(this.#asleep(), places), places);
    const slot = this.#seen.slot(a, b);
    const before = this.#seen.has(slot) ? unplaced(this.#seen.asleep(slot), places) : -1;
    // Met before: only who slept then and is awake now. (-1: all bits.)
    const wanted = (task: number): boolean =>
      (before & bit(task)) !== 0 || (before === -1 && bit(task) === 0);
    this.#seen.put(slot, a, b, placed(before & asleep, places));
    const left: number[] = [];
    for (let option = enabled.length - 1; option >= 0; option--) {
      const task = enabled[option]?.task ?? -1;
      if (wanted(task) && (asleep & bit(task)) === 0) left.push(option);
    }
    const first = left.pop();
    if (first === undefined) return ABANDON;
    const conflicts = enabled.map((_, option) => conflictsOf(option, enabled, tasks));
    this.#path.push({
      type: 'place',
      at: this.#calls,
      told: this.fingerprint.told(),
      enabled,
      conflicts,
      left,
      all: left.length + 1,
      asleep: before & asleep,
    });
    return first;
  }

  /** The option whose operation needs no choice; -1: there is none. */
  #mover(enabled: readonly Operation[], tasks: readonly Task[]): number {
    if (context.machine !== null) this.#meetAll(context.machine);
    return enabled.findIndex(({ task: key, object, kind, timed }, option) => {
      const task = tasks[option];
      if (timed || task === undefined) return false;
      return this.#movers.move(key, object, kind, this.#standings.of(key, task), this.#stages);
    });
  }

  #meetAll(machine: Machine): void {
    this.#standings.read(machine, (task, object, added) =>
      this.#movers.did(task, object, this.#standings.phase, added),
    );
    // Those that are not live any more do nothing more.
    for (const [key, stage] of this.#stages.entries()) if (stage >= 0) this.#stages[key] = OVER;
    for (const task of machine.scheduler.live) {
      const { task: key, object, kind } = this.#operation(task);
      while (this.#stages.length < key) this.#stages.push(NOT_YET);
      this.#stages[key] = task.stage;
      const value = kind.counts !== 0 && task.object instanceof refcount_t ? task.object.refs : null;
      this.#movers.meet(key, object, kind, this.#standings.of(key, task), value);
    }
  }

  /** Who sleeps after the last choice between tasks. */
  #asleep(): number {
    const last = this.#path.findLast((node) => node.type === 'place');
    if (!this.#reduce || last === undefined) return 0;
    const taken = this.#answers[last.at] ?? -1;
    const done = last.enabled[taken];
    return last.asleep & ~(last.conflicts[taken] ?? -1) & ~bit(done?.task ?? 31);
  }

  /** By task, the bit of the one whose place it takes in the fingerprint; null: each takes its own. */
  #places(): readonly number[] | null {
    const { places } = this.fingerprint;
    if (this.#symmetry === null) return null;
    return Array.from({ length: BITS }, (_, task) => bit(this.#tasks.image(task, places)));
  }

  #operation(task: Task): Operation {
    return {
      task: this.#tasks.key(task),
      object: this.#names.key(task.object),
      kind: task.op,
      timed: task.deadline !== null,
    };
  }
}

/**
 * The tasks whose operation conflicts with that of an option, here: of two that change a reference count only
 * if it could come to 0 by them.
 */
function conflictsOf(option: number, enabled: readonly Operation[], tasks: readonly Task[]): number {
  const done = enabled[option];
  const object = tasks[option]?.object;
  if (done === undefined) return -1;
  let conflicts = 0;
  for (const other of enabled) {
    if (other === done || !conflict(other, done)) continue;
    const falls = Math.min(done.kind.counts, 0) + Math.min(other.kind.counts, 0);
    const counted = done.kind.counts !== 0 && other.kind.counts !== 0 && object instanceof refcount_t;
    if (!counted || object.refs + falls <= 0) conflicts |= bit(other.task);
  }
  return conflicts;
}
