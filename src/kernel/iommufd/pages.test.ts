// SPDX-License-Identifier: GPL-2.0-only

/** Pages shared by tables, domains and accesses in every order, against a model that goes page by page. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { memory, PAGE_SIZE } from '../../hw/memory.ts';
import type { Choice } from '../../sim/choice.ts';
import { interval_tree_remove } from '../../sim/collections/interval-tree.ts';
import { IS_ERR, type Rc } from '../../sim/errno.ts';
import { Machine } from '../../sim/machine.ts';
import { ALLOCATION, kfree } from '../../sim/slab.ts';
import { down_read, down_write, up_read, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { EFAULT, ENOMEM } from '../../uapi/errno.ts';
import { MAP_PRIVATE, MAP_SHARED, mm_struct, PROT_READ, PROT_WRITE, user_store } from '../mm/mm.ts';
import { pte_pfn, vma_lookup } from '../mm/mm_types.ts';
import { count_pages, type page_run } from '../mm/page.ts';
import { finish, map, thread } from '../mm/testing.ts';
import { exit_mm } from '../mm/util.ts';
import { process, user_struct } from '../sched/task.ts';
import {
  iopt_area,
  iopt_area_iova,
  iopt_area_length,
  type iopt_pages,
  iopt_pages_account_mode,
} from './io_pagetable.h.ts';
import { iopt_init_table } from './io_pagetable.ts';
import { iopt_table_add_domain, iopt_table_remove_domain } from './io_pagetable_domains.ts';
import { iopt_insert_area } from './io_pagetable_map.ts';
import { __IOMMUFD_ACCESS_RW_SLOW_PATH, IOMMUFD_ACCESS_RW_WRITE, io_pagetable } from './iommufd_private.h.ts';
import {
  iopt_alloc_pages,
  iopt_area_fill_domains,
  iopt_area_unfill_domains,
  iopt_put_pages,
} from './pages.ts';
import { iopt_area_add_access, iopt_area_remove_access } from './pages_access.ts';
import { iopt_pages_rw_access } from './pages_rw.ts';
import { MOCK_IO_PAGE_SIZE, mock_domain_alloc_paging, type mock_iommu_domain } from './selftest_domain.ts';
import { FAIL_IOMMUFD, set_memory_limit } from './selftest_inject.ts';

const NPAGES = 16;
const UPTR = 0x10_0000n;
const IOVA = 0x100_0000n;
const RW = PROT_READ | PROT_WRITE;
const { IOPT_PAGES_ACCOUNT_NONE, IOPT_PAGES_ACCOUNT_USER, IOPT_PAGES_ACCOUNT_MM } = iopt_pages_account_mode;

/** Asked for behind what was carried: see iopt_area_unpin_domain. */
const KNOWN_WARNING = 'iova_to_phys: nothing is mapped there';

const RUNS = 200;

/** Bytes that differ from page to page, and from seed to seed. */
const pattern = (n: number, seed: number): Uint8Array =>
  Uint8Array.from({ length: n }, (_, i) => ((i + seed) % 251) + 1);

const CONTENTS = pattern(NPAGES * PAGE_SIZE, 0);

type Step =
  | {
      readonly do: 'map';
      readonly table: number;
      readonly first: number;
      readonly count: number;
      readonly cut: number;
    }
  | { readonly do: 'unmap' | 'detach' | 'release'; readonly which: number }
  | { readonly do: 'attach'; readonly table: number }
  | { readonly do: 'access'; readonly which: number; readonly first: number; readonly count: number }
  | { readonly do: 'rw'; readonly at: number; readonly length: number; readonly flags: number }
  | { readonly do: 'limit'; readonly bytes: number }
  | { readonly do: 'exit' };

interface Setup {
  /** Pages at which a mapping of its own begins: frames are consecutive only within one. */
  readonly cuts: readonly number[];
  readonly account_mode: 0 | 1 | 2;
  readonly limit: number;
  /** Another process than that of the memory does it all. */
  readonly remote: boolean;
  /** A page that is not mapped. */
  readonly hole: number | null;
  /** Bytes that a temporary allocation takes at first. */
  readonly memory: number;
  /** Which of the failures that need not be happen, by number; null: the choices are not open. */
  readonly faults: readonly number[] | null;
}

interface Access {
  readonly area: iopt_area;
  readonly first: number;
  readonly last: number;
}

