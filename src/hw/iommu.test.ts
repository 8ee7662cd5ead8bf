// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import { boot, inTask, recorded } from '../sim/collections/testing.ts';
import { Observed } from '../sim/observed.ts';
import { struct } from '../sim/struct.ts';
import type { Gen } from '../sim/task.ts';
import { dma_read, dma_write, io_pgtable, iommu_port } from './iommu.ts';
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

test('DMA goes where the table says, as far as it says anything', () => {
  withTable(function* (port, { ptes }, at) {
    expect(yield* dma_write(port, 0n, bytes(1))).toBe(0);
    port.table = ptes;
    // The second half of a page first, then the first half of another.
    ptes.set(10, 10, { paddr: at + 2048, before: 0, after: 0, bits: 0 });
    ptes.set(11, 11, { paddr: at + 2 * PAGE_SIZE, before: 0, after: 0, bits: 0 });
    expect(yield* dma_write(port, 11n * 2048n - 2n, bytes(1, 2, 3, 4))).toBe(4);
    expect(memory().read(at + PAGE_SIZE - 2, 3)).toEqual(bytes(1, 2, 0));
    expect(memory().read(at + 2 * PAGE_SIZE, 3)).toEqual(bytes(3, 4, 0));
    expect(yield* dma_read(port, 11n * 2048n - 2n, 4)).toEqual(bytes(1, 2, 3, 4));
    // It ends at the first byte that is not mapped.
    expect(yield* dma_read(port, 12n * 2048n - 1n, 4)).toEqual(bytes(0));
    expect(yield* dma_write(port, 12n * 2048n, bytes(1))).toBe(0);
  });
});

test('a run is one extent; its parts know where they stand in it', () => {
  const lines = withTable(function* (_port, { ptes }, at) {
    ptes.set(0, 5, { paddr: at, before: 0, after: 5, bits: 1 });
    ptes.set(6, 7, { paddr: at + 6 * 2048, before: 0, after: 1, bits: 0 });
    ptes.clear(2, 3);
    expect(ptes.get(1)).toEqual({ paddr: at + 2048, before: 1, after: 4, bits: 1 });
    expect(ptes.get(4)).toEqual({ paddr: at + 4 * 2048, before: 4, after: 1, bits: 1 });
  });
  expect(lines).toEqual([
    'table.ptes[0x0-0x2fff]: - -> buffer[0x0-0x2fff] huge',
    'table.ptes[0x3000-0x3fff]: - -> buffer[0x3000-0x3fff]',
    'table.ptes[0x1000-0x1fff]: buffer[0x1000-0x1fff] huge -> -',
  ]);
});
