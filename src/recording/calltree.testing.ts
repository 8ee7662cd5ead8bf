// SPDX-License-Identifier: GPL-2.0-only

/** Call trees: those that a real kernel was recorded with (ftrace's function graph), and the model's. */
import { Thread } from '../user/process.ts';
import { machine } from '../sim/context.ts';
import { functionInfo } from '../sim/fn.ts';
import { ENTER, EXIT, KIND_MASK, SWITCH, Trace } from '../sim/trace.ts';

/** A call, and the calls made by it, in order. */
export interface Call {
  readonly name: string;
  readonly calls: readonly Call[];
}

interface Open {
  readonly name: string;
  readonly calls: Open[];
}

/** Reads a recorded tree: a call a line, two spaces deeper than its caller. */
export function parseCalls(text: string): Call[] {
  const top: Open = { name: '', calls: [] };
  const open = [top];
  for (const line of text.split('\n').filter((it) => it !== '')) {
    const name = line.trimStart();
    const depth = (line.length - name.length) / 2;
    const call: Open = { name, calls: [] };
    const caller = open[depth];
    if (caller === undefined) throw new Error(`'${name}' is deeper than a call of the line above`);
    caller.calls.push(call);
    open.length = depth + 1;
    open.push(call);
  }
  return top.calls;
}

/** A trace that keeps the calls that threads of user space cause, and nothing else. */
export class CallTrace extends Trace {
  readonly calls: Open[] = [];
  /** The calls that each thread is inside of, outermost first. */
  readonly #open = new Map<number, Open[]>();
  #running: Open[] | null = null;

  override push(head: number, object: number, a: number, b: number): void {
    super.push(head, object, a, b);
    const kind = head & KIND_MASK;
    if (kind === SWITCH) this.#running = this.#stackOf(object);
    else if (kind === ENTER) this.#enter(functionInfo(object).name);
    else if (kind === EXIT) this.#running?.pop();
  }

  #stackOf(task: number): Open[] | null {
    if (!(machine().objects[task] instanceof Thread)) return null;
    const stack = this.#open.get(task) ?? [];
    this.#open.set(task, stack);
    return stack;
  }

  #enter(name: string): void {
    if (this.#running === null) return;
    const call: Open = { name, calls: [] };
    (this.#running.at(-1)?.calls ?? this.calls).push(call);
    this.#running.push(call);
  }
}

/** Takes calls out, of which those that they make stay, in their place. */
export function contract(calls: readonly Call[], gone: (call: string, caller: string) => boolean, caller = ''): Call[] {
  return calls.flatMap(({ name, calls: inner }) =>
    gone(name, caller)
      ? contract(inner, gone, caller)
      : [{ name, calls: contract(inner, gone, name) }],
  );
}

/** As parseCalls reads it. */
export const show = (calls: readonly Call[], indent = ''): string =>
  calls.map(({ name, calls: inner }) => `${indent}${name}\n${show(inner, `${indent}  `)}`).join('');