interface Attached {
  readonly iopt: io_pagetable;
  readonly domain: mock_iommu_domain;
}

/** Takes the choices with these numbers, of all but those between tasks. */
function only(numbers: readonly number[]): { choose(choice: Choice): number } {
  let n = 0;
  return {
    choose: (choice) => (choice.kind !== 'task' && numbers.includes(n++) ? 1 : choice.fallback),
  };
}

/** The world, and beside it what it should be like. */
class World {
  readonly machine: Machine;
  readonly setup: Setup;
  readonly source: process;
  readonly mm: mm_struct;
  readonly tables: readonly io_pagetable[];
  readonly frames: number[] = [];
  /** What the memory contains, where it is known. */
  readonly bytes = CONTENTS.slice();
  readonly unknown = new Set<number>();
  areas: iopt_area[] = [];
  accesses: Access[] = [];
  attached: Attached[] = [];
  exited = false;
  #made = 0;

  constructor(setup: Setup) {
    this.setup = setup;
    const choices = setup.faults === null ? [] : [FAIL_IOMMUFD, ALLOCATION];
    this.machine = new Machine(only(setup.faults ?? []), { choices: new Set(choices) }).powerOn();
    const { root } = this.machine;
    const limit = BigInt(setup.limit * PAGE_SIZE);
    this.source = new process(root, 'source', new user_struct(root, 'user'), new Set(), limit);
    this.mm = new mm_struct(this.source, 'mm');
    this.source.mm = this.mm;
    set_memory_limit(setup.memory);
    const { hole } = setup;
    const cuts = hole === null ? [0, ...setup.cuts] : [0, ...setup.cuts, hole, hole + 1];
    const starts = [...new Set(cuts)].sort((a, b) => a - b).filter((start) => start < NPAGES);
    for (const [i, start] of starts.entries()) {
      if (start === hole) continue;
      const at = start * PAGE_SIZE;
      const end = (starts[i + 1] ?? NPAGES) * PAGE_SIZE;
      map(this.mm, UPTR + BigInt(at), BigInt(end - at), RW, i % 2 === 0 ? MAP_PRIVATE : MAP_SHARED);
      user_store(this.mm, UPTR + BigInt(at), CONTENTS.subarray(at, end));
    }
    for (let i = 0; i < NPAGES; i++) {
      const page = Number(UPTR) / PAGE_SIZE + i;
      this.frames.push(pte_pfn(vma_lookup(this.mm, page)?.pgtable.get(page) ?? 0));
    }
    this.tables = [new io_pagetable(root, 'a'), new io_pagetable(root, 'b')];
    for (const table of this.tables) iopt_init_table(table);
  }

  /** The process that does everything but own the memory. */
  get actor(): process {
    if (!this.setup.remote) return this.source;
    const { root } = this.machine;
    const it = new process(root, 'actor', new user_struct(root, 'root'), new Set(), 0n);
    it.mm = new mm_struct(it, 'mm');
    return it;
  }

  /** Indexes that must be pinned if these were the areas, the domains and the accesses. */
  pinned(areas = this.areas, attached = this.attached, accesses = this.accesses): Set<number> {
    const inDomains = areas.filter((area) => attached.some(({ iopt }) => iopt === area.iopt));
    const ranges = [
      ...inDomains.map(({ pages_node }) => ({ first: pages_node.start, last: pages_node.last })),
      ...accesses,
    ];
    const all = Array.from({ length: NPAGES }, (_, i) => i);
    return new Set(all.filter((i) => ranges.some(({ first, last }) => first <= i && i <= last)));
  }

  /** What a call says that needs pages pinned, of one area after the other. */
  expected(stages: readonly Set<number>[]): number {
    const pinned = this.pinned();
    for (const stage of stages) {
      const more = [...stage].filter((i) => !pinned.has(i));
      if (more.some((i) => this.lacks(i))) return -EFAULT;
      for (const i of more) pinned.add(i);
      const charged = this.setup.account_mode !== IOPT_PAGES_ACCOUNT_NONE;
      if (more.length > 0 && charged && pinned.size > this.setup.limit) return -ENOMEM;
    }
    return 0;
  }

  /** Whether a page cannot be had from the process. */
  lacks(index: number): boolean {
    return this.exited || index === this.setup.hole;
  }

