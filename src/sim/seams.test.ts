// SPDX-License-Identifier: GPL-2.0-only

/**
 * That the seams of the machinery hold for what is built on them: exploration by partial-order reduction, a
 * use after free, a data race and its consequence; each from outside, with the machinery as it is.
 */
import { expect, test } from 'vitest';
import { ABANDON, type Choice, type Policy } from './choice.ts';
import { context } from './context.ts';
import { embed, int, ref } from './field.ts';
import { Machine } from './machine.ts';
import { type OpKind, op, opKind } from './op.ts';
import { RoundRobin } from './policies/round-robin.ts';
import type { Ending } from './scheduler.ts';
import { kfree } from './slab.ts';
import { root, struct } from './struct.ts';
import { mutex, mutex_lock, mutex_unlock } from './sync/mutex.ts';
import type { Gen } from './task.ts';
import { FREE, KIND_BITS, KIND_MASK, OP, READ, STRIDE, SWITCH, WRITE } from './trace.ts';

class shared extends struct('seam_shared', root, {
  a: embed(mutex),
  b: embed(mutex),
  x: int(),
  y: int(),
  next: ref<shared>(),
}) {}

type Program = (machine: Machine, it: shared) => Gen<void>[];

interface Run {
  readonly machine: Machine;
  readonly ending: Ending;
}

function execute(program: Program, policy: Policy, watch = false): Run {
  const machine = new Machine(policy).powerOn();
  const it = new shared(machine.root, 'it');
  for (const [i, body] of program(machine, it).entries()) machine.spawn(`t${i}`, body);
  if (watch) {
    context.watch = {
      read: (object, field) => machine.trace.push(READ, object.$id, field, 0),
      write: () => {},
    };
  }
  const ending = machine.run();
  context.watch = null;
  return { machine, ending };
}

/** What a task did, or is about to do. */
interface Operation {
  readonly task: string;
  readonly kind: OpKind;
  readonly object: string;
}

/** A choice between tasks on the path that is explored now. */
interface Branch {
  readonly pending: ReadonlyMap<string, Operation>;
  taken: string;
  readonly backtrack: Set<string>;
  readonly sleep: Set<string>;
  /** Length of the trace when it was made: what was done next stands there. */
  at: number;
}

const dependent = (a: Operation, b: Operation): boolean =>
  a.object === b.object && !(a.kind.commutes.has(b.kind.name) && b.kind.commutes.has(a.kind.name));

/** Every operation that was performed, off the trace: also those that there was no choice about. */
function operations({ trace, objects }: Machine): (Operation & { readonly at: number })[] {
  const name = (id: number): string => objects[id]?.name ?? '?';
  let task = '?';
  const done: (Operation & { readonly at: number })[] = [];
  for (let at = 0; at < trace.len; at += STRIDE) {
    const kind = (trace.buf[at] ?? 0) & KIND_MASK;
    const object = trace.buf[at + 1] ?? -1;
    if (kind === SWITCH) task = name(object);
    if (kind === OP) done.push({ task, kind: opKind(trace.buf[at + 2] ?? -1), object: name(object), at });
  }
  return done;
}

/**
 * Flanagan and Godefroid's dynamic partial-order reduction with sleep sets, by replay. An operation that was
 * not ready at an earlier conflict cannot be moved before it; the conflict before that one counts.
 */
function explore(program: Program, reduce: boolean, each: (run: Run) => void): number {
  const path: Branch[] = [];
  let executions = 0;
  do {
    let depth = 0;
    let length = (): number => 0;
    const policy: Policy = {
      choose(choice: Choice) {
        const tasks = choice.tasks.slice(0, choice.count);
        const names = tasks.map((t) => t.name);
        let branch = path[depth];
        if (branch === undefined) {
          const pending = new Map(
            tasks.map((t) => [t.name, { task: t.name, kind: t.op, object: t.object.name }] as const),
          );
          const sleep = new Set(reduce ? asleep(path.at(-1), operations(current())) : []);
          const first = names.find((n) => !sleep.has(n));
          if (first === undefined) return ABANDON;
          branch = { pending, taken: first, backtrack: new Set(reduce ? [first] : names), sleep, at: 0 };
          path.push(branch);
        }
        branch.at = length();
        depth++;
        return names.indexOf(branch.taken);
      },
    };
    const current = (): Machine => {
      if (context.machine === null) throw new Error('a run is going on');
      return context.machine;
    };
    length = () => current().trace.len;
    const run = execute(program, policy);
    executions++;
    if (run.ending.status !== 'abandoned') each(run);
    if (reduce) addBacktracking(path, operations(run.machine), run.machine);
    for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
      last.sleep.add(last.taken);
      const { sleep } = last;
      const next = [...last.backtrack].find((t) => !sleep.has(t));
      if (next !== undefined) {
        last.taken = next;
        break;
      }
      path.pop();
    }
  } while (path.length > 0);
  return executions;
}

