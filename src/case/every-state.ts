// SPDX-License-Identifier: GPL-2.0-only

/**
 * Conditions that a case wants looked at in every state on the way. A state is where a task is about to do its
 * next operation: what lies between two operations is one step, and nobody can look in between. A condition on
 * fields of what is not there (not yet, or no more) is not looked at in that state.
 */
import type { Choice, Policy } from '../sim/choice.ts';
import type { Judgement } from './condition.ts';
import type { Condition } from './schema.ts';

/** What the states of one run said. */
interface Sighting {
  held: boolean;
  /** What was found instead, the first time that it did not hold. */
  missed: string | null;
  /** Why it could not be said, the first time. */
  unknown: string | null;
}

/** Looks before every step of a run, then lets another policy choose. */
export class EveryState implements Policy {
  readonly everyStep = true;
  readonly #policy: Policy;
  readonly #judge: (condition: Condition) => Judgement;
  readonly #sightings: ReadonlyMap<Condition, Sighting>;
  #over = false;

  constructor(policy: Policy, conditions: readonly Condition[], judge: (condition: Condition) => Judgement) {
    this.#policy = policy;
    this.#judge = judge;
    this.#sightings = new Map(conditions.map((each) => [each, { held: false, missed: null, unknown: null }]));
  }

  choose(choice: Choice): number {
    if (choice.kind === 'task' && !this.#over) this.#look();
    return choice.count === 1 && this.#policy.everyStep !== true ? 0 : this.#policy.choose(choice);
  }

  /** The run is over: its last state is looked at, and none that comes when its processes exit. */
  end(): void {
    this.#look();
    this.#over = true;
  }

  #look(): void {
    for (const [condition, sighting] of this.#sightings) {
      const judgement = this.#judge(condition);
      if (judgement.holds === null) sighting.unknown ??= judgement.why;
      else if (judgement.holds) sighting.held = true;
      else sighting.missed ??= judgement.found;
    }
  }

  /** `always`: whether it held in every state of the run; else whether it held in one. Null: it was not looked at. */
  judgement(condition: Condition, always: boolean): Judgement | null {
    const sighting = this.#sightings.get(condition);
    if (sighting === undefined) return null;
    const { held, missed, unknown } = sighting;
    if (!held && missed === null) return { holds: null, why: unknown ?? 'the run came to no state' };
    if (always) return missed === null ? { holds: true } : { holds: false, found: missed };
    return held ? { holds: true } : { holds: false, found: missed ?? 'it held in no state' };
  }
}
