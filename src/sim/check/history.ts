// SPDX-License-Identifier: GPL-2.0-only

/** What came before a finding. The run is read again for it, so that only who reports something pays. */
import type { Machine } from '../machine.ts';
import type { Observed } from '../observed.ts';
import { showChange } from '../text.ts';
import { type Checker, isInside, type Stack, walk } from './walk.ts';

export interface Change {
  /** Its record in the trace. */
  readonly at: number;
  readonly object: Observed;
  readonly field: number;
  /** As a line of the trace has it: `ioas1.users: 1 -> 2`. */
  readonly text: string;
  readonly by: Stack;
}

/** The changes before a record of the locations that are wanted, in order. */
export function changes(
  machine: Machine,
  until: number,
  isWanted: (object: Observed, field: number) => boolean,
): Change[] {
  const found: Change[] = [];
  const collect: Checker = {
    write(object, field, place) {
      const text = isWanted(object, field) ? showChange(machine, place.at) : null;
      if (text !== null) found.push({ at: place.at, object, field, text, by: place.stack() });
    },
  };
  walk(machine, [collect], until);
  return found;
}

/** A read, or an errno that was born. */
interface Step {
  readonly in: Stack;
  readonly look: { readonly object: Observed; readonly field: number } | null;
  readonly reason: string;
}

export interface Judged {
  /** The errno that was judged, by its reason, and where it was born; null: it was none. */
  readonly errno: { readonly reason: string; readonly in: Stack } | null;
  /** What last changed what had been looked at. */
  readonly causes: readonly Change[];
}

/** More causes are not told: what was looked at before these has less to do with it. */
const MOST_CAUSES = 3;

/**
 * What a condition at a record had judged. The trace does not say what a condition is made of: it is what its
 * function, and those that it called, had looked at; or, where the last of that was an errno, what the function had
 * that gave it.
 */
export function judged(machine: Machine, at: number): Judged {
  const steps: Step[] = [];
  const collect: Checker = {
    read(object, field, place) {
      steps.push({ in: place.stack(), look: { object, field }, reason: '' });
    },
    failed(reason, place) {
      steps.push({ in: place.stack(), look: null, reason });
    },
  };
  const judge = walk(machine, [collect], at).stack();
  let inside = steps.filter((step) => isInside(step.in, judge));
  const born = inside.findLast(({ look }) => look === null) ?? null;
  const isErrno =
    born !== null &&
    !inside
      .slice(inside.indexOf(born))
      .some(({ look, in: { innermost } }) => look !== null && innermost?.at === judge.innermost?.at);
  if (isErrno) inside = inside.slice(0, inside.indexOf(born)).filter((step) => isInside(step.in, born.in));
  return { errno: isErrno ? born : null, causes: causesOf(machine, at, inside, judge) };
}

/** Of what was looked at, last first: who last changed it. What the function that judges did itself is no cause. */
function causesOf(machine: Machine, until: number, steps: readonly Step[], judge: Stack): Change[] {
  const wanted = new Map<Observed, Map<number, Change | null>>();
  for (const { look } of [...steps].reverse()) {
    if (look === null) continue;
    const fields = wanted.get(look.object) ?? new Map<number, Change | null>();
    wanted.set(look.object, fields.set(look.field, null));
  }
  const isWanted = (object: Observed, field: number): boolean => wanted.get(object)?.has(field) === true;
  for (const change of changes(machine, until, isWanted))
    if (change.by.task !== null && !isInside(change.by, judge))
      wanted.get(change.object)?.set(change.field, change);
  return [...wanted.values()]
    .flatMap((fields) => [...fields.values()])
    .flatMap((change) => (change === null ? [] : [change]))
    .slice(0, MOST_CAUSES);
}
