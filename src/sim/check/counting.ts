// SPDX-License-Identifier: GPL-2.0-only

/** The gets and puts of a reference count, which Linux's ref_tracker keeps for those that were never put. */
import type { Machine } from '../machine.ts';
import type { refcount_t } from '../sync/refcount.ts';
import { type Change, changes } from './history.ts';
import { beginning, functionsOf, taskOf } from './walk.ts';

/**
 * Every get and put of a count before a record, by the calls that they belong to. Calls that gave back all that they
 * took are left out, but for the last: a get that is missing its put is not among theirs.
 */
export function counting(machine: Machine, until: number, count: refcount_t): string {
  const all = changes(machine, until, (object) => object === count);
  const { buf } = machine.trace;
  const before = ({ at }: Change): number => buf[at + 2] ?? 0;
  const after = ({ at }: Change): number => buf[at + 3] ?? 0;
  const sums = new Map<string, number>();
  for (const change of all) {
    const call = callOf(change);
    sums.set(call, (sums.get(call) ?? 0) + after(change) - before(change));
  }
  const last = all.at(-1);
  const told = all.filter((each) => sums.get(callOf(each)) !== 0 || (last && callOf(last) === callOf(each)));
  const rest = all.length - told.length;
  const lines = told.flatMap((change, i) => {
    const previous = told[i - 1];
    const isNew = previous === undefined || callOf(previous) !== callOf(change);
    const where = functionsOf(change.by).join(' < ');
    return [
      ...(isNew ? [`  ${taskOf(change.by)}`] : []),
      `    ${before(change)} -> ${after(change)}${where === '' ? '' : `  ${where}`}`,
    ];
  });
  const without = rest === 0 ? '' : `, without ${rest} that came and went in one call`;
  return [`gets and puts of ${count.name}${without}:`, ...lines].join('\n');
}

const callOf = ({ by }: Change): string => `${by.task?.name} ${beginning(by)}`;