/** Who still sleeps after the branch and the operations done since. */
function asleep(
  before: Branch | undefined,
  done: readonly (Operation & { readonly at: number })[],
): string[] {
  if (before === undefined) return [];
  const since = done.filter((o) => o.at >= before.at);
  return [...before.sleep].filter((name) => {
    const operation = before.pending.get(name);
    return operation !== undefined && !since.some((o) => o.task === name || dependent(o, operation));
  });
}

function addBacktracking(
  path: readonly Branch[],
  done: readonly (Operation & { readonly at: number })[],
  { scheduler }: Machine,
): void {
  const stuck = scheduler.live.map((t) => ({ task: t.name, kind: t.op, object: t.object.name }));
  [...done, ...stuck].forEach((later, j) => {
    for (let i = Math.min(j, done.length) - 1; i >= 0; i--) {
      const earlier = done[i];
      if (earlier === undefined || earlier.task === later.task || !dependent(earlier, later)) continue;
      const branch = path.find((b, n) => b.at <= earlier.at && (path[n + 1]?.at ?? Infinity) > earlier.at);
      if (branch === undefined || done.find((o) => o.at >= branch.at) !== earlier) continue;
      if (branch.pending.has(later.task)) {
        branch.backtrack.add(later.task);
        break;
      }
    }
  });
}

const twoLocks: Program = (_, it) => {
  function* one(): Gen<void> {
    yield* mutex_lock(it.a);
    yield* mutex_lock(it.b);
    it.x += 1;
    yield* mutex_unlock(it.b);
    yield* mutex_unlock(it.a);
  }
  function* other(): Gen<void> {
    yield* mutex_lock(it.b);
    yield* mutex_lock(it.a);
    it.y = it.x;
    yield* mutex_unlock(it.a);
    yield* mutex_unlock(it.b);
  }
  return [one(), other()];
};

test('all interleavings of a two-lock program: reduced and whole agree, the deadlock says who waits for whom', () => {
  const outcomes = (reduce: boolean): { seen: Set<string>; executions: number } => {
    const seen = new Set<string>();
    const executions = explore(twoLocks, reduce, ({ machine, ending }) => {
      const it = machine.objects[0];
      if (!(it instanceof shared)) throw new Error('the shared object is made first');
      seen.add(ending.status === 'hang' ? ending.report : `x=${it.x} y=${it.y}`);
    });
    return { seen, executions };
  };
  const whole = outcomes(false);
  const reduced = outcomes(true);
  expect(reduced.seen).toEqual(whole.seen);
  expect([...reduced.seen].sort()).toEqual([
    't0 waits in mutex_lock it.b: held by t1\nt1 waits in mutex_lock it.a: held by t0\ncycle: t0 -> t1 -> t0',
    'x=1 y=0',
    'x=1 y=1',
  ]);
  expect(reduced.executions).toBeLessThan(whole.executions / 2);
});

/** Objects that were touched after they were freed, read off the trace. */
function usesAfterFree({ trace, objects }: Machine): string[] {
  const freed = new Set<number>();
  const found: string[] = [];
  for (let at = 0; at < trace.len; at += STRIDE) {
    const kind = (trace.buf[at] ?? 0) & KIND_MASK;
    const object = trace.buf[at + 1] ?? -1;
    if (kind === FREE) freed.add(object);
    if ((kind === READ || kind === WRITE) && freed.has(object)) found.push(objects[object]?.name ?? '?');
  }
  return found;
}

test('an object freed under its user is found on the trace, in some schedule', () => {
  const program: Program = (machine, it) => {
    function* user(): Gen<void> {
      yield* mutex_lock(it.a);
      const mine = it.next;
      yield* mutex_unlock(it.a);
      yield* mutex_lock(it.b);
      if (mine !== null) mine.x = 1;
      yield* mutex_unlock(it.b);
    }
    function* freer(): Gen<void> {
      yield* mutex_lock(it.a);
      const victim = it.next;
      it.next = null;
      yield* mutex_unlock(it.a);
      yield* mutex_lock(it.b);
      if (victim !== null) kfree(victim);
      yield* mutex_unlock(it.b);
    }
    it.next = new shared(machine.root, 'victim');
    return [user(), freer()];
  };
  const verdicts = new Set<string>();
  explore(program, true, ({ machine }) => verdicts.add(usesAfterFree(machine).join()));
  expect([...verdicts].sort()).toEqual(['', 'victim']);
});

