// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import type { Policy } from '../choice.ts';
import { current } from '../context.ts';
import { done } from '../coroutine.ts';
import { embed } from '../field.ts';
import { Machine } from '../machine.ts';
import { RoundRobin } from '../policies/round-robin.ts';
import { runToBlock } from '../policies/run-to-block.ts';
import type { Ending } from '../scheduler.ts';
import { root, struct } from '../struct.ts';
import type { Gen } from '../task.ts';
import { STRIDE, WARN } from '../trace.ts';
import { eventfd_ctx, eventfd_read, eventfd_read_nonblock, eventfd_signal } from './eventfd.ts';
import { mutex, mutex_is_locked, mutex_lock, mutex_trylock, mutex_unlock } from './mutex.ts';
import {
  call_rcu,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_read_lock,
  rcu_read_unlock,
  synchronize_rcu,
  WRITE_ONCE,
} from './rcu.ts';
import {
  refcount_dec,
  refcount_dec_and_test,
  refcount_inc,
  refcount_inc_not_zero,
  refcount_init,
  refcount_t,
} from './refcount.ts';
import {
  down_read,
  down_read_trylock,
  down_write,
  down_write_trylock,
  downgrade_write,
  rw_semaphore,
  up_read,
  up_write,
} from './rwsem.ts';
import { spin_lock, spin_trylock, spin_unlock, spinlock } from './spinlock.ts';
import { mod_timer, msleep, timer_delete, timer_list, timer_setup } from './timer.ts';
import {
  complete,
  complete_all,
  completion,
  wait_event,
  wait_event_timeout,
  wait_for_completion,
  wait_for_completion_timeout,
  wait_queue_head,
  wake_up_all,
} from './wait.ts';
import {
  alloc_ordered_workqueue,
  alloc_workqueue,
  cancel_work_sync,
  destroy_workqueue,
  flush_work,
  flush_workqueue,
  INIT_WORK,
  queue_work,
  work_struct,
} from './workqueue.ts';

class things extends struct('sync_things', root, {
  mutex: embed(mutex),
  spin: embed(spinlock),
  sem: embed(rw_semaphore),
  wait: embed(wait_queue_head),
  done: embed(completion),
  refs: embed(refcount_t),
  work: embed(work_struct),
  other: embed(work_struct),
  timer: embed(timer_list),
  event: embed(eventfd_ctx),
}) {}

interface Ran {
  readonly ending: Ending;
  readonly log: readonly string[];
  readonly warnings: readonly string[];
  readonly it: things;
  readonly machine: Machine;
}

type Body = (it: things, say: (what: string) => void) => Gen<void>;

function run(policy: Policy, ...bodies: Body[]): Ran {
  const machine = new Machine(policy).powerOn();
  const it = new things(machine.root, 'it');
  const log: string[] = [];
  for (const [i, body] of bodies.entries())
    machine.spawn(
      `t${i}`,
      body(it, (what) => log.push(`t${i} ${what}`)),
    );
  const ending = machine.run();
  const warnings: string[] = [];
  const { buf, len, values } = machine.trace;
  for (let at = 0; at < len; at += STRIDE)
    if (buf[at] === WARN) warnings.push(String(values[buf[at + 2] ?? -1]));
  return { ending, log, warnings, it, machine };
}

test('a mutex keeps others out, and is not given back by strangers', () => {
  const { log, warnings } = run(
    new RoundRobin(),
    function* (it, say) {
      yield* mutex_lock(it.mutex);
      say('in');
      yield* mutex_unlock(it.mutex);
      say('out');
    },
    function* (it, say) {
      say(`trylock ${yield* mutex_trylock(it.mutex)}`);
      yield* mutex_lock(it.mutex);
      say('in');
      yield* mutex_unlock(it.mutex);
      yield* mutex_unlock(it.mutex);
    },
  );
  expect(log).toEqual(['t0 in', 't1 trylock false', 't0 out', 't1 in']);
  expect(warnings).toEqual(['mutex_unlock of it.mutex by another task than its owner']);
});

