// SPDX-License-Identifier: GPL-2.0-only
import type { Choice, Policy } from '../choice.ts';

/** mulberry32: uniform numbers of 32 bits, the same for a seed on every machine. */
export function random32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/** Every option is as likely as the others; the same seed gives the same run. */
export class SeededRandom implements Policy {
  readonly #random: () => number;

  /** `seed`: any 32-bit number. */
  constructor(seed: number) {
    this.#random = random32(seed);
  }

  choose(choice: Choice): number {
    return Math.floor((this.#random() / 0x1_0000_0000) * choice.count);
  }
}
