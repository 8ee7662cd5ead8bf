// SPDX-License-Identifier: GPL-2.0-only

/**
 * The state of a run as a number: two places with the same number have the same future. It is made of every
 * live observed object, by name, and of each task: the operation that it is about to do, and all that it was
 * told since it began what it does now. A generator's locals are a function of what it was told; so nobody has
 * to declare them, and none can be forgotten. Two different states get the same number by chance only: 53 bits.
 */
import { type AccessWatch, context } from './context.ts';
import type { Machine } from './machine.ts';
import { Observed } from './observed.ts';
import type { Task } from './task.ts';

/** Two independent hashes of 32 bits. */
interface Hash {
  a: number;
  b: number;
}

const number = new Float64Array(1);
const words = new Uint32Array(number.buffer);

const mix = (h: number, x: number): number => {
  const t = Math.imul(h ^ x, 0x9e3779b1);
  return (t ^ (t >>> 15)) >>> 0;
};

function text(h: Hash, s: string): void {
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    h.a = Math.imul(h.a ^ c, 0x01000193);
    h.b = Math.imul(h.b + c, 0x85ebca6b) ^ (h.b >>> 13);
  }
}

function add(h: Hash, x: number): void {
  h.a = mix(h.a, x);
  h.b = mix(h.b, x ^ 0x5bd1e995);
}

/** Adds any value that a field can hold, an operation can tell, or a collection can contain. */
function see(h: Hash, value: unknown): void {
  switch (typeof value) {
    case 'number':
      number[0] = value;
      add(h, 1);
      add(h, words[0] ?? 0);
      add(h, words[1] ?? 0);
      return;
    case 'string':
      add(h, 2);
      text(h, value);
      return;
    case 'bigint':
      add(h, 3);
      text(h, value.toString(16));
      return;
    case 'boolean':
      add(h, value ? 5 : 4);
      return;
    case 'object':
      if (value === null) {
        add(h, 6);
      } else if (value instanceof Observed) {
        add(h, 7);
        text(h, value.name);
      } else {
        add(h, 8);
        for (const part of Array.isArray(value) ? value : Object.values(value)) see(h, part);
      }
      return;
    default:
      add(h, 9);
  }
}

/** The fingerprint of where the machine is. `extra`: what else its future, or its verdict, depends on. */
export function fingerprint({ objects, scheduler }: Machine, extra = ''): number {
  // Objects are added up: their order in the table is that of their making, which the future does not depend on.
  let a = 0;
  let b = 0;
  const h: Hash = { a: 0, b: 0 };
  const look = (value: unknown): void => see(h, value);
  for (const object of objects) {
    if (object.$allocation.$freed) continue;
    h.a = 0x811c9dc5;
    h.b = 0x1b873593;
    text(h, object.name);
    object.$state(look);
    a = (a + h.a) >>> 0;
    b = (b + h.b) >>> 0;
  }
  h.a = a;
  h.b = b;
  for (const { deadline, name } of scheduler.live) {
    if (deadline === null) continue;
    text(h, name);
    see(h, deadline - scheduler.now);
  }
  text(h, extra);
  return (h.a >>> 0) * 0x200000 + ((h.b >>> 0) & 0x1fffff);
}

/**
 * A task begins another operation (a step of its program) at which nothing it was told before matters any
 * more, except what `progress` says: where it is, and what it keeps.
 */
export function beginOperation(task: Task, progress: string): void {
  const h: Hash = { a: 0, b: 0 };
  text(h, progress);
  task.told = h.a;
}

/** While it watches, each task's `told` keeps up with what the task is told. */
export const rememberWhatIsTold: AccessWatch = {
  read(object, field, value) {
    const task = context.current;
    if (task === null) return;
    const h: Hash = { a: task.told, b: 0 };
    add(h, field);
    if (value === undefined) object.$state((part) => see(h, part));
    else see(h, value);
    task.told = h.a;
  },
  write() {},
  result(value) {
    const task = context.current;
    if (task === null) return;
    const h: Hash = { a: task.told, b: 0 };
    see(h, value);
    task.told = h.a;
  },
};
