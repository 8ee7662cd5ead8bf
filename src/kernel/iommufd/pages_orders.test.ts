// SPDX-License-Identifier: GPL-2.0-only

/**
 * Six users of the same four pages come and go in every order: two domains of the IOAS that has mapped them, two
 * accesses, a copy of their middle in another IOAS, and that one's domain. What must be pinned, charged, stored and
 * mapped follows from who is there, and from who came first. So it is enough to be in each order of those who are
 * there once, and to have each of the six make his move from there: a walk does that, and looks at all of it and
 * at the bytes that each device reads after each move. An order of any length is a part of such a walk.
 */
import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { dma_read, iommu_port, set_table } from '../../hw/iommu.ts';
import { memory, PAGE_SIZE } from '../../hw/memory.ts';
import { Machine } from '../../sim/machine.ts';
import { runToBlock } from '../../sim/policies/run-to-block.ts';
import type { Gen } from '../../sim/task.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../iommu/iommu.h.ts';
import { MAP_PRIVATE, MAP_SHARED, mm_struct, PROT_READ, PROT_WRITE, user_store } from '../mm/mm.ts';
import { pte_pfn, vma_lookup } from '../mm/mm_types.ts';
import type { page_run } from '../mm/page.ts';
import { finish, map, thread } from '../mm/testing.ts';
import { process, user_struct } from '../sched/task.ts';
import {
  type iopt_area,
  iopt_area_iter_first,
  type iopt_pages,
  iopt_pages_account_mode,
} from './io_pagetable.h.ts';
import { iopt_init_table } from './io_pagetable.ts';
import { iopt_table_add_domain, iopt_table_remove_domain } from './io_pagetable_domains.ts';
import {
  iopt_get_pages,
  iopt_map_pages,
  iopt_map_user_pages,
  type iopt_pages_list,
} from './io_pagetable_map.ts';
import { iopt_unmap_all, iopt_unmap_iova } from './io_pagetable_unmap.ts';
import { io_pagetable, iommufd_ctx } from './iommufd_private.h.ts';
import { iopt_area_add_access, iopt_area_remove_access } from './pages_access.ts';
import { mock_domain_alloc_paging, type mock_iommu_domain } from './selftest_domain.ts';
import { set_memory_limit } from './selftest_inject.ts';

const NPAGES = 4;
const PAGES = Array.from({ length: NPAGES }, (_, i) => i);
const UPTR = 0x10_0000n;
const PROT = IOMMU_READ | IOMMU_WRITE;
const WHOLE = { iova: 0x100_0000n, from: 0, length: NPAGES * PAGE_SIZE };
/** From the middle of the second page to the end of the third. */
const MIDDLE = { iova: 0x200_0800n, from: PAGE_SIZE + PAGE_SIZE / 2, length: PAGE_SIZE + PAGE_SIZE / 2 };

/** As toEqual, which is asked only where it is to tell the difference: there are many times that it would not. */
function same(found: object, wanted: object): void {
  if (!isDeepStrictEqual(found, wanted)) expect(found).toEqual(wanted);
}

const USERS = ['domain1', 'domain2', 'access1', 'access2', 'copy', 'copy-domain'] as const;
type User = (typeof USERS)[number];
/** The pages that an access pins. */
const RANGES = { access1: { first: 0, last: 1 }, access2: { first: 1, last: 3 } } as const;

/** The users that are there, in the order in which they came. */
type Present = readonly User[];

const move = (present: Present, user: User): Present =>
  present.includes(user) ? present.filter((it) => it !== user) : [...present, user];

/** Moves, each from where the last has led, so that each user makes his from each order of those who are there. */
function* walk(): Generator<User, void> {
  const done = new Set<string>();
  const edge = (at: Present, user: User): string => `${at.join()} ${user}`;
  for (let at: Present = []; ; ) {
    const way = nearest(at, (from, user) => !done.has(edge(from, user)));
    if (way === null) return;
    for (const user of way) {
      yield user;
      done.add(edge(at, user));
      at = move(at, user);
    }
  }
}

/** The shortest way that ends with a move that is `wanted`. */
function nearest(start: Present, wanted: (at: Present, user: User) => boolean): readonly User[] | null {
  const seen = new Set([start.join()]);
  const ways: { readonly at: Present; readonly way: readonly User[] }[] = [{ at: start, way: [] }];
  for (const { at, way } of ways) {
    const found = USERS.find((user) => wanted(at, user));
    if (found !== undefined) return [...way, found];
    for (const user of USERS) {
      const next = move(at, user);
      if (seen.has(next.join())) continue;
      seen.add(next.join());
      ways.push({ at: next, way: [...way, user] });
    }
  }
  return null;
}

const WALK: readonly User[] = [...walk()];

