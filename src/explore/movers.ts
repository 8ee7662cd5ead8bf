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
 *
 * Of tasks that are interchangeable only one order of who is who is explored. What one of them was seen to do any
 * other could: it counts as seen of all, with what they have for their own in the place of what it has. So
 * what is known is what would be if all was explored, and the argument stands.
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

const NO_LOCKS: readonly number[] = [];
/** The key of no task. */
export const NOBODY = -1;

/** How far a task is that is still to be made. */
export const NOT_YET = -1;

/** A use by other members of an orbit: keys of the task, of the object and of the locks held. */
export interface Image {
  readonly task: number;
  readonly object: number;
  readonly held: readonly number[];
}

export class Movers {
  /** What other members of the orbits would do as one that was seen. */
  readonly #images: (seen: Image) => readonly Image[];
  /** By object. */
  readonly #known: (Known | undefined)[] = [];
  /** A use was met that interferes with an operation that was moved: what was explored does not stand. */
  refuted = false;

  constructor(images: (seen: Image) => readonly Image[]) {
    this.#images = images;
  }

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
    const { phase } = standing;
    const count = this.#count(object, phase, value);
    const added = (count.now[task] ?? 0) + kind.counts;
    if (added >= (count.least[task] ?? 0)) return;
    this.#lower(count, task, added);
    for (const image of this.#images({ task, object, held: NO_LOCKS })) {
      const its = this.#counted(image.object, phase, count.base);
      if (added < (its.least[image.task] ?? 0)) this.#lower(its, image.task, added);
    }
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

  #use(task: number, object: number, kind: OpKind, standing: Standing): Use {
    const known = this.#find(task, object, kind, standing);
    if (known !== undefined) return known;
    const met = this.#learn(task, object, kind, standing);
    for (const { held, ...image } of this.#images({ task, object, held: standing.held })) {
      const its = { ...standing, held };
      if (this.#find(image.task, image.object, kind, its) === undefined)
        this.#learn(image.task, image.object, kind, its);
    }
    return met;
  }

  #find(task: number, object: number, kind: OpKind, { phase, stage, held }: Standing): Use | undefined {
    for (const use of this.#know(object).uses) {
      if (use.task !== task || use.kind !== kind || use.stage !== stage || use.phase !== phase) continue;
      if (same(use.held, held)) return use;
    }
    return undefined;
  }

  #learn(task: number, object: number, kind: OpKind, { phase, stage, held }: Standing): Use {
    const { uses, counts } = this.#know(object);
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
    const isNew = this.#know(object).counts[phase] === undefined;
    const count = this.#counted(object, phase, value);
    if (!isNew && (count.now.length > 0 || value >= count.base)) return count;
    this.#rebase(count, value);
    for (const image of this.#images({ task: NOBODY, object, held: NO_LOCKS }))
      this.#rebase(this.#counted(image.object, phase, value), value);
    return count;
  }

  #counted(object: number, phase: number, value: number): Count {
    const { counts } = this.#know(object);
    let count = counts[phase];
    if (count === undefined) {
      count = { base: value, now: [], least: [], trusted: false };
      counts[phase] = count;
    }
    return count;
  }

  #rebase(count: Count, value: number): void {
    count.base = Math.min(count.base, value);
    if (count.trusted && !staysUp(count)) this.refuted = true;
  }

  #lower(count: Count, task: number, least: number): void {
    put(count.least, task, least);
    if (count.trusted && !staysUp(count)) this.refuted = true;
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
