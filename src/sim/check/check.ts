// SPDX-License-Identifier: GPL-2.0-only

/** All checkers on one run, or on many that share what is learnt over runs. */
import type { Machine } from '../machine.ts';
import type { Ending } from '../scheduler.ts';
import { AtomicChecker } from './atomic.ts';
import { type Finding, Findings } from './finding.ts';
import { GuardedChecker } from './guarded.ts';
import { LifetimeChecker } from './lifetime.ts';
import { LockOrderChecker, LockOrders } from './lock-order.ts';
import { RaceChecker } from './races.ts';
import { showStack, walk } from './walk.ts';

/** What is learnt over the runs of one case: orders of locks, fields that race. */
export class Check {
  readonly #orders = new LockOrders();
  /** Ids of the fields on which races were found. */
  readonly racing = new Set<number>();

  /**
   * What is wrong with a run, from its trace; races and uses after free by reading only if reads were recorded
   * (`recordReads`). New orders of locks are held against those of earlier runs.
   */
  run(machine: Machine, ending: Ending): readonly Finding[] {
    const findings = new Findings();
    walk(machine, [
      new LockOrderChecker(findings, this.#orders),
      new AtomicChecker(findings),
      new GuardedChecker(findings),
      new LifetimeChecker(findings),
      new RaceChecker(findings, this.racing),
      {
        warned: (text, place) => findings.add('warn', text, `at\n${showStack(place.stack())}`),
        breached: (kind, text, place) => findings.add(kind, text, `by\n${showStack(place.stack())}`),
      },
    ]);
    if (ending.status === 'hang') findings.add('hang', ending.report.split('\n')[0] ?? '', ending.report);
    return findings.all;
  }
}
