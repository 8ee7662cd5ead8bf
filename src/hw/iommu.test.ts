// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import { Check } from '../sim/check/check.ts';
import type { Finding } from '../sim/check/finding.ts';
import type { Policy } from '../sim/choice.ts';
import { boot, inTask, recorded } from '../sim/collections/testing.ts';
import { done } from '../sim/coroutine.ts';
import { Machine } from '../sim/machine.ts';
import { Observed } from '../sim/observed.ts';
import { SeededRandom } from '../sim/policies/random.ts';
import { struct } from '../sim/struct.ts';
import type { Co, Gen } from '../sim/task.ts';
import {
  type dma_end,
  dma_read,
  dma_write,
  type Fault,
  IO_READ,
  IO_WRITE,
  type io_leaf,
  io_pgtable,
  iommu_port,
  pte_clear,
  pte_set,
  set_table,
} from './iommu.ts';
import { memory, PAGE_SIZE, page_owner } from './memory.ts';

class Owner extends struct('test_owner', page_owner, {}) {
  get order(): Observed {
    return this;
  }
  protected released(): void {}
}

class Table extends struct('test_table', Observed, {
  ptes: io_pgtable(2048, (bits) => (bits === 0 ? '' : ' huge')),
}) {}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

function withTable(body: (port: iommu_port, table: Table, at: number) => Gen<void>): string[] {
  const machine = boot();
  const owner = new Owner(machine.root, 'buffer');
  const frame = memory().reserve(owner, 0, 4);
  owner.take(0, 3);
  const table = new Table(machine.root, 'table');
  const port = new iommu_port(machine.root, 'port');
  recorded(machine);
  inTask(machine, () => body(port, table, frame * PAGE_SIZE));
  return recorded(machine);
}

const leaf = (paddr: number, access = IO_READ | IO_WRITE): io_leaf => ({
  paddr,
  before: 0,
  after: 0,
  access,
  bits: 0,
});

test('DMA goes where the table says, as far as it says anything', () => {
  withTable(function* (port, { ptes }, at) {
    expect(yield* dma_write(port, 0n, bytes(1))).toEqual({ done: 0, fault: 'blocked' });
    yield* set_table(port, ptes);
    // The second half of a page first, then the first half of another.
    yield* pte_set(ptes, 10, 10, leaf(at + 2048));
    yield* pte_set(ptes, 11, 11, leaf(at + 2 * PAGE_SIZE));
    expect(yield* dma_write(port, 11n * 2048n - 2n, bytes(1, 2, 3, 4))).toEqual({ done: 4, fault: null });
    expect(memory().read(at + PAGE_SIZE - 2, 3)).toEqual(bytes(1, 2, 0));
    expect(memory().read(at + 2 * PAGE_SIZE, 3)).toEqual(bytes(3, 4, 0));
    const all = { done: 4, fault: null, data: bytes(1, 2, 3, 4) };
    expect(yield* dma_read(port, 11n * 2048n - 2n, 4)).toEqual(all);
    // It ends at the first byte that is not mapped.
    const some = { done: 1, fault: 'not-mapped', data: bytes(0) };
    expect(yield* dma_read(port, 12n * 2048n - 1n, 4)).toEqual(some);
    expect(yield* dma_write(port, 12n * 2048n, bytes(1))).toEqual({ done: 0, fault: 'not-mapped' });
  });
});

test('a leaf says what may be done', () => {
  withTable(function* (port, { ptes }, at) {
    yield* set_table(port, ptes);
    yield* pte_set(ptes, 0, 0, leaf(at, IO_READ));
    yield* pte_set(ptes, 1, 1, leaf(at, IO_WRITE));
    expect(yield* dma_write(port, 0n, bytes(1))).toEqual({ done: 0, fault: 'not-permitted' });
    expect(yield* dma_write(port, 2048n, bytes(1))).toEqual({ done: 1, fault: null });
    expect(yield* dma_read(port, 0n, 1)).toEqual({ done: 1, fault: null, data: bytes(1) });
    expect((yield* dma_read(port, 2048n, 1)).fault).toBe('not-permitted');
  });
});

/** A device writes while its translation is taken away and its page given back. */
function race(policy: Policy, clear: (table: io_pgtable) => Co<void>): readonly (Fault | Finding['kind'])[] {
  const machine = new Machine(policy).powerOn();
  const owner = new Owner(machine.root, 'buffer');
  const frame = memory().reserve(owner, 0, 1);
  owner.take(0, 0);
  const { ptes } = new Table(machine.root, 'table');
  const port = new iommu_port(machine.root, 'port');
  ptes.set(0, 0, leaf(frame * PAGE_SIZE));
  port.table = ptes;
  const ends: dma_end[] = [];
  machine.spawn('device', device());
  machine.spawn('driver', driver());
  function* device(): Gen<void> {
    ends.push(yield* dma_write(port, 0n, bytes(1)));
  }
  function* driver(): Gen<void> {
    yield* clear(ptes);
    owner.drop(0, 0);
    yield* set_table(port, null);
  }
  const ending = machine.run();
  expect(ending).toEqual({ status: 'finished' });
  const faults = ends.flatMap((end) => end.fault ?? []);
  return [...faults, ...new Check().run(machine, ending).map(({ kind }) => kind)];
}

test('who takes a translation away waits for what is on its way by it', () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 100; seed++) {
    seen.add(race(new SeededRandom(seed), (table) => pte_clear(table, 0, 0)).join());
  }
  expect([...seen].sort()).toEqual(['', 'blocked', 'not-mapped']);
});

test('a page that is given back while an access is on its way to it: found', () => {
  const early = (table: io_pgtable): Co<void> => {
    table.clear(0, 0);
    return done(undefined);
  };
  const seen = new Set<string>();
  for (let seed = 0; seed < 100; seed++) seen.add(race(new SeededRandom(seed), early).join());
  expect(seen).toContain('foreign-page');
});

test('a run is one extent; its parts know where they stand in it', () => {
  const lines = withTable(function* (_port, { ptes }, at) {
    ptes.set(0, 5, { paddr: at, before: 0, after: 5, access: IO_READ, bits: 1 });
    ptes.set(6, 7, { paddr: at + 6 * 2048, before: 0, after: 1, access: IO_READ, bits: 0 });
    ptes.clear(2, 3);
    expect(ptes.get(1)).toEqual({ paddr: at + 2048, before: 1, after: 4, access: IO_READ, bits: 1 });
    expect(ptes.get(4)).toEqual({ paddr: at + 4 * 2048, before: 4, after: 1, access: IO_READ, bits: 1 });
  });
  expect(lines).toEqual([
    'table.ptes[0x0-0x2fff]: - -> buffer[0x0-0x2fff] r huge',
    'table.ptes[0x3000-0x3fff]: - -> buffer[0x3000-0x3fff] r',
    'table.ptes[0x1000-0x1fff]: buffer[0x1000-0x1fff] r huge -> -',
  ]);
});