  /** True when the call did what it should; false when it failed and should have, or was made to. */
  succeeded(rc: Rc, ...stages: readonly Set<number>[]): boolean {
    if (this.setup.faults === null) expect(rc).toBe(this.expected(stages));
    return rc === 0;
  }

  new_area(iopt: io_pagetable): { area: iopt_area; iova: bigint } {
    this.#made++;
    return { area: new iopt_area(iopt, 'area'), iova: IOVA + BigInt(this.#made) * 0x10_0000n };
  }

  check(pages: iopt_pages): void {
    const pinned = this.pinned();
    const { size } = pinned;
    const { account_mode } = this.setup;
    const held = (i: number) => this.accesses.some(({ first, last }) => first <= i && i <= last);
    const { npinned, last_npinned, pinned_pfns } = pages;
    expect({
      npinned,
      last_npinned,
      pinned_vm: this.mm.pinned_vm.counter,
      of_user: this.source.user.locked_vm.counter,
      of_mm: this.mm.locked_vm,
      pins: this.frames.map((frame) => {
        const found = memory().find(frame);
        return found?.owner.pins.get(found.index) ?? 0;
      }),
      stored: this.frames.map((_, i) => pinned_pfns.get(i)),
      domains: this.attached.map(({ domain }) => mapped(domain)),
      mmap_lock: this.mm.mmap_lock.holders,
    }).toEqual({
      npinned: size,
      last_npinned: size,
      pinned_vm: size,
      of_user: account_mode === IOPT_PAGES_ACCOUNT_USER ? size : 0,
      of_mm: account_mode === IOPT_PAGES_ACCOUNT_MM ? size : 0,
      pins: this.frames.map((_, i) => (pinned.has(i) ? 1 : 0)),
      stored: this.frames.map((frame, i) => (held(i) ? frame : undefined)),
      domains: this.attached.map(({ iopt }) => this.should_map(iopt)),
      mmap_lock: [],
    });
  }

  /** What each domain of a table should map: physical address by I/O page. */
  should_map(iopt: io_pagetable): Map<number, number> {
    const all = new Map<number, number>();
    for (const area of this.areas) {
      if (area.iopt !== iopt) continue;
      const io_page = Number(iopt_area_iova(area)) / MOCK_IO_PAGE_SIZE;
      const first = (area.pages_node.start * PAGE_SIZE + area.page_offset) / MOCK_IO_PAGE_SIZE;
      for (let i = 0; i < Number(iopt_area_length(area)) / MOCK_IO_PAGE_SIZE; i++) {
        const frame = this.frames[Math.floor((first + i) / 2)] ?? 0;
        all.set(io_page + i, frame * PAGE_SIZE + ((first + i) % 2) * MOCK_IO_PAGE_SIZE);
      }
    }
    return all;
  }
}

function mapped({ pfns }: mock_iommu_domain): Map<number, number> {
  const all = new Map<number, number>();
  for (const { start, last, value } of pfns.within(0, 2 ** 40)) {
    for (let i = start; i <= last; i++) all.set(i, value.paddr + (i - start) * MOCK_IO_PAGE_SIZE);
  }
  return all;
}

const pick = <T>(from: readonly T[], which: number): T | undefined => from[which % from.length];

function* perform(world: World, pages: iopt_pages, step: Step): Gen<void> {
  switch (step.do) {
    case 'map': {
      const iopt = pick(world.tables, step.table);
      if (iopt === undefined) return;
      const { area, iova } = world.new_area(iopt);
      const count = Math.min(step.count, NPAGES - step.first);
      const front = (step.cut & 1) * MOCK_IO_PAGE_SIZE;
      const back = ((step.cut & 2) / 2) * MOCK_IO_PAGE_SIZE;
      const length = BigInt(Math.max(count * PAGE_SIZE - front - back, MOCK_IO_PAGE_SIZE));
      const start_byte = BigInt(step.first * PAGE_SIZE + front);
      yield* down_write(iopt.iova_rwsem);
      expect(iopt_insert_area(iopt, area, pages, iova, start_byte, length, 0)).toBe(0);
      yield* up_write(iopt.iova_rwsem);
      yield* down_read(iopt.domains_rwsem);
      const rc = yield* iopt_area_fill_domains(area, pages);
      yield* up_read(iopt.domains_rwsem);
      if (world.succeeded(rc, world.pinned([...world.areas, area]))) {
        area.pages = pages;
        world.areas.push(area);
      } else {
        interval_tree_remove(area.node, iopt.area_itree);
        kfree(area);
      }
      return;
    }
    case 'unmap': {
      const area = pick(world.areas, step.which);
      if (area === undefined || area.num_accesses > 0) return;
      const { iopt } = area;
      if (iopt === null) return;
      yield* down_read(iopt.domains_rwsem);
      area.pages = null;
      yield* iopt_area_unfill_domains(area, pages);
      interval_tree_remove(area.node, iopt.area_itree);
      yield* up_read(iopt.domains_rwsem);
      world.areas = world.areas.filter((it) => it !== area);
      kfree(area);
      return;
    }
    case 'attach': {
      const iopt = pick(world.tables, step.table);
      const domain = yield* mock_domain_alloc_paging(null, world.machine.root, 'domain');
      if (iopt === undefined || domain === null) return;
      const attached = [...world.attached, { iopt, domain }];
      const rc = yield* iopt_table_add_domain(iopt, domain);
      const stages = world.areas.map((area) => world.pinned([area], attached));
      if (world.succeeded(rc, ...stages)) world.attached = attached;
      else expect(domain.pfns.isEmpty).toBe(true);
      return;
    }
    case 'detach': {
      const it = pick(world.attached, step.which);
      if (it === undefined) return;
      yield* iopt_table_remove_domain(it.iopt, it.domain);
      expect(it.domain.pfns.isEmpty).toBe(true);
      world.attached = world.attached.filter((other) => other !== it);
      return;
    }
    case 'access': {
      const area = pick(world.areas, step.which);
      if (area === undefined) return;
      const { start, last: end } = area.pages_node;
      const first = start + (step.first % (end - start + 1));
      const last = Math.min(first + step.count - 1, end);
      const accesses = [...world.accesses, { area, first, last }];
      const out_pages: page_run[] = [];
      const rc = yield* iopt_area_add_access(area, first, last, out_pages, 0);
      if (!world.succeeded(rc, world.pinned(world.areas, world.attached, accesses))) return;
      const frames = out_pages.flatMap((run) => Array.from({ length: run.count }, (_, i) => run.start + i));
      expect(frames).toEqual(world.frames.slice(first, last + 1));
      expect(count_pages(out_pages)).toBe(last - first + 1);
      world.accesses = accesses;
      return;
    }
    case 'release': {
      const it = pick(world.accesses, step.which);
      if (it === undefined) return;
      yield* iopt_area_remove_access(it.area, it.first, it.last);
      world.accesses = world.accesses.filter((other) => other !== it);
      return;
    }
    case 'rw':
      return yield* copy(
        world,
        pages,
        step.at,
        Math.min(step.length, world.bytes.length - step.at),
        step.flags,
      );
    case 'limit':
      set_memory_limit(step.bytes);
      return;
    case 'exit':
      // Charges to an address space that is gone stay: see the test of that.
      if (world.exited || world.setup.account_mode === IOPT_PAGES_ACCOUNT_MM) return;
      world.exited = true;
      yield* exit_mm(world.source);
  }
}

function* copy(world: World, pages: iopt_pages, at: number, length: number, flags: number): Gen<void> {
  const write = (flags & IOMMUFD_ACCESS_RW_WRITE) !== 0;
  const data = write ? pattern(length, at) : new Uint8Array(length);
  const rc = yield* iopt_pages_rw_access(pages, BigInt(at), data, flags);
  const pinned = world.pinned();
  const touched = Array.from({ length: NPAGES }, (_, i) => i).filter(
    (i) => i * PAGE_SIZE < at + length && at < (i + 1) * PAGE_SIZE,
  );
  if (world.setup.faults === null) {
    expect(rc).toBe(touched.some((i) => !pinned.has(i) && world.lacks(i)) ? -EFAULT : 0);
  }
  for (let i = 0; i < length; i++) {
    if (!write) {
      if (world.unknown.has(at + i)) data[i] = world.bytes[at + i] ?? 0;
    } else if (rc === 0) world.unknown.delete(at + i);
    else world.unknown.add(at + i);
  }
  if (write) world.bytes.set(data, at);
  else if (rc === 0) expect(data.every((byte, i) => byte === world.bytes[at + i])).toBe(true);
}

function* program(world: World, steps: readonly Step[]): Gen<void> {
  const pages = yield* iopt_alloc_pages(world.machine.root, UPTR, BigInt(NPAGES * PAGE_SIZE), true);
  if (IS_ERR(pages)) return;
  pages.account_mode = world.setup.account_mode;
  thread(world.machine, world.actor, 'actor', act(world, pages, steps));
}

function* act(world: World, pages: iopt_pages, steps: readonly Step[]): Gen<void> {
  for (const step of steps) {
    yield* perform(world, pages, step);
    world.check(pages);
  }
  while (world.accesses.length > 0) yield* perform(world, pages, { do: 'release', which: 0 });
  while (world.areas.length > 0) yield* perform(world, pages, { do: 'unmap', which: 0 });
  world.check(pages);
  yield* iopt_put_pages(pages);
}

/** Room for a few runs only. */
const batch_bytes = fc.integer({ min: 12, max: 60 });

const index = fc.integer({ min: 0, max: NPAGES - 1 });
const length = fc.integer({ min: 1, max: NPAGES });
const which = fc.nat(7);
const step = fc.oneof<fc.WeightedArbitrary<Step>[]>(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('map'),
      table: fc.nat(1),
      first: index,
      count: length,
      cut: fc.nat(3),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('unmap', 'detach', 'release'), which }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('attach'), table: fc.nat(1) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('access'), which, first: index, count: length }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('rw'),
      at: fc.integer({ min: 0, max: NPAGES * PAGE_SIZE - 1 }),
      length: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 5 * PAGE_SIZE })),
      flags: fc.constantFrom(
        0,
        IOMMUFD_ACCESS_RW_WRITE,
        __IOMMUFD_ACCESS_RW_SLOW_PATH,
        IOMMUFD_ACCESS_RW_WRITE | __IOMMUFD_ACCESS_RW_SLOW_PATH,
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('limit'), bytes: batch_bytes }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('exit') }) },
);