/**
 * Happens-before by vector clocks over the trace: operations on one object order the tasks that do them;
 * a task's first operation orders nothing.
 */
function races({ trace, objects }: Machine): Set<string> {
  const clocks = new Map<number, Map<number, number>>();
  const objectClocks = new Map<number, Map<number, number>>();
  const accesses = new Map<string, { task: number; at: number; write: boolean }[]>();
  const found = new Set<string>();
  let task = -1;
  const clockOf = (t: number): Map<number, number> => {
    const clock = clocks.get(t) ?? new Map([[t, 1]]);
    clocks.set(t, clock);
    return clock;
  };
  const join = (into: Map<number, number>, from: Map<number, number>): void => {
    for (const [t, n] of from) into.set(t, Math.max(into.get(t) ?? 0, n));
  };
  for (let at = 0; at < trace.len; at += STRIDE) {
    const head = trace.buf[at] ?? 0;
    const object = trace.buf[at + 1] ?? -1;
    const kind = head & KIND_MASK;
    if (kind === SWITCH) task = object;
    if (task < 0) continue;
    const mine = clockOf(task);
    if (kind === OP && object !== task) {
      const shared = objectClocks.get(object) ?? new Map<number, number>();
      join(mine, shared);
      mine.set(task, (mine.get(task) ?? 0) + 1);
      join(shared, mine);
      objectClocks.set(object, shared);
    }
    if (kind !== READ && kind !== WRITE) continue;
    const field = kind === READ ? (trace.buf[at + 2] ?? -1) : head >>> KIND_BITS;
    const where = `${object}.${field}`;
    const before = accesses.get(where) ?? [];
    for (const other of before) {
      if (other.task === task || (kind === READ && !other.write)) continue;
      if ((mine.get(other.task) ?? 0) < other.at) found.add(objects[object]?.name ?? '?');
    }
    before.push({ task, at: mine.get(task) ?? 0, write: kind === WRITE });
    accesses.set(where, before);
  }
  return found;
}

test('an unlocked access is a race whatever the schedule, a locked one is none', () => {
  const program = (locked: boolean): Program => {
    return (_, it) => {
      function* adder(): Gen<void> {
        if (locked) yield* mutex_lock(it.a);
        it.x += 1;
        if (locked) yield* mutex_unlock(it.a);
      }
      return [adder(), adder()];
    };
  };
  const racy = execute(program(false), { choose: (c) => c.fallback }, true);
  expect([...races(racy.machine)]).toEqual(['it']);
  const clean = execute(program(true), { choose: (c) => c.fallback }, true);
  expect([...races(clean.machine)]).toEqual([]);
});

test('a racing access becomes a point at which others run: the lost update happens', () => {
  const RACING = op<shared>('racing access');
  const program: Program = (_, it) => {
    function* adder(): Gen<void> {
      const x = it.x;
      it.x = x + 1;
    }
    return [adder(), adder()];
  };
  const results = new Set<number>();
  for (const script of [[], [1], [0, 1]]) {
    const answers = [...script];
    const machine = new Machine({
      choose: (c) => Math.min(answers.shift() ?? c.fallback, c.count - 1),
    }).powerOn();
    const it = new shared(machine.root, 'it');
    for (const [i, body] of program(machine, it).entries()) machine.spawn(`t${i}`, body);
    context.watch = {
      read: () => {},
      write: (object) => {
        if (object === it) machine.scheduler.preempt(RACING, it);
      },
    };
    expect(machine.run().status).toBe('finished');
    context.watch = null;
    results.add(it.x);
  }
  expect([...results].sort()).toEqual([1, 2]);
});

test('a forgotten yield* is a bug that is named', () => {
  const machine = new Machine(new RoundRobin()).powerOn();
  const it = new shared(machine.root, 'it');
  function* forgets(): Gen<void> {
    mutex_lock(it.a);
    yield* mutex_unlock(it.a);
  }
  machine.spawn('t0', forgets());
  machine.spawn('t1', forgets());
  expect(() => machine.run()).toThrow(/a yield\* is missing before mutex_unlock it\.a/);
});
