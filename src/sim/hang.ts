// SPDX-License-Identifier: GPL-2.0-only

/** Who waits for whom: what is said when no task can go on. */
import { operationLabel } from './choice.ts';
import { stackOf } from './fn.ts';
import { missedWakeUp } from './sync/wait.ts';
import type { Task } from './task.ts';

/** One paragraph a stuck task, and the cycle if there is one. Lines, no trailing newline. */
export function describeHang(stuck: readonly Task[]): string {
  const lines = stuck.flatMap((task) => {
    const holders = holdersOf(task);
    const by =
      holders.length > 0
        ? `held by ${holders.map(standing).join(', ')}`
        : missedWakeUp(task)
          ? 'what it waits for holds, but nobody woke it after it looked'
          : 'nobody left to wake it';
    return [`${task.name} waits in ${operationLabel(task)}: ${by}`, ...stackOf(task).map((f) => `    ${f}`)];
  });
  const cycle = findCycle(stuck);
  if (cycle.length > 0) {
    const first = cycle[0]?.name ?? '';
    lines.push(`cycle: ${[...cycle.map((t) => t.name), first].join(' -> ')}`);
  }
  return lines.join('\n');
}

/** By name: who came first to a lock that is shared is no part of the hang. */
function holdersOf(task: Task): readonly Task[] {
  return [...task.op.holders(task.object, task)].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function standing(task: Task): string {
  if (task.state === 'runnable') return task.name;
  return `${task.name} (${task.state === 'dead' ? 'dead after a BUG' : 'finished without releasing it'})`;
}

function findCycle(stuck: readonly Task[]): readonly Task[] {
  for (const task of stuck) {
    const path: Task[] = [];
    let at: Task | undefined = task;
    while (at !== undefined && !path.includes(at)) {
      path.push(at);
      at = holdersOf(at).find((t) => stuck.includes(t));
    }
    if (at !== undefined) return path.slice(path.indexOf(at));
  }
  return [];
}
