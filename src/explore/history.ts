// SPDX-License-Identifier: GPL-2.0-only

/**
 * The order of a run's operations: which happen before which, and which two were done in one order and could
 * have been done in the other.
 */
import { commute, type OpKind } from '../sim/op.ts';

/** An operation by keys that mean the same in every run of a program. */
export interface Operation {
  /** Keys of the task that does it and of the object it is done on. */
  readonly task: number;
  readonly object: number;
  readonly kind: OpKind;
  /** It can also be ready because time ran out. */
  readonly timed: boolean;
}

/** Whether the order of two operations of different tasks can matter. */
export const conflict = (a: Operation, b: Operation): boolean =>
  a.object === b.object && !commute(a.kind, b.kind);

/** Whether `later` is possible only after something like `earlier`: then the two have no other order. */
const enables = (earlier: Operation, later: Operation): boolean =>
  !later.timed && earlier.kind.enables.has(later.kind.name);

/**
 * The past of an event: for each task, one more than the number of its last event in that past. A task that is
 * absent, or 0, has none.
 */
type Clock = readonly number[];

/** Whether event number `at`, of `task`, is in a past. */
const inPast = (clock: Clock, task: number, at: number): boolean => (clock[task] ?? 0) > at;

interface Event extends Operation {
  /** Its number in the run. */
  readonly at: number;
  readonly clock: Clock;
  /** What was the past of its task before it. */
  readonly before: Clock;
}

const NOTHING: Clock = [];

/** The events of a run so far. Grows at its end and can be cut there. */
export class History {
  readonly #events: Event[] = [];
  /** By task: the clock of its last event, or what its maker had done when it was made. */
  readonly #pasts: Clock[] = [];
  /** By object: the events on it. */
  readonly #objects: Event[][] = [];
  /** Tasks that were made, in order, with the number of the event that came next. */
  readonly #births: { readonly task: number; readonly at: number }[] = [];

  readonly #known = new Set<number>();

  /** Whether the task has appeared. */
  knows(task: number): boolean {
    return this.#known.has(task);
  }

  get length(): number {
    return this.#events.length;
  }

  /** A task appears, made by the task `maker` (null: there from the start). */
  born(task: number, maker: number | null): void {
    this.#births.push({ task, at: this.#events.length });
    this.#known.add(task);
    this.#pasts[task] = maker === null ? NOTHING : (this.#pasts[maker] ?? NOTHING);
  }

  add(operation: Operation): void {
    const event = this.#event(operation);
    this.#events.push(event);
    this.#pasts[operation.task] = event.clock;
    this.#on(operation.object).push(event);
  }

  /** Takes back all events from number `length` on, with the tasks that they made. */
  truncate(length: number): void {
    for (
      let event = this.#events.at(-1);
      event !== undefined && event.at >= length;
      event = this.#events.at(-1)
    ) {
      this.#events.pop();
      this.#objects[event.object]?.pop();
      this.#pasts[event.task] = event.before;
    }
    for (
      let birth = this.#births.at(-1);
      birth !== undefined && birth.at > length;
      birth = this.#births.at(-1)
    ) {
      this.#births.pop();
      this.#known.delete(birth.task);
    }
  }

  /**
   * Numbers of the events that race with `operation`, about to be done: in conflict, ordered by nothing
   * between, and not what made it possible: `waited` says of an event whether the task, about to do it already,
   * had to wait there. Latest first.
   */
  races(operation: Operation, waited: (at: number) => boolean): number[] {
    const past = this.#pasts[operation.task] ?? NOTHING;
    const on = this.#on(operation.object);
    const found: Event[] = [];
    for (let i = on.length - 1; i >= 0; i--) {
      const e = on[i];
      if (e === undefined || e.task === operation.task || inPast(past, e.task, e.at)) continue;
      if (commute(e.kind, operation.kind) || enables(e, operation)) continue;
      if (this.#isAnnounced(operation.task, e.at) && waited(e.at)) continue;
      if (!found.some((later) => inPast(later.clock, e.task, e.at))) found.push(e);
    }
    return found.map((e) => e.at);
  }

  /**
   * The tasks any one of which could go first, where event `at` was done, in a run that does `operation` (about
   * to be done) before that event: the first steps of what does not depend on the event.
   */
  initials(at: number, operation: Operation): number[] {
    const reversed = this.#events[at];
    if (reversed === undefined) return [];
    const firsts: Event[] = [];
    const consider = (e: Event): void => {
      if (!firsts.some((f) => f.task === e.task)) firsts.push(e);
    };
    for (let i = at + 1; i < this.#events.length; i++) {
      const e = this.#events[i];
      if (e !== undefined && !inPast(e.clock, reversed.task, at)) consider(e);
    }
    consider(this.#event(operation));
    return firsts
      .filter((e) => !firsts.some((f) => f !== e && inPast(e.clock, f.task, f.at)))
      .map((e) => e.task);
  }

  /** Whether the task, which is about to do something, was about to do the same before event `at`. */
  #isAnnounced(task: number, at: number): boolean {
    const last = (this.#pasts[task]?.[task] ?? 0) - 1;
    return last < at && this.#births.some((birth) => birth.task === task && birth.at <= at);
  }

  #event(operation: Operation): Event {
    const at = this.#events.length;
    const before = this.#pasts[operation.task] ?? NOTHING;
    const clock = before.slice();
    const on = this.#on(operation.object);
    for (let i = on.length - 1; i >= 0; i--) {
      const e = on[i];
      if (e !== undefined && !inPast(clock, e.task, e.at) && conflict(e, operation)) join(clock, e.clock);
    }
    while (clock.length < operation.task) clock.push(0);
    clock[operation.task] = at + 1;
    return { ...operation, at, clock, before };
  }

  #on(object: number): Event[] {
    let on = this.#objects[object];
    if (on === undefined) {
      on = [];
      this.#objects[object] = on;
    }
    return on;
  }
}

function join(into: number[], from: Clock): void {
  for (let task = 0; task < from.length; task++) {
    const n = from[task] ?? 0;
    if (n > (into[task] ?? 0)) {
      while (into.length < task) into.push(0);
      into[task] = n;
    }
  }
}
