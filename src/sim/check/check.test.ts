// SPDX-License-Identifier: GPL-2.0-only

/** Each checker fires where it should, and is silent on the nearest right program. */
import { expect, test } from 'vitest';
import type { Policy } from '../choice.ts';
import { list_add } from '../collections/list.ts';
import { context } from '../context.ts';
import { sourceFile } from '../fn.ts';
import { Machine } from '../machine.ts';
import { RoundRobin } from '../policies/round-robin.ts';
import { runToBlock } from '../policies/run-to-block.ts';
import { kfree, kzalloc } from '../slab.ts';
import { mutex_lock, mutex_unlock } from '../sync/mutex.ts';
import { READ_ONCE, rcu_read_lock, rcu_read_unlock, WRITE_ONCE } from '../sync/rcu.ts';
import { refcount_dec, refcount_dec_and_test, refcount_inc } from '../sync/refcount.ts';
import { down_read, up_read } from '../sync/rwsem.ts';
import { spin_lock, spin_unlock } from '../sync/spinlock.ts';
import { alloc_ordered_workqueue, flush_workqueue, INIT_WORK, queue_work } from '../sync/workqueue.ts';
import type { Gen } from '../task.ts';
import { recordReads } from '../watch.ts';
import { Check } from './check.ts';
import { type Body, checked, findings, found, locked, setter, waiter } from './checked.testing.ts';
import { stopAt } from './racing.ts';

test('lock order: a cycle of any length, though no run hung', () => {
  expect(
    findings(
      runToBlock,
      (it) => locked(it, 'a', 'b'),
      (it) => locked(it, 'b', 'a'),
    ),
  ).toEqual(['lock-order: checked.a -> checked.b -> checked.a']);
  const three = findings(
    runToBlock,
    (it) => locked(it, 'b', 'c'),
    (it) => locked(it, 'c', 'a'),
    (it) => locked(it, 'a', 'b'),
  );
  expect(three).toEqual(['lock-order: checked.a -> checked.b -> checked.c -> checked.a']);
  const right = findings(
    runToBlock,
    (it) => locked(it, 'a', 'b'),
    (it) => locked(it, 'a', 'b', 'c'),
  );
  expect(right).toEqual([]);
});

test('lock order: flushing a workqueue counts as taking what its works hold', () => {
  const flush = (inside: boolean): Body =>
    function* (it) {
      const wq = alloc_ordered_workqueue(it, 'wq');
      INIT_WORK(it.work, () => locked(it, 'a'));
      yield* queue_work(wq, it.work);
      yield* flush_workqueue(wq);
      if (!inside) return;
      yield* mutex_lock(it.a);
      yield* flush_workqueue(wq);
      yield* mutex_unlock(it.a);
    };
  expect(findings(runToBlock, flush(true))).toEqual(['lock-order: checked.a -> wq -> checked.a']);
  expect(findings(runToBlock, flush(false))).toEqual([]);
});

test('sleeping while atomic: under a spinlock, in an RCU section', () => {
  const found = findings(runToBlock, function* (it) {
    yield* spin_lock(it.spin);
    yield* locked(it, 'a');
    yield* spin_unlock(it.spin);
    yield* rcu_read_lock();
    yield* locked(it, 'b');
    yield* rcu_read_unlock();
    yield* locked(it, 'c');
  });
  expect(found).toEqual([
    'sleep-in-atomic: mutex_lock checked.a while holding checked.spin',
    'sleep-in-atomic: mutex_lock checked.b while holding rcu_read_lock',
  ]);
});

test('guarded fields: once two tasks know the object, the lock that the declaration names must be held', () => {
  const touch = (guard: boolean): Body =>
    function* (it) {
      if (guard) yield* mutex_lock(it.a);
      it.guarded += 1;
      if (guard) yield* mutex_unlock(it.a);
      else yield* locked(it, 'b');
    };
  expect(findings(runToBlock, touch(true), touch(true))).toEqual([]);
  expect(findings(runToBlock, touch(true), touch(false))).toContain(
    'unguarded-access: checked.guarded is written without checked.a',
  );
  const add: Body = function* (it) {
    yield* locked(it, 'b');
    if (it.next !== null && it.items.$first === null) list_add(it.next.item, it.items);
  };
  expect(findings(runToBlock, touch(true), add)).toContain(
    'unguarded-access: checked.items is written without checked.a',
  );
});

