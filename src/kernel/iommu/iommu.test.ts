// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { done } from '../../sim/coroutine.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { Machine } from '../../sim/machine.ts';
import { runToBlock } from '../../sim/policies/run-to-block.ts';
import type { Gen } from '../../sim/task.ts';
import { EINVAL, ENOMEM } from '../../uapi/errno.ts';
import { finish } from '../mm/testing.ts';
import {
  IOMMU_MMIO,
  IOMMU_NOEXEC,
  IOMMU_WRITE,
  iommu_domain,
  iommu_domain_type,
  iommu_iotlb_gather_init,
} from './iommu.h.ts';
import { iommu_iotlb_sync, iommu_iova_to_phys, iommu_map, iommu_unmap, iommu_unmap_fast } from './iommu.ts';

interface Page {
  readonly iova: bigint;
  readonly paddr: number;
  readonly size: number;
}

/** A domain, what its driver has mapped, page by page in order, how many calls that took, and what was flushed. */
class Table {
  readonly domain: iommu_domain;
  pages: Page[] = [];
  calls = 0;
  prot = 0;
  flushed: (readonly [start: bigint, end: bigint])[] = [];

  /** `broken`: the call of map_pages, counted from 1, that maps one page and fails. */
  constructor(machine: Machine, pgsize_bitmap: bigint, broken = 0) {
    this.domain = new iommu_domain(machine.root, 'domain');
    this.domain.type = iommu_domain_type.IOMMU_DOMAIN_UNMANAGED;
    this.domain.pgsize_bitmap = pgsize_bitmap;
    this.domain.ops = {
      name: 'test_ops',
      map_pages: (_domain, iova, paddr, pgsize, pgcount, prot, mapped) => {
        this.prot = prot;
        const fails = ++this.calls === broken;
        const count = fails ? 1 : pgcount;
        for (let i = 0; i < count; i++) {
          this.pages.push({ iova: iova + BigInt(i * pgsize), paddr: paddr + i * pgsize, size: pgsize });
        }
        mapped.bytes += count * pgsize;
        return done(fails ? fail(ENOMEM, 'broken') : 0);
      },
      unmap_pages: (_domain, iova, pgsize, pgcount, gather) => {
        const end = iova + BigInt(pgsize * pgcount);
        if (gather.start > iova) gather.start = iova;
        if (gather.end < end) gather.end = end;
        const gone = this.pages.filter((page) => page.iova >= iova && page.iova < end);
        this.pages = this.pages.filter((page) => !gone.includes(page));
        return done(gone.reduce((bytes, page) => bytes + page.size, 0));
      },
      iotlb_sync: (_domain, { start, end }) => done(void this.flushed.push([start, end])),
      iova_to_phys: (_domain, iova) =>
        this.pages.find((page) => iova >= page.iova && iova < page.iova + BigInt(page.size))?.paddr ?? 0,
    };
  }
}

/** At each place the largest page that fits. */
function greedy(sizes: readonly number[], iova: bigint, paddr: number, size: number): Page[] {
  const pages: Page[] = [];
  for (let at = 0; at < size; at += pages.at(-1)?.size ?? size) {
    const fits = (page: number): boolean =>
      page <= size - at && (iova + BigInt(at)) % BigInt(page) === 0n && (paddr + at) % page === 0;
    const largest = Math.max(...sizes.filter(fits));
    pages.push({ iova: iova + BigInt(at), paddr: paddr + at, size: largest });
  }
  return pages;
}

function inTask(machine: Machine, body: () => Gen<void>): void {
  machine.spawn('t', body());
  expect(finish(machine)).toEqual([]);
}

// Small pages with a small factor between them, so that many of each fit into a short range.
const sizes = fc.uniqueArray(fc.constantFrom(0x800, 0x1000, 0x4000, 0x10000), { minLength: 1 });
const range = fc.record({ iova: fc.nat(40), paddr: fc.nat(40), size: fc.integer({ min: 1, max: 60 }) });

