// SPDX-License-Identifier: GPL-2.0-only
import { setImmediate } from 'node:timers/promises';
import yoctoSpinner, { type Spinner } from 'yocto-spinner';

/** Shorter work says nothing. */
const PATIENCE = 300;
const PERIOD = 80;

/** A line on the terminal that says how far long work has come; nothing where standard error is no terminal. */
export class Progress {
  readonly #start = Date.now();
  #last = this.#start;
  #spinner: Spinner | null = null;

  /** To be called often; returns at once but for every 80 ms, when it lets the terminal be drawn. */
  async tick(text: () => string): Promise<void> {
    const now = Date.now();
    if (!process.stderr.isTTY || now - this.#last < PERIOD) return;
    this.#last = now;
    if (this.#spinner === null && now - this.#start > PATIENCE)
      this.#spinner = yoctoSpinner({ text: text() }).start();
    if (this.#spinner !== null) this.#spinner.text = text();
    await setImmediate();
  }

  stop(): void {
    this.#spinner?.stop();
    this.#spinner = null;
  }
}
