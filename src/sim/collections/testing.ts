// SPDX-License-Identifier: GPL-2.0-only

/** What the tests of the collections share. */
import { type AccessWatch, context } from '../context.ts';
import { Machine } from '../machine.ts';
import { runToBlock } from '../policies/run-to-block.ts';
import type { Gen } from '../task.ts';
import { ADD, DEL, KIND_MASK, PUT, STRIDE, WARN } from '../trace.ts';
import { CONTENTS } from './collection.ts';
import { showMember, showPut } from './entry.ts';

/** A machine that is powered on and does nothing yet. */
export const boot = (): Machine => new Machine(runToBlock).powerOn();

/** Runs a body as the only task, to its end. */
export function inTask(machine: Machine, body: () => Gen<void>): void {
  machine.spawn('t', body());
  const ending = machine.run();
  if (ending.status !== 'finished') throw new Error(`the task ended in ${ending.status}`);
}

/** What collections gained and lost since the last call, and the warnings, as lines. */
export function recorded({ trace, objects }: Machine): string[] {
  const lines: string[] = [];
  for (let at = 0; at < trace.len; at += STRIDE) {
    const [head = 0, object = 0, a = 0, b = 0] = trace.buf.subarray(at, at + STRIDE);
    const kind = head & KIND_MASK;
    if (kind === WARN) lines.push(`WARN ${String(trace.values[a])}`);
    const key = trace.values[a];
    const value = trace.values[b];
    if (kind === ADD || kind === DEL) lines.push(showMember(objects[object], kind === ADD, key, value));
    if (kind === PUT) lines.push(showPut(objects[object], key, value, trace.values[b + 1]));
  }
  trace.clear();
  return lines;
}

/** What `body` reads and writes of collections and their nodes, as `read x` and `write x`, each once. */
export function accesses(body: () => void): string[] {
  const seen = new Set<string>();
  const told =
    (what: string): AccessWatch['write'] =>
    (object, field) => {
      if (field === CONTENTS) seen.add(`${what} ${object.name}`);
    };
  context.watch = { read: told('read'), write: told('write') };
  body();
  context.watch = null;
  return [...seen];
}
