// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import type { Observed } from '../observed.ts';
import type { Findings } from './finding.ts';
import { whyLeft } from './leak.ts';
import { fieldName } from './racing.ts';
import { type Checker, type Place, type Stack, side } from './walk.ts';

export class LifetimeChecker implements Checker {
  readonly #findings: Findings;
  readonly #allocated = new Map<Observed, Stack>();
  readonly #freed = new Map<Observed, Stack>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  allocated(object: Observed, place: Place): void {
    this.#allocated.set(object, place.stack());
  }

  freed(object: Observed, place: Place): void {
    const before = this.#freed.get(object);
    if (before !== undefined) {
      this.#findings.add('double-free', object.name, () => [
        side('freed by', place.stack()),
        side('and before by', before),
        ...this.#origin(object),
      ]);
    }
    this.#freed.set(object, place.stack());
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

  end(machine: Machine): void {
    // With tasks left (a hang) it is too early to say what would have been freed.
    if (machine.scheduler.live.some((task) => !task.daemon)) return;
    // What the machine itself set up stays: there is nobody to free it.
    const left = [...this.#allocated].filter(
      ([object, { task }]) => task !== null && !this.#freed.has(object),
    );
    if (left.length === 0) return;
    const why = whyLeft(
      machine,
      left.map(([object]) => object),
    );
    for (const [object] of left)
      this.#findings.add('leak', object.name, () => [...this.#origin(object), ...(why.get(object) ?? [])]);
  }

  #origin(object: Observed): string[] {
    const allocated = this.#allocated.get(object);
    return allocated === undefined ? [] : [side('allocated by', allocated)];
  }

  #use(how: string, object: Observed, field: number | null, place: Place): void {
    if (this.#freed.size === 0) return;
    const { $allocation } = object;
    const freed = this.#freed.get($allocation);
    if (freed === undefined) return;
    const what = field === null ? object.name : fieldName(object, field);
    this.#findings.add('use-after-free', `${what} is ${how} after ${$allocation.name} was freed`, () => [
      side(`${how} by`, place.stack()),
      side('freed by', freed),
      ...this.#origin($allocation),
    ]);
  }
}
