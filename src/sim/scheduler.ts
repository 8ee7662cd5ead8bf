// SPDX-License-Identifier: GPL-2.0-only

/**
 * Runs tasks one at a time. A task announces its next operation with `point`; the policy says who goes on;
 * only if that is another task is the generator suspended at all. So a run in which nobody else goes on
 * costs no generator resumption, and every schedule is possible all the same.
 */
import { ABANDON, type Choice, type Policy, TaskChoice } from './choice.ts';
import { context } from './context.ts';
import { resume } from './coroutine.ts';
import { Oops, Unwind } from './errors.ts';
import { exit } from './fn.ts';
import { describeHang } from './hang.ts';
import type { Named, Observed } from './observed.ts';
import type { OpKind } from './op.ts';
import { type Co, type Gen, Task } from './task.ts';
import { NoTrace, OP, SWITCH } from './trace.ts';

/** How a run came to its end. Only `finished` says that nothing is left to happen. */
export type Ending =
  | { readonly status: 'finished' }
  | { readonly status: 'hang'; readonly report: string }
  | { readonly status: 'limit'; readonly steps: number }
  | { readonly status: 'abandoned' };

export interface SchedulerOptions {
  /** Steps after which a run is given up as endless. */
  readonly stepLimit: number;
  /** Timed waits may end at any moment, not only when nothing else can happen: for exploration. */
  readonly earlyTimers: boolean;
}

export class Scheduler {
  readonly policy: Policy;
  /** Every task that is neither finished nor dead, in order of creation. */
  readonly live: Task[] = [];
  /** Virtual time, ms (HZ = 1000). Moves only when nothing can run without it. */
  now = 0;
  /** Operations performed so far. */
  steps = 0;
  readonly #options: SchedulerOptions;
  readonly #choice = new TaskChoice();
  #next: Task | null = null;
  #ending: Ending | null = null;
  #peeks = false;
  /** Tasks suspended in the middle of a step (see `preempt`), innermost last: only that one can go on. */
  readonly #nested: Task[] = [];

  constructor(policy: Policy, options: SchedulerOptions) {
    this.policy = policy;
    this.#options = options;
  }

  /** Takes in a task. */
  add<T extends Task>(task: T): T {
    this.live.push(task);
    return task;
  }

  /** Makes a task whose first operation is not `start`: a work item, a timer. */
  spawn<T extends Observed>(
    creator: Named,
    role: string,
    body: Gen<void>,
    first: OpKind<T>,
    object: T,
  ): Task {
    const task = this.add(new Task(creator, role, body));
    task.op = first;
    task.object = object;
    return task;
  }

  /** Takes away a task that has not started: a work item or timer that was cancelled. */
  discard(task: Task): void {
    task.state = 'finished';
    this.live.splice(this.live.indexOf(task), 1);
  }

