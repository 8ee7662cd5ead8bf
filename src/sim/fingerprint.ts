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
 *
 * Of tasks that are interchangeable (symmetry.ts) the number is that of all states that differ only in who of them
 * is who (Ip and Dill: Better verification through symmetry, 1996). Each object and each task has a hash in which
 * members of an orbit are there without their names, and for each member a hash of the places at which it is
 * named. So the number of the state in which they have other names is worked out without looking again:
 * the members take the places that the hashes of all that names them give by their order. That is a renaming
 * of the state whatever that order is. So two states with the same number are renamings of each other; where
 * the hashes cannot tell two members apart that are unlike, two such states may have different numbers, which
 * costs a state and hides none.
 */
import { CONTENTS } from './collections/collection.ts';
import { type AccessWatch, context } from './context.ts';
import {
  add,
  addFloat,
  finish,
  type Hash,
  hash,
  mention,
  mentionAll,
  mix,
  NOBODY,
  nameHash,
  type Part,
  scatter,
  text,
} from './hash.ts';
import type { Machine } from './machine.ts';
import { Observed } from './observed.ts';
import { placesOf } from './places.ts';
import type { Form, Permutation, Symmetry } from './symmetry.ts';
import { Task } from './task.ts';
import { type Told, tellAgain, toldOf } from './told.ts';
import { ADD, BREACH, DEL, FREE, GIVE, KIND_MASK, OP, PUT, STRIDE, TAKE, WARN, WRITE } from './trace.ts';
import { Unordered } from './unordered.ts';

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
  readonly naming: ReadonlyMap<number, Part>;
}

/**
 * Keeps up with one run after another of the same program, as their watch. Only what changed since it looked
 * last is looked at again: the trace says what did.
 */
export class Fingerprint implements AccessWatch {
  /** The fingerprint, after `look`. */
  a = 0;
  b = 0;
  /** By member: the place that it takes in the fingerprint. */
  places: Permutation = NOBODY;
  /** What shows that members of an orbit are not interchangeable; null: nothing so far. */
  asymmetry: string | null = null;
  readonly #symmetry: Symmetry | null;
  #machine: Machine | null = null;
  /** By object: the hash of its name, and what it adds to the sums. */
  #nameA = new Int32Array(256);
  #nameB = new Int32Array(256);
  #partA = new Int32Array(256);
  #partB = new Int32Array(256);
  /** By object: the members that its name names. */
  readonly #owners: (readonly number[])[] = [];
  /** Objects whose part is worked out. */
  #known = 0;
  /** The sum of the parts: the order of objects in the table is that of their making, and no state. */
  #sumA = 0;
  #sumB = 0;
  /** Parts that name members, by object: they are in no sum. */
  #naming = new Map<number, Part>();
  /** Ids of objects that changed since their part was worked out; and by object, whether it is one of them. */
  readonly #changed: number[] = [];
  #isStale = new Uint8Array(256);
  /** Ids of objects that change without a record. */
  readonly #unrecorded: number[] = [];
  #scanned = 0;
  /** A way that was gone before: what tasks are told there is known. */
  #isPassing = false;
  /** By task, of each function that it is in: what it was handed; null: something that cannot be looked into. */
  readonly #handed = new Map<Task, (readonly unknown[] | null)[]>();
  #beginning: Beginning | null = null;
  /** Of the warnings so far, in whichever order they came: they are no state, but a verdict speaks of them. */
  #warned = 0;
  readonly #warnings: Part[] = [];
  /** At the last look: the sums with all that names nobody, and what names members. */
  #lookedA = 0;
  #lookedB = 0;
  readonly #looked: Part[] = [];
  readonly #hash: Hash = hash(0);
  readonly #see = (value: unknown): void => this.#add(this.#hash, value);

  /** `symmetry`: whose names make no difference. */
  constructor(symmetry: Symmetry | null = null) {
    this.#symmetry = symmetry;
  }