test('readers share; a queued writer keeps new readers out, so that reading twice can hang', () => {
  const shared = run(
    new RoundRobin(),
    function* (it, say) {
      yield* down_read(it.sem);
      say('reads');
      yield* up_read(it.sem);
    },
    function* (it, say) {
      yield* down_read(it.sem);
      say('reads');
      yield* up_read(it.sem);
    },
  );
  expect(shared.log).toEqual(['t0 reads', 't1 reads']);
  const twice = run(
    new RoundRobin(),
    function* (it) {
      yield* down_read(it.sem);
      yield* down_read(it.sem);
    },
    function* (it) {
      yield* down_write(it.sem);
      yield* up_write(it.sem);
    },
  );
  expect(twice.ending).toEqual({
    status: 'hang',
    report:
      't0 waits in down_read it.sem: held by t1\n' +
      't1 waits in down_write (queued) it.sem: held by t0\n' +
      'cycle: t0 -> t1 -> t0',
  });
});

test('a hang names what nobody will wake and who died with the lock', () => {
  const lost = run(runToBlock, (it) => wait_event(it.wait, () => done(false)));
  expect(lost.ending).toEqual({
    status: 'hang',
    report: 't0 waits in wait it.wait: nobody left to wake it',
  });
  const left = run(
    runToBlock,
    function* (it) {
      yield* mutex_lock(it.mutex);
    },
    (it) => mutex_locked_once(it),
  );
  expect(left.ending).toMatchObject({
    report: 't1 waits in mutex_lock it.mutex: held by t0 (finished without releasing it)',
  });
});

function* mutex_locked_once(it: things): Gen<void> {
  yield* mutex_lock(it.mutex);
  yield* mutex_unlock(it.mutex);
}

test('trylocks take what is free and leave what is not; a writer may go on as a reader', () => {
  const { log, warnings } = run(new RoundRobin(), function* (it, say) {
    say(`${yield* spin_trylock(it.spin)} ${yield* spin_trylock(it.spin)}`);
    yield* spin_unlock(it.spin);
    say(`${yield* down_write_trylock(it.sem)} ${yield* down_read_trylock(it.sem)}`);
    yield* downgrade_write(it.sem);
    say(`${yield* down_read_trylock(it.sem)} ${yield* down_write_trylock(it.sem)}`);
    yield* up_read(it.sem);
    yield* up_read(it.sem);
    yield* mutex_lock(it.mutex);
    say(`${mutex_is_locked(it.mutex)}`);
    yield* mutex_unlock(it.mutex);
  });
  expect(log).toEqual(['t0 true false', 't0 true false', 't0 true false', 't0 true']);
  expect(warnings).toEqual([]);
});

test('who gives a lock back that he does not read has writers wait until another reads', () => {
  const { log, warnings } = run(runToBlock, function* (it, say) {
    yield* up_read(it.sem);
    say(`${yield* down_write_trylock(it.sem)}`);
    yield* down_read(it.sem);
    say(`${yield* down_write_trylock(it.sem)}`);
  });
  expect(log).toEqual(['t0 false', 't0 true']);
  expect(warnings).toEqual(['up_read of it.sem, which the task does not hold']);
});

test('a workqueue is destroyed when its works are done', () => {
  const { log, warnings } = run(runToBlock, function* (it, say) {
    const wq = alloc_ordered_workqueue(it, 'wq');
    INIT_WORK(it.work, function* () {
      say('ran');
    });
    yield* queue_work(wq, it.work);
    yield* destroy_workqueue(wq);
    say('destroyed');
  });
  expect(log).toEqual(['t0 ran', 't0 destroyed']);
  expect(warnings).toEqual([]);
});

test('a pointer that is published orders what was written before it', () => {
  const { log } = run(runToBlock, function* (it, say) {
    yield* rcu_assign_pointer(it.timer, 'func', null);
    yield* rcu_read_lock();
    say(`${yield* rcu_dereference(it.timer, 'func')}`);
    yield* rcu_read_unlock();
  });
  expect(log).toEqual(['t0 null']);
});

