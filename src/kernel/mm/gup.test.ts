// SPDX-License-Identifier: GPL-2.0-only

import { expect, test } from 'vitest';
import { memory, PAGE_SIZE, type pfn } from '../../hw/memory.ts';
import { context } from '../../sim/context.ts';
import { IS_ERR } from '../../sim/errno.ts';
import { opKind } from '../../sim/op.ts';
import { down_read, up_read } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { KIND_MASK, OP, STRIDE } from '../../sim/trace.ts';
import { EFAULT, EINVAL, EOVERFLOW } from '../../uapi/errno.ts';
import { address_space } from './filemap.ts';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  get_user_pages_fast,
  pin_user_pages_fast,
  pin_user_pages_remote,
} from './gup.ts';
import {
  dup_mm,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  user_load,
  user_store,
  vm_mmap,
  vm_munmap,
} from './mm.ts';
import { VM_PFNMAP } from './mm_types.ts';
import {
  add_pages,
  count_pages,
  PageCompound,
  page_ref_count,
  type page_run,
  put_page,
  unpin_user_page_range_dirty_lock,
  unpin_user_pages,
  ZERO_PFN,
} from './page.ts';
import { map, pattern, run } from './testing.ts';
import { mmput } from './util.ts';

const RW = PROT_READ | PROT_WRITE;
const BASE = 0x100000n;
const at = (page: number): bigint => BASE + BigInt(page * PAGE_SIZE);

/** Pins and says what came of it. */
function* pin(start: bigint, npages: number, flags = FOLL_LONGTERM | FOLL_WRITE): Gen<[number, page_run[]]> {
  const pages: page_run[] = [];
  const got = yield* pin_user_pages_fast(start, npages, flags, pages);
  if (!IS_ERR(got)) expect(count_pages(pages)).toBe(got);
  return [got, pages];
}

/** Frame of the first of some pages. */
function first(pages: readonly page_run[]): pfn {
  const [run] = pages;
  if (run === undefined) throw new Error('no pages');
  return run.start;
}

/** Loads through the frame, as a device does. */
const seen = (page: pfn, n: number): Uint8Array => memory().read(page * PAGE_SIZE, n);

function opCount(name: string): number {
  let n = 0;
  const { buf, len } = context.trace;
  for (let i = 0; i < len; i += STRIDE) {
    if (((buf[i] ?? 0) & KIND_MASK) === OP && opKind(buf[i + 2] ?? -1).name === name) n++;
  }
  return n;
}

test.each([
  ['private', MAP_PRIVATE],
  ['shared', MAP_SHARED],
])('pins of %s memory are the pages that the program sees', (_, flags) => {
  const warned = run(function* (mm) {
    map(mm, BASE, 0x8000n, RW, flags);
    const text = pattern(16);
    user_store(mm, at(2), text);
    const [got, pages] = yield* pin(at(1), 4);
    expect([got, pages.length]).toEqual([4, 1]);
    const [again] = yield* pin(at(2), 1);
    expect(again).toBe(1);
    const page = first(pages);
    expect(seen(page, 16)).toEqual(new Uint8Array(16));
    memory().write(page * PAGE_SIZE, text);
    expect(user_load(mm, at(1), 16)).toEqual(text);
    expect(yield* page_ref_count(page)).toBe(1024 + 1);

    yield* vm_munmap(mm, BASE, 0x8000n);
    expect(memory().allocated(page)).not.toBe(null);
    yield* unpin_user_page_range_dirty_lock(page, 4, true);
    expect(memory().allocated(page)).toBe(null);
    // The page that was pinned twice.
    const [, second] = yield* pin(at(2), 1);
    expect(second).toEqual([]);
  });
  expect(warned).toEqual([]);
});

test('a pin takes mmap_lock only for what is not present yet', () => {
  run(function* (mm) {
    map(mm, BASE, 0x8000n, RW);
    user_store(mm, BASE, new Uint8Array(0x3000));
    yield* pin(BASE, 3);
    expect(opCount('down_read')).toBe(0);
    yield* pin(BASE, 4);
    expect(opCount('down_read')).toBe(1);
    yield* pin(BASE, 4);
    expect(opCount('down_read')).toBe(1);
    yield* pin(BASE, 0);
  });
});