test('data race: found whatever the schedule; locks, marks and birth order it', () => {
  const fn = sourceFile('check.test.ts');
  const bump = fn('bump', (it: checked): void => {
    it.x += 1;
  });
  const plain: Body = function* (it) {
    bump(it);
  };
  const underLock: Body = function* (it) {
    yield* mutex_lock(it.a);
    bump(it);
    yield* mutex_unlock(it.a);
  };
  const marked: Body = function* (it) {
    yield* WRITE_ONCE(it, 'x', (yield* READ_ONCE(it, 'x')) + 1);
  };
  const racing = ['data-race: it.x: written by t0 in bump against written by t1 in bump'];
  expect(findings(runToBlock, plain, plain)).toContain(racing[0]);
  expect(findings(runToBlock, underLock, underLock)).toEqual([]);
  expect(findings(new RoundRobin(), marked, marked)).toEqual([]);
  const parent: Body = function* (it, machine) {
    bump(it);
    machine.spawn('child', plain(it, machine));
  };
  expect(findings(runToBlock, parent)).toEqual([]);
});

test('data race: freeing is a write; a reference count orders the last user before the free', () => {
  const user = (counted: boolean): Body =>
    function* (it) {
      it.next?.x;
      yield* locked(it, 'b');
      if (counted) yield* put(it);
    };
  function* put(it: checked): Gen<void> {
    if ((yield* refcount_dec_and_test(it.refs)) && it.next !== null) kfree(it.next);
  }
  const freer: Body = function* (it) {
    if (it.next !== null) kfree(it.next);
  };
  expect(findings(runToBlock, user(false), freer)).toContain(
    'data-race: it.other.x: freed by t1 against read by t0',
  );
  const both: Body = function* (it) {
    yield* refcount_inc(it.refs);
    it.next?.x;
    yield* refcount_dec(it.refs);
    yield* put(it);
  };
  expect(findings(runToBlock, both)).toEqual([]);
});

test('lifetime: use after free, double free, leak', () => {
  const body = (how: 'use' | 'twice' | 'never' | 'right'): Body =>
    function* (it) {
      const child = kzalloc(checked, it, 'child');
      if (child === null) return;
      child.x = 1;
      if (how !== 'never') kfree(child);
      if (how === 'twice') kfree(child);
      if (how === 'use') yield* down_read(child.sem);
      if (how === 'use') yield* up_read(child.sem);
    };
  expect(findings(runToBlock, body('use'))).toContain(
    'use-after-free: it.child#t0.sem is used after it.child#t0 was freed',
  );
  expect(findings(runToBlock, body('twice'))).toEqual(['double-free: it.child#t0']);
  expect(findings(runToBlock, body('never'))).toEqual(['leak: it.child#t0']);
  expect(findings(runToBlock, body('right'))).toEqual([]);
});

test('warnings and hangs are findings, with a stack', () => {
  expect(
    findings(runToBlock, function* (it) {
      yield* refcount_dec(it.refs);
      yield* mutex_lock(it.a);
      yield* mutex_lock(it.a);
    }),
  ).toEqual([
    'warn: refcount_t it.refs: decrement hit 0; leaking memory',
    'hang: t0 waits in mutex_lock it.a: held by t0',
  ]);
});

