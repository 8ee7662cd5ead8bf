// SPDX-License-Identifier: GPL-2.0-only

/** Call trees: those recorded of a real kernel (ftrace's function graph), and the model's own. */
import { machine } from '../sim/context.ts';
import { functionInfo } from '../sim/fn.ts';
import { ENTER, EXIT, KIND_MASK, SWITCH, Trace } from '../sim/trace.ts';
import { Thread } from '../user/process.ts';

/** A call, and the calls that it makes, in order. */
export interface Call {
  readonly name: string;
  readonly calls: readonly Call[];
}

interface Growing extends Call {
  readonly calls: Growing[];
}

/** Reads a tree: a call a line, two spaces deeper than its caller. */
export function parseCalls(text: string): readonly Call[] {
  const top: Growing = { name: '', calls: [] };
  const open = [top];
  for (const line of text.split('\n').filter((it) => it !== '')) {
    const name = line.trimStart();
    const depth = (line.length - name.length) / 2;
    const caller = open[depth];
    if (caller === undefined) throw new Error(`'${name}' is not called by the line above`);
    const call: Growing = { name, calls: [] };
    caller.calls.push(call);
    open.length = depth + 1;
    open.push(call);
  }
  return top.calls;
}

/** The opposite of parseCalls. */
export const showCalls = (calls: readonly Call[], indent = ''): string =>
  calls.map(({ name, calls: inner }) => `${indent}${name}\n${showCalls(inner, `${indent}  `)}`).join('');

/** A trace that keeps, beyond `clear`, the calls that threads of user space cause. */
export class CallTrace extends Trace {
  readonly calls: Growing[] = [];
  /** By task, the calls that it is inside of, outermost first. */
  readonly #open = new Map<number, Growing[]>();
  /** Of the task that runs; null while that is no thread of user space. */
  #running: Growing[] | null = null;

  override push(head: number, object: number, a: number, b: number): void {
    super.push(head, object, a, b);
    const kind = head & KIND_MASK;
    if (kind === SWITCH) this.#running = this.#openOf(object);
    else if (kind === ENTER) this.#enter(functionInfo(object).name);
    else if (kind === EXIT) this.#running?.pop();
  }

  #openOf(task: number): Growing[] | null {
    if (!(machine().objects[task] instanceof Thread)) return null;
    const open = this.#open.get(task) ?? [];
    this.#open.set(task, open);
    return open;
  }

  #enter(name: string): void {
    if (this.#running === null) return;
    const call: Growing = { name, calls: [] };
    (this.#running.at(-1)?.calls ?? this.calls).push(call);
    this.#running.push(call);
  }
}

/**
 * Takes calls out, their own calls staying in their place. `gone` is asked with the caller as it is after what
 * was taken out, '' for none.
 */
export function contract(
  calls: readonly Call[],
  gone: (name: string, caller: string) => boolean,
  caller = '',
): readonly Call[] {
  return calls.flatMap(({ name, calls: inner }): readonly Call[] =>
    gone(name, caller) ? contract(inner, gone, caller) : [{ name, calls: contract(inner, gone, name) }],
  );
}

/** A sequence of calls that a caller repeats as often as there are pages or runs of pages. */
export interface Repetition {
  readonly caller: string;
  readonly calls: readonly string[];
}

/** Leaves one of each run of repetitions that are alike, whatever is below them included. */
export function collapse(calls: readonly Call[], repetitions: readonly Repetition[], caller = ''): Call[] {
  const own = repetitions.filter((it) => it.caller === caller);
  const kept: Call[] = [];
  for (const { name, calls: inner } of calls) {
    kept.push({ name, calls: collapse(inner, repetitions, name) });
    for (const { calls: names } of own) {
      const n = names.length;
      const last = kept.slice(-n);
      if (last.some((call, i) => call.name !== names[i])) continue;
      if (kept.length >= 2 * n && showCalls(last) === showCalls(kept.slice(-2 * n, -n))) kept.length -= n;
    }
  }
  return kept;
}
