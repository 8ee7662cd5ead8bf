// SPDX-License-Identifier: GPL-2.0-only

/** WARN_ON and BUG_ON; of a reference count that went wrong, also who had dropped the last reference. */
import type { Observed } from '../observed.ts';
import { refcount_t } from '../sync/refcount.ts';
import type { Findings } from './finding.ts';
import { type Checker, type Place, type Stack, showStack } from './walk.ts';

export class WarningChecker implements Checker {
  readonly #findings: Findings;
  /** By the name of a reference count: where it came to 0. */
  readonly #dropped = new Map<string, Stack>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  write(object: Observed, _field: number, place: Place, value: number): void {
    if (object instanceof refcount_t && value === 0) this.#dropped.set(object.name, place.stack());
  }

  warned(text: string, place: Place): void {
    const counter = /^refcount_t (\S+): /.exec(text)?.[1];
    const dropped = counter === undefined ? undefined : this.#dropped.get(counter);
    const before = dropped === undefined ? '' : `\n the last reference was dropped by\n${showStack(dropped)}`;
    this.#findings.add('warn', text, `at\n${showStack(place.stack())}${before}`);
  }
}