interface Setup {
  readonly account_mode: 0 | 1 | 2;
  /** Whether no two of the frames are consecutive. */
  readonly apart: boolean;
  /** Bytes that a temporary allocation takes at first. */
  readonly memory: number;
}

/** Bytes that differ from page to page. */
const CONTENTS = Uint8Array.from({ length: WHOLE.length }, (_, at) => ((at * 7) % 251) + 1);

class World {
  readonly machine = new Machine(runToBlock, { stepLimit: 1e8 }).powerOn();
  readonly setup: Setup;
  readonly source: process;
  readonly mm: mm_struct;
  readonly ictx: iommufd_ctx;
  readonly iopt: io_pagetable;
  readonly copies: io_pagetable;
  readonly frames: readonly number[];
  readonly domains = new Map<User, { readonly domain: mock_iommu_domain; readonly port: iommu_port }>();
  #moves = 0;

  constructor(setup: Setup) {
    const { root } = this.machine;
    this.setup = setup;
    const user = new user_struct(root, 'user');
    this.source = new process(root, 'source', user, new Set(), BigInt(WHOLE.length));
    this.mm = new mm_struct(this.source, 'mm');
    this.source.mm = this.mm;
    this.ictx = new iommufd_ctx(root, 'ictx');
    this.ictx.account_mode = setup.account_mode;
    this.iopt = new io_pagetable(root, 'a');
    this.copies = new io_pagetable(root, 'b');
    for (const table of [this.iopt, this.copies]) iopt_init_table(table);
    set_memory_limit(setup.memory);
    this.frames = this.fill();
  }

  /** Maps the memory of the process and stores to it. Returns its frames. */
  fill(): number[] {
    const step = this.setup.apart ? PAGE_SIZE : WHOLE.length;
    for (let at = 0; at < WHOLE.length; at += step) {
      const flags = (at / step) % 2 === 0 ? MAP_PRIVATE : MAP_SHARED;
      map(this.mm, UPTR + BigInt(at), BigInt(step), PROT_READ | PROT_WRITE, flags);
      user_store(this.mm, UPTR + BigInt(at), CONTENTS.subarray(at, at + step));
    }
    return PAGES.map((i) => {
      const page = Number(UPTR) / PAGE_SIZE + i;
      return pte_pfn(vma_lookup(this.mm, page)?.pgtable.get(page) ?? 0);
    });
  }

  get area(): iopt_area {
    return must(iopt_area_iter_first(this.iopt, WHOLE.iova, WHOLE.iova));
  }

  get copy(): iopt_area | null {
    return iopt_area_iter_first(this.copies, MIDDLE.iova, MIDDLE.iova);
  }

  get pages(): iopt_pages {
    return must(this.area.pages);
  }

  *come(user: User): Gen<void> {
    if (user === 'copy') return yield* this.map_copy();
    if (user === 'access1' || user === 'access2') {
      const { first, last } = RANGES[user];
      const out_pages: page_run[] = [];
      expect(yield* iopt_area_add_access(this.area, first, last, out_pages, 0)).toBe(0);
      const got = out_pages.flatMap(({ start, count }) => Array.from({ length: count }, (_, i) => start + i));
      expect(got).toEqual(this.frames.slice(first, last + 1));
      return;
    }
    const domain = must(yield* mock_domain_alloc_paging(null, this.machine.root, 'domain'));
    expect(yield* iopt_table_add_domain(user === 'copy-domain' ? this.copies : this.iopt, domain)).toBe(0);
    const port = new iommu_port(this.machine.root, 'port');
    yield* set_table(port, domain.table);
    this.domains.set(user, { domain, port });
  }

  *map_copy(): Gen<void> {
    const list: iopt_pages_list[] = [];
    const length = BigInt(MIDDLE.length);
    expect(yield* iopt_get_pages(this.iopt, WHOLE.iova + BigInt(MIDDLE.from), length, list)).toBe(0);
    expect(yield* iopt_map_pages(this.copies, list, length, MIDDLE.iova, PROT, 0)).toBe(MIDDLE.iova);
  }

  *go(user: User): Gen<void> {
    if (user === 'copy') {
      const { rc } = yield* iopt_unmap_iova(this.copies, MIDDLE.iova, BigInt(MIDDLE.length));
      expect(rc).toBe(0);
    } else if (user === 'access1' || user === 'access2') {
      yield* iopt_area_remove_access(this.area, RANGES[user].first, RANGES[user].last);
    } else {
      const { domain, port } = must(this.domains.get(user));
      this.domains.delete(user);
      yield* set_table(port, null);
      yield* iopt_table_remove_domain(user === 'copy-domain' ? this.copies : this.iopt, domain);
      expect(domain.pfns.isEmpty).toBe(true);
    }
  }

