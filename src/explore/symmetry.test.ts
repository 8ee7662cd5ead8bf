// SPDX-License-Identifier: GPL-2.0-only

/**
 * That exploration which takes like tasks for interchangeable sees all that any other sees, on programs made up by
 * the thousand; and that tasks which only seem alike are told from each other.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Policy } from '../sim/choice.ts';
import { type AccessWatch, context } from '../sim/context.ts';
import { embed, int } from '../sim/field.ts';
import { Machine } from '../sim/machine.ts';
import { root, struct } from '../sim/struct.ts';
import { Symmetry } from '../sim/symmetry.ts';
import { mutex, mutex_lock, mutex_unlock } from '../sim/sync/mutex.ts';
import type { Gen } from '../sim/task.ts';
import { alikePrograms, outcomes, type Program, unlikePrograms } from './programs.testing.ts';
import { exploreStates } from './states.ts';

const RUNS = { numRuns: Number(process.env.RUNS ?? 150), seed: Number(process.env.SEED ?? 1) };

/** It has 630 outcomes; where hashes of what is said were added up unfinished, two of its states were one. */
const SPINNING: Program[] = [['spin', 'spin'], ['spin', 'spin'], ['spin', 'spin'], ['spin']];

test('of tasks that do the same it is enough to see who of them is who once', { timeout: 600_000 }, () => {
  let orbits = 0;
  let states = 0;
  fc.assert(
    fc.property(alikePrograms, ([tasks, early]) => {
      const byStates = outcomes(tasks, early, 'states');
      fc.pre(byStates.complete);
      const byOrbits = outcomes(tasks, early, 'orbits');
      expect(byOrbits.seen).toEqual(byStates.seen);
      expect(byOrbits.complete).toBe(true);
      expect(byOrbits.asymmetry).toBeUndefined();
      states += byStates.states;
      orbits += byOrbits.states;
      const byTraces = outcomes(tasks, early, 'reduced');
      if (byTraces.complete) expect(byOrbits.seen).toEqual(byTraces.seen);
    }),
    { ...RUNS, examples: [[[SPINNING, true]]] },
  );
  expect(orbits).toBeLessThan(states / 1.7);
});

test('tasks that only seem to do the same are told from each other', { timeout: 600_000 }, () => {
  let told = 0;
  let all = 0;
  fc.assert(
    fc.property(unlikePrograms, ([tasks, early]) => {
      const byStates = outcomes(tasks, early, 'states');
      fc.pre(byStates.complete);
      const byOrbits = outcomes(tasks, early, 'orbits');
      expect(byOrbits.seen).toEqual(byStates.seen);
      all++;
      if (byOrbits.asymmetry !== undefined) told++;
    }),
    RUNS,
  );
  // What is written over, or comes after a hang, makes no difference.
  expect(told).toBeGreaterThan(all * 0.9);
});

class stand extends struct('symmetry_stand', root, { x: int() }) {}
class counter extends struct('symmetry_counter', root, { lock: embed(mutex), secret: int() }) {}

/** Tasks that each put 1 on a stand of their own, and one that looks at the stands, last first, under the same lock. */
function lookingOn(
  members: number,
  isFirst: boolean,
  symmetry: Symmetry | null,
): ReturnType<typeof exploreStates> & { seen: Set<number> } {
  let secret = (): number => 0;
  const execute = (policy: Policy, watch: AccessWatch | null = null) => {
    const machine = new Machine(policy).powerOn();
    const it = new counter(machine.root, 'counter');
    secret = () => it.secret;
    const stands = Array.from({ length: members }, (_, i) => new stand(machine.root, `stand${i}`));
    function* putting(own: stand): Gen<void> {
      yield* mutex_lock(it.lock);
      own.x = 1;
      yield* mutex_unlock(it.lock);
    }
    function* looking(): Gen<void> {
      yield* mutex_lock(it.lock);
      const [last, ...others] = stands.toReversed();
      if (last?.x === 1 && others.every(({ x }) => x === 0)) it.secret = 1;
      yield* mutex_unlock(it.lock);
    }
    if (isFirst) machine.spawn('on', looking());
    for (const [i, own] of stands.entries()) machine.spawn(`t${i}`, putting(own));
    if (!isFirst) machine.spawn('on', looking());
    context.watch = watch;
    const ending = machine.run();
    context.watch = null;
    return { machine, ending };
  };
  const seen = new Set<number>();
  const done = exploreStates(execute, () => seen.add(secret()), { executions: 10_000, symmetry });
  return { ...done, seen };
}

test.each([2, 3, 4])('who knows %i members by himself shows it by what he reads', (members) => {
  const orbit = Array.from({ length: members }, (_, i) => [`t${i}`, `stand${i}`]);
  for (const isFirst of [true, false]) {
    const { complete, asymmetry, seen } = lookingOn(members, isFirst, new Symmetry([orbit]));
    expect(asymmetry).toBe(`on was not told of stand${members - 1}, and goes for it`);
    expect(complete).toBe(true);
    expect(seen).toEqual(lookingOn(members, isFirst, null).seen);
    expect(seen).toEqual(new Set([0, 1]));
  }
});
