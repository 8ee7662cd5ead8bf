// SPDX-License-Identifier: GPL-2.0-only

/** Where each task of a run stands towards the others, read from the trace. */
import type { Machine } from '../sim/machine.ts';
import { refcount_t } from '../sim/sync/refcount.ts';
import type { Task } from '../sim/task.ts';
import { GIVE, KIND_MASK, STRIDE, SWITCH, TAKE, WRITE } from '../sim/trace.ts';
import type { Names } from './names.ts';

export interface Standing {
  /** Tasks of one phase are all over before those of the next come to be. */
  readonly phase: number;
  /** How many operations of its program it has begun. */
  readonly stage: number;
  /** The locks that it holds: a lock's key doubled, and one more where others may hold it, too; in order. */
  readonly held: readonly number[];
}

export class Standings {
  phase = 0;
  readonly #tasks: Names;
  readonly #objects: Names;
  readonly #locks = new Map<number, readonly number[]>();
  #scanned = 0;
  #running = -1;

  /** `tasks`, `objects`: who has keys for their names. */
  constructor(tasks: Names, objects: Names) {
    this.#tasks = tasks;
    this.#objects = objects;
  }

  /** A run begins. */
  begin(): void {
    this.phase = 0;
    this.#locks.clear();
    this.#scanned = 0;
    this.#running = -1;
  }

  of(key: number, { stage }: Task): Standing {
    return { phase: this.phase, stage, held: this.#locks.get(key) ?? NONE };
  }

  /** Reads on. `did` is told of what each task adds to reference counts. */
  read(machine: Machine, did: (task: number, object: number, added: number) => void): void {
    const { buf, len } = machine.trace;
    for (let at = this.#scanned; at < len; at += STRIDE) {
      const record = (buf[at] ?? 0) & KIND_MASK;
      if (record !== SWITCH && record !== TAKE && record !== GIVE && record !== WRITE) continue;
      const object = machine.objects[buf[at + 1] ?? -1];
      if (record === SWITCH) {
        // Nobody ran: others have come since.
        if (this.#running === -1) this.phase++;
        this.#running = object === undefined ? -1 : this.#tasks.key(object);
        continue;
      }
      if (object === undefined) throw new Error('the trace names an object that is not there');
      const a = buf[at + 2] ?? 0;
      if (record === WRITE) {
        // What is set for the first time is not added to.
        if (object instanceof refcount_t && this.#running >= 0 && a !== 0)
          did(this.#running, this.#objects.key(object), (buf[at + 3] ?? 0) - a);
        continue;
      }
      const key = this.#objects.key(object);
      if (record === TAKE) this.#take(key * 2 + Number(a !== 0));
      else this.#give(key);
    }
    this.#scanned = len;
  }

  #take(code: number): void {
    const held = this.#locks.get(this.#running) ?? NONE;
    this.#locks.set(
      this.#running,
      [...held, code].sort((x, y) => x - y),
    );
  }

  #give(lock: number): void {
    const held = this.#locks.get(this.#running) ?? NONE;
    const at = held.findIndex((code) => code >> 1 === lock);
    if (at >= 0) this.#locks.set(this.#running, held.toSpliced(at, 1));
  }
}

const NONE: readonly number[] = [];
