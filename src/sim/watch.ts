// SPDX-License-Identifier: GPL-2.0-only

/** Puts reads on the trace: what writes are without asking, reads are only while a checker needs them. */
import { type AccessWatch, context } from './context.ts';
import { READ } from './trace.ts';

export const recordReads: AccessWatch = {
  read: (object, field) => context.trace.push(READ, object.$id, field, 0),
  write: () => {},
};