test('a pin ends at the first page that cannot be had', () => {
  run(function* (mm) {
    map(mm, BASE, 0x2000n, RW);
    map(mm, at(2), 0x1000n, PROT_READ);
    map(mm, at(4), 0x1000n, PROT_NONE);
    map(mm, at(5), 0x1000n, PROT_WRITE);
    expect((yield* pin(BASE, 3))[0]).toBe(2);
    expect((yield* pin(at(2), 1))[0]).toBe(-EFAULT);
    expect((yield* pin(BASE, 8, FOLL_LONGTERM))[0]).toBe(3);
    expect((yield* pin(at(3), 1))[0]).toBe(-EFAULT);
    expect((yield* pin(at(4), 1, 0))[0]).toBe(-EFAULT);
    expect((yield* pin(at(5), 1, FOLL_LONGTERM))[0]).toBe(-EFAULT);
    // Once it is there, the processor may read it, and no mapping is asked.
    user_store(mm, at(5), pattern(1));
    expect((yield* pin(at(5), 1, FOLL_LONGTERM))[0]).toBe(1);
    map(mm, at(6), 0x1000n, RW, MAP_SHARED, { vm_flags: VM_PFNMAP });
    expect((yield* pin(at(6), 1))[0]).toBe(-EFAULT);
    expect((yield* pin(at(6), 1, 1 << 19))[0]).toBe(-EINVAL);
  });
});

test('addresses that wrap or leave user space', () => {
  run(function* (mm) {
    map(mm, 0x7fffffffe000n, 0x1000n, RW);
    expect((yield* pin(0x7fffffffe123n, 1))[0]).toBe(1);
    expect((yield* pin(0x7fffffffe000n, 2))[0]).toBe(-EFAULT);
    expect((yield* pin(0xffff_ffff_ffff_f000n, 1))[0]).toBe(-EOVERFLOW);
    expect((yield* pin(0xffff_ffff_ffff_e000n, 1))[0]).toBe(-EFAULT);
    yield* down_read(mm.mmap_lock);
    const pages: page_run[] = [];
    expect(yield* pin_user_pages_remote(mm, 0x7fffffffe000n, 2, FOLL_WRITE, pages)).toBe(1);
    expect(yield* pin_user_pages_remote(mm, 0xffff_ffff_ffff_f000n, 1, FOLL_WRITE, pages)).toBe(-EFAULT);
    expect(yield* pin_user_pages_remote(mm, 0n, 0, FOLL_WRITE, pages)).toBe(0);
    yield* up_read(mm.mmap_lock);
    expect(pages.length).toBe(1);
  });
});

test('reading never touched private memory: the zero page for a while, a page of its own for long', () => {
  const warned = run(function* (mm) {
    map(mm, BASE, 0x4000n, RW);
    const [got, zero] = yield* pin(BASE, 2, 0);
    expect([got, zero]).toEqual([
      2,
      [
        { start: ZERO_PFN, count: 1 },
        { start: ZERO_PFN, count: 1 },
      ],
    ]);
    expect(yield* page_ref_count(ZERO_PFN)).toBe(1);
    yield* unpin_user_pages(zero);
    const [, pages] = yield* pin(BASE, 2, FOLL_LONGTERM);
    const page = first(pages);
    expect([page === ZERO_PFN, pages.length]).toEqual([false, 1]);
    user_store(mm, BASE, pattern(8));
    expect(seen(page, 8)).toEqual(pattern(8));
    yield* unpin_user_pages(pages);
  });
  expect(warned).toEqual([]);
});

test('a private mapping of a file: a long pin that reads makes the page its own', () => {
  const warned = run(function* (mm, group) {
    const file = new address_space(group, 'file', 2);
    const where = yield* vm_mmap(mm, 0n, 0x3000n, RW, MAP_PRIVATE, { file });
    if (IS_ERR(where)) throw new Error('mmap');
    const start = BigInt(where);
    const [, short] = yield* pin(start, 1, 0);
    expect(memory().allocated(first(short))).toBe(file);
    const [got, long] = yield* pin(start, 3, FOLL_LONGTERM);
    expect(got).toBe(2);
    const page = first(long);
    expect(memory().allocated(page)).not.toBe(file);
    user_store(mm, start, pattern(4));
    expect(seen(page, 4)).toEqual(pattern(4));
    expect(file.contents.read(0, 4)).toEqual(new Uint8Array(4));
    // Behind the end of the file.
    expect(user_load(mm, start + 0x2000n, 1)).toBe(null);
    yield* unpin_user_pages([...short, ...long]);
  });
  expect(warned).toEqual([]);
});

