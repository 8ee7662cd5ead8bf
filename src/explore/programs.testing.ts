// SPDX-License-Identifier: GPL-2.0-only

/**
 * Programs made up at random, of locks, counters, frees, waits, timers, works, RCU and racing accesses, and all they
 * can lead to.
 */
import fc from 'fast-check';
import type { Policy } from '../sim/choice.ts';
import {
  INIT_LIST_HEAD,
  list,
  list_add_tail,
  list_del,
  list_first_entry_or_null,
  list_node,
} from '../sim/collections/list.ts';
import { type AccessWatch, context, current } from '../sim/context.ts';
import { embed, int, ref } from '../sim/field.ts';
import { Machine } from '../sim/machine.ts';
import { ALLOCATION, kfree, kzalloc } from '../sim/slab.ts';
import { root, struct } from '../sim/struct.ts';
import { Symmetry } from '../sim/symmetry.ts';
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
import { beginOperation } from '../sim/told.ts';
import { exploreStates } from './states.ts';
import { type Exploration, exploreTraces, type Run } from './traces.ts';

class item extends struct('explore_item', root, {
  x: int(),
}) {}

/** What each task has for its own. */
class own extends struct('explore_own', root, {
  a: embed(mutex),
  x: int(),
  queue: list_node<own>(),
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
  /** What a task has for its own, for all to find. */
  who: ref<own>(),
  /** The same, in a row; under `spin`. */
  row: list<own>(),
}) {}

/** What the tasks share. */
interface World {
  readonly it: shared;
  readonly other: shared;
  readonly payload: item;
  readonly owns: readonly own[];
  readonly wq: ReturnType<typeof alloc_ordered_workqueue>;
}

/** What a task keeps between its statements. */
class Doing {
  /** What it holds, oldest first, and how it gives it back. */
  readonly holds: { readonly what: string; release(): Gen<void> }[] = [];
  hasDropped = false;
  /** Which task it is, and what is its own. */
  readonly at: number;
  readonly own: own;
  readonly say: (s: string) => void;