  /** A run is at its first choice. */
  begin(machine: Machine): void {
    const { objects, trace } = machine;
    this.#machine = machine;
    this.#changed.length = 0;
    this.#isStale.fill(0);
    this.#isPassing = false;
    this.#unrecorded.length = 0;
    this.#handed.clear();
    this.#warned = 0;
    this.#warnings.length = 0;
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
      this.#naming = new Map(first.naming);
      for (const object of objects) if (!object.$recorded) this.#unrecorded.push(object.$id);
      this.#known = objects.length;
      return;
    }
    this.#naming.clear();
    this.#catchUp();
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
      naming: new Map(this.#naming),
    };
  }

  /** Works out where the run is. `extra`: what else its future, or its verdict, depends on; in any order. */
  look(extra: readonly string[]): void {
    const { objects } = this.#catchUp();
    for (const id of this.#unrecorded) this.#renew(objects, id);
    this.#lookedA = (this.#sumA + this.#warned) | 0;
    this.#lookedB = this.#sumB;
    this.#looked.length = 0;
    this.#looked.push(...this.#warnings, ...this.#naming.values());
    for (const each of extra) {
      const h = hash(0x2545f491);
      this.#text(h, each);
      finish(h);
      if (h.of.length > 0) {
        this.#looked.push(h);
      } else {
        this.#lookedA = (this.#lookedA + h.a) | 0;
        this.#lookedB = (this.#lookedB + h.b) | 0;
      }
    }
    this.places = this.#symmetry === null ? NOBODY : placesOf(this.#symmetry, this.#looked);
    [this.a, this.b] = this.under(this.places);
  }

  /** After `look`: the fingerprint of the same state with members renamed to those whose places they take here. */
  under(places: Permutation): readonly [number, number] {
    let a = this.#lookedA;
    let b = this.#lookedB;
    for (const part of this.#looked) {
      const { of } = part;
      let who = 0;
      for (let member = 0; member < of.length; member++) {
        const at = of[member] ?? 0;
        if (at !== 0) who = (who + scatter(mix(0x3c6ef372, places[member] ?? member) ^ at)) | 0;
      }
      const h = hash(part.a ^ who, part.b + who);
      finish(h);
      a = (a + h.a) | 0;
      b = (b + h.b) | 0;
    }
    return [a, b];
  }

  /** What the tasks were told up to here: for `arrive`, where another run of the same options is. */
  told(): readonly Told[] {
    return (this.#machine?.scheduler.live ?? []).map(toldOf);
  }

  /** The run goes, up to `arrive`, a way that one before it went. After `begin`. */
  pass(): void {
    this.#isPassing = true;
  }

  arrive(told: readonly Told[]): void {
    this.#isPassing = false;
    for (const [i, task] of (this.#machine?.scheduler.live ?? []).entries()) {
      const its = told[i];
      if (its === undefined) throw new Error(`the same options made ${task.name}, who was not there`);
      tellAgain(task, its);
    }
  }

  read(object: Observed, field: number, value: unknown): void {
    const task = context.current;
    if (task === null || this.#isPassing) return;
    this.goesFor(task, object);
    const h = hash(task.told, task.told2, task.toldOf);
    add(h, field);
    if (value === undefined) {
      // A collection reads as a whole.
      const { objects } = this.#notice();
      if (this.#isStale[object.$id] === 1 || !object.$recorded) this.#renew(objects, object.$id);
      add(h, this.#partA[object.$id] ?? 0);
      add(h, this.#partB[object.$id] ?? 0);
      mentionAll(h, this.#naming.get(object.$id)?.of ?? NOBODY);
    } else {
      this.#add(h, value);
    }
    task.told = h.a;
    task.told2 = h.b;
  }

  write(object: Observed, field: number): void {
    // Fields are on the trace; a list's nodes are not.
    if (field === CONTENTS) this.#touch(object.$id);
    if (context.current !== null && !this.#isPassing) this.goesFor(context.current, object);
  }

  /** A program that comes to what is a member's own without having been told of it knows that member from others. */
  goesFor(task: Task, object: Observed): void {
    const symmetry = this.#symmetry;
    if (symmetry === null) return;
    const owners = object.$id < this.#known ? this.#owners[object.$id] : symmetry.form(object).members;
    for (const member of owners ?? NOBODY) {
      const isNamed = (of: readonly number[]): boolean => (of[member] ?? 0) !== 0;
      if (isNamed(task.toldOf) || task.toldOfBefore.some(isNamed)) continue;
      // A task's name says whose it is: `dev1`, `dev1.exit`.
      if (symmetry.text(task.name).members.includes(member)) continue;
      this.asymmetry ??= `${task.name} was not told of ${object.name}, and goes for it`;
    }
  }

  result(value: unknown): void {
    const task = context.current;
    if (task === null || this.#isPassing) return;
    const h = hash(task.told, task.told2, task.toldOf);
    this.#add(h, value);
    task.told = h.a;
    task.told2 = h.b;
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
    if (!open || this.#isPassing) return;
    task.toldBefore.push(task.told, task.told2);
    task.told = 0;
    task.told2 = 0;
    if (this.#symmetry === null) return;
    task.toldOfBefore.push(task.toldOf);
    task.toldOf = [];
  }

  exit(value: unknown): void {
    const task = context.current;
    const handed = task === null ? undefined : this.#handed.get(task)?.pop();
    if (task === null || handed === undefined || handed === null || this.#isPassing) return;
    const of = task.toldOf;
    if (this.#symmetry !== null) task.toldOf = task.toldOfBefore.pop() ?? [];
    const before2 = task.toldBefore.pop() ?? 0;
    const h = hash(task.toldBefore.pop() ?? 0, before2, task.toldOf);
    add(h, 12);
    if (isData(value, 3)) {
      this.#add(h, value);
    } else {
      add(h, task.told);
      add(h, task.told2);
      mentionAll(h, of);
    }
    for (const arg of handed) if (typeof arg === 'object') this.#add(h, arg);
    task.told = h.a;
    task.told2 = h.b;
  }

  begins(task: Task, progress: string): void {
    if (this.#isPassing) return;
    const h = hash(0);
    this.#text(h, progress);
    task.told = h.a;
    task.told2 = h.b;
    task.toldOf = h.of;
  }

  #catchUp(): Machine {
    const machine = this.#notice();
    for (const id of this.#changed) if (this.#isStale[id] === 1) this.#renew(machine.objects, id);
    this.#changed.length = 0;
    return machine;
  }

  /** What came and what changed is known; its parts are to be worked out. */
  #notice(): Machine {
    const machine = this.#machine;
    if (machine === null) throw new Error('no run has begun');
    this.#scan(machine);
    this.#meet(machine.objects);
    return machine;
  }

  #touch(id: number): void {
    if (id >= this.#isStale.length) {
      const longer = new Uint8Array(Math.max(id + 1, this.#isStale.length * 2));
      longer.set(this.#isStale);
      this.#isStale = longer;
    }
    if (this.#isStale[id] === 1) return;
    this.#isStale[id] = 1;
    this.#changed.push(id);
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
    for (let id = from; id < n; id++) {
      const object = objects[id];
      const h = nameHash();
      if (object !== undefined) this.#owners[id] = this.#name(h, object);
      this.#nameA[id] = h.a;
      this.#nameB[id] = h.b;
      this.#partA[id] = 0;
      this.#partB[id] = 0;
    }
    for (let id = from; id < n; id++) {
      if (objects[id]?.$recorded === false) this.#unrecorded.push(id);
      this.#touch(id);
    }
  }

  #renew(objects: readonly Observed[], id: number): void {
    const object = objects[id];
    if (object === undefined || id >= this.#known) return;
    this.#isStale[id] = 0;
    const h = this.#hash;
    if (h.of.length > 0) h.of = [];
    if (object.$allocation.$freed) {
      h.a = 0;
      h.b = 0;
    } else {
      h.a = this.#nameA[id] ?? 0;
      h.b = this.#nameB[id] ?? 0;
      mention(h, this.#owners[id] ?? NOBODY);
      object.$state(this.#see);
      if (object instanceof Task && object.state === 'runnable') this.#seeTask(h, object);
      finish(h);
    }
    if (!this.#naming.delete(id)) {
      this.#sumA = (this.#sumA - (this.#partA[id] ?? 0)) | 0;
      this.#sumB = (this.#sumB - (this.#partB[id] ?? 0)) | 0;
    }
    if (h.of.length > 0) {
      this.#naming.set(id, { ...h });
    } else {
      this.#sumA = (this.#sumA + h.a) | 0;
      this.#sumB = (this.#sumB + h.b) | 0;
    }
    this.#partA[id] = h.a;
    this.#partB[id] = h.b;
  }

  /** What of a task is no value: when its wait runs out, and whom it was told of. */
  #seeTask(h: Hash, { deadline, toldOf, toldOfBefore }: Task): void {
    const { scheduler } = this.#machine ?? {};
    if (deadline !== null && scheduler !== undefined) addFloat(h, 1, deadline - scheduler.now);
    for (const of of toldOfBefore) {
      add(h, 14);
      mentionAll(h, of);
    }
    mentionAll(h, toldOf);
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
          this.#touch(id);
          break;
        case FREE: {
          // What is embedded in an object was made with it, and stands behind it.
          const freed = objects[id];
          for (let i = id; i < objects.length && objects[i]?.$allocation === freed; i++) this.#touch(i);
          break;
        }
        case WARN:
        case BREACH: {
          const h = hash(0);
          this.#text(h, String(values[buf[at + 2] ?? 0]));
          finish(h);
          if (h.of.length > 0) this.#warnings.push(h);
          else this.#warned = (this.#warned + h.a) | 0;
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
          this.#number(h, 1, value);
        }
        return;
      case 'string':
        add(h, 2);
        this.#text(h, value);
        return;
      case 'bigint':
        if (value >= 0n && value <= LARGEST_EXACT) {
          this.#number(h, 11, Number(value));
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
        else if (value instanceof Unordered) this.#addUnordered(h, value);
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

  #number(h: Hash, kind: number, n: number): void {
    const own = this.#symmetry?.number(n) ?? null;
    if (own === null) {
      addFloat(h, kind, n);
    } else {
      add(h, kind);
      text(h, own.text);
      mention(h, own.members);
    }
  }

  #addUnordered(h: Hash, { values }: Unordered): void {
    add(h, 15);
    const sum = hash(0);
    for (const value of values) {
      const its = hash(0);
      this.#add(its, value);
      finish(its);
      sum.a = (sum.a + its.a) | 0;
      sum.b = (sum.b + its.b) | 0;
      let members = 0;
      for (const [member, at] of its.of.entries()) {
        if (at !== 0) members++;
        sum.of[member] = ((sum.of[member] ?? 0) + at) | 0;
      }
      // A sum forgets who stood beside whom.
      if (members > 1) this.asymmetry ??= 'one thing of several, in no order, names two of them';
    }
    add(h, sum.a);
    add(h, sum.b);
    mentionAll(h, sum.of);
  }

  #addName(h: Hash, object: Observed): void {
    add(h, 7);
    if (object.$id < this.#known) {
      add(h, this.#nameA[object.$id] ?? 0);
      add(h, this.#nameB[object.$id] ?? 0);
      mention(h, this.#owners[object.$id] ?? NOBODY);
    } else {
      const name = nameHash();
      const members = this.#name(name, object);
      add(h, name.a);
      add(h, name.b);
      mention(h, members);
    }
  }

  /** Adds what a name has in common with those of other members; returns the members. */
  #name(h: Hash, object: Observed): readonly number[] {
    const form = this.#symmetry?.form(object);
    text(h, form?.text ?? object.name);
    return form?.members ?? NOBODY;
  }

  #text(h: Hash, s: string): void {
    const form: Form | undefined = this.#symmetry?.text(s);
    text(h, form?.text ?? s);
    if (form !== undefined) mention(h, form.members);
  }
}
