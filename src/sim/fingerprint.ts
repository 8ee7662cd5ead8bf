// SPDX-License-Identifier: GPL-2.0-only

/**
 * The state of a run as a number: two places with the same number have the same future. It is made of every
 * live observed object, by name, and of each task: the operation that it is about to do, and all that it was
 * told since it began what it does now. A generator's locals are a function of what it was told; so nobody has
 * to declare them, and none can be forgotten. Two different states get the same number by chance only: 64 bits.
 *
 * What a model function was told dies with its locals: of a function that has returned, its caller knows what
 * it returned, and what it did to data that it was handed. So what is told is kept for each function that the
 * task is in, and a function that has ended leaves those two. One that was handed what cannot be looked into (a
 * closure) leaves all that it was told.
 */
import { CONTENTS } from './collections/collection.ts';
import { type AccessWatch, context } from './context.ts';
import type { Machine } from './machine.ts';
import { Observed } from './observed.ts';
import type { Task } from './task.ts';
import { ADD, BREACH, DEL, FREE, GIVE, KIND_MASK, OP, PUT, STRIDE, TAKE, WARN, WRITE } from './trace.ts';

/** Two independent hashes of 32 bits. */
interface Hash {
  a: number;
  b: number;
}

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);

const mix = (h: number, x: number): number => {
  const t = Math.imul(h ^ x, 0x9e3779b1);
  return t ^ (t >>> 15);
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

function addFloat(h: Hash, kind: number, x: number): void {
  float[0] = x;
  add(h, kind);
  add(h, words[0] ?? 0);
  add(h, words[1] ?? 0);
}

const LARGEST_EXACT = BigInt(Number.MAX_SAFE_INTEGER);

/** Column of numbers that grows. */
const grown = (column: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> => {
  if (column.length >= length) return column;
  const bigger = new Int32Array(Math.max(length, column.length * 2));
  bigger.set(column);
  return bigger;
};

/**
 * Whether `#add` sees all there is to a value: an object of the model stands for itself, and what is in it is
 * state; a literal is its parts, `depth` deep.
 */
function isData(value: unknown, depth: number): boolean {
  if (typeof value === 'function') return false;
  if (typeof value !== 'object' || value === null || value instanceof Observed || ArrayBuffer.isView(value))
    return true;
  if (depth === 0) return false;
  if (Array.isArray(value)) return value.every((part) => isData(part, depth - 1));
  return (
    Object.getPrototypeOf(value) === Object.prototype &&
    Object.values(value).every((part) => isData(part, depth - 1))
  );
}

/** What was worked out at the first look at a run, which begins as every other does. */
interface Beginning {
  readonly objects: number;
  readonly columns: readonly [Int32Array, Int32Array, Int32Array, Int32Array];
  readonly sums: readonly [number, number];
}

/**
 * Keeps up with one run after another of the same program, as their watch. Only what changed since it looked
 * last is looked at again: the trace says what did.
 */
export class Fingerprint implements AccessWatch {
  /** The fingerprint, after `look`. */
  a = 0;
  b = 0;
  #machine: Machine | null = null;
  /** By object: the hash of its name, and what it adds to the sums. */
  #nameA = new Int32Array(256);
  #nameB = new Int32Array(256);
  #partA = new Int32Array(256);
  #partB = new Int32Array(256);
  /** Objects whose part is worked out. */
  #known = 0;
  /** The sum of the parts: the order of objects in the table is that of their making, and no state. */
  #sumA = 0;
  #sumB = 0;
  /** Ids of objects that changed since; with repetitions. */
  readonly #changed: number[] = [];
  /** Ids of objects that change without a record. */
  readonly #unrecorded: number[] = [];
  #scanned = 0;
  /** By task, of each function that it is in: what it was handed; null: something that cannot be looked into. */
  readonly #handed = new Map<Task, (readonly unknown[] | null)[]>();
  #beginning: Beginning | null = null;
  /** Hash of the warnings so far: they are no state, but a verdict speaks of them. */
  #warned = 0;
  readonly #hash: Hash = { a: 0, b: 0 };
  readonly #see = (value: unknown): void => this.#add(this.#hash, value);

  /** A run is at its first choice. */
  begin(machine: Machine): void {
    const { objects, trace } = machine;
    this.#machine = machine;
    this.#changed.length = 0;
    this.#unrecorded.length = 0;
    this.#handed.clear();
    this.#warned = 0;
    this.#scanned = trace.len;
    this.#known = 0;
    this.#sumA = 0;
    this.#sumB = 0;
    const first = this.#beginning;
    if (first?.objects === objects.length) {
      this.#nameA.set(first.columns[0]);
      this.#nameB.set(first.columns[1]);
      this.#partA.set(first.columns[2]);
      this.#partB.set(first.columns[3]);
      [this.#sumA, this.#sumB] = first.sums;
      for (const object of objects) if (!object.$recorded) this.#unrecorded.push(object.$id);
      this.#known = objects.length;
      return;
    }
    this.#meet(objects);
    const n = this.#known;
    this.#beginning = {
      objects: n,
      columns: [
        this.#nameA.slice(0, n),
        this.#nameB.slice(0, n),
        this.#partA.slice(0, n),
        this.#partB.slice(0, n),
      ],
      sums: [this.#sumA, this.#sumB],
    };
  }

  /** Works out where the run is. `extra`: what else its future, or its verdict, depends on. */
  look(extra: string): void {
    const { objects, scheduler } = this.#catchUp();
    for (const id of this.#unrecorded) this.#renew(objects, id);
    const h = this.#hash;
    h.a = this.#sumA;
    h.b = this.#sumB;
    add(h, this.#warned);
    for (const { deadline, $id } of scheduler.live) {
      if (deadline === null) continue;
      add(h, this.#nameA[$id] ?? 0);
      addFloat(h, 1, deadline - scheduler.now);
    }
    text(h, extra);
    this.a = h.a;
    this.b = h.b;
  }

  read(object: Observed, field: number, value: unknown): void {
    const task = context.current;
    if (task === null) return;
    const h: Hash = { a: task.told, b: 0 };
    add(h, field);
    if (value === undefined) {
      // A collection reads as a whole.
      const { objects } = this.#catchUp();
      if (!object.$recorded) this.#renew(objects, object.$id);
      add(h, this.#partA[object.$id] ?? 0);
      add(h, this.#partB[object.$id] ?? 0);
    } else {
      this.#add(h, value);
    }
    task.told = h.a;
  }

  write(object: Observed, field: number): void {
    // Fields are on the trace; a list's nodes are not.
    if (field === CONTENTS) this.#changed.push(object.$id);
  }

  result(value: unknown): void {
    const task = context.current;
    if (task === null) return;
    const h: Hash = { a: task.told, b: 0 };
    this.#add(h, value);
    task.told = h.a;
  }

  enter(args: readonly unknown[]): void {
    const task = context.current;
    if (task === null) return;
    let handed = this.#handed.get(task);
    if (handed === undefined) {
      handed = [];
      this.#handed.set(task, handed);
    }
    const open = args.every((arg) => isData(arg, 3));
    handed.push(open ? args : null);
    if (!open) return;
    task.toldBefore.push(task.told);
    task.told = 0;
  }

  exit(value: unknown): void {
    const task = context.current;
    const handed = task === null ? undefined : this.#handed.get(task)?.pop();
    if (task === null || handed === undefined || handed === null) return;
    const h: Hash = { a: task.toldBefore.pop() ?? 0, b: 0 };
    add(h, 12);
    if (isData(value, 3)) this.#add(h, value);
    else add(h, task.told);
    for (const arg of handed) if (typeof arg === 'object') this.#add(h, arg);
    task.told = h.a;
  }

  #catchUp(): Machine {
    const machine = this.#machine;
    if (machine === null) throw new Error('no run has begun');
    this.#scan(machine);
    this.#meet(machine.objects);
    for (const id of this.#changed) this.#renew(machine.objects, id);
    this.#changed.length = 0;
    return machine;
  }

  /** Objects that came since. */
  #meet(objects: readonly Observed[]): void {
    const n = objects.length;
    if (n === this.#known) return;
    this.#nameA = grown(this.#nameA, n);
    this.#nameB = grown(this.#nameB, n);
    this.#partA = grown(this.#partA, n);
    this.#partB = grown(this.#partB, n);
    const from = this.#known;
    this.#known = n;
    const h = this.#hash;
    for (let id = from; id < n; id++) {
      const object = objects[id];
      h.a = 0x811c9dc5;
      h.b = 0x1b873593;
      if (object !== undefined) text(h, object.name);
      this.#nameA[id] = h.a;
      this.#nameB[id] = h.b;
      this.#partA[id] = 0;
      this.#partB[id] = 0;
    }
    for (let id = from; id < n; id++) {
      if (objects[id]?.$recorded === false) this.#unrecorded.push(id);
      this.#renew(objects, id);
    }
  }

  #renew(objects: readonly Observed[], id: number): void {
    const object = objects[id];
    if (object === undefined || id >= this.#known) return;
    const h = this.#hash;
    if (object.$allocation.$freed) {
      h.a = 0;
      h.b = 0;
    } else {
      h.a = this.#nameA[id] ?? 0;
      h.b = this.#nameB[id] ?? 0;
      object.$state(this.#see);
    }
    this.#sumA = (this.#sumA - (this.#partA[id] ?? 0) + h.a) | 0;
    this.#sumB = (this.#sumB - (this.#partB[id] ?? 0) + h.b) | 0;
    this.#partA[id] = h.a;
    this.#partB[id] = h.b;
  }

  #scan({ trace: { buf, len, values }, objects }: Machine): void {
    for (let at = this.#scanned; at < len; at += STRIDE) {
      const id = buf[at + 1] ?? 0;
      switch ((buf[at] ?? 0) & KIND_MASK) {
        case WRITE:
        case ADD:
        case DEL:
        case PUT:
        case OP:
        case TAKE:
        case GIVE:
          this.#changed.push(id);
          break;
        case FREE: {
          // What is embedded in an object was made with it, and stands behind it.
          const freed = objects[id];
          for (let i = id; i < objects.length && objects[i]?.$allocation === freed; i++)
            this.#changed.push(i);
          break;
        }
        case WARN:
        case BREACH: {
          const h: Hash = { a: 0, b: 0 };
          text(h, String(values[buf[at + 2] ?? 0]));
          // Added up: in whichever order they came.
          this.#warned = (this.#warned + h.a) | 0;
          break;
        }
      }
    }
    this.#scanned = len;
  }

  /** Adds any value that a field can hold, an operation can tell, or a collection can contain. */
  #add(h: Hash, value: unknown): void {
    switch (typeof value) {
      case 'number':
        if ((value | 0) === value) {
          add(h, 10);
          add(h, value);
        } else {
          addFloat(h, 1, value);
        }
        return;
      case 'string':
        add(h, 2);
        text(h, value);
        return;
      case 'bigint':
        if (value >= 0n && value <= LARGEST_EXACT) {
          addFloat(h, 11, Number(value));
        } else {
          add(h, 3);
          text(h, value.toString(16));
        }
        return;
      case 'boolean':
        add(h, value ? 5 : 4);
        return;
      case 'object':
        if (value === null) add(h, 6);
        else if (value instanceof Observed) this.#addName(h, value);
        else {
          add(h, 8);
          // Of typed arrays the elements, too.
          for (const part of Array.isArray(value) ? value : Object.values(value)) this.#add(h, part);
        }
        return;
      default:
        add(h, 9);
    }
  }

  #addName(h: Hash, object: Observed): void {
    add(h, 7);
    if (object.$id < this.#known) {
      add(h, this.#nameA[object.$id] ?? 0);
      add(h, this.#nameB[object.$id] ?? 0);
    } else {
      const name: Hash = { a: 0x811c9dc5, b: 0x1b873593 };
      text(name, object.name);
      add(h, name.a);
      add(h, name.b);
    }
  }
}

/**
 * A task begins another operation (a step of its program) at which nothing it was told before matters any
 * more, except what `progress` says: where it is, and what it keeps.
 */
export function beginOperation(task: Task, progress: string): void {
  const h: Hash = { a: 0, b: 0 };
  text(h, progress);
  task.told = h.a;
  task.stage++;
}
