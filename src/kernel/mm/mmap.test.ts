// SPDX-License-Identifier: GPL-2.0-only

import { expect, test } from 'vitest';
import { memory } from '../../hw/memory.ts';
import { IS_ERR } from '../../sim/errno.ts';
import type { Gen } from '../../sim/task.ts';
import { EEXIST, EFAULT, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { FOLL_LONGTERM, FOLL_WRITE, pin_user_pages_fast } from './gup.ts';
import { default_hstate } from './hugetlb.ts';
import {
  do_mmap,
  do_mprotect,
  dup_mm,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_HUGETLB,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  type mm_struct,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  user_load,
  user_store,
  vm_mmap,
  vm_munmap,
} from './mm.ts';
import { PageCompound, type page_run, unpin_user_pages } from './page.ts';
import { map, pattern, run } from './testing.ts';
import { mmput } from './util.ts';

const RW = PROT_READ | PROT_WRITE;
const ANON = MAP_PRIVATE | MAP_ANONYMOUS;
const HUGE = 0x200000n;
const BASE = 0x40000000n;

test('what mmap refuses', () => {
  run(function* (mm) {
    map(mm, BASE, 0x3000n, RW);
    const top = 0x7ffffffff000n;
    for (const [addr, len, flags, options, errno] of [
      [0n, 0n, ANON, {}, EINVAL],
      [0n, 1n, ANON, { offset: 1n }, EINVAL],
      [0n, 1n, MAP_ANONYMOUS, {}, EINVAL],
      [0n, (1n << 64n) - 1n, ANON, {}, ENOMEM],
      [0n, 1n << 47n, ANON, {}, ENOMEM],
      [BASE + 1n, 1n, ANON | MAP_FIXED, {}, EINVAL],
      [top, 1n, ANON | MAP_FIXED, {}, ENOMEM],
      [(1n << 64n) - 4096n, 4096n, ANON | MAP_FIXED, {}, ENOMEM],
      [BASE + 0x2000n, 0x2000n, ANON | MAP_FIXED_NOREPLACE, {}, EEXIST],
      [BASE, 1n, ANON | MAP_FIXED | MAP_HUGETLB, {}, 0],
      [BASE + 0x1000n, 1n, ANON | MAP_FIXED | MAP_HUGETLB, {}, EINVAL],
      [0n, 81n * HUGE, ANON | MAP_HUGETLB, {}, ENOMEM],
    ] as const) {
      const at = yield* vm_mmap(mm, addr, len, RW, flags, options);
      expect(at).toBe(errno === 0 ? Number(addr) : -errno);
    }
    expect(yield* vm_munmap(mm, BASE + 1n, 1n)).toBe(-EINVAL);
    expect(yield* vm_munmap(mm, BASE, 0n)).toBe(-EINVAL);
    expect(yield* vm_munmap(mm, BASE, top)).toBe(-EINVAL);
    expect(yield* vm_munmap(mm, 0x1000n, 0x1000n)).toBe(0);
    expect(yield* vm_munmap(mm, BASE, 0x1000n)).toBe(-EINVAL);
  });
});

test('where a mapping goes that was not told', () => {
  run(function* (mm) {
    const anywhere = (len: bigint, flags = 0): number => do_mmap(mm, 0n, len, RW, ANON | flags);
    const first = anywhere(0x3000n);
    expect(first).toBe(0x7ffff7ffc000);
    expect(anywhere(1n)).toBe(first - 0x1000);
    // Aligned, for transparent and other huge pages; the hole above is used for what fits.
    expect(anywhere(HUGE)).toBe(0x7ffff7c00000);
    expect(anywhere(1n, MAP_HUGETLB)).toBe(0x7ffff7a00000);
    expect(anywhere(0x1000n)).toBe(first - 0x2000);
    expect(do_mmap(mm, BASE + 5n, 1n, RW, ANON)).toBe(Number(BASE));
    expect(do_mmap(mm, BASE, 1n, RW, ANON)).toBe(first - 0x3000);
    expect(do_mmap(mm, 0x1000n, 1n, RW, ANON)).toBe(0x10000);
    // A recording knows better, whatever is there.
    expect(do_mmap(mm, 0n, 0x2000n, RW, ANON, { placeAt: BASE })).toBe(Number(BASE));
    expect(yield* vm_mmap(mm, 0n, 0x1000n, RW, ANON)).toBe(first - 0x4000);
    // What does not fit below the stack goes above it.
    map(mm, 0x10000n, 0x7ffff7fff000n - 0x10000n, PROT_NONE);
    expect(anywhere(0x1000n)).toBe(0xf000);
    map(mm, 0x1000n, 0xf000n, PROT_NONE);
    expect(anywhere(0x1000n)).toBe(0x7ffff7fff000);
    map(mm, 0x7ffff7fff000n, 0x8000000n, PROT_NONE);
    expect(anywhere(0x1000n)).toBe(-ENOMEM);
  });
});

test('MAP_FIXED and munmap cut what is there', () => {
  const warned = run(function* (mm) {
    map(mm, BASE, 0x5000n, RW);
    user_store(mm, BASE, pattern(0x5000));
    map(mm, BASE + 0x1000n, 0x1000n, RW);
    expect(user_load(mm, BASE, 0x5000)).toEqual(pattern(0x5000).map((b, i) => (i >> 12 === 1 ? 0 : b)));
    expect(yield* vm_munmap(mm, BASE + 0x3000n, 1n)).toBe(0);
    expect([0, 1, 2, 3, 4].map((i) => user_load(mm, BASE + BigInt(i * 4096), 1)?.[0])).toEqual([
      pattern(1)[0],
      0,
      pattern(0x5000)[0x2000],
      undefined,
      pattern(0x5000)[0x4000],
    ]);
  });
  expect(warned).toEqual([]);
});

test('mprotect', () => {
  const warned = run(function* (mm) {
    map(mm, BASE, 0x4000n, RW);
    user_store(mm, BASE, pattern(0x4000));
    expect(yield* do_mprotect(mm, BASE + 0x1000n, 0x2000n, PROT_READ)).toBe(0);
    expect(user_store(mm, BASE + 0x1000n, pattern(1))).toBe(false);
    expect(user_store(mm, BASE + 0x3000n, pattern(1))).toBe(true);
    const pages: page_run[] = [];
    expect(yield* pin_user_pages_fast(BASE + 0x1000n, 1, FOLL_WRITE, pages)).toBe(-EFAULT);
    expect(yield* do_mprotect(mm, BASE + 0x2000n, 0x1000n, PROT_NONE)).toBe(0);
    expect(user_load(mm, BASE + 0x2000n, 1)).toBe(null);
    expect(yield* do_mprotect(mm, BASE, 0x4000n, RW)).toBe(0);
    expect(user_load(mm, BASE + 0x1000n, 0x2000)).toEqual(pattern(0x4000).subarray(0x1000, 0x3000));
    expect(user_store(mm, BASE, pattern(0x4000, 2))).toBe(true);
    expect(yield* do_mprotect(mm, BASE + 1n, 1n, RW)).toBe(-EINVAL);
    expect(yield* do_mprotect(mm, BASE, 0n, RW)).toBe(0);
    expect(yield* do_mprotect(mm, BASE + 0x3000n, 0x2000n, PROT_READ)).toBe(-ENOMEM);
    expect(user_store(mm, BASE + 0x3000n, pattern(1))).toBe(false);
  });
  expect(warned).toEqual([]);
});

/** The pool: free and reserved huge pages. */
const pool = (): number[] => [default_hstate().free_huge_pages, default_hstate().resv_huge_pages];

function* hugePin(at: bigint): Gen<page_run[]> {
  const pages: page_run[] = [];
  const got = yield* pin_user_pages_fast(at, 1024, FOLL_WRITE | FOLL_LONGTERM, pages);
  expect(got).toBe(1024);
  return pages;
}

test.each([
  ['private', MAP_PRIVATE],
  ['shared', MAP_SHARED],
])('huge pages, %s: reserved, taken, and given back', (_, type) => {
  const warned = run(function* (mm) {
    expect(pool()).toEqual([80, 0]);
    const flags = type | MAP_ANONYMOUS | MAP_HUGETLB;
    const at = yield* vm_mmap(mm, 0n, 3n * HUGE + 1n, RW, flags | MAP_POPULATE);
    if (IS_ERR(at)) throw new Error('mmap');
    expect(pool()).toEqual([76, 0]);
    const lazy = yield* vm_mmap(mm, 0n, 76n * HUGE, RW, flags);
    expect(pool()).toEqual([76, 76]);
    expect(yield* vm_mmap(mm, 0n, HUGE, RW, flags)).toBe(-ENOMEM);
    // Without a reservation it is mapped, but there is no page for it.
    const none = yield* vm_mmap(mm, 0n, HUGE, RW, flags | MAP_NORESERVE);
    expect(user_store(mm, BigInt(none), pattern(1))).toBe(false);
    expect(yield* vm_munmap(mm, BigInt(lazy), 76n * HUGE)).toBe(0);
    expect(pool()).toEqual([76, 0]);
    expect(user_store(mm, BigInt(none), pattern(1))).toBe(true);
    expect(pool()).toEqual([75, 0]);

    const start = BigInt(at);
    user_store(mm, start + HUGE - 4n, pattern(8));
    const pages = yield* hugePin(start + HUGE - 0x1000n);
    const [run] = pages;
    if (run === undefined) throw new Error('no pages');
    expect([pages.length, PageCompound(run.start), (run.start + 1) % 512]).toEqual([1, true, 0]);
    expect(memory().read((run.start + 1) * 4096 - 4, 8)).toEqual(pattern(8));
    expect(yield* vm_munmap(mm, start + 0x1000n, HUGE)).toBe(-EINVAL);
    expect(yield* vm_munmap(mm, start, HUGE)).toBe(0);
    expect(yield* vm_munmap(mm, start + HUGE, 3n * HUGE)).toBe(0);
    // Three pages are pinned in part; nothing else keeps the fourth.
    expect(pool()).toEqual([76, 0]);
    yield* unpin_user_pages(pages);
    expect(pool()).toEqual([79, 0]);
  });
  expect(warned).toEqual([]);
});

test('huge pages after fork: private ones are copied when written, pinned ones at once', () => {
  const warned = run(function* (mm, group) {
    const flags = ANON | MAP_HUGETLB;
    const start = BigInt(yield* vm_mmap(mm, 0n, 4n * HUGE, RW, flags));
    user_store(mm, start, pattern(8));
    const pages = yield* hugePin(start + HUGE);
    user_store(mm, start + HUGE, pattern(8, 2));
    expect(pool()).toEqual([77, 1]);
    const child = yield* dup_mm(mm, group, 'child');
    if (IS_ERR(child)) throw new Error('fork');
    expect(pool()).toEqual([75, 1]);
    user_store(mm, start + HUGE, pattern(8, 3));
    expect(user_load(child, start, 8)).toEqual(pattern(8));
    expect(user_load(child, start + HUGE, 8)).toEqual(pattern(8, 2));
    expect(user_store(child, start, pattern(8, 4))).toBe(true);
    expect(pool()).toEqual([74, 1]);
    expect(user_load(mm, start, 8)).toEqual(pattern(8));
    yield* mmput(child);
    expect(pool()).toEqual([77, 1]);
    yield* unpin_user_pages(pages);
    group.mm = null;
    yield* mmput(mm);
    expect(pool()).toEqual([80, 0]);
  });
  expect(warned).toEqual([]);
});

test('a child that shares huge pages has no room for copies: fork fails', () => {
  run(function* (mm, group) {
    const start = BigInt(yield* vm_mmap(mm, 0n, 80n * HUGE, RW, ANON | MAP_HUGETLB));
    yield* hugePin(start);
    expect(yield* dup_mm(mm, group, 'child')).toBe(-ENOMEM);
    expect(pool()).toEqual([78, 78]);
  });
});

test('MAP_POPULATE touches what a program may touch', () => {
  run(function* (mm) {
    const present = (at: number): boolean => mm.mm_mt.get(at / 4096)?.pgtable.isEmpty === false;
    const all = [
      [RW, MAP_PRIVATE, true],
      [PROT_READ, MAP_PRIVATE, false],
      [PROT_READ, MAP_SHARED, true],
      [PROT_NONE, MAP_SHARED, false],
    ] as const;
    for (const [prot, type, expected] of all) {
      const at = yield* vm_mmap(mm, 0n, 0x3000n, prot, type | MAP_ANONYMOUS | MAP_POPULATE);
      expect(present(at)).toBe(expected);
    }
  });
});

/** Every mapping is gone when its last user is, whoever made it. */
test('exit', () => {
  const warned = run(function* (mm: mm_struct, group) {
    map(mm, BASE, 0x4000n, RW);
    map(mm, BASE + 0x10000n, 0x4000n, RW, MAP_SHARED);
    user_store(mm, BASE + 0x10000n, pattern(8));
    const child = yield* dup_mm(mm, group, 'child');
    if (IS_ERR(child)) throw new Error('fork');
    group.mm = null;
    yield* mmput(mm);
    expect(mm.mm_mt.isEmpty).toBe(true);
    expect(user_load(child, BASE + 0x10000n, 8)).toEqual(pattern(8));
    yield* mmput(child);
  });
  expect(warned).toEqual([]);
});
