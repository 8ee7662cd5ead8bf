// SPDX-License-Identifier: GPL-2.0-only

/** Lifetime: use after free, double free, and what kzalloc gave and nobody freed by the end. */
import { CONTENTS } from '../collections/collection.ts';
import type { Machine } from '../machine.ts';
import type { Observed } from '../observed.ts';
import { fieldInfo } from '../struct.ts';
import type { Findings } from './finding.ts';
import { type Checker, type Place, type Stack, showStack } from './walk.ts';

export class LifetimeChecker implements Checker {
  readonly #findings: Findings;
  readonly #allocated = new Map<Observed, Stack>();
  readonly #freed = new Map<Observed, Stack>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  allocated(object: Observed, place: Place): void {
    // What the machine itself set up stays: there is nobody to free it.
    if (place.task !== null) this.#allocated.set(object, place.stack());
  }

  freed(object: Observed, place: Place): void {
    const before = this.#freed.get(object);
    if (before !== undefined) {
      this.#findings.add(
        'double-free',
        object.name,
        `freed by\n${showStack(before)}\n and again by\n${showStack(place.stack())}`,
      );
    }
    this.#freed.set(object, place.stack());
    this.#allocated.delete(object);
  }

  read(object: Observed, field: number, place: Place): void {
    this.#use('read', object, field, place);
  }

  write(object: Observed, field: number, place: Place): void {
    this.#use('written', object, field, place);
  }

  operation(_kind: unknown, object: Observed, place: Place): void {
    this.#use('used', object, null, place);
  }

  end({ scheduler }: Machine): void {
    // With tasks left (a hang) it is too early to say what would have been freed.
    if (scheduler.live.some((task) => !task.daemon)) return;
    for (const [object, stack] of this.#allocated) {
      this.#findings.add('leak', object.name, `allocated by\n${showStack(stack)}`);
    }
  }

  #use(how: string, object: Observed, field: number | null, place: Place): void {
    if (this.#freed.size === 0) return;
    const freed = this.#freed.get(object.$allocation);
    if (freed === undefined) return;
    const what =
      field === null || field === CONTENTS ? object.name : `${object.name}.${fieldInfo(field).name}`;
    this.#findings.add(
      'use-after-free',
      `${what} is ${how} after ${object.$allocation.name} was freed`,
      `${how} by\n${showStack(place.stack())}\n freed by\n${showStack(freed)}`,
    );
  }
}
