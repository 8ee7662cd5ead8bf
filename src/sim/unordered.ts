// SPDX-License-Identifier: GPL-2.0-only

/** Shown by `$state` where it makes no difference in which order values stand: who reads, who waits to be woken. */
export class Unordered {
  readonly values: readonly unknown[];

  constructor(values: readonly unknown[]) {
    this.values = values;
  }
}
