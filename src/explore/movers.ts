// SPDX-License-Identifier: GPL-2.0-only

/**
 * Which operations need no choice before them, since whatever the other tasks still do, it makes no difference
 * whether it is done before or after: on what they do not use any more, by what commutes with all that they do
 * to the object, or while holding a lock that they must hold, too. A release is one where nobody looks at the
 * lock but to take it; so is what is done to a reference count that cannot come to 0, whoever goes first. Taking
 * a lock that others take is none, so that every hang stays: a task can be left alone wherever it would wait.
 *
 * Why that is sound: the task by itself is a persistent set (Godefroid, 1996): nothing that the others can do
 * without it interferes with what it does next; so every run from here on is like one that begins with it. Who
 * uses what, under which locks and how late in its program is not declared but seen: it is learnt while
 * exploring, and when a use turns up that interferes with an operation that was done without a choice, all that
 * was explored is explored again. The first that any run could show is shown by one that is explored: what came
 * before it in the run was not interfered with, and can be moved to where it was done (Stoller, Model-Checking
 * Multi-Threaded Distributed Java Programs, 2000, has the argument for locks).
 */
import { commute, type OpKind } from '../sim/op.ts';
import type { Standing } from './standing.ts';

/** One way in which a task uses an object. */
interface Use extends Standing {
  readonly task: number;
  readonly kind: OpKind;
  /** The uses by others that interfere with it, among the first `among` of the object. */
  readonly against: Use[];
  among: number;
  /** It was done without a choice: by task, how far that was then at least; absent: NOT_YET. */
  moved: number[] | null;
}

/** A reference count, in one phase. */
interface Count {
  /** The least that it was found at. */
  base: number;
  /** By task: what it has added in this run, and the least that this ever was. */
  readonly now: number[];
  readonly least: number[];
  /** An operation was moved because it cannot come to 0. */
  trusted: boolean;
}

/** What is known of an object. */
interface Known {
  readonly uses: Use[];
  /** By phase. */
  readonly counts: (Count | undefined)[];
}

/** Whether who holds these and who holds those can never be both there: a lock in common, not shared by both. */
const exclude = (these: readonly number[], those: readonly number[]): boolean =>
  these.some((code) => those.includes(code & ~1) || ((code & 1) === 0 && those.includes(code | 1)));

const same = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

/** Whether it makes no difference that `use` is done before what another task would do as `other`. */
const passes = (use: Use, other: Use): boolean =>
  use.task === other.task ||
  use.phase !== other.phase ||
  commute(use.kind, other.kind) ||
  use.kind.enables.has(other.kind.name) ||
  exclude(use.held, other.held);

/** However the tasks take turns, it stays above 0. */
const staysUp = ({ base, least }: Count): boolean => least.reduce((sum, n) => sum + (n ?? 0), base) > 0;

function put(column: number[], at: number, n: number): void {
  while (column.length < at) column.push(0);
  column[at] = n;
}

/** How far a task is that is still to be made. */
export const NOT_YET = -1;

export class Movers {
  /** By object. */
  readonly #known: (Known | undefined)[] = [];
  /** A use was met that interferes with an operation that was moved: what was explored does not stand. */
  refuted = false;

  /** A run begins. */
  begin(): void {
    for (const count of this.#counts()) count.now.length = 0;
  }

  /** Exploration begins anew; what was learnt stays. */
  again(): void {
    this.refuted = false;
    for (const known of this.#known) for (const use of known?.uses ?? []) use.moved = null;
    for (const count of this.#counts()) count.trusted = false;
  }

  /** A task is about to use an object so. `value`: what the object counts, if it is a reference count. */
  meet(task: number, object: number, kind: OpKind, standing: Standing, value: number | null): void {
    this.#use(task, object, kind, standing);
    if (value === null) return;
    const count = this.#count(object, standing.phase, value);
    const added = (count.now[task] ?? 0) + kind.counts;
    if (added >= (count.least[task] ?? 0)) return;
    put(count.least, task, added);
    if (count.trusted && !staysUp(count)) this.refuted = true;
  }

  /** A task added to a reference count. */
  did(task: number, object: number, phase: number, added: number): void {
    const count = this.#known[object]?.counts[phase];
    if (count !== undefined) put(count.now, task, (count.now[task] ?? 0) + added);
  }

  /**
   * Whether what was met needs no choice; then it counts as done without one. `stages`: by task, how far it is;
   * absent: NOT_YET.
   */
  move(task: number, object: number, kind: OpKind, standing: Standing, stages: readonly number[]): boolean {
    const use = this.#use(task, object, kind, standing);
    const { uses, counts } = this.#know(object);
    for (; use.among < uses.length; use.among++) {
      const other = uses[use.among];
      if (other !== undefined && !passes(use, other)) use.against.push(other);
    }
    const count = kind.counts === 0 ? undefined : counts[standing.phase];
    const isUp = count !== undefined && staysUp(count);
    for (const { task: its, stage, kind: how } of use.against) {
      const isOver = stage < (stages[its] ?? NOT_YET);
      if (!isOver && !(isUp && how.counts !== 0)) return false;
    }
    if (isUp) count.trusted = true;
    use.moved =
      use.moved === null
        ? [...stages]
        : use.moved.map((stage, its) => Math.min(stage, stages[its] ?? NOT_YET));
    return true;
  }

  #use(task: number, object: number, kind: OpKind, { phase, stage, held }: Standing): Use {
    const { uses, counts } = this.#know(object);
    for (const use of uses) {
      if (use.task !== task || use.kind !== kind || use.stage !== stage || use.phase !== phase) continue;
      if (same(use.held, held)) return use;
    }
    const met: Use = { task, kind, phase, stage, held, against: [], among: 0, moved: null };
    const trusted = counts[phase]?.trusted === true;
    const isCounted = (use: Use): boolean => trusted && use.kind.counts !== 0 && kind.counts !== 0;
    for (const use of uses) {
      if (use.moved === null || stage < (use.moved[task] ?? NOT_YET)) continue;
      if (!passes(use, met) && !isCounted(use)) this.refuted = true;
    }
    uses.push(met);
    return met;
  }

  #count(object: number, phase: number, value: number): Count {
    const { counts } = this.#know(object);
    let count = counts[phase];
    if (count === undefined) {
      count = { base: value, now: [], least: [], trusted: false };
      counts[phase] = count;
    }
    if (count.now.length === 0 && value < count.base) {
      count.base = value;
      if (count.trusted && !staysUp(count)) this.refuted = true;
    }
    return count;
  }

  #know(object: number): Known {
    let known = this.#known[object];
    if (known === undefined) {
      known = { uses: [], counts: [] };
      this.#known[object] = known;
    }
    return known;
  }

  *#counts(): Generator<Count, void> {
    for (const known of this.#known)
      for (const count of known?.counts ?? []) if (count !== undefined) yield count;
  }
}
