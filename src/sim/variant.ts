// SPDX-License-Identifier: GPL-2.0-only

/**
 * Decision points: where the model can go another way than Linux 6.12 does. One is declared once, in the file
 * in which it is decided, and the declaration returns the only way to ask:
 *
 *     const replaceBy = variant('replace', {
 *       at: 'drivers/iommu/iommufd/device.c:iommufd_device_do_replace',
 *       about: 'what a replace moves, in a group of several devices',
 *       choices: {
 *         '6.12': { about: 'the whole group at once', source: 'Linux 6.12' },
 *         'device-lagging': { about: 'the group; the other devices follow one by one', source: 'https://…' },
 *       },
 *     });
 *     …
 *     switch (replaceBy()) { case '6.12': …; case 'device-lagging': … }
 *
 *     const bugA1 = bug('A1', { at: …, about: …, source: …, cure: … });
 *     if (bugA1()) …
 *
 * The case language, `vfio-oracle variants` and docs/variants.md are made from the declarations. What is chosen
 * belongs to the machine (its option `design`), and is fixed when it is powered on; asking costs one load.
 */

/** The choice that every decision point has, and that is made where nobody asks for another. */
export const LINUX = '6.12';

export interface Choice {
  /** One line: what the model does then. */
  readonly about: string;
  /** Where that comes from: a file of Linux, a commit, a thread. */
  readonly source: string;
}

interface Declared {
  /** Where it is decided: `drivers/iommu/iommufd/main.c:iommufd_destroy`. */
  readonly at: string;
  /** One line. */
  readonly about: string;
}

export interface DecisionPoint extends Declared {
  readonly name: string;
  readonly choices: ReadonlyMap<string, Choice>;
}

/** A historical bug, which a design can put back. `about`: what the buggy code did. */
export interface Bug extends Declared {
  readonly id: string;
  /** The fix, by its subject, and the versions that have the bug. */
  readonly source: string;
  /** What the fix does instead. */
  readonly cure: string;
}

/** What a machine is built by. What it does not name is as in Linux 6.12. */
export interface Design {
  /** Choices by decision point. */
  readonly variant?: Readonly<Record<string, string | undefined>> | undefined;
  /** Ids of bugs that are put back. */
  readonly bugs?: readonly string[] | undefined;
}

type Settable<T> = T & { readonly build: (design: Design) => void };

const byName = <T>(all: ReadonlyMap<string, T>): T[] =>
  [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);

/** Linux 6.12 as it is. */
export const LINUX_6_12: Design = {};

/** What can be decided, and how it is decided now. The model has one; tests have their own. */
export class Decisions {
  readonly #points = new Map<string, Settable<DecisionPoint>>();
  readonly #bugs = new Map<string, Settable<Bug>>();
  #built: Design = LINUX_6_12;

  /** Declares a decision point. Returns what asks for the choice that the running machine makes there. */
  variant<const C extends Readonly<Record<string, Choice>> & { readonly [LINUX]: Choice }>(
    name: string,
    { at, about, choices }: Declared & { readonly choices: C },
  ): () => keyof C & string {
    type Name = keyof C & string;
    if (this.#points.has(name)) throw new Error(`the decision point '${name}' is declared twice`);
    // cast: the keys of `choices` are those of its type
    const names = Object.keys(choices) as Name[];
    let chosen: Name = LINUX;
    const build = ({ variant: { [name]: wanted } = {} }: Design): void => {
      chosen = names.find((each) => each === wanted) ?? LINUX;
    };
    this.#points.set(name, { name, at, about, choices: new Map(Object.entries(choices)), build });
    return () => chosen;
  }

  /** Declares a historical bug by its id. Returns what asks whether the running machine has it. */
  bug(id: string, about: Omit<Bug, 'id'>): () => boolean {
    if (this.#bugs.has(id)) throw new Error(`the bug '${id}' is declared twice`);
    let present = false;
    const build = ({ bugs = [] }: Design): void => {
      present = bugs.includes(id);
    };
    this.#bugs.set(id, { id, ...about, build });
    return () => present;
  }

  /** Every decision point declared so far, by name. */
  points(): readonly DecisionPoint[] {
    return byName(this.#points);
  }

  /** Every historical bug declared so far, by id. */
  bugs(): readonly Bug[] {
    return byName(this.#bugs);
  }

  /** Decides by a design from now on. Throws (a bug of ours) for names that nobody declared, and changes nothing. */
  build(design: Design): void {
    if (design === this.#built) return;
    for (const [name, choice = LINUX] of Object.entries(design.variant ?? {})) {
      const choices = this.#points.get(name)?.choices;
      if (choices === undefined) throw new Error(`no decision point '${name}' is declared`);
      if (!choices.has(choice)) throw new Error(`the decision point '${name}' has no choice '${choice}'`);
    }
    for (const id of design.bugs ?? [])
      if (!this.#bugs.has(id)) throw new Error(`no bug '${id}' is declared`);
    for (const each of [...this.#points.values(), ...this.#bugs.values()]) each.build(design);
    this.#built = design;
  }
}

/** Those of the model. */
export const decisions = new Decisions();
export const variant: Decisions['variant'] = (name, about) => decisions.variant(name, about);
export const bug: Decisions['bug'] = (id, about) => decisions.bug(id, about);