const setup = fc.record({
  cuts: fc.array(index, { maxLength: 8 }),
  account_mode: fc.constantFrom(IOPT_PAGES_ACCOUNT_NONE, IOPT_PAGES_ACCOUNT_USER, IOPT_PAGES_ACCOUNT_MM),
  limit: fc.oneof(fc.integer({ min: 0, max: NPAGES }), fc.constant(NPAGES)),
  remote: fc.boolean(),
  hole: fc.oneof(fc.constant(null), fc.constant(null), index),
  memory: fc.oneof(fc.constant(65536), batch_bytes),
});

const faults = fc.uniqueArray(fc.nat(150), { minLength: 1, maxLength: 8 });

function play(setup: Setup, steps: readonly Step[]): void {
  const world = new World(setup);
  thread(world.machine, world.source, 'main', program(world, steps));
  expect(finish(world.machine).filter((text) => text !== KNOWN_WARNING)).toEqual([]);
}

test('what is pinned, charged, stored and mapped follows from areas, domains and accesses, in every order', () => {
  fc.assert(
    fc.property(setup, fc.array(step, { maxLength: 30 }), (setup, steps) => {
      play({ ...setup, faults: null }, steps);
    }),
    { numRuns: RUNS },
  );
});

test('what fails half way leaves everything as it was', () => {
  fc.assert(
    fc.property(setup, fc.array(step, { maxLength: 30 }), faults, (setup, steps, faults) => {
      play({ ...setup, faults }, steps);
    }),
    { numRuns: RUNS },
  );
});

test('each single failure, of frames that are all apart and batches that are small', () => {
  const setup = {
    cuts: Array.from({ length: NPAGES }, (_, i) => i),
    account_mode: IOPT_PAGES_ACCOUNT_USER,
    limit: NPAGES,
    remote: true,
    hole: null,
    memory: 60,
  };
  const attach = (table: number): Step => ({ do: 'attach', table });
  const map_at = (table: number, first: number, count: number): Step => ({
    do: 'map',
    table,
    first,
    count,
    cut: 3,
  });
  const steps: readonly Step[] = [
    attach(0),
    attach(0),
    attach(0),
    map_at(0, 0, NPAGES),
    map_at(1, 2, 9),
    { do: 'access', which: 1, first: 3, count: 4 },
    attach(1),
    { do: 'unmap', which: 0 },
    { do: 'access', which: 1, first: 0, count: 9 },
    map_at(0, 0, 5),
  ];
  for (let fault = 0; fault < 150; fault++) play({ ...setup, faults: [fault] }, steps);
});
