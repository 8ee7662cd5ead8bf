// SPDX-License-Identifier: GPL-2.0-only

import { expect, test } from 'vitest';
import { Machine } from '../../sim/machine.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { E2BIG, EFAULT } from '../../uapi/errno.ts';
import {
  MAP_SHARED,
  type mm_struct,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  user_load,
  user_store,
  vm_munmap,
} from './mm.ts';
import { finish, map, pattern, run, spawn, thread } from './testing.ts';
import {
  check_zeroed_user,
  clear_user,
  copy_from_user,
  copy_struct_from_user,
  copy_to_user,
  get_user_u32,
  get_user_u64,
  put_user_u32,
  put_user_u64,
} from './uaccess.ts';

const RW = PROT_READ | PROT_WRITE;
/** Two pages that may be written, one that may not, none after. */
const BASE = 0x10000n;
const READ_ONLY = BASE + 0x2000n;
const END = BASE + 0x3000n;

function layout(mm: mm_struct): void {
  map(mm, BASE, 0x2000n, RW);
  map(mm, READ_ONLY, 0x1000n, PROT_READ);
}

test('a copy ends at the first byte that cannot be accessed, and what is missing is zeroed', () => {
  const warned = run(function* (mm) {
    layout(mm);
    const text = pattern(100);
    expect(user_store(mm, READ_ONLY - 50n, text)).toBe(false);
    expect(user_load(mm, READ_ONLY - 50n, 51)).toEqual(Uint8Array.of(...text.subarray(0, 50), 0));

    const to = new Uint8Array(100).fill(0xaa);
    expect(yield* copy_from_user(to, END - 40n)).toBe(60);
    expect(to).toEqual(new Uint8Array(100));
    expect(yield* copy_from_user(to, READ_ONLY - 50n)).toBe(0);
    expect(to).toEqual(Uint8Array.of(...text.subarray(0, 50), ...new Uint8Array(50)));

    expect(yield* copy_to_user(READ_ONLY - 10n, text)).toBe(90);
    expect(user_load(mm, READ_ONLY - 10n, 10)).toEqual(text.subarray(0, 10));
    expect(yield* copy_to_user(READ_ONLY, text)).toBe(100);
    expect(yield* copy_to_user(0n, text)).toBe(100);
    expect(yield* clear_user(READ_ONLY - 5n, 20)).toBe(15);
    expect(user_load(mm, READ_ONLY - 10n, 10)).toEqual(
      Uint8Array.of(...text.subarray(0, 5), ...new Uint8Array(5)),
    );
  });
  expect(warned).toEqual([]);
});

test('addresses at and beyond the end of user space', () => {
  run(function* (mm) {
    const last = 0x7fffffffe000n;
    map(mm, last, 0x1000n, RW);
    const text = pattern(100);
    const to = new Uint8Array(100);
    expect(user_store(mm, last + 0xff0n, text.subarray(0, 16))).toBe(true);
    // Reads are stopped by the fault, writes by the check of the end.
    expect(yield* copy_from_user(to, last + 0xff0n)).toBe(84);
    expect(to.subarray(0, 16)).toEqual(text.subarray(0, 16));
    expect(yield* copy_to_user(last + 0xff0n, text)).toBe(100);
    expect(yield* copy_to_user(last + 0x1000n - 100n, text)).toBe(0);
    for (const bad of [0x7ffffffff000n, 0x8000_0000_0000n, 0xffff_8880_0000_0000n, (1n << 64n) - 10n]) {
      expect(yield* copy_from_user(to, bad)).toBe(100);
      expect(yield* copy_to_user(bad, text)).toBe(100);
      expect(yield* get_user_u32(bad)).toBe(-EFAULT);
      expect(yield* put_user_u64(bad, 1n)).toBe(-EFAULT);
      expect(yield* check_zeroed_user(bad, 8)).toBe(-EFAULT);
      expect(user_load(mm, bad, 1)).toBe(null);
    }
  });
});

test('variables', () => {
  run(function* (mm) {
    layout(mm);
    expect(yield* put_user_u64(BASE, 0xfedc_ba98_7654_3210n)).toBe(0);
    expect(yield* get_user_u64(BASE)).toBe(0xfedc_ba98_7654_3210n);
    expect(yield* get_user_u32(BASE + 4n)).toBe(0xfedcba98);
    expect(yield* put_user_u32(BASE + 4n, 0xffff_fffe)).toBe(0);
    expect(yield* get_user_u64(BASE)).toBe(0xffff_fffe_7654_3210n);
    expect(yield* put_user_u32(READ_ONLY, 1)).toBe(-EFAULT);
    expect(yield* get_user_u64(END - 4n)).toBe(-EFAULT);
  });
});

