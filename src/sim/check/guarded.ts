// SPDX-License-Identifier: GPL-2.0-only

/** Unguarded access: a field whose declaration names a lock is touched without it, once others can see it. */
import { CONTENTS } from '../collections/collection.ts';
import type { FieldOptions } from '../field.ts';
import type { Machine } from '../machine.ts';
import { Observed } from '../observed.ts';
import { fieldInfo } from '../struct.ts';
import { refcount_t } from '../sync/refcount.ts';
import type { Task } from '../task.ts';
import type { Findings } from './finding.ts';
import { HeldLocks, lockClass } from './locks.ts';
import { fieldName, fieldPath } from './racing.ts';
import { type Checker, type Place, type Stack, side, walk } from './walk.ts';

export class GuardedChecker implements Checker {
  readonly #findings: Findings;
  readonly #machine: Machine;
  readonly #held = new HeldLocks();
  /** Who has touched an allocation so far; an object that only its maker knows needs no lock. */
  readonly #users = new Map<Observed, Task | null>();
  readonly #shared = new Set<Observed>();

  constructor(findings: Findings, machine: Machine) {
    this.#findings = findings;
    this.#machine = machine;
  }

  taken(lock: Observed, shared: boolean, place: Place): void {
    this.#held.taken(lock, shared, place);
  }

  given(lock: Observed, place: Place): void {
    this.#held.given(lock, place);
  }

  read(object: Observed, field: number, place: Place): void {
    this.#access('read', object, field, place);
  }

  write(object: Observed, field: number, place: Place, value: number): void {
    this.#access('written', object, field, place);
    if (object instanceof refcount_t && value === 0) {
      // Whoever drops the last reference is alone with the object.
      this.#shared.delete(object.$allocation);
      this.#users.set(object.$allocation, place.task);
    }
  }

  #access(how: 'read' | 'written', object: Observed, field: number, place: Place): void {
    const allocation = object.$allocation;
    if (!this.#isShared(allocation, place.task)) return;
    const guard = guardOf(object, field);
    if (guard === undefined) return;
    const owner = field === CONTENTS && object.$creator instanceof Observed ? object.$creator : object;
    const lock = follow(owner, guard);
    if (lock === null) return;
    const held = this.#held.of(place.task).find((h) => h.lock === lock);
    if (held !== undefined && (how === 'read' || !held.shared)) return;
    const wanted =
      held === undefined ? `without ${lockClass(lock)}` : `with ${lockClass(lock)} held for reading only`;
    this.#findings.add('unguarded-access', `${fieldPath(object, field)} is ${how} ${wanted}`, () => [
      side(`${fieldName(object, field)} ${how} by`, place.stack()),
      ...this.#otherSide(object, field, lock, place),
    ]);
  }

  #otherSide(object: Observed, field: number, lock: Observed, place: Place): string[] {
    const other = new OtherSide(object, field, lock, place);
    walk(this.#machine, [other], this.#machine.trace.len);
    return other.tell();
  }

  #isShared(allocation: Observed, task: Task | null): boolean {
    if (this.#shared.has(allocation)) return true;
    const first = this.#users.get(allocation);
    if (first === undefined) this.#users.set(allocation, task);
    else if (first !== task) this.#shared.add(allocation);
    return this.#shared.has(allocation);
  }
}

function guardOf(object: Observed, field: number): string | undefined {
  if (field === CONTENTS) return guardOfCollection(object);
  const declared: FieldOptions = fieldInfo(field).field;
  return declared.guardedBy;
}

function guardOfCollection(object: Observed): string | undefined {
  const guard: unknown = Reflect.get(object, '$guardedBy');
  return typeof guard === 'string' ? guard : undefined;
}

/** The lock at the end of a path of fields; null when a pointer on the way is null. */
function follow(from: Observed, path: string): Observed | null {
  let at: unknown = from;
  for (const name of path.split('.')) {
    if (!(at instanceof Observed)) return null;
    at = Reflect.get(at, name);
  }
  return at instanceof Observed ? at : null;
}

/** An access on which the rule can be seen. */
interface Other {
  readonly rank: number;
  readonly what: string;
  readonly by: Stack;
}

/**
 * The other side: another task's access to the same field, best one that has the lock; or else an access of the same
 * task that has it, or who else knows the object. The last of these before the access, or the first after it.
 */
class OtherSide implements Checker {
  readonly #object: Observed;
  readonly #field: number;
  readonly #lock: Observed;
  readonly #here: { readonly at: number; readonly task: Task | null };
  readonly #held = new HeldLocks();
  #best: Other | null = null;

  constructor(object: Observed, field: number, lock: Observed, { at, task }: Place) {
    this.#object = object;
    this.#field = field;
    this.#lock = lock;
    this.#here = { at, task };
  }

  tell(): string[] {
    return this.#best === null ? [] : [side(this.#best.what, this.#best.by)];
  }

  taken(lock: Observed, shared: boolean, place: Place): void {
    this.#held.taken(lock, shared, place);
  }

  given(lock: Observed, place: Place): void {
    this.#held.given(lock, place);
  }

  read(object: Observed, field: number, place: Place): void {
    this.#access('read', object, field, place);
  }

  write(object: Observed, field: number, place: Place): void {
    this.#access('written', object, field, place);
  }

  #access(how: string, object: Observed, field: number, place: Place): void {
    if (object.$allocation !== this.#object.$allocation || place.task === null) return;
    const isSame = object === this.#object && field === this.#field;
    const isOther = place.task !== this.#here.task;
    const holds = this.#held.of(place.task).some(({ lock }) => lock === this.#lock);
    const rank = isSame ? Number(isOther) * 2 + Number(holds) : 0;
    if (!isOther && !(isSame && holds)) return;
    if (
      this.#best !== null &&
      (rank < this.#best.rank || (rank === this.#best.rank && place.at > this.#here.at))
    )
      return;
    const access = `${fieldName(object, field)} ${how}`;
    const what = isSame
      ? `${access} ${holds ? `with ${this.#lock.name} held ` : ''}by`
      : `others know ${object.$allocation.name}: ${access} by`;
    this.#best = { rank, what, by: place.stack() };
  }
}
