// SPDX-License-Identifier: GPL-2.0-only

/**
 * Which operations need no choice before them, since no other task can tell whether they were done now or
 * when the task went on the last time: those on what only one task uses, those that commute with all that
 * others do to the object, and those under a lock that all who could disturb hold, too. A release is one where
 * nobody looks at the lock but to take it. Taking a lock that others take is none, so that every hang stays:
 * a task can be left alone wherever it would wait.
 *
 * Why that is sound (Lipton, Reduction, 1975; Stoller, Model-Checking Multi-Threaded Distributed Java
 * Programs, 2000): in any run, such an operation can be moved to directly behind the operation of its task
 * before it, and the run ends in the same state. Who uses what under which locks is not declared but seen: it
 * is learnt while exploring, and when an operation turns out to disturb one that was taken for such, all that
 * was explored is explored again. The first of these that any run could show is shown by one that is explored:
 * what came before it in the run was undisturbed, and can be moved as above.
 */
import { commute, type OpKind } from '../sim/op.ts';

/** One way in which a task uses an object. */
export interface Use {
  readonly task: number;
  readonly kind: OpKind;
  /** Tasks of one phase are all over before those of the next come to be. */
  readonly phase: number;
  /** The locks that it holds: see Held. */
  readonly held: readonly number[];
  /** It was done without a choice. */
  moved: boolean;
  /** Whether it can be moved, among the first `among` uses of the object. */
  moves: boolean;
  among: number;
}

/** The locks of each task: a lock's key doubled, and one more where others may hold it, too. */
export class Held {
  readonly #locks = new Map<number, number[]>();

  clear(): void {
    this.#locks.clear();
  }

  take(task: number, lock: number, shared: boolean): void {
    const locks = this.#locks.get(task) ?? [];
    this.#locks.set(
      task,
      [...locks, lock * 2 + Number(shared)].sort((a, b) => a - b),
    );
  }

  give(task: number, lock: number): void {
    const locks = this.#locks.get(task) ?? [];
    const at = locks.findIndex((code) => code >> 1 === lock);
    if (at >= 0) this.#locks.set(task, locks.toSpliced(at, 1));
  }

  of(task: number): readonly number[] {
    return this.#locks.get(task) ?? [];
  }
}

/** Whether who holds these and who holds those can never be both there: a lock in common, not shared by both. */
const exclude = (these: readonly number[], those: readonly number[]): boolean =>
  these.some((code) => those.includes(code & ~1) || ((code & 1) === 0 && those.includes(code | 1)));

/** Whether it makes no difference that `use` is done before what another task would do as `other`. */
const passes = (use: Use, other: Use): boolean =>
  use.task === other.task ||
  use.phase !== other.phase ||
  commute(use.kind, other.kind) ||
  use.kind.enables.has(other.kind.name) ||
  exclude(use.held, other.held);

export class Movers {
  /** By object. */
  readonly #uses: Use[][] = [];
  /** An operation was met that one which was moved does not pass: what was explored does not stand. */
  refuted = false;

  /** A task is about to use an object so. */
  meet(task: number, object: number, kind: OpKind, phase: number, held: readonly number[]): Use {
    let uses = this.#uses[object];
    if (uses === undefined) {
      uses = [];
      this.#uses[object] = uses;
    }
    for (const use of uses) {
      if (use.task === task && use.kind === kind && same(use.held, held)) return use;
    }
    const met: Use = { task, kind, phase, held: [...held], moved: false, moves: true, among: 0 };
    if (uses.some((use) => use.moved && !passes(use, met))) this.refuted = true;
    uses.push(met);
    return met;
  }

  /** Whether it needs no choice; then it counts as done without one. */
  move(use: Use, object: number): boolean {
    const uses = this.#uses[object] ?? [];
    for (; use.moves && use.among < uses.length; use.among++) {
      const other = uses[use.among];
      if (other !== undefined && !passes(use, other)) use.moves = false;
    }
    if (use.moves) use.moved = true;
    return use.moves;
  }

  /** Exploration begins anew; what was learnt stays. */
  again(): void {
    this.refuted = false;
    for (const uses of this.#uses) for (const use of uses ?? []) use.moved = false;
  }
}

const same = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((code, i) => code === b[i]);