  /** Runs until nothing is left to do, nothing can go on, the limit is reached or the policy gives up. */
  run(): Ending {
    this.#ending = null;
    this.#next = this.#pick(null);
    this.#loop(null);
    if (context.current !== null) context.trace.push(SWITCH, -1, 0, 0);
    context.current = null;
    if (this.#ending !== null) return this.#ending;
    const stuck = this.live.filter((t) => !t.daemon);
    return stuck.length === 0 ? { status: 'finished' } : { status: 'hang', report: describeHang(stuck) };
  }

  /**
   * The running task is about to do `kind` on `object`. Null: it is due at once. Else another task goes first
   * and the running one, returned, must suspend; when it is resumed the operation is due.
   */
  point<T extends Observed>(kind: OpKind<T>, object: T, operand: number): Task | null {
    const task = context.current;
    if (task === null) throw new Error(`${kind.name} ${object.name} outside a task`);
    if (task.leaving && !this.#peeks)
      throw new Error(`a yield* is missing before ${kind.name} ${object.name}`);
    task.op = kind;
    task.object = object;
    task.operand = operand;
    if (this.#peeks) return null;
    const next = this.#pick(task);
    if (next === task) {
      this.#perform(task);
      return null;
    }
    this.#next = next;
    task.leaving = true;
    return task;
  }

  /**
   * Lets other tasks run here, in the middle of a step: at an access on which a race was found. They run on
   * top of this one, so this task goes on only after those that were interrupted later have: what this
   * explores of a race is real, but it is not every order.
   */
  preempt<T extends Observed>(kind: OpKind<T>, object: T): void {
    const task = context.current;
    if (task === null) return;
    // Before it is asked who goes on: those below it in the stack cannot, as long as it is there.
    this.#nested.push(task);
    const interrupted = this.point(kind, object, 0) !== null;
    if (interrupted) this.#loop(task);
    this.#nested.pop();
    if (!interrupted) return;
    if (this.#next !== task) throw new Unwind();
    task.leaving = false;
    context.current = task;
    context.trace.push(SWITCH, task.$id, 0, 0);
    this.#perform(task);
  }

  /**
   * What `look` says for a task that sleeps, with nobody coming in between and nothing recorded: is what it waits
   * for so? It must change nothing. Not while a task runs.
   */
  peek<T>(task: Task, look: () => Co<T>): T {
    const { trace, watch } = context;
    const { op, object, operand } = task;
    context.trace = new NoTrace();
    context.watch = null;
    context.current = task;
    this.#peeks = true;
    try {
      const step = look()[Symbol.iterator]().next();
      if (step.done !== true) throw new Error(`${task.name} waits while it only looks`);
      return step.value;
    } finally {
      this.#peeks = false;
      context.current = null;
      context.watch = watch;
      context.trace = trace;
      task.op = op;
      task.object = object;
      task.operand = operand;
    }
  }

  /** Asks the policy a question that is not about tasks. */
  choose(choice: Choice): number {
    const option = this.policy.choose(choice);
    if (option === ABANDON) {
      this.#ending = { status: 'abandoned' };
      throw new Unwind();
    }
    return option;
  }

  #loop(until: Task | null): void {
    let last = context.current;
    while (this.#next !== null && this.#next !== until) {
      const task: Task = this.#next;
      context.current = task;
      if (task !== last) context.trace.push(SWITCH, task.$id, 0, 0);
      last = task;
      this.#perform(task);
      if (this.#over(task)) {
        this.live.splice(this.live.indexOf(task), 1);
        this.#next = this.#pick(null);
      } else if (!task.leaving) {
        throw new Error(`${task.name} yielded without announcing an operation`);
      }
    }
  }

  /** Resumes a task until it suspends; true when it will never go on. */
  #over(task: Task): boolean {
    try {
      if (!resume(task, exit)) return false;
      task.state = 'finished';
    } catch (e) {
      if (e instanceof Unwind) {
        this.#next = null;
        task.leaving = true;
        return false;
      }
      if (!(e instanceof Oops)) throw e;
      task.state = 'dead';
    }
    task.depth = 0;
    return true;
  }

  #perform(task: Task): void {
    context.trace.push(OP, task.object.$id, task.op.id, task.operand);
    this.steps++;
  }

  #pick(running: Task | null): Task | null {
    if (this.steps >= this.#options.stepLimit) {
      this.#ending = { status: 'limit', steps: this.steps };
      return null;
    }
    const choice = this.#choice;
    const enabled = choice.tasks;
    // Who is ready is seen by nobody in the run: the task that runs is not told of it.
    const { watch } = context;
    context.watch = null;
    let n = 0;
    do {
      choice.fallback = 0;
      for (const task of this.live) {
        if (!this.#ready(task)) continue;
        if (task === running) choice.fallback = n;
        enabled[n++] = task;
      }
    } while (n === 0 && this.#advance());
    context.watch = watch;
    if (n === 0) return null;
    if (n === 1 && this.policy.everyStep !== true) return enabled[0] ?? null;
    choice.count = n;
    const option = this.policy.choose(choice);
    if (option === ABANDON) {
      this.#ending = { status: 'abandoned' };
      return null;
    }
    const next = enabled[option];
    if (next === undefined) throw new Error(`the policy took option ${option} of ${enabled.length}`);
    return next;
  }

  #ready(task: Task): boolean {
    const kind = task.op;
    if (this.#nested.length > 0 && this.#nested.includes(task) && this.#nested.at(-1) !== task) return false;
    if (kind.immediate || kind.ready(task.object, task)) return true;
    return task.deadline !== null && (this.#options.earlyTimers || task.deadline <= this.now);
  }

  /** Moves time to the next deadline; false when there is none. */
  #advance(): boolean {
    let earliest = Number.POSITIVE_INFINITY;
    for (const task of this.live) if (task.deadline !== null) earliest = Math.min(earliest, task.deadline);
    if (earliest <= this.now || earliest === Number.POSITIVE_INFINITY) return false;
    this.now = earliest;
    return true;
  }
}