test('references for a moment', () => {
  run(function* (mm) {
    map(mm, BASE, 0x2000n, RW, MAP_SHARED);
    const pages: page_run[] = [];
    expect(yield* get_user_pages_fast(BASE, 1, 0, pages)).toBe(1);
    const page = first(pages);
    expect(yield* page_ref_count(page)).toBe(2);
    expect(PageCompound(page)).toBe(false);
    yield* put_page(page);
    expect(yield* page_ref_count(page)).toBe(1);
  });
});

test('fork copies what is pinned and shares the rest, of private memory', () => {
  const warned = run(function* (mm, group) {
    map(mm, BASE, 0x4000n, RW);
    map(mm, at(8), 0x1000n, RW, MAP_SHARED);
    user_store(mm, BASE, pattern(0x4000));
    const [, pages] = yield* pin(at(1), 2);
    const child = yield* dup_mm(mm, group, 'child');
    if (IS_ERR(child)) throw new Error('fork');
    expect(user_load(child, BASE, 0x4000)).toEqual(pattern(0x4000));
    // The parent's pinned pages are still what the parent sees.
    user_store(mm, at(1), pattern(8, 2));
    expect(seen(first(pages), 8)).toEqual(pattern(8, 2));
    expect(user_load(child, at(1), 1)).toEqual(pattern(0x4000).subarray(0x1000, 0x1001));
    // Those that were shown to both are copied when one writes; the other then has it for itself.
    user_store(child, BASE, pattern(8, 3));
    expect(user_load(mm, BASE, 8)).toEqual(pattern(8));
    const [, own] = yield* pin(BASE, 1);
    user_store(mm, BASE, pattern(8, 4));
    expect(seen(first(own), 8)).toEqual(pattern(8, 4));
    // A long pin that reads must not pin what the child may come to see alone.
    const [, shown] = yield* pin(at(3), 1, FOLL_LONGTERM);
    user_store(mm, at(3), pattern(8, 5));
    expect(seen(first(shown), 8)).toEqual(pattern(8, 5));
    user_store(mm, at(8), pattern(8, 6));
    expect(user_load(child, at(8), 8)).toEqual(pattern(8, 6));
    yield* mmput(child);
    yield* unpin_user_pages([...pages, ...own, ...shown]);
    yield* mmput(mm);
    group.mm = null;
    expect(memory().allocated(first(pages))).toBe(null);
  });
  expect(warned).toEqual([]);
});

test('pins outlive the process', () => {
  const warned = run(function* (mm, group) {
    map(mm, BASE, 0x4000n, RW);
    const [, pages] = yield* pin(BASE, 4);
    memory().write(first(pages) * PAGE_SIZE, pattern(4));
    group.mm = null;
    yield* mmput(mm);
    expect(seen(first(pages), 4)).toEqual(pattern(4));
    yield* unpin_user_pages(pages);
    expect(memory().describe(first(pages))).toMatch(/^a free page, formerly p0\.mm\.vma/);
    yield* unpin_user_pages(pages);
  });
  expect(warned).toEqual([expect.stringMatching(/^unpin_user_page of a free page/)]);
});

test('a page that is pinned for writing twice and unpinned in part', () => {
  run(function* (mm) {
    map(mm, BASE, 0x8000000n, RW);
    const [got, pages] = yield* pin(BASE, 32768);
    expect([got, pages.length]).toEqual([32768, 1]);
    const start = first(pages);
    yield* unpin_user_pages([{ start, count: 100 }]);
    const counts: number[] = [];
    for (const { start: page } of [add(start, 99), add(start, 100)]) counts.push(yield* page_ref_count(page));
    expect(counts).toEqual([1, 1025]);
  });
});

function add(start: pfn, n: number): page_run {
  const pages: page_run[] = [];
  const found = memory().find(start + n);
  if (found === null) throw new Error('no memory');
  add_pages(pages, found.owner.frame(found.index), 1);
  return { start: first(pages), count: 1 };
}
