// SPDX-License-Identifier: GPL-2.0-only

/** What the order of maps and unmaps shows of batches, and the rules of iopt_pages at their edges. */
import { expect, test } from 'vitest';
import { PAGE_SIZE } from '../../hw/memory.ts';
import { recorded } from '../../sim/collections/testing.ts';
import { machine } from '../../sim/context.ts';
import { type Err, IS_ERR } from '../../sim/errno.ts';
import { down_read, down_write, up_read, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { EFAULT, EINVAL, EOVERFLOW, EPERM } from '../../uapi/errno.ts';
import { MAP_PRIVATE, type mm_struct, PROT_READ, PROT_WRITE } from '../mm/mm.ts';
import type { page_run } from '../mm/page.ts';
import { map, run } from '../mm/testing.ts';
import { exit_mm } from '../mm/util.ts';
import { iopt_area, type iopt_pages, iopt_pages_account_mode, ULONG_MAX } from './io_pagetable.h.ts';
import { iopt_init_table } from './io_pagetable.ts';
import { iopt_disable_large_pages, iopt_table_add_domain } from './io_pagetable_domains.ts';
import { iopt_insert_area } from './io_pagetable_map.ts';
import { IOMMUFD_ACCESS_RW_WRITE, io_pagetable } from './iommufd_private.h.ts';
import { iopt_alloc_pages, iopt_area_fill_domains, iopt_area_unfill_domains } from './pages.ts';
import { iopt_area_add_access, iopt_area_remove_access } from './pages_access.ts';
import { iopt_pages_rw_access } from './pages_rw.ts';
import { mock_domain_alloc_paging } from './selftest_domain.ts';
import { set_memory_limit } from './selftest_inject.ts';

const UPTR = 0x10_0000n;
const IOVA = 0x100_0000n;
const RW = PROT_READ | PROT_WRITE;

/** Pages of which each of `lengths` is a mapping of its own, so that frames are consecutive in it only. */
function* alloc(mm: mm_struct, ...lengths: number[]): Gen<iopt_pages> {
  let at = UPTR;
  for (const length of lengths) {
    map(mm, at, BigInt(length * PAGE_SIZE), RW, MAP_PRIVATE);
    at += BigInt(length * PAGE_SIZE);
  }
  const pages = yield* iopt_alloc_pages(machine().root, UPTR, at - UPTR, true);
  if (IS_ERR(pages)) throw new Error(`iopt_alloc_pages: ${pages}`);
  return pages;
}

function* new_table(domains: number): Gen<io_pagetable> {
  const iopt = new io_pagetable(machine().root, 'iopt');
  iopt_init_table(iopt);
  for (let i = 0; i < domains; i++) yield* attach(iopt);
  return iopt;
}

function* attach(iopt: io_pagetable): Gen<void> {
  const domain = yield* mock_domain_alloc_paging(null, machine().root, 'domain');
  if (domain !== null) expect(yield* iopt_table_add_domain(iopt, domain)).toBe(0);
}

/** An area of all of the pages, at IOVA. */
function* fill(iopt: io_pagetable, pages: iopt_pages): Gen<iopt_area> {
  const area = new iopt_area(iopt, 'area');
  yield* down_write(iopt.iova_rwsem);
  const length = BigInt(pages.npages * PAGE_SIZE);
  expect(iopt_insert_area(iopt, area, pages, IOVA, 0n, length, 0)).toBe(0);
  yield* up_write(iopt.iova_rwsem);
  yield* down_read(iopt.domains_rwsem);
  expect(yield* iopt_area_fill_domains(area, pages)).toBe(0);
  yield* up_read(iopt.domains_rwsem);
  area.pages = pages;
  return area;
}

function* unfill(iopt: io_pagetable, area: iopt_area, pages: iopt_pages): Gen<void> {
  yield* down_read(iopt.domains_rwsem);
  area.pages = null;
  yield* iopt_area_unfill_domains(area, pages);
  yield* up_read(iopt.domains_rwsem);
}

/** Maps, unmaps (domain, by number in order of creation, and pages of the area) and warnings since the last call. */
function moves(): string[] {
  const page = (iova: string): number => (Number(iova) - Number(IOVA)) / PAGE_SIZE;
  return recorded(machine()).flatMap((line) => {
    if (line.startsWith('WARN')) return [line];
    const found = /^domain#\w+\.t(?:\.(\d))?\.pfns\[(\w+)-(\w+)\]/.exec(line);
    if (found === null) return [];
    const [, domain = '1', first = '', last = ''] = found;
    return [`${domain}: ${page(first)}-${Math.floor(page(last))}`];
  });
}

test('a batch goes into every domain before the next is read, and is as large as memory allows', () => {
  run(function* (mm) {
    const pages = yield* alloc(mm, 2, 1, 3, 2);
    const iopt = yield* new_table(2);

    const whole = yield* fill(iopt, pages);
    const runs = ['0-1', '2-2', '3-5', '6-7'];
    expect(moves()).toEqual([...runs.map((pages) => `1: ${pages}`), ...runs.map((pages) => `2: ${pages}`)]);
    yield* unfill(iopt, whole, pages);
    // The first stores the frames, and goes last.
    expect(moves()).toEqual([...runs.map((pages) => `2: ${pages}`), ...runs.map((pages) => `1: ${pages}`)]);

    // Two runs a batch, three pages a pin.
    set_memory_limit(24);
    yield* fill(yield* new_table(2), pages);
    expect(moves()).toEqual([
      ...['3: 0-1', '3: 2-2', '4: 0-1', '4: 2-2'],
      ...['3: 3-5', '3: 6-7', '4: 3-5', '4: 6-7'],
    ]);
  });
});

test('without large pages a run is mapped page by page, and unmapped in any case as a whole', () => {
  run(function* (mm) {
    const pages = yield* alloc(mm, 2, 1);
    const iopt = yield* new_table(1);
    expect(yield* iopt_disable_large_pages(iopt)).toBe(0);
    const area = yield* fill(iopt, pages);
    expect(moves()).toEqual(['1: 0-0', '1: 1-1', '1: 2-2']);
    yield* unfill(iopt, area, pages);
    expect(pages.npinned).toBe(0);
  });
});

test('an unmap ends where frames stop being consecutive, however accesses lie', () => {
  const warned = run(function* (mm) {
    const pages = yield* alloc(mm, 10);
    const iopt = yield* new_table(1);
    const area = yield* fill(iopt, pages);
    const holder = yield* fill(yield* new_table(0), pages);
    for (const [first, last] of [
      [2, 3],
      [6, 7],
    ] as const) {
      expect(yield* iopt_area_add_access(holder, first, last, [], 0)).toBe(0);
    }
    moves();
    yield* unfill(iopt, area, pages);
    // 6.12 asks the domain for what follows an access, which was unmapped with what precedes it.
    expect(moves()).toEqual(['1: 0-9', 'WARN iova_to_phys: nothing is mapped there']);
    expect(pages.npinned).toBe(4);
    for (const [first, last] of [
      [2, 3],
      [6, 7],
    ] as const) {
      yield* iopt_area_remove_access(holder, first, last);
    }
    expect([pages.npinned, pages.last_npinned, mm.pinned_vm.counter]).toEqual([0, 0, 0]);
  });
  expect(warned).toEqual([]);
});

test('what iopt_alloc_pages refuses', () => {
  run(function* (mm) {
    const { root } = machine();
    const results: (Err | iopt_pages)[] = [];
    for (const [uptr, length] of [
      [0n, 0n],
      [0n, ULONG_MAX - 0xfffn],
      [0x1000n, ULONG_MAX - 0x1000n],
      [1n, ULONG_MAX - 0x1000n],
    ] as const) {
      results.push(yield* iopt_alloc_pages(root, uptr, length, true));
    }
    expect(results.slice(0, 2)).toEqual([-EINVAL, -EINVAL]);
    expect(results.slice(2).map((it) => (IS_ERR(it) ? it : it.npages))).toEqual([2 ** 52 - 1, 2 ** 52 - 1]);
    expect(yield* iopt_alloc_pages(root, 0x2000n, ULONG_MAX - 0x1000n, true)).toBe(-EOVERFLOW);
    const pages = yield* iopt_alloc_pages(root, 0x1fffn, 2n, true);
    if (IS_ERR(pages)) throw new Error('it fits');
    expect([pages.uptr, pages.npages, pages.account_mode]).toEqual([0x1000n, 2, 1]);
    expect(mm.mm_count.refs).toBe(4);
  });
});

test('what is mapped for reading only is not written to', () => {
  run(function* (mm) {
    map(mm, UPTR, BigInt(PAGE_SIZE), RW, MAP_PRIVATE);
    const pages = yield* iopt_alloc_pages(machine().root, UPTR, BigInt(PAGE_SIZE), false);
    if (IS_ERR(pages)) throw new Error('it fits');
    const area = yield* fill(yield* new_table(0), pages);
    const out: page_run[] = [];
    expect(yield* iopt_area_add_access(area, 0, 0, out, IOMMUFD_ACCESS_RW_WRITE)).toBe(-EPERM);
    expect(yield* iopt_pages_rw_access(pages, 0n, new Uint8Array(1), IOMMUFD_ACCESS_RW_WRITE)).toBe(-EPERM);
    expect(out).toEqual([]);
    expect(yield* iopt_area_add_access(area, 0, 0, out, 0)).toBe(0);
    expect(out.map(({ count }) => count)).toEqual([1]);
  });
});

test('the charge to an address space that is gone stays', () => {
  const warned = run(function* (mm, group) {
    const pages = yield* alloc(mm, 4);
    pages.account_mode = iopt_pages_account_mode.IOPT_PAGES_ACCOUNT_MM;
    const iopt = yield* new_table(1);
    const area = yield* fill(iopt, pages);
    expect([mm.locked_vm, mm.pinned_vm.counter]).toEqual([4, 4]);
    yield* exit_mm(group);
    const more = yield* fill(yield* new_table(0), pages);
    expect(yield* iopt_area_add_access(more, 0, 3, [], 0)).toBe(0);
    yield* iopt_area_remove_access(more, 0, 3);
    yield* unfill(iopt, area, pages);
    expect([pages.npinned, pages.last_npinned, mm.locked_vm, mm.pinned_vm.counter]).toEqual([0, 4, 4, 4]);
    expect(yield* iopt_area_add_access(more, 0, 3, [], 0)).toBe(-EFAULT);
  });
  expect(warned).toEqual([]);
});
