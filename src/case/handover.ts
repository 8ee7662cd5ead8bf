// SPDX-License-Identifier: GPL-2.0-only

/**
 * Where the tasks of a case meet, beside what the kernel does. A name that one task makes and others use: the
 * users wait for it, as the threads of a program would by a futex, until the step that makes it has ended,
 * well or not. A step with a label: a schedule can stop its task there.
 */
import { machine } from '../sim/context.ts';
import { Observed } from '../sim/observed.ts';
import { op } from '../sim/op.ts';
import { operation } from '../sim/point.ts';
import type { Co } from '../sim/task.ts';

/** `name`: as the case calls it. It is no object of the kernel, so that its making is no transition. */
export class Mark extends Observed {
  constructor(name: string) {
    super(machine().root, name, true);
  }
}

export class Handover extends Mark {
  settled = false;
}

const PASS = op<Handover>('pass on');
const WAIT = op<Handover>('wait for', { ready: (it) => it.settled, sleeps: true, commutes: ['wait for'] });
const STEP = op<Mark>('step');

const nothing = (): void => {};

/** The step that makes it has ended. */
export const passOn = (it: Handover): Co<void> =>
  operation(PASS, it, (handover) => {
    handover.settled = true;
  });

export const waitFor = (it: Handover): Co<void> => operation(WAIT, it, nothing);

/** A step with a label is about to begin. */
export const beginStep = (label: string): Co<void> => operation(STEP, new Mark(label), nothing);

/** By which name it is passed on that the step of a label has ended. */
export const stepMark = (label: string): string => `step ${label}`;

/** The label of the step at which a line of a schedule stops: `step second`. */
export const stepLabel = (until: string): string | undefined => /^step (.*)$/.exec(until)?.[1];
