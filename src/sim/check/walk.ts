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
  /** The record by which it was entered. */
  readonly at: number;
  readonly caller: Frame | null;
}

/** What user space asks of the kernel. */
interface Call {
  readonly text: string;
  /** The record by which it begins. */
  readonly at: number;
}

/** Where a task is at one moment: inside of which model functions, for which call of user space. */
export interface Stack {
  readonly task: Task | null;
  /** Null for tasks that serve none. */
  readonly call: Call | null;
  readonly innermost: Frame | null;
}

/** Where a run is in its trace: who runs, inside of what. */
export class Place {
  /** Of the record that is shown. */
  at = 0;
  #stack: Stack = { task: null, call: null, innermost: null };
  /** Of the tasks that do not run now. */
  readonly #others = new Map<Task | null, Stack>();

  /** Null: the machine itself. */
  get task(): Task | null {
    return this.#stack.task;
  }

  switchTo(task: Task | null): void {
    this.#others.set(this.#stack.task, this.#stack);
    this.#stack = this.#others.get(task) ?? { task, call: null, innermost: null };
  }

  enter(functionId: number): void {
    const { task, call, innermost } = this.#stack;
    this.#stack = { task, call, innermost: { functionId, at: this.at, caller: innermost } };
  }

  exit(): void {
    const { task, call, innermost } = this.#stack;
    this.#stack = { task, call, innermost: innermost?.caller ?? null };
  }

  /** User space calls; null: it has its answer. */
  serve(text: string | null): void {
    const { task, innermost } = this.#stack;
    this.#stack = { task, call: text === null ? null : { text, at: this.at }, innermost };
  }

  stack(): Stack {
    return this.#stack;
  }
}

/** A side of a report: what was done there, and the stack. */
export const side = (what: string, stack: Stack): string => `${what}\n${showStack(stack)}`;

/** Whether a task is inside of the function that `of`, a stack of its own or of another's, ends in. */
export function isInside(stack: Stack, of: Stack): boolean {
  if (stack.task !== of.task) return false;
  for (let at = stack.innermost; at !== null; at = at.caller) if (at.at === of.innermost?.at) return true;
  return of.innermost === null;
}

/** The record by which what a task is in began: a call of user space, or else its first function; -1: neither. */
export function beginning({ call, innermost }: Stack): number {
  let first = innermost;
  while (first !== null && first.caller !== null) first = first.caller;
  return call?.at ?? first?.at ?? -1;
}

/** The functions of a stack, innermost first. */
export function functionsOf({ innermost }: Stack): string[] {
  const names: string[] = [];
  for (let at = innermost; at !== null; at = at.caller) names.push(functionInfo(at.functionId).name);
  return names;
}

/** Who a stack is of, and what user space called there. */
export const taskOf = ({ task, call }: Stack): string =>
  `${task?.name ?? 'boot'}${call === null ? '' : `: ${call.text}`}`;

/** A stack in a report: the task and what user space called, then the functions, innermost first. */
const showStack = (stack: Stack): string =>
  [`  ${taskOf(stack)}`, ...functionsOf(stack).map((name) => `    ${name}`)].join('\n');

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
  /** `about`: the reference count that went wrong, if it was one. */
  warned?(text: string, about: Observed | null, place: Place): void;
  /** `of`: what it was done to. */
  breached?(kind: FindingKind, text: string, of: Observed | null, place: Place): void;
  /** An errno was born, for this reason. */
  failed?(reason: string, place: Place): void;
  /** The task's time ran out on this queue, with its condition true. */
  missed?(queue: Observed, place: Place): void;
  /** The run is over. */
  end?(machine: Machine): void;
}

/** Shows a run to the checkers; `until`: what comes before that record, and not the end. Returns where it is then. */
export function walk(machine: Machine, checkers: readonly Checker[], until?: number): Place {
  const { buf, values } = machine.trace;
  const len = until ?? machine.trace.len;
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
    place.at = at;
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
      case trace.CALL:
        place.serve(String(values[a]));
        break;
      case trace.RET:
        place.serve(null);
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
        const of = machine.objects[buf[at + 3] ?? -1] ?? null;
        if (kind !== undefined) for (const c of checkers) c.breached?.(kind, String(values[a]), of, place);
        break;
      }
      case trace.ERRNO:
        for (const c of checkers) c.failed?.(String(values[a]), place);
        break;
      case trace.MISSED:
        for (const c of checkers) c.missed?.(objectAt(id), place);
        break;
      case trace.WARN:
        for (const c of checkers) c.warned?.(String(values[a]), machine.objects[id] ?? null, place);
        break;
    }
  }
  if (until === undefined) for (const c of checkers) c.end?.(machine);
  return place;
}
