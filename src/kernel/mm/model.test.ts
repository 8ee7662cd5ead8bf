// SPDX-License-Identifier: GPL-2.0-only

// Random programs against a model of memory that is too simple to be wrong: a page is an array that the
// mappings which show it hold, and that a pin holds too.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { memory, PAGE_SIZE, page_owner } from '../../hw/memory.ts';
import { context } from '../../sim/context.ts';
import { IS_ERR } from '../../sim/errno.ts';
import { Machine } from '../../sim/machine.ts';
import { runToBlock } from '../../sim/policies/run-to-block.ts';
import type { Gen } from '../../sim/task.ts';
import { FREE, KIND_MASK, STRIDE } from '../../sim/trace.ts';
import type { process } from '../sched/task.ts';
import { FOLL_LONGTERM, FOLL_WRITE, pin_user_pages_fast } from './gup.ts';
import {
  do_mprotect,
  dup_mm,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  type mm_struct,
  PROT_READ,
  PROT_WRITE,
  user_load,
  user_store,
  vm_mmap,
  vm_munmap,
} from './mm.ts';
import { count_pages, type page_run, unpin_user_pages } from './page.ts';
import { finish, pattern, spawn } from './testing.ts';
import { mmput } from './util.ts';

const BASE = 0x20000000n;
const PAGES = 6;
const PROCESSES = 3;
const at = (page: number): bigint => BASE + BigInt(page * PAGE_SIZE);

interface Page {
  data: Uint8Array;
  shared: boolean;
  prot: number;
}

interface Process {
  readonly mm: mm_struct;
  readonly pages: (Page | undefined)[];
}

interface Pin {
  readonly runs: readonly page_run[];
  readonly data: readonly Uint8Array[];
}

const page = fc.nat(PAGES - 1);
const length = fc.integer({ min: 1, max: 4 });
const prot = fc.constantFrom(PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE);
const command = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('map' as const), page, length, prot, shared: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('unmap' as const), page, length }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('protect' as const), page, length, prot }) },
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('store' as const),
      page,
      offset: fc.constantFrom(0, 99, PAGE_SIZE - 1),
      bytes: fc.constantFrom(1, 30, PAGE_SIZE + 1),
      seed: fc.nat(9),
    }),
  },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('pin' as const), page, length, write: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('dma' as const), pin: fc.nat(9), seed: fc.nat(9) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('unpin' as const), pin: fc.nat(9) }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('fork' as const) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('exit' as const) }) },
);
type Command = { readonly who: number } & (typeof command extends fc.Arbitrary<infer C> ? C : never);
const commands = fc.array(
  fc.tuple(fc.nat(PROCESSES - 1), command).map(([who, c]): Command => ({ who, ...c })),
  { minLength: 30, maxLength: 60 },
);

const START: Command = {
  who: 0,
  op: 'map',
  page: 0,
  length: PAGES,
  prot: PROT_READ | PROT_WRITE,
  shared: false,
};

/** Pages of a range that are there. */
const range = (p: Process, first: number, count: number): (Page | undefined)[] =>
  p.pages.slice(first, Math.min(first + count, PAGES));

