// SPDX-License-Identifier: GPL-2.0-only

/**
 * Which tasks of a program are interchangeable: they do the same, each with things of its own. What a member of an
 * orbit has for its own is known by its name, and so is all that is made out of it or by it (`dev1.driver`,
 * `group.waiter#core.dev1`): names are made of a creator, a role and a maker. A name without its members is a form.
 */
import { type Named, Observed } from './observed.ts';

/** By member of an orbit: the names that stand for it, the same things at the same places. */
export type Orbit = readonly (readonly string[])[];

/** Numbers that only a member has to do with: addresses of memory of its own. */
export interface Range {
  readonly from: number;
  readonly length: number;
}

export interface Form {
  /** What the names of interchangeable things have in common. */
  readonly text: string;
  /** The members that it names, in order; numbered over all orbits. */
  readonly members: readonly number[];
}

/** By member, which one takes its place. */
export type Permutation = readonly number[];

const escaped = (name: string): string => name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

export class Symmetry {
  /** The members of each orbit. */
  readonly orbits: readonly (readonly number[])[];
  /** How many members there are in all. */
  readonly size: number;
  readonly #orbitOf: readonly (readonly number[])[];
  readonly #own = new Map<string, Form>();
  readonly #forms = new Map<string, Form>();
  readonly #texts = new Map<string, Form>();
  readonly #words: RegExp;

  /** By member, ranges of its own; as with names, the same ones at the same places. */
  readonly #ranges: readonly (readonly Range[])[];

  /**
   * `ranges`: by member, numbered over all orbits. Throws (a bug of ours) when members of an orbit do not have the
   * same number of names, or share one.
   */
  constructor(orbits: readonly Orbit[], ranges: readonly (readonly Range[])[] = []) {
    this.#ranges = ranges;
    let size = 0;
    this.orbits = orbits.map((orbit) => orbit.map(() => size++));
    this.size = size;
    this.#orbitOf = this.orbits.flatMap((orbit) => orbit.map(() => orbit));
    let member = 0;
    for (const [at, orbit] of orbits.entries()) {
      for (const names of orbit) {
        if (names.length !== orbit[0]?.length) throw new Error(`${names}: not as many as ${orbit[0]}`);
        for (const [i, name] of names.entries()) {
          if (this.#own.has(name)) throw new Error(`the name ${name} stands for two members`);
          this.#own.set(name, { text: `\0${at}:${i}\0`, members: [member] });
        }
        member++;
      }
    }
    // Longer names first: `core.dev1` before `dev1`.
    const names = [...this.#own.keys()].sort((a, b) => b.length - a.length).map(escaped);
    this.#words = new RegExp(`(?<![\\w-])(?:${names.join('|')})(?![\\w-])`, 'g');
  }

  /** The name of an object. */
  form(it: Named): Form {
    const { name } = it;
    let form = this.#own.get(name) ?? this.#forms.get(name);
    if (form === undefined) {
      form = this.#derive(it);
      this.#forms.set(name, form);
    }
    return form;
  }

  /** Words for people, and what else is text, with the names of members in it. */
  text(text: string): Form {
    let form = this.#texts.get(text);
    if (form === undefined) {
      const members: number[] = [];
      const common = text.replaceAll(this.#words, (name) => {
        const own = this.#own.get(name);
        members.push(...(own?.members ?? []));
        return own?.text ?? name;
      });
      form = { text: common, members };
      this.#texts.set(text, form);
    }
    return form;
  }

  /** A number that only a member has to do with; null: it is any other. */
  number(n: number): Form | null {
    for (const [member, ranges] of this.#ranges.entries())
      for (const [i, { from, length }] of ranges.entries())
        if (n >= from && n < from + length) return { text: `\0${i}+${n - from}`, members: [member] };
    return null;
  }

  /** The permutations; beginning with that which leaves all as it is. */
  permutations(): Generator<Permutation, void> {
    return this.#permute(0, []);
  }

  /** How many permutations there are. */
  get order(): number {
    return this.orbits.flatMap((orbit) => orbit.map((_, i) => i + 1)).reduce((n, i) => n * i, 1);
  }

  /** A permutation for each way in which these members can be others, but the one that leaves them. */
  images(members: readonly number[]): Permutation[] {
    const unlike = [...new Set(members)];
    const found: number[][] = [];
    const choose = (at: number, image: readonly number[]): void => {
      const member = unlike[at];
      if (member === undefined) {
        if (image.some((to, i) => to !== unlike[i])) found.push(this.#complete(unlike, image));
        return;
      }
      for (const to of this.#orbitOf[member] ?? []) if (!image.includes(to)) choose(at + 1, [...image, to]);
    };
    choose(0, []);
    return found;
  }

  /** Exchanges each two neighbours of an orbit: all permutations are made of these. */
  get exchanges(): Permutation[] {
    return this.orbits.flatMap((orbit) =>
      orbit.slice(1).map((b, i) => {
        const a = orbit[i] ?? b;
        return Array.from({ length: this.size }, (_, member) =>
          member === a ? b : member === b ? a : member,
        );
      }),
    );
  }

  /** Those that are not said go, in order, where there is room. */
  #complete(members: readonly number[], image: readonly number[]): number[] {
    const all: number[] = [];
    for (const [i, member] of members.entries()) all[member] = image[i] ?? member;
    for (const orbit of this.orbits) {
      const room = orbit.filter((to) => !image.includes(to));
      for (const member of orbit) if (!members.includes(member)) all[member] = room.shift() ?? member;
    }
    return all;
  }

  *#permute(member: number, image: readonly number[]): Generator<Permutation, void> {
    const orbit = this.#orbitOf[member];
    if (orbit === undefined) {
      yield image;
      return;
    }
    // Its own place first.
    for (const to of [member, ...orbit.filter((other) => other !== member)])
      if (!image.includes(to)) yield* this.#permute(member + 1, [...image, to]);
  }

  /** As observed.ts makes names. One that was given to the object by a case is its own. */
  #derive(it: Named): Form {
    const given: Form = { text: it.name, members: [] };
    if (!(it instanceof Observed)) return given;
    const { $creator: creator, $role: role, $maker: maker, name } = it;
    const plain = creator.name === '' ? role : `${creator.name}.${role}`;
    if (!name.startsWith(plain)) return given;
    const rest = name.slice(plain.length);
    if (rest !== '' && !rest.startsWith('#')) return given;
    const of = this.form(creator);
    const head = creator.name === '' ? role : `${of.text}.${role}`;
    if (maker === null || !(rest === `#${maker.name}` || rest.startsWith(`#${maker.name}.`)))
      return { text: head + rest, members: of.members };
    const by = this.form(maker);
    return {
      text: `${head}#${by.text}${rest.slice(1 + maker.name.length)}`,
      members: [...of.members, ...by.members],
    };
  }
}
