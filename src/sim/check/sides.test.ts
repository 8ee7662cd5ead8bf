// SPDX-License-Identifier: GPL-2.0-only

/** Each report tells both sides, with the stacks that they had. */
import { expect, test } from 'vitest';
import type { Policy } from '../choice.ts';
import { fail } from '../errno.ts';
import { sourceFile } from '../fn.ts';
import { runToBlock } from '../policies/run-to-block.ts';
import { kfree, kzalloc } from '../slab.ts';
import { mutex_lock, mutex_unlock } from '../sync/mutex.ts';
import { READ_ONCE, rcu_read_lock, rcu_read_unlock, WRITE_ONCE } from '../sync/rcu.ts';
import { refcount_init } from '../sync/refcount.ts';
import type { Gen } from '../task.ts';
import { WARN_ON } from '../warn.ts';
import { type Body, checked, found, locked, setter, waiter } from './checked.testing.ts';

const inFunction = (name: string, inner: Body): Body => {
  const named = sourceFile('check.test.ts')(name, inner);
  return function* (it, machine) {
    yield* named(it, machine);
  };
};
const detailOf = (kind: string, policy: Policy, ...bodies: Body[]): string =>
  found(policy, ...bodies).find((each) => each.kind === kind)?.detail ?? 'not found';
const touching = (...locks: ('a' | 'b')[]): Body =>
  function* (it) {
    for (const lock of locks) yield* mutex_lock(it[lock]);
    it.guarded += 1;
    for (const lock of locks) yield* mutex_unlock(it[lock]);
  };

test('both sides of an unguarded access: who has the lock for it; or else who knows the object, too', () => {
  const without = inFunction('without', touching('b'));
  expect(detailOf('unguarded-access', runToBlock, inFunction('with', touching('a')), without)).toBe(
    'it.guarded read by\n  t1\n    without\nit.guarded written with it.a held by\n  t0\n    with',
  );
  // The one by the rule may come later, too: `t1` knows the object by then.
  const knows = inFunction('knows', function* (it) {
    yield* READ_ONCE(it, 'x');
  });
  const later = detailOf('unguarded-access', runToBlock, knows, without, inFunction('with', touching('a')));
  expect(later).toContain('it.guarded read with it.a held by\n  t2\n    with');
  expect(detailOf('unguarded-access', runToBlock, knows, without)).toBe(
    'it.guarded read by\n  t1\n    without\nothers know it: it.x read by\n  t0\n    knows',
  );
});

test('all sides of what is used or freed after it was freed, and of what is left', () => {
  const alloc = sourceFile('check.test.ts')('alloc', (it: checked) => kzalloc(checked, it, 'child'));
  const free = sourceFile('check.test.ts')('free', (child: checked) => kfree(child));
  const twice: Body = function* (it) {
    const child = alloc(it);
    if (child === null) return;
    free(child);
    child.x = 1;
    free(child);
  };
  const freedAndMade = '  t0\n    free\nallocated by\n  t0\n    alloc';
  expect(detailOf('use-after-free', runToBlock, twice)).toBe(`written by\n  t0\nfreed by\n${freedAndMade}`);
  expect(detailOf('double-free', runToBlock, twice)).toBe(
    `freed by\n  t0\n    free\nand before by\n${freedAndMade}`,
  );
  const forget = sourceFile('check.test.ts')('forget', (it: checked) => {
    it.next = null;
  });
  const leaky = (forgets: boolean): Body =>
    function* (it) {
      const child = alloc(it);
      it.next = child;
      if (child !== null) refcount_init(child.refs, 1);
      if (forgets) forget(it);
    };
  const counted = 'gets and puts of it.child#t0.refs:\n  t0\n    0 -> 1';
  expect(detailOf('leak', runToBlock, leaky(false))).toBe(
    `allocated by\n  t0\n    alloc\nstill pointed to by it.next\n${counted}`,
  );
  expect(detailOf('leak', runToBlock, leaky(true))).toBe(
    `allocated by\n  t0\n    alloc\nthe last pointer to it, it.next, was cleared by\n  t0\n    forget\n${counted}`,
  );
});

test('both sides of a sleep, of a hang and of a warning', () => {
  const sleeps = sourceFile('check.test.ts')('sleeps', function* (it: checked): Gen<void> {
    yield* locked(it, 'b');
  });
  const section = inFunction('section', function* (it) {
    yield* rcu_read_lock();
    yield* sleeps(it);
    yield* rcu_read_unlock();
  });
  expect(detailOf('sleep-in-atomic', runToBlock, section)).toBe(
    'mutex_lock it.b by\n  t0\n    sleeps\n    section\nrcu_read_lock taken by\n  t0\n    section',
  );
  const holder = inFunction('holder', function* (it) {
    yield* mutex_lock(it.a);
  });
  const waits = inFunction('waits', (it) => locked(it, 'a'));
  expect(detailOf('hang', runToBlock, holder, waits)).toMatch(/\nit\.a taken by\n {2}t0\n {4}holder$/);
  const plain = inFunction('plain', setter(2, 'set', 'wake'));
  expect(detailOf('hang', runToBlock, waiter(), plain)).toMatch(
    /\nwhat t0 waits for: it\.x: 0 -> 2, by\n {2}t1\n {4}sets\n {4}plain$/,
  );
  const writer = inFunction('writer', function* (it) {
    yield* WRITE_ONCE(it, 'x', 1);
  });
  const get_x = sourceFile('check.test.ts')('get_x', (it: checked) =>
    it.x === 1 ? fail(16, 'x is set') : 0,
  );
  const judge = inFunction('judge', function* (it) {
    WARN_ON(get_x(it) !== 0, 'x cannot be had');
  });
  expect(detailOf('warn', runToBlock, writer, judge)).toBe(
    'at\n  t1\n    judge\nwhich judged an errno (x is set) by\n  t1\n    get_x\n    judge\n' +
      'which had looked at it.x: 0 -> 1, by\n  t0\n    writer',
  );
});
