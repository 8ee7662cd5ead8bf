// SPDX-License-Identifier: GPL-2.0-only

/**
 * A run once more with other members of the orbits in each other's place. That it does the same, step by step, is
 * checked, and so is that it ends in the same state under other names: most of what is taken for interchangeable and
 * is not shows here.
 */
import { ABANDON, type Choice, type Policy } from '../sim/choice.ts';
import { context } from '../sim/context.ts';
import { Fingerprint } from '../sim/fingerprint.ts';
import type { Permutation, Symmetry } from '../sim/symmetry.ts';
import { Names } from './names.ts';
import type { ExecuteWatched, Run } from './traces.ts';

/** What was done at a choice: an operation, or an option of a choice of another kind. */
interface Deed {
  readonly kind: string;
  /** Keys of task and object; or the option, and nothing. */
  readonly task: number;
  readonly object: number;
}

/** Does a run again: how, its two kinds say. */
abstract class Again implements Policy {
  readonly everyStep = true;
  protected readonly names: Names;
  readonly #fingerprint: Fingerprint;
  #at = 0;

  constructor(fingerprint: Fingerprint, names: Names) {
    this.#fingerprint = fingerprint;
    this.names = names;
  }

  choose(choice: Choice): number {
    // As the machine boots there is nothing to choose.
    if (context.watch !== this.#fingerprint || context.machine === null) return choice.fallback;
    if (this.#at === 0) this.#fingerprint.begin(context.machine);
    return this.option(choice, this.#at++);
  }

  protected abstract option(choice: Choice, at: number): number;
}

/** By the options that it took; and notes what was done. */
class Noted extends Again {
  readonly deeds: Deed[] = [];
  readonly #options: readonly number[];

  constructor(fingerprint: Fingerprint, names: Names, options: readonly number[]) {
    super(fingerprint, names);
    this.#options = options;
  }

  protected override option(choice: Choice, at: number): number {
    const option = this.#options[at];
    if (option === undefined) throw new Error('a run goes on where it has ended before');
    this.deeds.push(deedOf(choice, option, this.names));
    return option;
  }
}

/** With others in the places of those who did it. */
class Mirrored extends Again {
  /** What it could not do; null: it did all. */
  misfit: string | null = null;
  /** The options that it took. */
  readonly options: number[] = [];
  readonly #deeds: readonly Deed[];
  readonly #permutation: Permutation;

  constructor(fingerprint: Fingerprint, names: Names, deeds: readonly Deed[], permutation: Permutation) {
    super(fingerprint, names);
    this.#deeds = deeds;
    this.#permutation = permutation;
  }

  protected override option(choice: Choice, at: number): number {
    const deed = this.#deeds[at];
    for (let option = 0; deed !== undefined && option < choice.count; option++) {
      if (!this.#isImage(deedOf(choice, option, this.names), deed, choice.kind)) continue;
      if (choice.count > 1) this.options.push(option);
      return option;
    }
    // Who is alone has no choice: a process that exits gives back its memory by address, whoever's it was.
    if (deed !== undefined && choice.count === 1) return 0;
    this.misfit = `where one goes on with ${deed?.kind ?? 'nothing'}, another has ${choice.label(0)}`;
    return ABANDON;
  }

  #isImage(its: Deed, deed: Deed, kind: string): boolean {
    if (its.kind !== deed.kind) return false;
    if (kind !== 'task') return its.task === deed.task;
    return (
      its.task === this.names.image(deed.task, this.#permutation) &&
      its.object === this.names.image(deed.object, this.#permutation)
    );
  }
}

/** An end to which a run leads with others in the places of those who were there; by its fingerprint. */
interface Image {
  readonly permutation: Permutation;
  readonly end: readonly [number, number];
  /** It was not met so far; else it is run to see that it does the same. */
  readonly isNew: boolean;
}

/** The ends that were met, each with all its images. */
export class Mirrors {
  readonly #symmetry: Symmetry;
  readonly #extra: () => readonly string[];
  readonly #fingerprint: Fingerprint;
  readonly #names: Names;
  readonly #met = new Set<string>();
  /** How many runs were asked for. */
  #runs = 0;

  constructor(symmetry: Symmetry, extra: () => readonly string[]) {
    this.#symmetry = symmetry;
    this.#extra = extra;
    this.#fingerprint = new Fingerprint(symmetry);
    this.#names = new Names(symmetry);
  }

  /** The images of a run to this end: all that were not met so far, but one at least. After `look`. */
  of(end: Fingerprint): Image[] {
    const { exchanges } = this.#symmetry;
    const permutation = exchanges[this.#runs++ % exchanges.length] ?? [];
    const check: Image = { permutation, end: end.under(permutation), isNew: false };
    const met = `${end.a} ${end.b}`;
    if (this.#met.has(met)) return [check];
    this.#met.add(met);
    const images = new Map<string, Image>();
    for (const each of this.#symmetry.permutations()) {
      const under = end.under(each);
      const key = under.join();
      if (!images.has(key)) images.set(key, { permutation: each, end: under, isNew: true });
    }
    return [check, ...[...images.values()].slice(1)];
  }

  /** Runs an image of a run that took these options and ended so. Returns how it is none; null: it is one. */
  run(
    execute: ExecuteWatched,
    taken: readonly number[],
    { permutation, end, isNew }: Image,
    visit: (run: Run, options: () => number[]) => void,
  ): string | null {
    const noted = new Noted(this.#fingerprint, this.#names, taken);
    const { ending } = execute(noted, this.#fingerprint);
    const mirrored = new Mirrored(this.#fingerprint, this.#names, noted.deeds, permutation);
    const run = execute(mirrored, this.#fingerprint);
    if (mirrored.misfit !== null) return mirrored.misfit;
    if (run.ending.status !== ending.status)
      return `one run comes to ${ending.status}, its image to ${run.ending.status}`;
    this.#fingerprint.look(this.#extra());
    const [a, b] = this.#fingerprint.under([]);
    if (a !== end[0] || b !== end[1]) return 'a run and its image come to different ends';
    if (isNew) visit(run, () => mirrored.options);
    return null;
  }
}

function deedOf({ kind, tasks }: Choice, option: number, names: Names): Deed {
  const task = kind === 'task' ? tasks[option] : undefined;
  if (task === undefined) return { kind, task: option, object: -1 };
  return { kind: task.op.name, task: names.key(task), object: names.key(task.object) };
}
