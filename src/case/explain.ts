// SPDX-License-Identifier: GPL-2.0-only

/** Why a step ended as it did: the function and the condition, and the lines of the trace that led there. */
import { FAULTS } from '../hw/iommu.ts';
import { CONTENTS } from '../sim/collections/collection.ts';
import { functionInfo } from '../sim/fn.ts';
import { formatLine, type Line } from '../sim/text.ts';
import * as trace from '../sim/trace.ts';
import { nameOfErrno } from './constants.ts';
import type { Run, StepResult } from './run.ts';
import { linesOf } from './story.ts';

/** Where an errno was born, or a device was refused. */
export interface Origin {
  /** `-EBUSY`, `fault: blocked`. */
  readonly end: string;
  readonly reason: string;
  /** The functions it was in, innermost first: `iommufd_object_remove (drivers/iommu/iommufd/main.c)`. */
  readonly stack: readonly string[];
  /** Its record in the trace. */
  readonly at: number;
  /** The entry of the innermost function. */
  readonly entered: number;
}

/** The condition that gave the step its errno, or the device its fault; null where it succeeded, or nothing told. */
export function originOf(run: Run, { answer, from, to, task }: StepResult): Origin | null {
  if (answer?.fault !== undefined) {
    const reason = FAULTS[answer.fault];
    return { end: `fault: ${answer.fault}`, reason, stack: [], at: to - trace.STRIDE, entered: from };
  }
  if (answer === null || answer.ret >= 0n) return null;
  const wanted = Number(-answer.ret);
  const { buf, values } = run.machine.trace;
  const stack: { id: number; at: number }[] = [];
  let last: Origin | null = null;
  for (const at of recordsOf(run, task.name, from, to)) {
    const object = buf[at + 1] ?? 0;
    switch ((buf[at] ?? 0) & trace.KIND_MASK) {
      case trace.ENTER:
        stack.push({ id: object, at });
        break;
      case trace.EXIT:
        stack.pop();
        break;
      case trace.ERRNO:
        if (object !== wanted) break;
        last = {
          end: `-${nameOfErrno(object)}`,
          reason: String(values[buf[at + 2] ?? -1]),
          stack: stack.map(({ id }) => `${functionInfo(id).name} (${functionInfo(id).file})`).reverse(),
          at,
          entered: stack.at(-1)?.at ?? from,
        };
    }
  }
  return last;
}

/** Offsets of the records between two offsets that are a task's. */
function* recordsOf({ machine }: Run, task: string, from: number, to: number): Generator<number> {
  const { buf } = machine.trace;
  let isOurs = true; // a step begins while its task runs
  for (let at = from; at < to; at += trace.STRIDE) {
    if (((buf[at] ?? 0) & trace.KIND_MASK) === trace.SWITCH) {
      isOurs = machine.objects[buf[at + 1] ?? -1]?.name === task;
    } else if (isOurs) yield at;
  }
}

const CONTENT_KINDS: ReadonlySet<number> = new Set([trace.ADD, trace.DEL, trace.PUT]);

/** A line of the trace and the call of user space that it belongs to. */
interface Told {
  readonly line: Line;
  readonly call: string;
}

/**
 * What the function, or the IOMMU, that refused had looked at, as far as it was ever changed: the line that last changed each,
 * and the call that did.
 */
export function ledTo(run: Run, { task }: StepResult, origin: Origin): Told[] {
  const { buf } = run.machine.trace;
  const seen = new Set<string>();
  for (const at of recordsOf(run, task.name, origin.entered, origin.at)) {
    if (((buf[at] ?? 0) & trace.KIND_MASK) === trace.READ) seen.add(`${buf[at + 1]} ${buf[at + 2]}`);
  }
  const changes = new Map<string, number>();
  for (let at = 0; at < origin.at; at += trace.STRIDE) {
    const head = buf[at] ?? 0;
    const kind = head & trace.KIND_MASK;
    const field = kind === trace.WRITE ? head >>> trace.KIND_BITS : CONTENT_KINDS.has(kind) ? CONTENTS : null;
    const key = `${buf[at + 1]} ${field}`;
    if (field !== null && seen.has(key)) changes.set(key, at);
  }
  const wanted = new Set(changes.values());
  return [...toldLines(run)].filter(({ line }) => wanted.has(line.at));
}

/** Every line at the level of state, with the call of user space that it is inside of. */
function* toldLines(run: Run): Generator<Told> {
  const calls = new Map<string, string>();
  for (const line of linesOf(run, 'state')) {
    if (line.depth === 0 && line.heading) calls.set(line.task, line.text);
    yield { line, call: calls.get(line.task) ?? '' };
  }
}

/** The lines of a step, its own task's only; of a failed one, down to where it failed. */
export function linesOfStep(run: Run, { task, from, to }: StepResult, until: number | null): string[] {
  return [...linesOf(run, 'state')]
    .filter((line) => line.task === task.name && line.at >= from && line.at < to)
    .filter((line) => until === null || line.at <= until || line.depth === 0)
    .map(formatLine);
}

/** In one line: `-EBUSY: the object has other users (iommufd_object_remove)`. */
export function reasonOf(run: Run, result: StepResult): string {
  if (result.answer === null) return `not run: ${result.notRun ?? ''}`;
  const origin = originOf(run, result);
  if (origin === null) return 'success';
  const where = origin.stack[0]?.replace(/ .*/, '');
  return `${origin.end}: ${origin.reason}${where === undefined ? '' : ` (${where})`}`;
}
