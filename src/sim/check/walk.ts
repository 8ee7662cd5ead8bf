// SPDX-License-Identifier: GPL-2.0-only

/** Reads a run's trace for checkers: each sees the events it asks for, with the task and its stack. */
import { CONTENTS } from '../collections/collection.ts';
import { functionInfo } from '../fn.ts';
import type { Machine } from '../machine.ts';
import type { Observed } from '../observed.ts';
import { type OpKind, opKind } from '../op.ts';
import { Task } from '../task.ts';
import * as trace from '../trace.ts';
import { FINDING_KINDS, type FindingKind } from './finding.ts';

/** A call that a task is inside of; shared by all stacks that it is in. */
interface Frame {
  readonly functionId: number;
  readonly caller: Frame | null;
}

/** The model functions that a task is inside of, at one moment. */
export interface Stack {
  readonly task: Task | null;
  readonly innermost: Frame | null;
}

/** Where a run is in its trace: who runs, inside of what. */
export class Place {
  /** Null: the machine itself. */
  #task: Task | null = null;
  #innermost: Frame | null = null;
  /** Of the tasks that do not run now. */
  readonly #others = new Map<Task | null, Frame | null>();

  get task(): Task | null {
    return this.#task;
  }

  switchTo(task: Task | null): void {
    this.#others.set(this.#task, this.#innermost);
    this.#task = task;
    this.#innermost = this.#others.get(task) ?? null;
  }

  enter(functionId: number): void {
    this.#innermost = { functionId, caller: this.#innermost };
  }

  exit(): void {
    this.#innermost = this.#innermost?.caller ?? null;
  }

  stack(): Stack {
    return { task: this.#task, innermost: this.#innermost };
  }
}

/** A stack in a report: the task, then the functions, innermost first. */
export function showStack({ task, innermost }: Stack): string {
  const lines = [`  ${task?.name ?? 'boot'}:`];
  for (let at = innermost; at !== null; at = at.caller) lines.push(`    ${functionInfo(at.functionId).name}`);
  return lines.join('\n');
}

/** What a checker asks to be told. Each method is called as the event happens, in the order of the run. */
export interface Checker {
  operation?(kind: OpKind, object: Observed, place: Place): void;
  /** Something opaque begins, without an operation; or is over. */
  opaque?(place: Place): void;
  done?(place: Place): void;
  read?(object: Observed, field: number, place: Place): void;
  /** `value`: the new one as the record has it; of a collection 0. */
  write?(object: Observed, field: number, place: Place, value: number): void;
  taken?(lock: Observed, shared: boolean, place: Place): void;
  given?(lock: Observed, place: Place): void;
  /** Brought to life by kzalloc. */
  allocated?(object: Observed, place: Place): void;
  freed?(object: Observed, place: Place): void;
  /** A task was made. */
  spawned?(task: Task, place: Place): void;
  warned?(text: string, place: Place): void;
  breached?(kind: FindingKind, text: string, place: Place): void;
  /** The task's time ran out on this queue, with its condition true. */
  missed?(queue: Observed, place: Place): void;
  /** The run is over. */
  end?(machine: Machine): void;
}

/** Shows a run to the checkers. */
export function walk(machine: Machine, checkers: readonly Checker[]): void {
  const { buf, len, values } = machine.trace;
  const place = new Place();
  const objectAt = (id: number): Observed => {
    const object = machine.objects[id];
    if (object === undefined)
      throw new Error(`the trace names object ${id}, which the machine does not have`);
    return object;
  };
  // Of the most frequent events, only who asks for them is told.
  const operating = checkers.filter((c) => c.operation !== undefined);
  const reading = checkers.filter((c) => c.read !== undefined);
  const writing = checkers.filter((c) => c.write !== undefined);
  for (let at = 0; at < len; at += trace.STRIDE) {
    const head = buf[at] ?? 0;
    const id = buf[at + 1] ?? 0;
    const a = buf[at + 2] ?? 0;
    switch (head & trace.KIND_MASK) {
      case trace.SWITCH: {
        const task = id < 0 ? null : objectAt(id);
        place.switchTo(task instanceof Task ? task : null);
        break;
      }
      case trace.ENTER:
        place.enter(id);
        break;
      case trace.EXIT:
        place.exit();
        break;
      case trace.NEW: {
        const object = objectAt(id);
        if (object instanceof Task) for (const c of checkers) c.spawned?.(object, place);
        break;
      }
      case trace.ALLOC:
        for (const c of checkers) c.allocated?.(objectAt(id), place);
        break;
      case trace.TAKE:
        for (const c of checkers) c.taken?.(objectAt(id), a !== 0, place);
        break;
      case trace.GIVE:
        for (const c of checkers) c.given?.(objectAt(id), place);
        break;
      case trace.FREE:
        for (const c of checkers) c.freed?.(objectAt(id), place);
        break;
      case trace.WRITE:
        for (const c of writing) c.write?.(objectAt(id), head >>> trace.KIND_BITS, place, buf[at + 3] ?? 0);
        break;
      case trace.ADD:
      case trace.DEL:
      case trace.PUT:
        for (const c of writing) c.write?.(objectAt(id), CONTENTS, place, 0);
        break;
      case trace.READ:
        for (const c of reading) c.read?.(objectAt(id), a, place);
        break;
      case trace.OP:
        for (const c of operating) c.operation?.(opKind(a), objectAt(id), place);
        break;
      case trace.OPAQUE:
        for (const c of checkers) c.opaque?.(place);
        break;
      case trace.DONE:
        for (const c of checkers) c.done?.(place);
        break;
      case trace.BREACH: {
        const kind = FINDING_KINDS[id];
        if (kind !== undefined) for (const c of checkers) c.breached?.(kind, String(values[a]), place);
        break;
      }
      case trace.MISSED:
        for (const c of checkers) c.missed?.(objectAt(id), place);
        break;
      case trace.WARN:
        for (const c of checkers) c.warned?.(String(values[a]), place);
        break;
    }
  }
  for (const c of checkers) c.end?.(machine);
}
