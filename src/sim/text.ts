// SPDX-License-Identifier: GPL-2.0-only

/**
 * The trace as text: one line a transition, the task first, indented by call depth, objects by name. No
 * addresses, times, running numbers or counts: an unrelated change must not touch a line.
 */
import { FINDING_KINDS } from './check/finding.ts';
import { showMember, showPut } from './collections/entry.ts';
import { decode } from './field.ts';
import { functionInfo } from './fn.ts';
import type { Machine } from './machine.ts';
import { Observed } from './observed.ts';
import { opKind } from './op.ts';
import { fieldInfo } from './struct.ts';
import * as trace from './trace.ts';

/**
 * How much of a trace is shown. `api`: what user space asks and gets. `state`: also every call and every
 * change of state. `sync`: also every lock taken, wait and wake-up.
 */
export const LEVELS = ['api', 'state', 'sync'] as const;
export type Level = (typeof LEVELS)[number];

export interface Line {
  /** Name of the task; empty for the machine itself. */
  readonly task: string;
  /** Calls it is inside of; an ioctl is at 0, the function that serves it at 1. */
  readonly depth: number;
  readonly text: string;
  /** Whether this line opens a call: what follows deeper belongs to it. */
  readonly heading: boolean;
  /** Where its record stands in the trace. */
  readonly at: number;
}

/** Kinds of record that tell of a change of an object. */
const CHANGES: ReadonlySet<number> = new Set([
  trace.NEW,
  trace.FREE,
  trace.WRITE,
  trace.ADD,
  trace.DEL,
  trace.PUT,
]);

/**
 * The lines of the machine's trace at a level. `errnoName`: `EBUSY` for 16. `isHidden`: objects whose changes
 * are nobody's concern.
 */
export function* traceLines(
  machine: Machine,
  level: Level,
  errnoName: (errno: number) => string,
  isHidden: (object: Observed) => boolean = () => false,
): Generator<Line> {
  const { buf, len, values } = machine.trace;
  const nameOf = (id: number): string => machine.objects[id]?.name ?? '?';
  const depths = new Map<number, number>();
  let task = -1;
  let depth = 0;
  let at = 0;
  const line = (text: string, heading = false): Line => ({
    task: task < 0 ? '' : nameOf(task),
    depth,
    text,
    heading,
    at,
  });
  const state = level !== 'api';
  const hides = (entry: unknown): boolean => entry instanceof Observed && isHidden(entry);
  for (; at < len; at += trace.STRIDE) {
    const head = buf[at] ?? 0;
    const object = buf[at + 1] ?? 0;
    const a = buf[at + 2] ?? 0;
    const b = buf[at + 3] ?? 0;
    const kind = head & trace.KIND_MASK;
    if (CHANGES.has(kind)) {
      const changed = machine.objects[object];
      if (changed !== undefined && isHidden(changed)) continue;
      if ((kind === trace.ADD || kind === trace.DEL) && hides(values[b])) continue;
      if (kind === trace.PUT && (hides(values[b]) || hides(values[b + 1]))) continue;
    }
    switch (kind) {
      case trace.SWITCH:
        depths.set(task, depth);
        task = object;
        depth = depths.get(task) ?? 0;
        break;
      case trace.CALL:
        yield line(String(values[a]), true);
        depth++;
        break;
      case trace.RET:
        depth--;
        yield line(`= ${String(values[a])}`);
        break;
      case trace.ENTER:
        if (state) yield line(functionInfo(object).name, true);
        depth++;
        break;
      case trace.EXIT:
        depth--;
        break;
      case trace.NEW:
      case trace.FREE:
      case trace.WRITE:
      case trace.ADD:
      case trace.DEL:
      case trace.PUT: {
        const change = state ? showChange(machine, at) : null;
        if (change !== null) yield line(change);
        break;
      }
      case trace.OP: {
        if (level !== 'sync') break;
        const on = object === task ? '' : ` ${nameOf(object)}`;
        yield line(`${opKind(a).name}${on}`);
        break;
      }
      case trace.ERRNO:
        if (state) yield line(`-${errnoName(object)}: ${String(values[a])}`);
        break;
      case trace.WARN:
        yield line(`WARNING: ${String(values[a])}`);
        break;
      case trace.BREACH:
        yield line(`${FINDING_KINDS[object]?.toUpperCase()}: ${String(values[a])}`);
        break;
      case trace.NOTE:
        yield line(String(values[a]));
        break;
    }
  }
}

/** What a record tells of a change of an object, as a line has it; null: nothing changed. */
export function showChange({ trace: { buf, values }, objects }: Machine, at: number): string | null {
  const head = buf[at] ?? 0;
  const a = buf[at + 2] ?? 0;
  const b = buf[at + 3] ?? 0;
  const object = objects[buf[at + 1] ?? -1];
  const name = object?.name ?? '?';
  const kind = head & trace.KIND_MASK;
  switch (kind) {
    case trace.NEW:
      return `new ${name}`;
    case trace.FREE:
      return `free ${name}`;
    case trace.WRITE: {
      const { name: member, field } = fieldInfo(head >>> trace.KIND_BITS);
      const before = field.show(decode(field.encoding, a));
      const after = field.show(decode(field.encoding, b));
      const where = field.itself === true ? name : `${name}.${member}`;
      return before === after ? null : `${where}: ${before} -> ${after}`;
    }
    case trace.ADD:
    case trace.DEL:
      return showMember(object, kind === trace.ADD, values[a], values[b]);
    case trace.PUT:
      return showPut(object, values[a], values[b], values[b + 1]);
    default:
      return null;
  }
}

/** A line as it stands in a golden. */
export function formatLine({ task, depth, text }: Line): string {
  return task === '' ? text : `${task}: ${'  '.repeat(depth)}${text}`;
}

/** The whole trace as it stands in a golden. */
export function traceText(machine: Machine, level: Level, errnoName: (errno: number) => string): string[] {
  return Array.from(traceLines(machine, level, errnoName), formatLine);
}
