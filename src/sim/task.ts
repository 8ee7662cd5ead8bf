// SPDX-License-Identifier: GPL-2.0-only

/**
 * A task: a generator that yields only where another task may go on instead, with the operation that it is
 * about to do. Everything between two such points is one step.
 */
import type { Named } from './observed.ts';
import { Observed } from './observed.ts';
import { type OpKind, op } from './op.ts';

/**
 * What a function returns that may let other tasks run: `yield*` it. Primitives that need not wait return a
 * finished iterator at once, so that the common path allocates nothing and suspends nobody.
 */
export type Co<T> = Iterable<void, T, void>;
/** The return type of a generator function whose result others `yield*`. */
export type Gen<T> = Generator<void, T, void>;

export type TaskState = 'runnable' | 'finished' | 'dead';

const START = op<Task>('start');

export class Task extends Observed {
  /** Generators of the model functions it is suspended in, outermost (its body) first. See coroutine.ts. */
  readonly stack: Gen<unknown>[];
  /** Those it is leaving just now, innermost first. */
  readonly left: Gen<unknown>[] = [];
  /** It has announced an operation that another task comes before, and must suspend. */
  leaving = false;
  /** What the announced operation does once it is due. */
  effect: ((object: Observed, operand: number) => unknown) | null = null;
  /** What the function that ended last returned, for its caller. */
  value: unknown = undefined;
  /**
   * A daemon may wait for ever (interrupt handlers, hardware that waits for requests): it keeps no run from
   * ending.
   */
  readonly daemon: boolean;
  state: TaskState = 'runnable';
  /** The operation it will do when it runs next, and on what. */
  op: OpKind;
  object: Observed;
  /** A number that the operation needs beside its object: a ticket, a sequence number. */
  operand = 0;
  /** Absolute virtual time at which a timed wait gives up; null: it waits for ever. */
  deadline: number | null = null;
  /** Set by a wake-up, cleared when a wait starts. */
  woken = false;
  /** What it sleeps for in wait_event. */
  condition: (() => Co<boolean>) | null = null;
  /** Spinlocks and other reasons not to sleep. */
  preemptCount = 0;
  /** Depth of RCU read-side sections, and how many outermost ones it has entered. */
  rcuDepth = 0;
  rcuSections = 0;
  /** Ids of the model functions it is inside of, outermost first; `depth` of them count. */
  readonly frames: number[] = [];
  depth = 0;
  /**
   * Hash (two words) of all that it was told since it entered the model function it is in, or began what it does
   * now; and the same of the functions around that one, outermost first. See fingerprint.ts.
   */
  told = 0;
  told2 = 0;
  readonly toldBefore: number[] = [];
  /** Of the same, by member of an orbit, where it was named; empty: no member was. See symmetry.ts. */
  toldOf: number[] = [];
  readonly toldOfBefore: number[][] = [];
  /** How many operations of its program it has begun. */
  stage = 0;
  #names: Map<string, string[]> | null = null;

  /** It does nothing until `Scheduler.add` has it. */
  constructor(creator: Named, role: string, body: Gen<void>, daemon = false) {
    super(creator, role);
    this.stack = [body];
    this.daemon = daemon;
    this.op = START;
    this.object = this;
  }

  override get $recorded(): boolean {
    return false;
  }

  override $state(see: (value: unknown) => void): void {
    see(this.state);
    if (this.state !== 'runnable') return;
    see(this.op.name);
    see(this.object);
    see(this.operand);
    see(this.woken);
    see(this.preemptCount);
    see(this.rcuDepth);
    for (const told of this.toldBefore) see(told);
    see(this.told);
    see(this.told2);
    see(this.stage);
  }

  /** The next `role` that this task creates is called `name`: how a case's `as` names what a call makes. */
  expectName(role: string, name: string): void {
    if (this.#names === null) this.#names = new Map();
    const waiting = this.#names.get(role);
    if (waiting === undefined) this.#names.set(role, [name]);
    else waiting.push(name);
  }

  /** Withdraws names that were not taken: the call that should have made the object failed. */
  forgetNames(): void {
    this.#names = null;
  }

  takeName(role: string): string | null {
    return this.#names?.get(role)?.shift() ?? null;
  }
}