test('a spinlock makes its holder atomic until it is released', () => {
  const { log } = run(runToBlock, function* (it, say) {
    yield* spin_lock(it.spin);
    say(`${current().preemptCount}`);
    yield* spin_unlock(it.spin);
    say(`${current().preemptCount}`);
  });
  expect(log).toEqual(['t0 1', 't0 0']);
});

test('wait_event looks again after each wake-up, and a wake-up before the sleep is not lost', () => {
  let ready = false;
  const { ending, log } = run(
    new RoundRobin(),
    function* (it, say) {
      yield* wait_event(it.wait, () => done(ready));
      say('woke');
    },
    function* (it, say) {
      yield* wake_up_all(it.wait);
      ready = true;
      say('ready');
      yield* wake_up_all(it.wait);
    },
  );
  expect(ending.status).toBe('finished');
  expect(log).toEqual(['t1 ready', 't0 woke']);
});

test('time moves only when nothing else can happen; timeouts tell what is left', () => {
  const { log, machine } = run(
    runToBlock,
    function* (it, say) {
      say(`timed out with ${yield* wait_event_timeout(it.wait, () => done(false), 100)}`);
      say(`completed with ${yield* wait_for_completion_timeout(it.done, 100)} left`);
    },
    function* (it, say) {
      yield* msleep(130);
      say('slept');
      yield* complete(it.done);
    },
  );
  expect(log).toEqual(['t0 timed out with 0', 't1 slept', 't0 completed with 70 left']);
  expect(machine.scheduler.now).toBe(130);
});

test('a completion counts; complete_all is for all and for ever', () => {
  const { ending } = run(
    runToBlock,
    function* (it) {
      yield* complete(it.done);
      yield* wait_for_completion(it.done);
      yield* complete_all(it.done);
    },
    function* (it) {
      yield* wait_for_completion(it.done);
      yield* wait_for_completion(it.done);
    },
  );
  expect(ending.status).toBe('finished');
});

test('a reference count warns as lib/refcount.c does, and saturates', () => {
  const { log, warnings } = run(runToBlock, function* (it, say) {
    refcount_init(it.refs, 1);
    yield* refcount_inc(it.refs);
    say(`${yield* refcount_dec_and_test(it.refs)} ${yield* refcount_dec_and_test(it.refs)}`);
    say(`${yield* refcount_inc_not_zero(it.refs)}`);
    yield* refcount_inc(it.refs);
    refcount_init(it.refs, 1);
    yield* refcount_dec(it.refs);
    say(`${it.refs.refs < 0}`);
  });
  expect(log).toEqual(['t0 false true', 't0 false', 't0 true']);
  expect(warnings).toEqual([
    'refcount_t it.refs: addition on 0; use-after-free',
    'refcount_t it.refs: decrement hit 0; leaking memory',
  ]);
});

test('an ordered workqueue runs one at a time in order; a pending work is not queued twice', () => {
  const { log, ending } = run(runToBlock, function* (it, say) {
    const wq = alloc_ordered_workqueue(it, 'wq');
    INIT_WORK(it.work, function* () {
      say('work starts');
      yield* msleep(10);
      say('work ends');
    });
    INIT_WORK(it.other, function* () {
      say('other');
    });
    const first = yield* queue_work(wq, it.work);
    say(`queued ${first} ${yield* queue_work(wq, it.work)} ${yield* queue_work(wq, it.other)}`);
    yield* flush_workqueue(wq);
    say('flushed');
  });
  expect(ending.status).toBe('finished');
  expect(log).toEqual([
    't0 queued true false true',
    't0 work starts',
    't0 work ends',
    't0 other',
    't0 flushed',
  ]);
});

