// SPDX-License-Identifier: GPL-2.0-only

import { member } from '../sim/collections/collection.ts';
/**
 * What an IOMMU does with a device's accesses: looks them up in the page table that software has given it for
 * the device, and lets them through to memory or refuses them.
 */
import { type ExtentKind, Extents } from '../sim/collections/extents.ts';
import { type Member, ref } from '../sim/field.ts';
import { Observed } from '../sim/observed.ts';
import { op } from '../sim/op.ts';
import { operation } from '../sim/point.ts';
import { struct } from '../sim/struct.ts';
import { spinlock } from '../sim/sync/spinlock.ts';
import type { Gen } from '../sim/task.ts';
import { memory, PAGE_SIZE } from './memory.ts';

/**
 * A leaf of an I/O page table, as one of a run of leaves that were mapped together: a run is one extent, and
 * each leaf can tell how far it is from its ends.
 */
export interface io_leaf {
  /** Physical address that the leaf leads to, bytes. */
  readonly paddr: number;
  /** Leaves of the same run before this one, and after it. */
  readonly before: number;
  readonly after: number;
  /** Bits of the entry; what they mean is the format's business. */
  readonly bits: number;
}

/** How leaves of `unit` bytes follow from each other. `show`: an entry's bits in text. */
function leaves(unit: number, show: (bits: number) => string): ExtentKind<io_leaf> {
  return {
    unit,
    along: (leaf, distance) =>
      distance === 0
        ? leaf
        : {
            paddr: leaf.paddr + distance * unit,
            before: leaf.before + distance,
            after: leaf.after - distance,
            bits: leaf.bits,
          },
    same: (a, b) => a.paddr === b.paddr && a.before === b.before && a.after === b.after && a.bits === b.bits,
    show: (leaf, length) => `${target(leaf.paddr, length * unit)}${show(leaf.bits)}`,
  };
}

/** Bytes of physical memory in words: whose they are. */
export function target(paddr: number, length: number): string {
  const found = memory().find(Math.floor(paddr / PAGE_SIZE));
  if (found === null) return `0x${paddr.toString(16)}`;
  const from = found.index * PAGE_SIZE + (paddr % PAGE_SIZE);
  return `${found.owner.name}[0x${from.toString(16)}-0x${(from + length - 1).toString(16)}]`;
}

class IoPgtable extends Extents<io_leaf> {
  /** Bytes that a leaf maps. */
  readonly unit: number;
  /** For formats that software guards so; hardware does not know of it. */
  readonly lock = new spinlock(this, 'lock', true);

  constructor(owner: Observed, role: string, unit: number, show: (bits: number) => string) {
    super(owner, role, leaves(unit, show), true);
    this.unit = unit;
  }
}

/** An I/O page table: leaves by IOVA / unit. */
export type io_pgtable = IoPgtable;
/** A member that is a table of leaves of `unit` bytes. `show`: an entry's bits in text, a space before each. */
export const io_pgtable = (unit: number, show: (bits: number) => string): Member<io_pgtable> =>
  member((owner, role) => new IoPgtable(owner, role, unit, show));

/** What an IOMMU knows of one device: the table for its accesses; null: none is let through. */
export class iommu_port extends struct('iommu_port', Observed, { table: ref<io_pgtable>() }) {}

/** A walk through the table falls between two changes of it, so it is announced on what guards them. */
const WALK = op<spinlock>('dma_walk', { commutes: ['dma_walk'] as const });
const READ = op<Observed>('dma_read', { commutes: ['dma_read'] as const });
const WRITE = op<Observed>('dma_write');

interface Piece {
  readonly paddr: number;
  readonly length: number;
}

/** What [iova, iova + length) leads to, as far as that is consecutive; null: nothing. */
function translate(table: io_pgtable, iova: bigint, length: number): Piece | null {
  const unit = BigInt(table.unit);
  const first = Number(iova / unit);
  const offset = Number(iova % unit);
  const leaf = table.first(first, first + Math.ceil((offset + length) / table.unit) - 1);
  if (leaf === null || leaf.start !== first) return null;
  const mapped = (leaf.last - first + 1) * table.unit - offset;
  return { paddr: leaf.value.paddr + offset, length: Math.min(mapped, length) };
}

/** Goes through [iova, iova + length) until it is refused; returns how many bytes it was let through. */
function* dma(
  { table }: iommu_port,
  iova: bigint,
  length: number,
  kind: typeof READ,
  access: (paddr: number, done: number, n: number) => void,
): Gen<number> {
  let done = 0;
  while (table !== null && done < length) {
    const at = iova + BigInt(done);
    const piece = yield* operation(WALK, table.lock, () => translate(table, at, length - done));
    if (piece === null) break;
    const { paddr } = piece;
    const pages = memory().find(Math.floor(paddr / PAGE_SIZE), Math.ceil(piece.length / PAGE_SIZE));
    const n = Math.min(piece.length, (pages?.count ?? 1) * PAGE_SIZE - (paddr % PAGE_SIZE));
    yield* operation(kind, memory().order(Math.floor(paddr / PAGE_SIZE)), () => access(paddr, done, n));
    done += n;
  }
  return done;
}

/** The device reads: what it gets of [iova, iova + length), up to the first byte that it is refused. */
export function* dma_read(port: iommu_port, iova: bigint, length: number): Gen<Uint8Array> {
  const data = new Uint8Array(length);
  const done = yield* dma(port, iova, length, READ, (paddr, at, n) => data.set(memory().read(paddr, n), at));
  return data.subarray(0, done);
}

/** The device writes: how many bytes it gets rid of, up to the first that it is refused. */
export const dma_write = (port: iommu_port, iova: bigint, data: Uint8Array): Gen<number> =>
  dma(port, iova, data.length, WRITE, (paddr, at, n) => memory().write(paddr, data.subarray(at, at + n)));
