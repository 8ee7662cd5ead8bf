// SPDX-License-Identifier: GPL-2.0-only
import type { Named } from '../sim/observed.ts';
import type { Form, Permutation, Symmetry } from '../sim/symmetry.ts';

/** Numbers for names, the same over all runs of a program. */
export class Names {
  readonly #symmetry: Symmetry | null;
  readonly #keys = new Map<string, number>();
  /** By form with its members, and by key: what names members. */
  readonly #like = new Map<string, number>();
  readonly #forms: (Form | undefined)[] = [];
  #size = 0;

  constructor(symmetry: Symmetry | null = null) {
    this.#symmetry = symmetry;
  }

  key(it: Named): number {
    const { name } = it;
    let key = this.#keys.get(name);
    if (key === undefined) {
      const form = this.#symmetry?.form(it);
      key = form === undefined || form.members.length === 0 ? this.#size++ : this.#keyOf(form);
      this.#keys.set(name, key);
    }
    return key;
  }

  /** The members that a name names. */
  members(key: number): readonly number[] {
    return this.#forms[key]?.members ?? [];
  }

  /** The key of the same name with other members in it. */
  image(key: number, permutation: Permutation): number {
    const form = this.#forms[key];
    if (form === undefined) return key;
    const members = form.members.map((member) => permutation[member] ?? member);
    return this.#keyOf({ text: form.text, members });
  }

  #keyOf(form: Form): number {
    const like = `${form.members.join()} ${form.text}`;
    let key = this.#like.get(like);
    if (key === undefined) {
      key = this.#size++;
      this.#like.set(like, key);
      this.#forms[key] = form;
    }
    return key;
  }
}
