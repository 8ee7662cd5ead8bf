// SPDX-License-Identifier: GPL-2.0-only

import type { Policy } from '../sim/choice.ts';
/** Programs made up at random, of locks, counters, waits, works and racing accesses, and all they can lead to. */
import { type AccessWatch, context, current } from '../sim/context.ts';
import { embed, int } from '../sim/field.ts';
import { beginOperation } from '../sim/fingerprint.ts';
import { Machine } from '../sim/machine.ts';
import { ALLOCATION, kzalloc } from '../sim/slab.ts';
import { root, struct } from '../sim/struct.ts';
import { mutex, mutex_lock, mutex_trylock, mutex_unlock } from '../sim/sync/mutex.ts';
import { READ_ONCE, WRITE_ONCE } from '../sim/sync/rcu.ts';
import {
  refcount_dec_and_test,
  refcount_inc_not_zero,
  refcount_init,
  refcount_t,
} from '../sim/sync/refcount.ts';
import { down_read, down_write, rw_semaphore, up_read, up_write } from '../sim/sync/rwsem.ts';
import {
  complete,
  completion,
  wait_event,
  wait_for_completion,
  wait_queue_head,
  wake_up_all,
} from '../sim/sync/wait.ts';
import {
  alloc_ordered_workqueue,
  flush_workqueue,
  INIT_WORK,
  queue_work,
  work_struct,
} from '../sim/sync/workqueue.ts';
import type { Gen } from '../sim/task.ts';
import { exploreStates } from './states.ts';
import { exploreTraces, type Run } from './traces.ts';

class shared extends struct('explore_shared', root, {
  a: embed(mutex),
  b: embed(mutex),
  sem: embed(rw_semaphore),
  refs: embed(refcount_t),
  done: embed(completion),
  wait: embed(wait_queue_head),
  work: embed(work_struct),
  x: int(),
  y: int(),
}) {}

export const STATEMENTS = [
  'lock a',
  'lock b',
  'trylock a',
  'read',
  'write',
  'get',
  'put',
  'x=1',
  'x=2',
  'y=x',
  'x+=1',
  'complete',
  'await',
  'wait x',
  'wake',
  'queue',
  'flush',
  'alloc',
] as const;
type Statement = (typeof STATEMENTS)[number];

/** A task does its statements in order; what it locks it holds to the end of the statement after. */
function* body(
  it: shared,
  wq: ReturnType<typeof alloc_ordered_workqueue>,
  program: readonly Statement[],
  say: (s: string) => void,
): Gen<void> {
  const undo: (() => Gen<void>)[] = [];
  const held = new Set<mutex>();
  for (const [at, statement] of program.entries()) {
    beginOperation(current(), `${at} ${[...held].map((lock) => lock.name)} ${undo.length}`);
    const release = undo.length > 1 ? undo.shift() : undefined;
    switch (statement) {
      case 'lock a':
      case 'lock b': {
        const lock = statement === 'lock a' ? it.a : it.b;
        if (held.has(lock)) break;
        held.add(lock);
        yield* mutex_lock(lock);
        undo.push(function* () {
          held.delete(lock);
          yield* mutex_unlock(lock);
        });
        break;
      }
      case 'trylock a':
        if (!held.has(it.a) && (yield* mutex_trylock(it.a))) {
          say('got a');
          held.add(it.a);
          undo.push(function* () {
            held.delete(it.a);
            yield* mutex_unlock(it.a);
          });
        }
        break;
      case 'read':
        yield* down_read(it.sem);
        undo.push(function* () {
          yield* up_read(it.sem);
        });
        break;
      case 'write':
        yield* down_write(it.sem);
        yield* up_write(it.sem);
        break;
      case 'get':
        say(`get ${yield* refcount_inc_not_zero(it.refs)}`);
        break;
      case 'put':
        say(`put ${yield* refcount_dec_and_test(it.refs)}`);
        break;
      case 'x=1':
        yield* WRITE_ONCE(it, 'x', 1);
        break;
      case 'x=2':
        yield* WRITE_ONCE(it, 'x', 2);
        break;
      case 'y=x':
        yield* WRITE_ONCE(it, 'y', yield* READ_ONCE(it, 'x'));
        break;
      case 'x+=1':
        yield* WRITE_ONCE(it, 'x', (yield* READ_ONCE(it, 'x')) + 1);
        break;
      case 'complete':
        yield* complete(it.done);
        break;
      case 'await':
        yield* wait_for_completion(it.done);
        break;
      case 'wait x':
        if (held.has(it.b)) break;
        yield* mutex_lock(it.b);
        yield* wait_event(it.wait, function* () {
          return (yield* READ_ONCE(it.done, 'done')) > 0;
        });
        yield* mutex_unlock(it.b);
        break;
      case 'wake':
        yield* complete(it.done);
        yield* wake_up_all(it.wait);
        break;
      case 'queue':
        say(`queue ${yield* queue_work(wq, it.work)}`);
        break;
      case 'flush':
        yield* flush_workqueue(wq);
        break;
      case 'alloc':
        say(kzalloc(shared, it, 'extra') === null ? 'nomem' : 'mem');
        break;
    }
    if (release !== undefined) yield* release();
  }
  for (const release of undo.reverse()) yield* release();
}

export function outcomes(
  programs: readonly (readonly Statement[])[],
  how: 'all' | 'reduced' | 'all states' | 'states',
): { seen: string[]; executions: number; complete: boolean } {
  const seen = new Set<string>();
  let said: string[] = [];
  let it: shared | null = null;
  const execute = (policy: Policy, watch: AccessWatch | null = null): Run => {
    said = [];
    const machine = new Machine(policy, { choices: new Set([ALLOCATION]) }).powerOn();
    const object = new shared(machine.root, 'it');
    it = object;
    refcount_init(object.refs, 1);
    const wq = alloc_ordered_workqueue(machine.root, 'wq');
    INIT_WORK(object.work, function* () {
      yield* WRITE_ONCE(object, 'x', 7);
    });
    for (const [i, program] of programs.entries()) {
      machine.spawn(
        `t${i}`,
        body(object, wq, program, (s) => said.push(`t${i} ${s}`)),
      );
    }
    context.watch = watch;
    const ending = machine.run();
    context.watch = null;
    return { machine, ending };
  };
  const visit = ({ ending }: Run): void => {
    // What each task was told, in its own order, and what is left: not who was told first.
    const told = [...said].sort().join();
    const end = ending.status === 'hang' ? ending.report : ending.status;
    seen.add(`${told} x=${it?.x} y=${it?.y} refs=${it?.refs.refs} ${end}`);
  };
  const limits = { executions: 1_500 };
  const { complete, executions } =
    how === 'states' || how === 'all states'
      ? exploreStates(execute, visit, {
          ...limits,
          extra: () => [...said].sort().join(),
          reduce: how === 'states',
        })
      : exploreTraces((policy) => execute(policy), visit, limits, how === 'reduced');
  return { seen: [...seen].sort(), executions, complete };
}
