// SPDX-License-Identifier: GPL-2.0-only

/** Reads a run's trace for checkers: each sees the events it asks for, with the task and its stack. */
import { CONTENTS } from '../collections/collection.ts';
import { functionInfo } from '../fn.ts';
import type { Machine } from '../machine.ts';
import type { Observed } from '../observed.ts';
import { type OpKind, opKind } from '../op.ts';
import { Task } from '../task.ts';
import * as trace from '../trace.ts';

/** Where a run is in its trace: who runs, inside of what. */
export class Place {
  /** Null: the machine itself. */
  task: Task | null = null;
  readonly #stacks = new Map<Task | null, number[]>();

  enter(functionId: number): void {
    const stack = this.#stacks.get(this.task);
    if (stack === undefined) this.#stacks.set(this.task, [functionId]);
    else stack.push(functionId);
  }

  exit(): void {
    this.#stacks.get(this.task)?.pop();
  }

  /** The model functions that the task is inside of now, outermost first: a copy. */
  stack(): Stack {
    return { task: this.task, functions: [...(this.#stacks.get(this.task) ?? [])] };
  }
}

export interface Stack {
  readonly task: Task | null;
  /** Ids. */
  readonly functions: readonly number[];
}

/** A stack in a report: the task, then the functions, innermost first. */
export function showStack({ task, functions }: Stack): string {
  const names = functions.map((id) => `    ${functionInfo(id).name}`).reverse();
  return [`  ${task?.name ?? 'boot'}:`, ...names].join('\n');
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
  const tell = (event: (checker: Checker) => void): void => {
    for (const checker of checkers) event(checker);
  };
  for (let at = 0; at < len; at += trace.STRIDE) {
    const head = buf[at] ?? 0;
    const id = buf[at + 1] ?? 0;
    const a = buf[at + 2] ?? 0;
    switch (head & trace.KIND_MASK) {
      case trace.SWITCH: {
        const task = id < 0 ? null : objectAt(id);
        place.task = task instanceof Task ? task : null;
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
        if (object instanceof Task) tell((c) => c.spawned?.(object, place));
        break;
      }
      case trace.ALLOC:
        tell((c) => c.allocated?.(objectAt(id), place));
        break;
      case trace.TAKE:
        tell((c) => c.taken?.(objectAt(id), a !== 0, place));
        break;
      case trace.GIVE:
        tell((c) => c.given?.(objectAt(id), place));
        break;
      case trace.FREE:
        tell((c) => c.freed?.(objectAt(id), place));
        break;
      case trace.WRITE:
        tell((c) => c.write?.(objectAt(id), head >>> trace.KIND_BITS, place, buf[at + 3] ?? 0));
        break;
      case trace.ADD:
      case trace.DEL:
      case trace.PUT:
        tell((c) => c.write?.(objectAt(id), CONTENTS, place, 0));
        break;
      case trace.READ:
        tell((c) => c.read?.(objectAt(id), a, place));
        break;
      case trace.OP:
        tell((c) => c.operation?.(opKind(a), objectAt(id), place));
        break;
      case trace.OPAQUE:
        tell((c) => c.opaque?.(place));
        break;
      case trace.DONE:
        tell((c) => c.done?.(place));
        break;
      case trace.WARN:
        tell((c) => c.warned?.(String(values[a]), place));
        break;
    }
  }
  tell((c) => c.end?.(machine));
}
