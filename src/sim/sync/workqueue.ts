// SPDX-License-Identifier: GPL-2.0-only

/**
 * Linux's workqueues (kernel/workqueue.c). Each queued work is a task whose first operation is taking it off
 * the queue: ready when the queue lets it run, so that every order in which workers could pick is a schedule.
 */
import { bool } from '../field.ts';
import { type Named, Observed } from '../observed.ts';
import { op } from '../op.ts';
import { operation, scheduler } from '../point.ts';
import { struct } from '../struct.ts';
import type { Co, Gen, Task } from '../task.ts';
import { WARN_ON } from '../warn.ts';
import { lock_acquired, lock_released } from './lock.ts';

export type work_func = (work: work_struct) => Co<void>;

export class work_struct extends struct('work_struct', Observed, { pending: bool() }) {
  func: work_func | null = null;
}

/** One queueing of a work: queued, then running, then gone. */
interface Queued {
  readonly work: work_struct;
  /** Order of queueing within the workqueue; what a flush waits for. */
  readonly ticket: number;
  task: Task | null;
  running: boolean;
}

export class workqueue_struct extends Observed {
  /** Works that may run at once; 1: ordered. */
  readonly max_active: number;
  readonly entries: Queued[] = [];
  tickets = 0;

  override get $recorded(): boolean {
    return false;
  }

  override $state(see: (value: unknown) => void): void {
    for (const { work, running } of this.entries) {
      see(work);
      see(running);
    }
  }

  /** `embedded`: it is the machine's own, or another's, and is never destroyed by itself. */
  constructor(creator: Named, name: string, max_active: number, embedded = false) {
    super(creator, name, embedded);
    this.max_active = max_active;
  }
}

const QUEUE = op<workqueue_struct>('queue_work');
const START = op<workqueue_struct>('start work', { ready: (wq, task) => mayStart(wq, task) });
const END = op<workqueue_struct>('end work');
const FLUSH = op<workqueue_struct>('flush_workqueue', { sleeps: true });
const FLUSHED = op<workqueue_struct>('flush_workqueue (waiting)', {
  ready: (wq, task) => wq.entries.every((e) => e.ticket >= task.operand),
  holders: (wq, task) => tasksOf(wq, (e) => e.ticket < task.operand),
  sleeps: true,
});
const FLUSH_WORK = op<workqueue_struct>('flush_work', { sleeps: true });
const WORK_FLUSHED = op<workqueue_struct>('flush_work (waiting)', {
  ready: (wq, task) => wq.entries.every((e) => e.ticket !== task.operand),
  holders: (wq, task) => tasksOf(wq, (e) => e.ticket === task.operand),
  sleeps: true,
});
const CANCEL = op<workqueue_struct>('cancel_work_sync', { sleeps: true });

function tasksOf(wq: workqueue_struct, wanted: (entry: Queued) => boolean): Task[] {
  return wq.entries.flatMap((e) => (wanted(e) && e.task !== null ? [e.task] : []));
}

/** Among the oldest max_active, and no other run of the same work goes on: a work never runs twice at once. */
function mayStart(wq: workqueue_struct, task: Task): boolean {
  const at = wq.entries.findIndex((e) => e.task === task);
  const entry = wq.entries[at];
  if (entry === undefined || at >= wq.max_active) return false;
  return !wq.entries.some((e) => e.running && e.work === entry.work);
}

/** `max_active` 1 is an ordered workqueue: one at a time, first come first served. */
export function alloc_workqueue(creator: Named, name: string, max_active: number): workqueue_struct {
  return new workqueue_struct(creator, name, max_active);
}

export const alloc_ordered_workqueue = (creator: Named, name: string): workqueue_struct =>
  alloc_workqueue(creator, name, 1);

export function INIT_WORK(work: work_struct, func: work_func): void {
  work.func = func;
}

function* worker(wq: workqueue_struct, entry: Queued, func: work_func): Gen<void> {
  // The task's first operation, `start work`, was announced when it was made; this is its effect.
  entry.running = true;
  lock_acquired(wq, true);
  entry.work.pending = false;
  yield* func(entry.work);
  yield* operation(END, wq, () => {
    wq.entries.splice(wq.entries.indexOf(entry), 1);
    lock_released(wq);
  });
}

/** False, and nothing done, when the work is queued already and has not started. */
export function queue_work(wq: workqueue_struct, work: work_struct): Co<boolean> {
  return operation(QUEUE, wq, () => {
    if (work.pending) return false;
    const { func } = work;
    if (func === null) throw new Error(`${work.name} was queued before INIT_WORK`);
    work.pending = true;
    const entry: Queued = { work, ticket: wq.tickets++, task: null, running: false };
    wq.entries.push(entry);
    entry.task = scheduler().spawn(work, 'worker', worker(wq, entry, func), START, wq);
    return true;
  });
}

/** To lockdep, waiting for works is like taking a lock that they hold while they run. */
function waits_for(wq: workqueue_struct): void {
  lock_acquired(wq);
  lock_released(wq);
}

/** Waits for everything queued before the call. */
export function* flush_workqueue(wq: workqueue_struct): Gen<void> {
  const before = yield* operation(FLUSH, wq, () => {
    waits_for(wq);
    return wq.tickets;
  });
  yield* operation(FLUSHED, wq, () => {}, before);
}

/** Waits for the last queueing of the work. True when there was one to wait for. */
export function* flush_work(wq: workqueue_struct, work: work_struct): Gen<boolean> {
  const ticket = yield* operation(FLUSH_WORK, wq, () => wq.entries.findLast((e) => e.work === work)?.ticket);
  if (ticket === undefined) return false;
  yield* operation(WORK_FLUSHED, wq, () => {}, ticket);
  return true;
}

/** Takes the work off the queue, or waits until it has run. True when it was pending. */
export function* cancel_work_sync(wq: workqueue_struct, work: work_struct): Gen<boolean> {
  const { cancelled, running } = yield* operation(CANCEL, wq, () => {
    const at = wq.entries.findIndex((e) => e.work === work && !e.running);
    const [entry] = at < 0 ? [] : wq.entries.splice(at, 1);
    if (entry?.task) scheduler().discard(entry.task);
    if (entry) work.pending = false;
    return { cancelled: entry !== undefined, running: wq.entries.find((e) => e.work === work)?.ticket };
  });
  if (running !== undefined) yield* operation(WORK_FLUSHED, wq, () => {}, running);
  return cancelled;
}

/** Waits for what is queued; the workqueue must not be used afterwards. */
export function* destroy_workqueue(wq: workqueue_struct): Gen<void> {
  yield* flush_workqueue(wq);
  WARN_ON(wq.entries.length > 0, `destroy_workqueue of ${wq.name} with work queued meanwhile`);
}
