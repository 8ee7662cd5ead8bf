// SPDX-License-Identifier: GPL-2.0-only

/**
 * The trace: every event of a run as four Int32 in one growing column store.
 *
 * It is the only stream of events there is. Goldens are its text, checkers read it, an undo log or a
 * state hash can be computed from it, because a WRITE keeps the old value beside the new one. Nothing is
 * formatted while a run goes on.
 *
 * A record is `[kind | field << KIND_BITS, object, a, b]`; what `a` and `b` mean is said at each kind.
 * A value that fits no Int32 (bigint, string) stands in `values` and the record holds its index.
 */

/** A task goes on: object = task. */
export const SWITCH = 0;
/** A model function is entered: object = function id. */
export const ENTER = 1;
/** A model function is left: object = function id. */
export const EXIT = 2;
/** An observed object comes to life: object = the object, a = task that made it. */
export const NEW = 3;
/** An observed object is freed. */
export const FREE = 4;
/** A field is assigned: a = old, b = new, encoded as the field says. */
export const WRITE = 5;
/** A field is read: a = field id, or -1 for a collection's contents. Only while reads are watched. */
export const READ = 6;
/** A synchronisation operation is performed: a = operation kind. */
export const OP = 7;
/** A collection gains a member: a = what it is known by (index into values, or -1), b = the member (likewise). */
export const ADD = 8;
/** A collection loses a member: a, b as in ADD. */
export const DEL = 9;
/** An errno is born: object = errno (positive), a = reason (index into values). */
export const ERRNO = 10;
/** A WARN_ON or BUG_ON fired: object = the reference count that it is about, or -1, a = text (index into values). */
export const WARN = 11;
/** User space calls: a = text (index into values). */
export const CALL = 12;
/** User space gets its answer: a = text (index into values). */
export const RET = 13;
/** A remark at the level of the api: a = text (index into values). */
export const NOTE = 14;
/** An object came from kzalloc, so kfree is due. */
export const ALLOC = 15;
/** A lock is held from now on: a = 1 when others may hold it too. What a flush waits for counts as a lock. */
export const TAKE = 16;
/** A lock is no longer held. */
export const GIVE = 17;
/** What was opaque is over. */
export const DONE = 18;
/** What follows up to DONE is atomic by means that are not modelled, and no race: see `opaque`. */
export const OPAQUE = 19;
/** A wait ran out of time though its condition held: nobody had woken the task. object = the queue. */
export const MISSED = 22;
/**
 * What a collection has at a key changes: a = key, b = what was there (indexes into values); what is there now
 * follows it in values. undefined: nothing.
 */
export const PUT = 20;
/** Something happened that must not: object = which kind of finding it is, a = text (index into values), b = what to. */
export const BREACH = 21;

export const KIND_BITS = 5;
export const KIND_MASK = (1 << KIND_BITS) - 1;
/** Int32 a record. */
export const STRIDE = 4;

const FIRST_CAPACITY = 1 << 12;

export class Trace {
  buf = new Int32Array(FIRST_CAPACITY);
  /** Int32 in use; a multiple of STRIDE. */
  len = 0;
  values: unknown[] = [];

  push(head: number, object: number, a: number, b: number): void {
    const n = this.len;
    if (n === this.buf.length) this.#grow();
    const buf = this.buf;
    buf[n] = head;
    buf[n + 1] = object;
    buf[n + 2] = a;
    buf[n + 3] = b;
    this.len = n + STRIDE;
  }

  /** Keeps a value beside the columns; returns its index. The value must never change afterwards. */
  value(v: unknown): number {
    return this.values.push(v) - 1;
  }

  /** Forgets every record. */
  clear(): void {
    this.len = 0;
    this.values.length = 0;
  }

  #grow(): void {
    const bigger = new Int32Array(this.buf.length * 2);
    bigger.set(this.buf);
    this.buf = bigger;
  }
}

/** Keeps nothing: for long runs of which nobody reads the trace. */
export class NoTrace extends Trace {
  override push(): void {}

  override value(): number {
    return 0;
  }
}
