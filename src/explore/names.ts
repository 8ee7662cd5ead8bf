// SPDX-License-Identifier: GPL-2.0-only

/** Numbers for names, the same over all runs of a program. */
export class Names {
  readonly #keys = new Map<string, number>();

  key(name: string): number {
    let key = this.#keys.get(name);
    if (key === undefined) {
      key = this.#keys.size;
      this.#keys.set(name, key);
    }
    return key;
  }
}