test('an unbound workqueue runs works at once, but never one work twice at once', () => {
  const { log } = run(runToBlock, function* (it, say) {
    const wq = alloc_workqueue(it, 'wq', 4);
    INIT_WORK(it.work, function* () {
      say('starts');
      yield* msleep(10);
      say('ends');
    });
    INIT_WORK(it.other, function* () {
      say('other');
    });
    yield* queue_work(wq, it.work);
    yield* queue_work(wq, it.other);
    yield* msleep(5);
    yield* queue_work(wq, it.work);
    say(`flushed ${yield* flush_work(wq, it.work)}`);
  });
  expect(log).toEqual(['t0 starts', 't0 other', 't0 ends', 't0 starts', 't0 ends', 't0 flushed true']);
});

test('cancel_work_sync takes a pending work away and waits for a running one', () => {
  const { log } = run(runToBlock, function* (it, say) {
    const wq = alloc_ordered_workqueue(it, 'wq');
    INIT_WORK(it.work, function* () {
      yield* msleep(10);
      say('ran');
    });
    yield* queue_work(wq, it.work);
    say(`cancelled ${yield* cancel_work_sync(wq, it.work)}`);
    yield* queue_work(wq, it.work);
    yield* msleep(5);
    say(`cancelled ${yield* cancel_work_sync(wq, it.work)}`);
  });
  expect(log).toEqual(['t0 cancelled true', 't0 ran', 't0 cancelled false']);
});

test('a work that flushes its own queue hangs, and the report says so', () => {
  const { ending } = run(runToBlock, function* (it) {
    const wq = alloc_ordered_workqueue(it, 'wq');
    INIT_WORK(it.work, () => flush_workqueue(wq));
    yield* queue_work(wq, it.work);
  });
  expect(ending).toMatchObject({ status: 'hang', report: expect.stringContaining('cycle: it.work.worker') });
});

test('a grace period waits for the sections that were open, not for later ones', () => {
  const { log } = run(
    new RoundRobin(),
    function* (it, say) {
      yield* rcu_read_lock();
      yield* msleep(10);
      say('first section ends');
      yield* rcu_read_unlock();
      yield* rcu_read_lock();
      yield* rcu_dereference(it.timer, 'pending');
      yield* msleep(10);
      say('second section ends');
      yield* rcu_read_unlock();
    },
    function* (it, say) {
      yield* msleep(5);
      yield* call_rcu(it, function* () {
        say('callback');
      });
      yield* synchronize_rcu();
      say('synchronized');
      yield* WRITE_ONCE(it.refs, 'refs', 1);
    },
  );
  expect(log[0]).toBe('t0 first section ends');
  expect(log.at(-1)).toBe('t0 second section ends');
  expect(log.slice(1, 3).sort()).toEqual(['t1 callback', 't1 synchronized']);
});

test('a timer runs its callback once, in time, unless it is deleted', () => {
  const { log } = run(runToBlock, function* (it, say) {
    timer_setup(it.timer, function* () {
      say('expired');
    });
    say(`${yield* mod_timer(it.timer, 50)} ${yield* mod_timer(it.timer, 20)}`);
    yield* msleep(30);
    say(`${yield* mod_timer(it.timer, 50)} ${yield* timer_delete(it.timer)}`);
    yield* msleep(100);
  });
  expect(log).toEqual(['t0 false true', 't0 expired', 't0 false true']);
});

test('an eventfd is read to zero and waited for', () => {
  const { log } = run(
    runToBlock,
    function* (it, say) {
      say(`${yield* eventfd_read_nonblock(it.event)}`);
      say(`${yield* eventfd_read(it.event)}`);
      it.event.semaphore = true;
      yield* eventfd_signal(it.event);
      yield* eventfd_signal(it.event);
      say(`${yield* eventfd_read(it.event)} ${it.event.count}`);
    },
    function* (it) {
      yield* eventfd_signal(it.event);
      yield* eventfd_signal(it.event);
    },
  );
  expect(log).toEqual(['t0 0', 't0 2', 't0 1 1']);
});