  /** Everything that who is there decides, and the bytes that devices read. */
  *check(present: Present): Gen<void> {
    const is = (user: User): boolean => present.includes(user);
    const stored = (i: number): boolean => (is('access1') && i <= 1) || (is('access2') && i >= 1);
    const inWhole = is('domain1') || is('domain2');
    const inCopy = is('copy') && is('copy-domain');
    const pinned = PAGES.map((i) => Number(inWhole || stored(i) || (inCopy && (i === 1 || i === 2))));
    const n = pinned.reduce((a, b) => a + b, 0);
    const first = present.find((user) => user === 'domain1' || user === 'domain2');
    const mode = this.setup.account_mode;
    const { pages, area, copy } = this;
    const is_at = `after ${this.#moves} moves: ${present.join(', ')}`;
    const found = {
      is_at,
      pins: this.frames.map((frame) => {
        const found = memory().find(frame);
        return found?.owner.pins.get(found.index) ?? 0;
      }),
      stored: PAGES.map((i) => pages.pinned_pfns.get(i)),
      npinned: [pages.npinned, pages.last_npinned],
      pinned_vm: this.mm.pinned_vm.counter,
      of_user: this.source.user.locked_vm.counter,
      of_mm: this.mm.locked_vm,
      kref: pages.kref.refs,
      num_accesses: area.num_accesses,
      storage_domain: area.storage_domain,
      copy: copy?.storage_domain,
    };
    same(found, {
      is_at,
      pins: pinned,
      stored: PAGES.map((i) => (stored(i) ? this.frames[i] : undefined)),
      npinned: [n, n],
      pinned_vm: n,
      of_user: mode === iopt_pages_account_mode.IOPT_PAGES_ACCOUNT_USER ? n : 0,
      of_mm: mode === iopt_pages_account_mode.IOPT_PAGES_ACCOUNT_MM ? n : 0,
      kref: is('copy') ? 2 : 1,
      num_accesses: Number(is('access1')) + Number(is('access2')),
      storage_domain: first === undefined ? null : this.domains.get(first)?.domain,
      copy: is('copy') ? (this.domains.get('copy-domain')?.domain ?? null) : undefined,
    });
    for (const [user, { port }] of this.domains) {
      yield* this.reads(port, user === 'copy-domain' ? MIDDLE : WHOLE, user !== 'copy-domain' || inCopy);
    }
  }

  /** The device reads all that is mapped, and nothing beyond. */
  *reads(port: iommu_port, { iova, from, length }: typeof WHOLE, mapped: boolean): Gen<void> {
    const { data, fault } = yield* dma_read(port, iova, length + 1);
    const expected = CONTENTS.subarray(from, mapped ? from + length : from);
    same({ fault, data: Buffer.from(data) }, { fault: 'not-mapped', data: Buffer.from(expected) });
  }

  *program(): Gen<void> {
    const length = BigInt(WHOLE.length);
    expect(yield* iopt_map_user_pages(this.ictx, this.iopt, WHOLE.iova, UPTR, length, PROT, 0)).toBe(
      WHOLE.iova,
    );
    let present: Present = [];
    yield* this.check(present);
    for (const user of WALK) {
      if (present.includes(user)) yield* this.go(user);
      else yield* this.come(user);
      present = move(present, user);
      this.#moves += 1;
      yield* this.check(present);
    }
    for (const user of present) yield* this.go(user);
    yield* this.check([]);
    expect((yield* iopt_unmap_all(this.iopt)).rc).toBe(0);
  }
}

function must<T>(it: T | null | undefined): T {
  if (it === null || it === undefined) throw new Error('it is not there');
  return it;
}

const { IOPT_PAGES_ACCOUNT_USER, IOPT_PAGES_ACCOUNT_MM } = iopt_pages_account_mode;

test.each<Setup>([
  { account_mode: IOPT_PAGES_ACCOUNT_USER, apart: false, memory: 65536 },
  { account_mode: IOPT_PAGES_ACCOUNT_MM, apart: true, memory: 24 },
])('six users of the same pages come and go in every order: %o', (setup) => {
  const world = new World(setup);
  thread(world.machine, world.source, 'main', world.program());
  expect(finish(world.machine)).toEqual([]);
  expect(world.mm.pinned_vm.counter).toBe(0);
});

test('the walk leaves out no move from any order of those who are there', () => {
  const moves = new Set<string>();
  let at: Present = [];
  for (const user of WALK) {
    moves.add(`${at.join()} ${user}`);
    at = move(at, user);
  }
  // Of the six, none to six are there: 1 + 6 + 30 + 120 + 360 + 720 + 720 orders.
  expect(moves.size).toBe(1957 * USERS.length);
});