test('a range is mapped with the largest pages that fit, in as few calls as there are changes of size', () => {
  fc.assert(
    fc.property(sizes, range, fc.boolean(), (pages, at, high) => {
      const machine = new Machine(runToBlock).powerOn();
      const unit = Math.min(...pages);
      const iova = BigInt(at.iova * unit) + (high ? 0xffff_f000_0000_0000n : 0n);
      const [paddr, size] = [at.paddr * unit, at.size * unit];
      inTask(machine, function* () {
        const table = new Table(machine, BigInt(pages.reduce((bits, page) => bits | page, 0)));
        const { domain } = table;
        expect(yield* iommu_map(domain, iova, paddr, size, 3)).toBe(0);
        const expected = greedy(pages, iova, paddr, size);
        expect(table.pages).toEqual(expected);
        const changes = expected.filter((page, i) => page.size !== expected[i - 1]?.size);
        expect(table.calls).toBe(changes.length);
        for (const page of expected) expect(iommu_iova_to_phys(domain, page.iova)).toBe(page.paddr);
        expect(yield* iommu_unmap(domain, iova, size)).toBe(size);
        expect(table.pages).toEqual([]);
      });
    }),
  );
});

test('a range that is refused half way is not mapped', () => {
  fc.assert(
    fc.property(range, fc.integer({ min: 1, max: 4 }), (at, broken) => {
      const machine = new Machine(runToBlock).powerOn();
      inTask(machine, function* () {
        const table = new Table(machine, 0x5000n, broken);
        const rc = yield* iommu_map(table.domain, BigInt(at.iova) << 12n, at.paddr << 12, at.size << 12, 3);
        expect(rc).toBe(table.calls < broken ? 0 : -ENOMEM);
        expect(table.pages.length > 0).toBe(rc === 0);
      });
    }),
  );
});

test('unmaps are flushed at once, or together when their caller says so', () => {
  const machine = new Machine(runToBlock).powerOn();
  inTask(machine, function* () {
    const table = new Table(machine, 0x1000n);
    const { domain } = table;
    const doorbell = IOMMU_WRITE | IOMMU_NOEXEC | IOMMU_MMIO;
    expect(yield* iommu_map(domain, 0n, 0xfee0_0000, 0x4000, doorbell)).toBe(0);
    expect(table.prot).toBe(doorbell);
    yield* iommu_unmap(domain, 0n, 0x1000);
    expect(table.flushed).toEqual([[0n, 0x1000n]]);
    const gather = iommu_iotlb_gather_init();
    expect(yield* iommu_unmap_fast(domain, 0x1000n, 0x1000, gather)).toBe(0x1000);
    expect(yield* iommu_unmap_fast(domain, 0x3000n, 0x1000, gather)).toBe(0x1000);
    expect(table.flushed).toHaveLength(1);
    yield* iommu_iotlb_sync(domain, gather);
    expect(table.flushed[1]).toEqual([0x1000n, 0x4000n]);
    expect(gather).toEqual(iommu_iotlb_gather_init());
    // Up to the first hole.
    expect(yield* iommu_unmap(domain, 0x2000n, 0x2000)).toBe(0x1000);
  });
});

test('nothing is mapped or unmapped that is not aligned, nor in a domain that is not for it', () => {
  const machine = new Machine(runToBlock).powerOn();
  inTask(machine, function* () {
    const { domain } = new Table(machine, 0x1000n);
    const answers: Rc[] = [];
    answers.push(yield* iommu_map(domain, 0x800n, 0, 0x1000, 3));
    answers.push(yield* iommu_map(domain, 0n, 0x800, 0x1000, 3));
    answers.push(yield* iommu_map(domain, 0n, 0, 0x800, 3));
    expect(yield* iommu_unmap(domain, 0x800n, 0x1000)).toBe(0);
    domain.type = iommu_domain_type.IOMMU_DOMAIN_IDENTITY;
    answers.push(yield* iommu_map(domain, 0n, 0, 0x1000, 3));
    expect(answers).toEqual([-EINVAL, -EINVAL, -EINVAL, -EINVAL]);
    expect(iommu_iova_to_phys(domain, 0x1234n)).toBe(0x1234);
  });
});
