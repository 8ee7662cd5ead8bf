// SPDX-License-Identifier: GPL-2.0-only

/**
 * Data races by happens-before: two tasks touch a field, one of them writes (freeing counts), and no operation
 * orders the two. One run shows the races of all runs that are reorderings of it, also where the two were far
 * apart. What orders: operations on the same object that do not commute, a task's making. What does not:
 * user copies, and accesses that are marked (READ_ONCE) or counters that Linux leaves unordered.
 */
import { CONTENTS } from '../collections/collection.ts';
import { functionInfo } from '../fn.ts';
import type { Observed } from '../observed.ts';
import { commute, type OpKind } from '../op.ts';
import { fieldInfo } from '../struct.ts';
import type { Task } from '../task.ts';
import type { Findings } from './finding.ts';
import { fieldName, fieldPath } from './racing.ts';
import { type Checker, type Place, type Stack, side } from './walk.ts';

/** For each task, how many of its epochs are in the past; a task starts a new epoch when it orders something. */
type Clock = Map<Task | null, number>;

interface Access {
  readonly task: Task | null;
  readonly epoch: number;
  readonly write: boolean;
  readonly how: string;
  readonly stack: Stack;
}

/** The last accesses to a field: a write, and the reads since. */
interface Location {
  write: Access | null;
  reads: Access[];
}

export class RaceChecker implements Checker {
  readonly #findings: Findings;
  /** Told of each field that races, so that a rerun can stop there. */
  readonly #racing: Set<string>;
  readonly #clocks = new Map<Task | null, Clock>();
  readonly #objects = new Map<Observed, Map<OpKind, Clock>>();
  readonly #locations = new Map<Observed, Map<number, Location>>();
  /** By allocation: the objects in it that were accessed. */
  readonly #parts = new Map<Observed, Set<Observed>>();
  /** The task did a marked access: the one that follows is meant to race. */
  readonly #marked = new Set<Task | null>();
  /** The task is in the middle of an opaque operation. */
  readonly #opaque = new Set<Task | null>();

  constructor(findings: Findings, racing: Set<string>) {
    this.#findings = findings;
    this.#racing = racing;
  }

  spawned(task: Task, place: Place): void {
    const clock = new Map(this.#clock(place.task));
    // The machine makes tasks only while none runs: before the run, or after all have ended.
    if (place.task === null) for (const other of this.#clocks.values()) join(clock, other);
    this.#clocks.set(task, clock.set(task, 1));
    this.#tick(place.task);
  }

  opaque({ task }: Place): void {
    this.#opaque.add(task);
  }

  done({ task }: Place): void {
    this.#opaque.delete(task);
  }

  operation(kind: OpKind, object: Observed, place: Place): void {
    const { task } = place;
    if (kind.marks) this.#marked.add(task);
    else this.#marked.delete(task);
    if (kind.opaque) this.#opaque.add(task);
    if (!kind.orders) return;
    const mine = this.#clock(task);
    const kinds = this.#objects.get(object) ?? new Map<OpKind, Clock>();
    this.#objects.set(object, kinds);
    for (const [other, clock] of kinds) if (!commute(other, kind)) join(mine, clock);
    const own = kinds.get(kind) ?? new Map<Task | null, number>();
    kinds.set(kind, own);
    join(own, mine);
    this.#tick(task);
  }

  read(object: Observed, field: number, place: Place): void {
    if (this.#isAtomic(field, place.task)) return;
    const location = this.#location(object, field);
    const access = this.#access(false, 'read', place);
    this.#compare(object, field, location.write, access);
    const { reads } = location;
    const before = reads.findIndex((r) => r.task === place.task);
    if (before >= 0) reads.splice(before, 1);
    reads.push(access);
  }

  write(object: Observed, field: number, place: Place): void {
    if (this.#isAtomic(field, place.task)) return;
    this.#writes(object, field, this.#access(true, 'written', place));
  }

  freed(object: Observed, place: Place): void {
    const access = this.#access(true, 'freed', place);
    for (const part of this.#parts.get(object) ?? []) {
      for (const field of this.#locations.get(part)?.keys() ?? []) this.#writes(part, field, access);
    }
  }

  #isAtomic(field: number, task: Task | null): boolean {
    // The machine itself works only while no task runs: nothing is at the same time.
    if (task === null) return true;
    if (this.#marked.delete(task) || this.#opaque.has(task)) return true;
    return field !== CONTENTS && fieldInfo(field).field.atomic === true;
  }

  #writes(object: Observed, field: number, access: Access): void {
    const location = this.#location(object, field);
    this.#compare(object, field, location.write, access);
    for (const read of location.reads) this.#compare(object, field, read, access);
    location.write = access;
    location.reads = [];
  }

  #compare(object: Observed, field: number, before: Access | null, now: Access): void {
    if (before === null || before.task === now.task) return;
    if ((this.#clock(now.task).get(before.task) ?? 0) >= before.epoch) return;
    this.#racing.add(fieldPath(object, field));
    const [one, two] = [before, now].sort((a, b) => (sideOf(a) < sideOf(b) ? -1 : 1));
    if (one === undefined || two === undefined) return;
    this.#findings.add(
      'data-race',
      `${fieldName(object, field)}: ${sideOf(one)} against ${sideOf(two)}`,
      () => [one, two].map(({ how, stack }) => side(`${how} by`, stack)),
    );
  }

  #access(write: boolean, how: string, place: Place): Access {
    const epoch = this.#clock(place.task).get(place.task) ?? 0;
    return { task: place.task, epoch, write, how, stack: place.stack() };
  }

  #location(object: Observed, field: number): Location {
    let fields = this.#locations.get(object);
    if (fields === undefined) {
      fields = new Map();
      this.#locations.set(object, fields);
      const allocation = object.$allocation;
      const parts = this.#parts.get(allocation);
      if (parts === undefined) this.#parts.set(allocation, new Set([object]));
      else parts.add(object);
    }
    let location = fields.get(field);
    if (location === undefined) {
      location = { write: null, reads: [] };
      fields.set(field, location);
    }
    return location;
  }

  #clock(task: Task | null): Clock {
    let clock = this.#clocks.get(task);
    if (clock === undefined) {
      clock = new Map([[task, 1]]);
      this.#clocks.set(task, clock);
    }
    return clock;
  }

  #tick(task: Task | null): void {
    const clock = this.#clock(task);
    clock.set(task, (clock.get(task) ?? 0) + 1);
  }
}

/** A side of a race in words that are the same in every run: what it does, in which function. */
function sideOf({ how, task, stack }: Access): string {
  const inside = stack.innermost;
  return `${how} by ${task?.name ?? 'boot'}${inside === null ? '' : ` in ${functionInfo(inside.functionId).name}`}`;
}

function join(into: Clock, from: Clock): void {
  for (const [task, n] of from) if (n > (into.get(task) ?? 0)) into.set(task, n);
}
