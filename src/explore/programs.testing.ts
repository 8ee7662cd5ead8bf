// SPDX-License-Identifier: GPL-2.0-only

/**
 * Programs made up at random, of locks, counters, frees, waits, timers, works, RCU and racing accesses, and all they
 * can lead to.
 */
import fc from 'fast-check';
import type { Policy } from '../sim/choice.ts';
import { type AccessWatch, context, current } from '../sim/context.ts';
import { embed, int, ref } from '../sim/field.ts';
import { beginOperation } from '../sim/fingerprint.ts';
import { Machine } from '../sim/machine.ts';
import { ALLOCATION, kfree, kzalloc } from '../sim/slab.ts';
import { root, struct } from '../sim/struct.ts';
import { mutex, mutex_lock, mutex_trylock, mutex_unlock } from '../sim/sync/mutex.ts';
import {
  call_rcu,
  READ_ONCE,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_read_lock,
  rcu_read_unlock,
  synchronize_rcu,
  WRITE_ONCE,
} from '../sim/sync/rcu.ts';
import {
  refcount_dec_and_test,
  refcount_inc_not_zero,
  refcount_init,
  refcount_t,
} from '../sim/sync/refcount.ts';
import {
  down_read,
  down_read_trylock,
  down_write,
  down_write_trylock,
  downgrade_write,
  rw_semaphore,
  up_read,
  up_write,
} from '../sim/sync/rwsem.ts';
import { spin_lock, spin_trylock, spin_unlock, spinlock } from '../sim/sync/spinlock.ts';
import {
  complete,
  completion,
  wait_event,
  wait_event_timeout,
  wait_for_completion,
  wait_for_completion_timeout,
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

class item extends struct('explore_item', root, {
  x: int(),
}) {}

class shared extends struct('explore_shared', root, {
  a: embed(mutex),
  b: embed(mutex),
  spin: embed(spinlock),
  sem: embed(rw_semaphore),
  refs: embed(refcount_t),
  /** References to the payload; who puts the last frees it. */
  pins: embed(refcount_t),
  done: embed(completion),
  wait: embed(wait_queue_head),
  work: embed(work_struct),
  x: int(),
  y: int(),
  /** Under `spin`. */
  z: int(),
  /** Published to RCU's readers. */
  ptr: ref<item>(),
}) {}

/** What the tasks share. */
interface World {
  readonly it: shared;
  readonly other: shared;
  readonly payload: item;
  readonly wq: ReturnType<typeof alloc_ordered_workqueue>;
}

/** What a task keeps between its statements. */
class Doing {
  /** What it holds, oldest first, and how it gives it back. */
  readonly holds: { readonly what: string; release(): Gen<void> }[] = [];
  hasDropped = false;
  readonly say: (s: string) => void;

  constructor(say: (s: string) => void) {
    this.say = say;
  }

  get progress(): string {
    return `${this.holds.map(({ what }) => what).join()} ${this.hasDropped}`;
  }

  has(lock: mutex): boolean {
    return this.holds.some(({ what }) => what === lock.name);
  }

  hold(what: string, release: () => Gen<void>): void {
    this.holds.push({ what, release });
  }
}

function* lock(task: Doing, it: mutex): Gen<void> {
  if (task.has(it)) return;
  yield* mutex_lock(it);
  task.hold(it.name, () => unlock(it));
}

function* unlock(it: mutex): Gen<void> {
  yield* mutex_unlock(it);
}

function* stopReading(it: rw_semaphore): Gen<void> {
  yield* up_read(it);
}

function* stopWriting(it: rw_semaphore): Gen<void> {
  yield* up_write(it);
}

function* isDone(it: shared): Gen<boolean> {
  return (yield* READ_ONCE(it.done, 'done')) > 0;
}

function* unpin({ it, payload }: World, task: Doing): Gen<void> {
  if (!(yield* refcount_dec_and_test(it.pins))) return;
  kfree(payload);
  task.say('freed the payload');
}

/** Takes back what is published; who gets it has to free it, after a grace period. */
function* retract({ it }: World): Gen<item | null> {
  yield* spin_lock(it.spin);
  const found = it.ptr;
  if (found !== null) yield* rcu_assign_pointer(it, 'ptr', null);
  yield* spin_unlock(it.spin);
  return found;
}

const DO = {
  *'lock a'({ it }, task) {
    yield* lock(task, it.a);
  },
  *'lock b'({ it }, task) {
    yield* lock(task, it.b);
  },
  *'lock other'({ other }, task) {
    yield* lock(task, other.a);
  },
  *'trylock a'({ it }, task) {
    if (task.has(it.a) || !(yield* mutex_trylock(it.a))) return;
    task.say('got a');
    task.hold(it.a.name, () => unlock(it.a));
  },
  *spin({ it }, task) {
    yield* spin_lock(it.spin);
    task.say(`z ${it.z}`);
    it.z += 1;
    yield* spin_unlock(it.spin);
  },
  *spin_trylock({ it }, task) {
    const got = yield* spin_trylock(it.spin);
    task.say(`spin ${got}`);
    if (!got) return;
    it.z += 2;
    yield* spin_unlock(it.spin);
  },
  *read({ it }, task) {
    yield* down_read(it.sem);
    task.hold('sem', () => stopReading(it.sem));
  },
  *tryread({ it }, task) {
    const got = yield* down_read_trylock(it.sem);
    task.say(`read ${got}`);
    if (got) task.hold('sem', () => stopReading(it.sem));
  },
  *write({ it }) {
    yield* down_write(it.sem);
    yield* up_write(it.sem);
  },
  *trywrite({ it }, task) {
    const got = yield* down_write_trylock(it.sem);
    task.say(`write ${got}`);
    if (got) task.hold('sem, writing', () => stopWriting(it.sem));
  },
  *downgrade({ it }, task) {
    yield* down_write(it.sem);
    yield* downgrade_write(it.sem);
    task.hold('sem', () => stopReading(it.sem));
  },
  *get({ it }, task) {
    task.say(`get ${yield* refcount_inc_not_zero(it.refs)}`);
  },
  *put({ it }, task) {
    task.say(`put ${yield* refcount_dec_and_test(it.refs)}`);
  },
  *use(world, task) {
    const { it, payload } = world;
    const got = yield* refcount_inc_not_zero(it.pins);
    task.say(got ? `payload${payload.$freed ? ', freed' : ''}` : 'no payload');
    if (!got) return;
    yield* WRITE_ONCE(payload, 'x', 1);
    yield* unpin(world, task);
  },
  *drop(world, task) {
    if (task.hasDropped) return;
    task.hasDropped = true;
    yield* unpin(world, task);
  },
  *'x=1'({ it }) {
    yield* WRITE_ONCE(it, 'x', 1);
  },
  *'x=2'({ it }) {
    yield* WRITE_ONCE(it, 'x', 2);
  },
  *'y=x'({ it }) {
    yield* WRITE_ONCE(it, 'y', yield* READ_ONCE(it, 'x'));
  },
  *'x+=1'({ it }) {
    yield* WRITE_ONCE(it, 'x', (yield* READ_ONCE(it, 'x')) + 1);
  },
  *'other=1'({ other }) {
    yield* WRITE_ONCE(other, 'x', 1);
  },
  *'other=x'({ it, other }) {
    yield* WRITE_ONCE(other, 'x', yield* READ_ONCE(it, 'x'));
  },
  *'x=other'({ it, other }) {
    yield* WRITE_ONCE(it, 'x', yield* READ_ONCE(other, 'x'));
  },
  *complete({ it }) {
    yield* complete(it.done);
  },
  *await({ it }) {
    yield* wait_for_completion(it.done);
  },
  *'await, timed'({ it }, task) {
    task.say(`await ${(yield* wait_for_completion_timeout(it.done, 10)) > 0}`);
  },
  *wait({ it }, task) {
    if (task.has(it.b)) return;
    yield* mutex_lock(it.b);
    yield* wait_event(it.wait, () => isDone(it));
    yield* mutex_unlock(it.b);
  },
  *'wait, timed'({ it }, task) {
    task.say(`wait ${(yield* wait_event_timeout(it.wait, () => isDone(it), 20)) > 0}`);
  },
  *wake({ it }) {
    yield* complete(it.done);
    yield* wake_up_all(it.wait);
  },
  *queue({ it, wq }, task) {
    task.say(`queue ${yield* queue_work(wq, it.work)}`);
  },
  *flush({ wq }) {
    yield* flush_workqueue(wq);
  },
  *dereference({ it }, task) {
    yield* rcu_read_lock();
    const found = yield* rcu_dereference(it, 'ptr');
    task.say(
      found === null ? 'nothing' : `found ${yield* READ_ONCE(found, 'x')}${found.$freed ? ', freed' : ''}`,
    );
    yield* rcu_read_unlock();
  },
  *call_rcu(world) {
    const found = yield* retract(world);
    if (found === null) return;
    yield* call_rcu(found, function* () {
      kfree(found);
      yield* WRITE_ONCE(world.it, 'y', 9);
    });
  },
  *synchronize_rcu(world, task) {
    const found = yield* retract(world);
    if (found === null) return;
    yield* synchronize_rcu();
    kfree(found);
    task.say('freed what was published');
  },
  *alloc({ it }, task) {
    task.say(kzalloc(shared, it, 'extra') === null ? 'nomem' : 'mem');
  },
} satisfies Record<string, (world: World, task: Doing) => Gen<void>>;

type Statement = keyof typeof DO;
export type Program = readonly Statement[];

const isStatement = (key: string): key is Statement => Object.hasOwn(DO, key);
const STATEMENTS = Object.keys(DO).filter(isStatement);

/** Statements that have much to do with each other, beside all of them: what is picked from few meets often. */
const THEMES: readonly (readonly Statement[])[] = [
  STATEMENTS,
  ['lock a', 'lock b', 'lock other', 'trylock a', 'spin', 'spin_trylock', 'x=1', 'y=x', 'other=1'],
  ['read', 'tryread', 'write', 'trywrite', 'downgrade', 'lock a', 'x=1', 'y=x'],
  ['get', 'put', 'use', 'drop', 'lock a', 'other=1'],
  ['complete', 'await', 'await, timed', 'wait', 'wait, timed', 'wake', 'lock b', 'x+=1'],
  ['dereference', 'call_rcu', 'synchronize_rcu', 'spin', 'y=x'],
  ['x=1', 'x+=1', 'y=x', 'other=1', 'other=x', 'x=other', 'queue', 'flush', 'alloc'],
];

/** Two or three tasks, and whether their timers may be early. */
export const programs = fc.tuple(fc.constantFrom(...THEMES), fc.boolean()).chain(([theme, early]) =>
  fc.tuple(
    fc.array(fc.array(fc.constantFrom(...theme), { minLength: 1, maxLength: 3 }), {
      minLength: 2,
      maxLength: 3,
    }),
    fc.constant(early),
  ),
);

/** A task does its statements in order; what it locks it holds to the end of the statement after. */
function* body(world: World, program: Program, say: (s: string) => void): Gen<void> {
  const task = new Doing(say);
  for (const [at, statement] of program.entries()) {
    beginOperation(current(), `${at} ${task.progress}`);
    const held = task.holds.length > 1 ? task.holds.shift() : undefined;
    yield* DO[statement](world, task);
    if (held !== undefined) yield* held.release();
  }
  for (const { release } of task.holds.reverse()) yield* release();
}

export function outcomes(
  programs: readonly Program[],
  early: boolean,
  how: 'all' | 'reduced' | 'all states' | 'states',
): { seen: string[]; executions: number; complete: boolean } {
  const seen = new Set<string>();
  let said: string[] = [];
  let world: World | null = null;
  const execute = (policy: Policy, watch: AccessWatch | null = null): Run => {
    said = [];
    const options = { choices: new Set([ALLOCATION]), earlyTimers: early };
    const machine = new Machine(policy, options).powerOn();
    const it = new shared(machine.root, 'it');
    const other = new shared(machine.root, 'other');
    const wq = alloc_ordered_workqueue(machine.root, 'wq');
    const now = { it, other, payload: new item(machine.root, 'payload'), wq };
    world = now;
    refcount_init(it.refs, 1);
    refcount_init(it.pins, Math.max(1, programs.filter((program) => program.includes('drop')).length));
    it.ptr = new item(machine.root, 'published');
    INIT_WORK(it.work, function* () {
      yield* WRITE_ONCE(it, 'x', 7);
    });
    for (const [i, program] of programs.entries()) {
      machine.spawn(
        `t${i}`,
        body(now, program, (s) => said.push(`t${i} ${s}`)),
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
    if (world === null) throw new Error('a run comes before its visit');
    const { it, other, payload } = world;
    const left = [
      it.x,
      it.y,
      it.z,
      it.refs.refs,
      it.pins.refs,
      it.ptr?.x,
      other.x,
      payload.x,
      payload.$freed,
    ];
    seen.add(`${told} left=${left} ${end}`);
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