test('refcounts: a count that is used after its last reference, with who dropped that', () => {
  const fn = sourceFile('check.test.ts');
  const drop = fn('put', function* (it: checked): Gen<void> {
    yield* refcount_dec_and_test(it.refs);
  });
  const take = fn('get', function* (it: checked): Gen<void> {
    yield* refcount_inc(it.refs);
  });
  const put: Body = function* (it) {
    yield* drop(it);
  };
  const get: Body = function* (it) {
    yield* take(it);
  };
  const [after] = found(runToBlock, put, get);
  expect(after).toEqual({
    kind: 'warn',
    title: 'refcount_t it.refs: addition on 0; use-after-free',
    detail: 'at\n  t1\n    get\n' + 'gets and puts of it.refs:\n  boot\n    0 -> 1\n  t0\n    1 -> 0  put',
  });
  expect(findings(runToBlock, put, put)).toEqual(['warn: refcount_t it.refs: underflow; use-after-free']);
  expect(findings(runToBlock, get, put, put)).toEqual([]);
});

test('lost wake-up: a task sleeps though its condition holds; both sides are told, and a plain hang is none', () => {
  const [lost, hang] = found(runToBlock, waiter(), setter(1, 'set'));
  expect(lost).toEqual({
    kind: 'lost-wake-up',
    title: 't0 sleeps on it.wait for ever, though what it waits for holds',
    detail:
      't0 looked and went to sleep in\n  t0\n    waits\n' +
      'what it waits for was changed, without a wake-up after it, by\n  t1\n    sets',
  });
  expect(hang?.detail).toContain('what it waits for holds, but nobody woke it after it looked');
  expect(findings(runToBlock, waiter(), setter(1, 'set', 'wake'))).toEqual([]);
  const plain = found(runToBlock, waiter(), setter(2, 'set', 'wake'));
  expect(plain.map(({ kind }) => kind)).toEqual(['hang']);
  expect(plain[0]?.detail).toContain('nobody left to wake it');
});

test('lost wake-up: one that comes before the condition is found where the sleeper looks in between', () => {
  const kinds = (...order: ('set' | 'wake')[]): string[] => {
    const seen = new Set<string>();
    exploreAll((policy) => {
      for (const { kind } of found(policy, waiter(), setter(1, ...order))) seen.add(kind);
    });
    return [...seen];
  };
  expect(kinds('wake', 'set')).toEqual(['lost-wake-up', 'hang']);
  expect(kinds('set', 'wake')).toEqual([]);
});

test('lost wake-up: of a wait that ends by its timeout, too', () => {
  expect(findings(runToBlock, waiter(100), setter(1, 'set'))).toEqual([
    'lost-wake-up: t0 sleeps on it.wait until its time runs out, though what it waits for holds',
  ]);
  expect(findings(runToBlock, waiter(100), setter(1, 'set', 'wake'))).toEqual([]);
  expect(findings(runToBlock, waiter(100), setter(2, 'set'))).toEqual([]);
});

test('what raced becomes a place where others come in: the consequence happens', () => {
  const ends = new Set<number>();
  const racing = new Set<string>();
  for (const points of [new Set<string>(), racing]) {
    exploreAll((policy) => {
      const machine = new Machine(policy).powerOn();
      const it = new checked(machine.root, 'it');
      for (const role of ['t0', 't1']) {
        machine.spawn(
          role,
          (function* () {
            it.x += 1;
          })(),
        );
      }
      context.watch = stopAt(points, recordReads);
      const ending = machine.run();
      context.watch = null;
      const check = new Check();
      check.run(machine, ending);
      for (const field of check.racing) racing.add(field);
      if (points !== racing) expect(it.x).toBe(2);
      ends.add(it.x);
    });
  }
  expect([...racing]).toEqual(['checked.x']);
  expect([...ends].sort()).toEqual([1, 2]);
});

/** Every choice of every run, one after the other. */
function exploreAll(execute: (policy: Policy) => void): void {
  let path: { taken: number; readonly count: number }[] = [];
  do {
    let depth = 0;
    execute({
      choose({ count }) {
        const node = path[depth] ?? { taken: 0, count };
        path[depth++] = node;
        return node.taken;
      },
    });
    while (path.length > 0 && (path.at(-1)?.taken ?? 0) + 1 === path.at(-1)?.count) path = path.slice(0, -1);
    const last = path.at(-1);
    if (last !== undefined) last.taken++;
  } while (path.length > 0);
}
