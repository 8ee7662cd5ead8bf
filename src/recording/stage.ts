// SPDX-License-Identifier: GPL-2.0-only

/** Has processes do what a recording says, each its own events, one event after the other. */
import { copy_process, do_exit, wait4 } from '../kernel/sched/fork.ts';
import type { process } from '../kernel/sched/task.ts';
import { machine } from '../sim/context.ts';
import { IS_ERR } from '../sim/errno.ts';
import { Observed } from '../sim/observed.ts';
import { op } from '../sim/op.ts';
import { operation } from '../sim/point.ts';
import { type Gen, Task } from '../sim/task.ts';
import { Thread } from '../user/process.ts';
import { Divergence, shownAnswer, shownReturn } from './divergence.ts';
import { type Event, isCompared } from './event.ts';
import { call, prepare } from './perform.ts';

/** It is the turn of the process whose number is the operand; of all, when nothing is left to do. */
const TURN = op<Stage>('turn', {
  ready: ({ event }, { operand }) => event === null || event.pid === operand,
});

/** Freed, or something that a call had on its stack: a thousand calls later it would only cost memory. */
function isGone(object: Observed | undefined): boolean {
  const allocation = object?.$allocation;
  return allocation !== undefined && (allocation.$freed || allocation instanceof Task);
}

export class Stage extends Observed {
  readonly #events: Iterator<Event>;
  readonly #processes = new Map<number, process>();
  /** Objects of the machine that were there before the last process came in. */
  #lasting = 0;
  /** What is due, or being done; null: nothing is left. */
  event: Event | null = null;
  /** Compared calls that were answered as recorded. */
  matched = 0;

  constructor(events: Iterable<Event>) {
    super(machine().root, 'stage', true);
    this.#events = events[Symbol.iterator]();
    this.#advance();
  }

  /** A process comes in; its thread runs when the machine does. */
  enter(pid: number, group: process): void {
    this.#processes.set(pid, group);
    new Thread(group, 'main', this.#perform(group, pid));
    this.#lasting = machine().objects.length;
  }

  /** The run ended with an event still to be done: nobody is there to do it, or it gets no answer. */
  unanswered(how: string): never {
    const { event } = this;
    if (event === null) throw new Error(`the program was over, and then: ${how}`);
    this.#process(event.pid);
    const recorded = isCompared(event) ? shownAnswer(event.ret, event.errno) : event.call;
    throw new Divergence('ret', recorded, `no answer: ${how}`);
  }

  #process(pid: number): process {
    const group = this.#processes.get(pid);
    if (group === undefined) throw new Divergence('pid', String(pid), 'no such process');
    return group;
  }

  #advance(): void {
    const next = this.#events.next();
    this.event = next.done === true ? null : next.value;
    // Nobody reads the trace, and each event is worth a run of its own.
    const { trace, scheduler, objects } = machine();
    trace.clear();
    scheduler.steps = 0;
    while (objects.length > this.#lasting && isGone(objects.at(-1))) objects.pop();
  }

  *#perform(group: process, pid: number): Gen<void> {
    while (!group.exited) {
      yield* operation(TURN, this, () => {}, pid);
      const { event } = this;
      if (event === null) return;
      yield* this.#do(group, event);
      this.matched += Number(isCompared(event));
      this.#advance();
    }
  }

  *#do(group: process, event: Event): Gen<void> {
    switch (event.call) {
      case 'fork': {
        const child = yield* copy_process(machine().root, `p${event.child}`);
        if (IS_ERR(child)) throw new Divergence('child', String(event.child), shownReturn(child));
        return this.enter(event.child, child);
      }
      case 'exit':
        return yield* do_exit();
      case 'waitpid':
        return yield* wait4(this.#process(event.child));
      case 'mmap':
      case 'munmap':
      case 'store':
      case 'pipe2':
      case 'eventfd':
        return yield* prepare(group, event);
      default:
        return yield* call(group, event);
    }
  }
}
