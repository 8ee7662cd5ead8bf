// SPDX-License-Identifier: GPL-2.0-only

/**
 * Where races were found, other tasks may come in between: then the consequence of a race shows, too. A rerun
 * does that for the fields that raced; see `Scheduler.preempt` for why it does not see every order.
 */
import { CONTENTS } from '../collections/collection.ts';
import { type AccessWatch, context } from '../context.ts';
import type { Observed } from '../observed.ts';
import { op } from '../op.ts';
import { fieldInfo } from '../struct.ts';
import { lockClass } from './locks.ts';

/** What a field is called over all runs: `iopt_area.num_accesses`; a collection by its place in its owner. */
export function fieldPath(object: Observed, field: number): string {
  if (field === CONTENTS) return lockClass(object);
  const { struct, name } = fieldInfo(field);
  return `${struct}.${name}`;
}

/** What a field is called in one run: `area1.num_accesses`; a collection by its own name. */
export const fieldName = (object: Observed, field: number): string =>
  field === CONTENTS ? object.name : `${object.name}.${fieldInfo(field).name}`;

const READ = op('racing read', { commutes: ['racing read'], orders: false });
const WRITE = op('racing write', { orders: false });

/** A watch that lets others go first at each access to these fields, then tells `inner`. */
export function stopAt(points: ReadonlySet<string>, inner: AccessWatch): AccessWatch {
  const stop = (kind: typeof READ, object: Observed, field: number): void => {
    if (context.current !== null && points.has(fieldPath(object, field)))
      context.scheduler?.preempt(kind, object);
  };
  return {
    ...inner,
    read(object, field, value) {
      stop(READ, object, field);
      inner.read(object, field, value);
    },
    write(object, field) {
      stop(WRITE, object, field);
      inner.write(object, field);
    },
  };
}
