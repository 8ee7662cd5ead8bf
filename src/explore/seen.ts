// SPDX-License-Identifier: GPL-2.0-only

/** A set of states by their fingerprints, with the tasks that need not be tried from each. Open addressing. */
export class Seen {
  size = 0;
  /** Two words of the fingerprint, and the tasks; a slot is free where `used` is 0. */
  #a = new Int32Array(1 << 10);
  #b = new Int32Array(1 << 10);
  #asleep = new Int32Array(1 << 10);
  #used = new Uint8Array(1 << 10);

  /** The slot of a state, which need not be there yet. Valid until the next `put`. */
  slot(a: number, b: number): number {
    const mask = this.#used.length - 1;
    let slot = (a ^ (a >>> 16)) & mask;
    while (this.#used[slot] === 1 && (this.#a[slot] !== a || this.#b[slot] !== b)) slot = (slot + 1) & mask;
    return slot;
  }

  has(slot: number): boolean {
    return this.#used[slot] === 1;
  }

  /** The tasks that need not be tried, as bits. */
  asleep(slot: number): number {
    return this.#asleep[slot] ?? 0;
  }

  put(slot: number, a: number, b: number, asleep: number): void {
    this.#asleep[slot] = asleep;
    if (this.#used[slot] === 1) return;
    this.#used[slot] = 1;
    this.#a[slot] = a;
    this.#b[slot] = b;
    if (++this.size * 2 > this.#used.length) this.#grow();
  }

  clear(): void {
    this.#used.fill(0);
    this.size = 0;
  }

  #grow(): void {
    const [a, b, asleep, used] = [this.#a, this.#b, this.#asleep, this.#used];
    const n = used.length * 2;
    this.#a = new Int32Array(n);
    this.#b = new Int32Array(n);
    this.#asleep = new Int32Array(n);
    this.#used = new Uint8Array(n);
    for (let i = 0; i < used.length; i++) {
      if (used[i] === 0) continue;
      const to = this.slot(a[i] ?? 0, b[i] ?? 0);
      this.#used[to] = 1;
      this.#a[to] = a[i] ?? 0;
      this.#b[to] = b[i] ?? 0;
      this.#asleep[to] = asleep[i] ?? 0;
    }
  }
}