function* perform(group: process, all: Process[], pins: Pin[], c: Command): Gen<void> {
  const p = all[c.who % all.length];
  if (p === undefined) return;
  const { mm, pages } = p;
  group.mm = mm;
  switch (c.op) {
    case 'map': {
      const n = Math.min(c.length, PAGES - c.page);
      const flags = (c.shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_FIXED;
      expect(yield* vm_mmap(mm, at(c.page), BigInt(n * PAGE_SIZE), c.prot, flags)).toBe(Number(at(c.page)));
      for (let i = 0; i < n; i++) {
        pages[c.page + i] = { data: new Uint8Array(PAGE_SIZE), shared: c.shared, prot: c.prot };
      }
      return;
    }
    case 'unmap': {
      const n = Math.min(c.length, PAGES - c.page);
      expect(yield* vm_munmap(mm, at(c.page), BigInt(n * PAGE_SIZE))).toBe(0);
      pages.fill(undefined, c.page, c.page + n);
      return;
    }
    case 'protect': {
      const changed = range(p, c.page, c.length);
      const hole = changed.indexOf(undefined);
      const rc = yield* do_mprotect(mm, at(c.page), BigInt(changed.length * PAGE_SIZE), c.prot);
      expect(rc === 0).toBe(hole < 0);
      for (const it of changed.slice(0, hole < 0 ? changed.length : hole))
        if (it !== undefined) it.prot = c.prot;
      return;
    }
    case 'store': {
      const data = pattern(c.bytes, c.seed);
      let done = 0;
      while (done < data.length) {
        const offset = (c.offset + done) % PAGE_SIZE;
        const it = pages[c.page + Math.floor((c.offset + done) / PAGE_SIZE)];
        if (it === undefined || (it.prot & PROT_WRITE) === 0) break;
        const part = data.subarray(done, done + PAGE_SIZE - offset);
        it.data.set(part, offset);
        done += part.length;
      }
      expect(user_store(mm, at(c.page) + BigInt(c.offset), data)).toBe(done === data.length);
      return;
    }
    case 'pin': {
      const wanted = range(p, c.page, c.length);
      const end = wanted.findIndex((it) => it === undefined || (c.write && (it.prot & PROT_WRITE) === 0));
      const had = wanted.slice(0, end < 0 ? wanted.length : end);
      const runs: page_run[] = [];
      const flags = FOLL_LONGTERM | (c.write ? FOLL_WRITE : 0);
      const got = yield* pin_user_pages_fast(at(c.page), wanted.length, flags, runs);
      expect(IS_ERR(got) ? 0 : got).toBe(had.length);
      expect(count_pages(runs)).toBe(had.length);
      pins.push({ runs, data: had.flatMap((it) => (it === undefined ? [] : [it.data])) });
      return;
    }
    case 'dma': {
      const pin = pins[c.pin % Math.max(pins.length, 1)];
      if (pin === undefined) return;
      let i = 0;
      for (const frame of frames(pin)) {
        const data = pattern(20, c.seed + i);
        memory().write(frame * PAGE_SIZE + 100, data);
        pin.data[i++]?.set(data, 100);
      }
      return;
    }
    case 'unpin': {
      const [pin] = pins.splice(c.pin % Math.max(pins.length, 1), 1);
      if (pin !== undefined) yield* unpin_user_pages(pin.runs);
      return;
    }
    case 'fork': {
      if (all.length === PROCESSES) return;
      const child = yield* dup_mm(mm, group, 'child');
      if (IS_ERR(child)) throw new Error('fork failed');
      all.push({
        mm: child,
        pages: pages.map((it) => it && { ...it, data: it.shared ? it.data : it.data.slice() }),
      });
      return;
    }
    case 'exit':
      if (all.length === 1) return;
      all.splice(all.indexOf(p), 1);
      yield* mmput(mm);
  }
}

function* frames({ runs }: Pin): Generator<number, void> {
  for (const { start, count } of runs) for (let i = 0; i < count; i++) yield start + i;
}

function check(all: readonly Process[], pins: readonly Pin[]): void {
  for (const { mm, pages } of all) {
    for (let i = 0; i < PAGES; i++) {
      const data = pages[i]?.data;
      const loaded = user_load(mm, at(i), PAGE_SIZE);
      expect(loaded === null).toBe(data === undefined);
      if (loaded !== null && data !== undefined) expect(same(loaded, data)).toBe(true);
    }
  }
  for (const pin of pins) {
    let i = 0;
    for (const frame of frames(pin)) {
      expect(memory().allocated(frame)).not.toBe(null);
      expect(same(memory().read(frame * PAGE_SIZE, PAGE_SIZE), pin.data[i++] ?? new Uint8Array())).toBe(true);
    }
  }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** Owners of pages that were made, and those that were freed. */
function owners(on: Machine): [made: number, freed: number] {
  const { buf, len } = context.trace;
  let freed = 0;
  for (let i = 0; i < len; i += STRIDE) {
    const object = on.objects[buf[i + 1] ?? -1];
    if (((buf[i] ?? 0) & KIND_MASK) === FREE && object instanceof page_owner) freed++;
  }
  return [on.objects.filter((o) => o instanceof page_owner).length, freed];
}

test('programs see what they stored, devices see what programs see, and nothing is left in the end', () => {
  fc.assert(
    fc.property(commands, (list) => {
      const on = new Machine(runToBlock).powerOn();
      spawn(on, 'p', function* (mm, group) {
        const all: Process[] = [{ mm, pages: Array.from({ length: PAGES }) }];
        const pins: Pin[] = [];
        for (const c of [START, ...list]) yield* perform(group, all, pins, c);
        check(all, pins);
        group.mm = null;
        for (const p of all) yield* mmput(p.mm);
        check([], pins);
        for (const pin of pins) yield* unpin_user_pages(pin.runs);
      });
      expect(finish(on)).toEqual([]);
      const [made, freed] = owners(on);
      expect(freed).toBe(made);
    }),
    { numRuns: 50 },
  );
});
