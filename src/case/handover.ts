// SPDX-License-Identifier: GPL-2.0-only

/**
 * A name that one task makes and others use. The users wait for it, as the threads of a program would by a
 * futex: until the step that makes it has ended, well or not.
 */
import { machine } from '../sim/context.ts';
import { Observed } from '../sim/observed.ts';
import { op } from '../sim/op.ts';
import { operation } from '../sim/point.ts';
import type { Co } from '../sim/task.ts';

export class Handover extends Observed {
  settled = false;

  /** `name`: as the case calls it. It is no object of the kernel, so that its making is no transition. */
  constructor(name: string) {
    super(machine().root, name, true);
  }
}

const PASS = op<Handover>('pass on');
const WAIT = op<Handover>('wait for', { ready: (it) => it.settled, sleeps: true, commutes: ['wait for'] });

/** The step that makes it has ended. */
export const passOn = (it: Handover): Co<void> =>
  operation(PASS, it, (handover) => {
    handover.settled = true;
  });

export const waitFor = (it: Handover): Co<void> => operation(WAIT, it, () => {});