  constructor(at: number, its: own, say: (s: string) => void) {
    this.at = at;
    this.own = its;
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
  *'lock own'(_, task) {
    yield* lock(task, task.own.a);
  },
  *'own=x'({ it }, task) {
    yield* WRITE_ONCE(task.own, 'x', yield* READ_ONCE(it, 'x'));
  },
  *'x=own+1'({ it }, task) {
    yield* WRITE_ONCE(it, 'x', (yield* READ_ONCE(task.own, 'x')) + 1);
  },
  *show({ it }, task) {
    const before = yield* READ_ONCE(it, 'who');
    task.say(`${before?.name} was shown`);
    yield* WRITE_ONCE(it, 'who', task.own);
  },
  *touch({ it }, task) {
    const who = yield* READ_ONCE(it, 'who');
    if (who === null) return;
    if (!task.has(who.a)) {
      yield* mutex_lock(who.a);
      task.hold(who.a.name, () => unlock(who.a));
    }
    yield* WRITE_ONCE(who, 'x', 5);
  },
  *enqueue({ it }, task) {
    yield* spin_lock(it.spin);
    if (task.own.queue.$list === null) list_add_tail(task.own.queue, it.row);
    yield* spin_unlock(it.spin);
  },
  *dequeue({ it }, task) {
    yield* spin_lock(it.spin);
    const first = list_first_entry_or_null(it.row);
    if (first !== null) list_del(first.queue);
    task.say(`dequeued ${first?.name}`);
    yield* spin_unlock(it.spin);
    if (first !== null) yield* WRITE_ONCE(first, 'x', 4);
  },
  *row({ it }, task) {
    yield* spin_lock(it.spin);
    const all = [...it.row];
    yield* spin_unlock(it.spin);
    for (const each of all) task.say(`${each.name}.x is ${yield* READ_ONCE(each, 'x')}`);
  },
} satisfies Record<string, (world: World, task: Doing) => Gen<void>>;

type Statement = keyof typeof DO | keyof typeof UNLIKE;
export type Program = readonly Statement[];

/** What tells a task who it is, beside what is its own: tasks that do it are not alike, whatever else they do. */
const UNLIKE = {
  *'x=at'({ it }, task) {
    yield* WRITE_ONCE(it, 'x', task.at);
  },
  *'say at'(_, task) {
    task.say(`I am ${task.at === 0 ? 'first' : 'not first'}`);
  },
  *walk({ it, owns }, task) {
    let sum = 0;
    for (const each of owns) if (each !== task.own) sum += yield* READ_ONCE(each, 'x');
    yield* WRITE_ONCE(it, 'y', sum);
  },
  *'first own=3'({ owns }) {
    if (owns[0] !== undefined) yield* WRITE_ONCE(owns[0], 'x', 3);
  },
  *'show first'({ it, owns }) {
    yield* WRITE_ONCE(it, 'who', owns[0] ?? null);
  },
} satisfies Record<string, (world: World, task: Doing) => Gen<void>>;

const ALL = { ...DO, ...UNLIKE };
const isAlike = (key: string): key is keyof typeof DO => Object.hasOwn(DO, key);
const isUnlike = (key: string): key is keyof typeof UNLIKE => Object.hasOwn(UNLIKE, key);
const STATEMENTS = Object.keys(DO).filter(isAlike);

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

const OWN: readonly Statement[] = [
  'lock own',
  'own=x',
  'x=own+1',
  'show',
  'touch',
  'enqueue',
  'dequeue',
  'row',
  'lock a',
  'get',
  'put',
  'queue',
  'wake',
];

const alike = (size: number, statement: fc.Arbitrary<Statement>): fc.Arbitrary<Program[]> =>
  fc
    .array(statement, { minLength: 1, maxLength: size })
    .chain((program) =>
      fc.integer({ min: 2, max: program.length > 2 ? 2 : 3 }).map((n) => Array(n).fill(program)),
    );

/** Two or three tasks that do the same, sometimes beside another. */
export const alikePrograms = fc.tuple(fc.constantFrom(OWN, ...THEMES), fc.boolean()).chain(([theme, early]) =>
  fc.tuple(
    fc
      .tuple(alike(3, fc.constantFrom(...theme)), fc.array(fc.constantFrom(...theme), { maxLength: 2 }))
      .map(([same, other]) => (other.length === 0 ? same : [...same, other])),
    fc.constant(early),
  ),
);

/** As alikePrograms, but that they do the same is an appearance. */
export const unlikePrograms = fc.tuple(
  fc
    .tuple(
      alike(2, fc.constantFrom(...OWN)),
      fc.constantFrom(...Object.keys(UNLIKE).filter(isUnlike)),
      fc.boolean(),
    )
    .map(([same, unlike, isLast]) =>
      same.map((program) => (isLast ? [...program, unlike] : [unlike, ...program])),
    ),
  fc.boolean(),
);

/** Who does the same as another, taken for the same. */
function symmetryOf(programs: readonly Program[]): Symmetry | null {
  const byProgram = new Map<string, number[]>();
  for (const [i, program] of programs.entries())
    byProgram.set(program.join(), [...(byProgram.get(program.join()) ?? []), i]);
  const orbits = [...byProgram.values()].filter((tasks) => tasks.length > 1);
  return orbits.length === 0
    ? null
    : new Symmetry(orbits.map((tasks) => tasks.map((i) => [`t${i}`, `own${i}`])));
}

/** A task does its statements in order; what it locks it holds to the end of the statement after. */
function* body(world: World, program: Program, task: Doing): Gen<void> {
  for (const [at, statement] of program.entries()) {
    beginOperation(current(), `${at} ${task.progress}`);
    const held = task.holds.length > 1 ? task.holds.shift() : undefined;
    yield* ALL[statement](world, task);
    if (held !== undefined) yield* held.release();
  }
  for (const { release } of task.holds.reverse()) yield* release();
}

export function outcomes(
  programs: readonly Program[],
  early: boolean,
  how: 'all' | 'reduced' | 'all states' | 'states' | 'orbits',
): { seen: string[]; executions: number; states: number; complete: boolean; asymmetry: string | undefined } {
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
    const owns = programs.map((_, i) => new own(machine.root, `own${i}`));
    for (const each of owns) INIT_LIST_HEAD(each.queue);
    const now = { it, other, payload: new item(machine.root, 'payload'), owns, wq };
    world = now;
    refcount_init(it.refs, 1);
    refcount_init(it.pins, Math.max(1, programs.filter((program) => program.includes('drop')).length));
    it.ptr = new item(machine.root, 'published');
    INIT_WORK(it.work, function* () {
      yield* WRITE_ONCE(it, 'x', 7);
    });
    for (const [i, program] of programs.entries()) {
      const its = owns[i];
      if (its === undefined) throw new Error('each task has something for its own');
      const task = new Doing(i, its, (s) => said.push(`t${i} ${s}`));
      machine.spawn(`t${i}`, body(now, program, task));
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
    const { it, other, payload, owns } = world;
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
      it.who?.name,
      ...owns.map(({ x }) => x),
      ...[...it.row].map(({ name }) => name),
    ];
    seen.add(`${told} left=${left} ${end}`);
  };
  const limits = { executions: 1_500 };
  const states = (reduce: boolean, symmetry: Symmetry | null): Exploration =>
    exploreStates(execute, visit, { ...limits, extra: () => said, reduce, symmetry });
  const explore = {
    all: () => exploreTraces((policy) => execute(policy), visit, limits, false),
    reduced: () => exploreTraces((policy) => execute(policy), visit, limits),
    'all states': () => states(false, null),
    states: () => states(true, null),
    orbits: () => states(true, symmetryOf(programs)),
  };
  const done = explore[how]();
  return {
    seen: [...seen].sort(),
    complete: done.complete,
    executions: done.executions,
    states: done.states ?? 0,
    asymmetry: done.asymmetry,
  };
}
