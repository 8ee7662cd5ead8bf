// SPDX-License-Identifier: GPL-2.0-only

/** A hang: with where the locks that are waited for were taken, and who last changed what else is waited for. */
import type { Machine } from '../machine.ts';
import type { Observed } from '../observed.ts';
import type { Ending } from '../scheduler.ts';
import type { Task } from '../task.ts';
import type { Findings } from './finding.ts';
import { type Change, changes } from './history.ts';
import { HeldLocks } from './locks.ts';
import { type Checker, type Place, type Stack, side, walk } from './walk.ts';

export class HangChecker implements Checker {
  readonly #findings: Findings;
  readonly #ending: Ending;
  readonly #held = new HeldLocks();
  /** Where each lock was last given back. */
  readonly #given = new Map<Observed, Stack>();

  constructor(findings: Findings, ending: Ending) {
    this.#findings = findings;
    this.#ending = ending;
  }

  taken(lock: Observed, shared: boolean, place: Place): void {
    this.#held.taken(lock, shared, place);
  }

  given(lock: Observed, place: Place): void {
    this.#held.given(lock, place);
    this.#given.set(lock, place.stack());
  }

  end(machine: Machine): void {
    if (this.#ending.status !== 'hang') return;
    const { report } = this.#ending;
    const stuck = machine.scheduler.live.filter((task) => !task.daemon);
    this.#findings.add('hang', report.split('\n')[0] ?? '', () => [
      report,
      ...new Set(stuck.flatMap((task) => this.#otherSide(machine, task))),
    ]);
  }

  #otherSide(machine: Machine, task: Task): string[] {
    const holds = this.#held.ofLock(task.object);
    if (holds.length > 0) return holds.map(({ lock, stack }) => side(`${lock.name} taken by`, stack));
    const given = this.#given.get(task.object);
    if (given !== undefined) return [side(`${task.object.name} last given back by`, given)];
    const last = new Map<Observed, Change>();
    const looked = lookedAt(machine, task);
    for (const change of changes(machine, machine.trace.len, (object) => looked.has(object)))
      last.set(change.object, change);
    return [...last.values()].map(({ text, by }) => side(`what ${task.name} waits for: ${text}, by`, by));
  }
}

/** What a task that sleeps had looked at since it prepared to: what a condition reads it reads by operations. */
function lookedAt(machine: Machine, task: Task): ReadonlySet<Observed> {
  const looked = new Set([task.object]);
  const collect: Checker = {
    operation(kind, object, place) {
      if (place.task !== task) return;
      if (kind.name === 'prepare_to_wait') looked.clear();
      looked.add(object);
    },
  };
  if (task.op.name === 'wait') walk(machine, [collect], machine.trace.len);
  return looked;
}
