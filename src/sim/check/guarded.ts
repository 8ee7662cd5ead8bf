// SPDX-License-Identifier: GPL-2.0-only

/** Unguarded access: a field whose declaration names a lock is touched without it, once others can see it. */
import { CONTENTS } from '../collections/collection.ts';
import type { FieldOptions } from '../field.ts';
import { Observed } from '../observed.ts';
import { fieldInfo } from '../struct.ts';
import { refcount_t } from '../sync/refcount.ts';
import type { Task } from '../task.ts';
import type { Findings } from './finding.ts';
import { HeldLocks, lockClass } from './locks.ts';
import { type Checker, type Place, showStack } from './walk.ts';

export class GuardedChecker implements Checker {
  readonly #findings: Findings;
  readonly #held = new HeldLocks();
  /** Who has touched an allocation so far; an object that only its maker knows needs no lock. */
  readonly #users = new Map<Observed, Task | null>();
  readonly #shared = new Set<Observed>();

  constructor(findings: Findings) {
    this.#findings = findings;
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
    const what =
      field === CONTENTS ? lockClass(object) : `${fieldInfo(field).struct}.${fieldInfo(field).name}`;
    const wanted =
      held === undefined ? `without ${lockClass(lock)}` : `with ${lockClass(lock)} held for reading only`;
    this.#findings.add(
      'unguarded-access',
      `${what} is ${how} ${wanted}`,
      `${object.name} ${how} by\n${showStack(place.stack())}`,
    );
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
