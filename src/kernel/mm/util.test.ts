// SPDX-License-Identifier: GPL-2.0-only

import { expect, test } from 'vitest';
import { page_owner } from '../../hw/memory.ts';
import { IS_ERR } from '../../sim/errno.ts';
import { Machine } from '../../sim/machine.ts';
import { SeededRandom } from '../../sim/policies/random.ts';
import { down_write, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { ENOMEM } from '../../uapi/errno.ts';
import { atomic64_add, atomic64_read, atomic64_sub } from './atomic64.ts';
import { FOLL_LONGTERM, FOLL_WRITE, pin_user_pages_fast } from './gup.ts';
import {
  dup_mm,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  type mm_struct,
  PROT_READ,
  PROT_WRITE,
  vm_mmap,
  vm_munmap,
} from './mm.ts';
import { type page_run, unpin_user_pages_dirty_lock } from './page.ts';
import { finish, MEMLOCK, map, pattern, run, spawn, thread } from './testing.ts';
import { copy_from_user, copy_to_user } from './uaccess.ts';
import {
  __account_locked_vm,
  account_locked_vm,
  exit_mm,
  get_task_mm,
  mmdrop,
  mmget_not_zero,
  mmgrab,
  mmput,
} from './util.ts';

const LIMIT = Number(MEMLOCK / 4096n);

test('pages are charged up to RLIMIT_MEMLOCK', () => {
  const warned = run(function* (mm, group) {
    expect(yield* account_locked_vm(mm, LIMIT, true)).toBe(0);
    expect(yield* account_locked_vm(mm, 1, true)).toBe(-ENOMEM);
    expect(yield* account_locked_vm(mm, 0, true)).toBe(0);
    expect(yield* account_locked_vm(null, 1, true)).toBe(0);
    yield* down_write(mm.mmap_lock);
    expect(__account_locked_vm(mm, 1, true, group, true)).toBe(0);
    expect(mm.locked_vm).toBe(LIMIT + 1);
    yield* up_write(mm.mmap_lock);
    expect(yield* account_locked_vm(mm, LIMIT + 1, false)).toBe(0);
    expect(mm.locked_vm).toBe(0);
    expect(__account_locked_vm(mm, 1, false, group, false)).toBe(0);
  });
  expect(warned).toEqual(['p0.mm.mmap_lock is not held for writing', 'p0.mm.locked_vm would be negative']);
});

test('an address space ends with its users, its struct with whoever grabbed it', () => {
  const warned = run(function* (mm, group) {
    yield* mmgrab(mm);
    map(mm, 0x10000n, 0x1000n, PROT_READ);
    const again = yield* get_task_mm(group);
    expect(again).toBe(mm);
    yield* exit_mm(group);
    expect(group.mm).toBe(null);
    expect(yield* get_task_mm(group)).toBe(null);
    expect(mm.mm_mt.isEmpty).toBe(false);
    expect(yield* mmget_not_zero(mm)).toBe(true);
    yield* mmput(mm);
    yield* mmput(mm);
    expect(mm.mm_mt.isEmpty).toBe(true);
    expect(yield* mmget_not_zero(mm)).toBe(false);
    yield* mmdrop(mm);
    yield* exit_mm(group);
  });
  expect(warned).toEqual([]);
});

test('pinned_vm', () => {
  run(function* (mm) {
    yield* atomic64_add(7, mm.pinned_vm);
    yield* atomic64_sub(2, mm.pinned_vm);
    expect(yield* atomic64_read(mm.pinned_vm)).toBe(5);
  });
});

const BASE = 0x10000n;

/** What a thread does to memory that others use at the same time. `turn` is different for each. */
function* worker(mm: mm_struct, turn: number): Gen<void> {
  const flags = (turn % 2 === 0 ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS | MAP_FIXED;
  const pages: page_run[] = [];
  const at = BASE + BigInt(turn % 3) * 0x1000n;
  yield* copy_to_user(at + 0xff0n, pattern(40));
  const got = yield* pin_user_pages_fast(at, 2, FOLL_LONGTERM | (turn % 3 === 0 ? 0 : FOLL_WRITE), pages);
  if (!IS_ERR(got)) yield* copy_from_user(new Uint8Array(0x2000), at);
  if (turn % 2 === 0) yield* vm_mmap(mm, at, 0x1000n, PROT_READ | PROT_WRITE, flags);
  else yield* vm_munmap(mm, at, 0x1000n);
  yield* copy_to_user(at, pattern(40));
  yield* unpin_user_pages_dirty_lock(pages, true);
}

test('whatever the schedule, nothing warns and nothing is left', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const on = new Machine(new SeededRandom(seed)).powerOn();
    const group = spawn(on, 'p', function* (mm, self) {
      const child = yield* dup_mm(mm, self, 'child');
      if (IS_ERR(child)) throw new Error('fork');
      spawn(
        on,
        'c',
        function* (own, it) {
          yield* worker(own, 3);
          yield* exit_mm(it);
        },
        child,
      );
      yield* worker(mm, 0);
      yield* mmput(mm);
    });
    const { mm } = group;
    if (mm === null) throw new Error('no mm');
    map(mm, BASE, 0x3000n, PROT_READ | PROT_WRITE);
    map(mm, BASE + 0x3000n, 0x2000n, PROT_READ | PROT_WRITE, MAP_SHARED);
    for (let turn = 1; turn <= 2; turn++) thread(on, group, `t${turn}`, user(mm, turn));
    expect(finish(on)).toEqual([]);
    const owners = on.objects.filter((o) => o instanceof page_owner);
    expect(owners.filter((o) => !o.$freed)).toEqual([]);
    expect(owners.length).toBeGreaterThan(4);
  }
});

/** A thread that uses the address space by itself, as if it were a process of its own. */
function* user(mm: mm_struct, turn: number): Gen<void> {
  if (!(yield* mmget_not_zero(mm))) return;
  yield* worker(mm, turn);
  yield* mmput(mm);
}
