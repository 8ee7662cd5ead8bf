// SPDX-License-Identifier: GPL-2.0-only
import type { Policy } from './choice.ts';
import { context } from './context.ts';
import { type Observed, Root } from './observed.ts';
import { type Ending, Scheduler, type SchedulerOptions } from './scheduler.ts';
import { type Gen, Task } from './task.ts';
import { Trace } from './trace.ts';
import { type Design, decisions, LINUX_6_12 } from './variant.ts';

export interface MachineOptions extends SchedulerOptions {
  /** Kinds of choice, other than between tasks, that are open in this run. The others take their fallback. */
  readonly choices: ReadonlySet<string>;
  /** What its decision points choose. */
  readonly design: Design;
}

const DEFAULT_OPTIONS: MachineOptions = {
  stepLimit: 1_000_000,
  earlyTimers: false,
  choices: new Set(),
  design: LINUX_6_12,
};

/** One run: its objects, its tasks, its trace. What the model keeps per machine hangs on `singleton`. */
export class Machine {
  readonly root = new Root();
  /** Every observed object of the run, by `$id`. */
  readonly objects: Observed[] = [];
  readonly trace: Trace;
  readonly scheduler: Scheduler;
  readonly options: MachineOptions;
  /** Nothing happens that need not, whatever the options open: at boot, and after the program. */
  certain = false;
  readonly #singletons = new Map<unknown, unknown>();

  /** `trace`: one to be used again, from a run that is over; it is cleared. */
  constructor(policy: Policy, options: Partial<MachineOptions> = {}, trace = new Trace()) {
    this.options = { ...DEFAULT_OPTIONS, ...options };
    this.trace = trace;
    trace.clear();
    this.scheduler = new Scheduler(policy, this.options);
  }

  /** Makes this the machine that runs, in place of any other. */
  powerOn(): this {
    decisions.build(this.options.design);
    context.machine = this;
    context.scheduler = this.scheduler;
    context.trace = this.trace;
    context.current = null;
    context.watch = null;
    return this;
  }

  /** A task of the machine's own making (boot code, a case's thread). */
  spawn(role: string, body: Gen<void>, daemon = false): Task {
    return this.scheduler.add(new Task(this.root, role, body, daemon));
  }

  run(): Ending {
    if (context.machine !== this) throw new Error('this machine is not the one that is powered on');
    return this.scheduler.run();
  }

  /** What Linux keeps in a global variable: one a machine, made when first asked for. */
  singleton<T>(make: (creator: Root) => T): T {
    let it = this.#singletons.get(make);
    if (it === undefined) {
      it = make(this.root);
      this.#singletons.set(make, it);
    }
    // cast: stored under the very function that makes a T
    return it as T;
  }
}
