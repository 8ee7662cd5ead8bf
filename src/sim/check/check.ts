// SPDX-License-Identifier: GPL-2.0-only

/** All checkers on one run, or on many that share what is learnt over runs. */
import type { Machine } from '../machine.ts';
import type { Ending } from '../scheduler.ts';
import { AtomicChecker } from './atomic.ts';
import { BreachChecker } from './breach.ts';
import { type Finding, Findings } from './finding.ts';
import { GuardedChecker } from './guarded.ts';
import { HangChecker } from './hang.ts';
import { LifetimeChecker } from './lifetime.ts';
import { LockOrderChecker, LockOrders } from './lock-order.ts';
import { RaceChecker } from './races.ts';
import { WakeUpChecker } from './wake-up.ts';
import { walk } from './walk.ts';
import { WarningChecker } from './warning.ts';

/** What is learnt over the runs of one case: orders of locks, fields that race. */
export class Check {
  readonly #orders = new LockOrders();
  /** The fields on which races were found, by path. */
  readonly racing = new Set<string>();

  /**
   * What is wrong with a run, from its trace; races and uses after free by reading only if reads were recorded
   * (`recordReads`). New orders of locks are held against those of earlier runs.
   */
  run(machine: Machine, ending: Ending): readonly Finding[] {
    const findings = new Findings();
    walk(machine, [
      new LockOrderChecker(findings, this.#orders),
      new GuardedChecker(findings, machine),
      new LifetimeChecker(findings),
      new RaceChecker(findings, this.racing),
      new AtomicChecker(findings),
      new WarningChecker(findings, machine),
      new WakeUpChecker(findings),
      new BreachChecker(findings, machine),
      new HangChecker(findings, ending),
    ]);
    return findings.all;
  }
}
