// SPDX-License-Identifier: GPL-2.0-only
import type { Choice, Policy } from '../choice.ts';

/** Every option is as likely as the others; the same seed gives the same run, on every machine. */
export class SeededRandom implements Policy {
  #state: number;

  /** `seed`: any 32-bit number. */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  choose(choice: Choice): number {
    return Math.floor((this.#next() / 0x1_0000_0000) * choice.count);
  }

  /** mulberry32: 32 uniform bits. */
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
}