test('structs that are shorter or longer than the kernel knows', () => {
  run(function* (mm) {
    layout(mm);
    const text = pattern(16);
    user_store(mm, BASE, text);
    const to = new Uint8Array(24).fill(0xaa);
    expect(yield* copy_struct_from_user(to, BASE, 16)).toBe(0);
    expect(to).toEqual(Uint8Array.of(...text, ...new Uint8Array(8)));
    const shorter = new Uint8Array(8);
    expect(yield* copy_struct_from_user(shorter, BASE, 16)).toBe(-E2BIG);
    expect(yield* copy_struct_from_user(shorter, BASE + 8n, 0x1000)).toBe(0);
    expect(shorter).toEqual(text.subarray(8));
    expect(yield* copy_struct_from_user(shorter, END - 4n, 8)).toBe(-EFAULT);
    expect(yield* copy_struct_from_user(shorter, END - 16n, 24)).toBe(-EFAULT);
    // What is not zero comes before what cannot be read.
    map(mm, END, 0x1000n, RW);
    user_store(mm, END + 0xff7n, Uint8Array.of(1));
    expect(yield* copy_struct_from_user(shorter, END + 0xfe0n, 64)).toBe(-E2BIG);
    expect(yield* check_zeroed_user(END + 0xff8n, 8)).toBe(1);
    expect(yield* check_zeroed_user(END + 0xff8n, 9)).toBe(-EFAULT);
    expect(yield* check_zeroed_user(END + 0xff0n, 64)).toBe(0);
  });
});

test('what may be accessed at all may be read', () => {
  run(function* (mm) {
    for (const [prot, reads, writes] of [
      [0, false, false],
      [PROT_EXEC, true, false],
      [PROT_WRITE, true, true],
      [PROT_READ, true, false],
    ] as const) {
      map(mm, BASE, 0x1000n, prot);
      expect((yield* copy_from_user(new Uint8Array(8), BASE)) === 0).toBe(reads);
      expect((yield* copy_to_user(BASE, new Uint8Array(8))) === 0).toBe(writes);
    }
  });
});

test('a copy under mmap_lock is a bug', () => {
  const warned = run(function* (mm) {
    layout(mm);
    yield* down_read(mm.mmap_lock);
    yield* get_user_u32(BASE);
    yield* up_read(mm.mmap_lock);
  });
  expect(warned).toEqual([expect.stringMatching(/^get_user by a holder of p0\.mm\.mmap_lock/)]);
});

test('each copy is announced on the mapping it reaches; one across mappings on each', () => {
  const announced = new Set<string>();
  const on = new Machine({
    choose: (choice) => {
      for (let i = 0; i < choice.count; i++) announced.add(choice.label(i));
      return choice.fallback;
    },
  }).powerOn();
  const group = spawn(on, 'p', function* () {
    yield* copy_from_user(new Uint8Array(0x2000), READ_ONLY - 0x800n);
    yield* copy_from_user(new Uint8Array(8), END + 0x1000n);
  });
  const { mm } = group;
  if (mm === null) throw new Error('no mm');
  layout(mm);
  map(mm, END, 0x1000n, RW, MAP_SHARED);
  thread(on, group, 'other', store());
  finish(on);
  expect([...announced].filter((label) => label.includes('copy_from'))).toEqual([
    'p.t: copy_from_user p.mm.vma.anon_vma',
    'p.t: copy_from_user p.mm.vma#2.anon_vma',
    'p.t: copy_from_user p.mm.vma#3.shmem',
    'p.t: copy_from_user p.mm',
  ]);
});

test('a copy whose mapping goes away before it is due fails', () => {
  // The copier announces its copy, then the other thread unmaps.
  const on = new Machine({
    choose: (choice) => {
      const unmapper = choice.tasks.findIndex((task, i) => i < choice.count && task.name === 'unmapper');
      const copies = choice.tasks.some((task, i) => i < choice.count && task.op.name === 'copy_from_user');
      return copies && unmapper >= 0 ? unmapper : choice.fallback;
    },
  }).powerOn();
  let left = -1;
  const group = spawn(on, 'p', function* () {
    left = yield* copy_from_user(new Uint8Array(8), BASE);
  });
  const { mm } = group;
  if (mm === null) throw new Error('no mm');
  layout(mm);
  thread(on, group, 'unmapper', unmap(mm));
  expect(finish(on)).toEqual([]);
  expect(left).toBe(8);
});

function* unmap(mm: mm_struct): Gen<void> {
  expect(yield* vm_munmap(mm, BASE, 0x1000n)).toBe(0);
}

function* store(): Gen<void> {
  yield* copy_to_user(BASE, pattern(8));
}
