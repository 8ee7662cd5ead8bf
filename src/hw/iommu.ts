// SPDX-License-Identifier: GPL-2.0-only

/**
 * What an IOMMU does with a device's accesses: looks them up in the page table that software has given it for
 * the device, and lets them through to memory or refuses them.
 *
 * An access is on its way from when the IOMMU has looked the device up until memory has it. Whoever takes a
 * translation away, or another table for the device, waits for what is on its way by it: an IOMMU that is told
 * to invalidate says that it has when all such accesses are done (VT-d: draining; SMMU: CMD_SYNC). There are no
 * caches yet. All of it is hardware's doing: it orders no accesses of software, and races with none.
 */
import { which } from '../sim/chance.ts';
import { member } from '../sim/collections/collection.ts';
import { type ExtentKind, Extents } from '../sim/collections/extents.ts';
import { type Member, ref } from '../sim/field.ts';
import { Observed } from '../sim/observed.ts';
import { type OpKind, op } from '../sim/op.ts';
import { operation } from '../sim/point.ts';
import { struct } from '../sim/struct.ts';
import { spinlock } from '../sim/sync/spinlock.ts';
import type { Co, Gen } from '../sim/task.ts';
import { breach } from '../sim/warn.ts';
import { memory, PAGE_SIZE } from './memory.ts';

/** What a leaf lets a device do. */
export const IO_READ = 1;
export const IO_WRITE = 2;

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
  /** IO_READ, IO_WRITE. */
  readonly access: number;
  /** Other bits of the entry; what they mean is the format's business. */
  readonly bits: number;
}

const ACCESS: readonly string[] = ['-', 'r', 'w', 'rw'];

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
            access: leaf.access,
            bits: leaf.bits,
          },
    same: (a, b) =>
      a.paddr === b.paddr &&
      a.before === b.before &&
      a.after === b.after &&
      a.access === b.access &&
      a.bits === b.bits,
    show: ({ paddr, access, bits }, length) =>
      `${target(paddr, length * unit)} ${ACCESS[access] ?? access}${show(bits)}`,
  };
}

/** Bytes of physical memory in words: whose they are. */
export function target(paddr: number, length: number): string {
  const found = memory().find(Math.floor(paddr / PAGE_SIZE));
  if (found === null) return `0x${paddr.toString(16)}`;
  const from = found.index * PAGE_SIZE + (paddr % PAGE_SIZE);
  return `${found.owner.name}[0x${from.toString(16)}-0x${(from + length - 1).toString(16)}]`;
}

/** How many accesses are on their way. */
class InFlight extends Observed {
  count = 0;

  /** It is no transition of software's. */
  override get $recorded(): boolean {
    return false;
  }

  override $state(see: (value: unknown) => void): void {
    see(this.count);
  }
}

class IoPgtable extends Extents<io_leaf> {
  /** Bytes that a leaf maps. */
  readonly unit: number;
  /** For formats that software guards so; hardware does not know of it. */
  readonly lock = new spinlock(this, 'lock', true);
  /** Accesses that were translated by it. */
  readonly inFlight = new InFlight(this, 'in_flight', true);

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

const SET = op<io_pgtable>('pte_set', { commutes: ['dma_done'] as const, orders: false });
const CLEAR = op<io_pgtable>('pte_clear', { ready: ({ inFlight }) => inFlight.count === 0, orders: false });

/** Software puts a run of leaves into a table: where the hardware finds it from now on. */
export const pte_set = (table: io_pgtable, first: number, last: number, leaf: io_leaf): Co<void> =>
  operation(SET, table, () => table.set(first, last, leaf));

/** Software takes leaves out of a table, and the hardware has done with them. */
export const pte_clear = (table: io_pgtable, first: number, last: number): Co<void> =>
  operation(CLEAR, table, () => void table.clear(first, last));

/** What an IOMMU knows of one device: the table for its accesses; null: none is let through. */
export class iommu_port extends struct('iommu_port', Observed, { table: ref<io_pgtable>() }) {
  /** Accesses of the device. */
  readonly inFlight = new InFlight(this, 'in_flight', true);
}

const SET_TABLE = op<iommu_port>('set_table', {
  ready: ({ inFlight }) => inFlight.count === 0,
  orders: false,
});

/** Software gives a device another table, and the hardware has done with the old one. */
export const set_table = (port: iommu_port, table: io_pgtable | null): Co<void> =>
  operation(SET_TABLE, port, () => {
    port.table = table;
  });

/** Why an access is refused. */
export const FAULTS = {
  blocked: 'the IOMMU lets nothing of the device through',
  'not-mapped': 'nothing is mapped at the address',
  'not-permitted': 'what is mapped there may not be read, or may not be written',
} as const;
export type Fault = keyof typeof FAULTS;

/** How far an access came: all the way, or up to the first byte that it was refused. */
export interface dma_end {
  /** Bytes that were read or written. */
  readonly done: number;
  readonly fault: Fault | null;
}

const LOOKUP = op<iommu_port>('dma_lookup', { opaque: true, orders: false });
const IDLE = op<iommu_port>('dma_idle', { opaque: true, orders: false, enables: ['set_table'] as const });
const WALK = op<io_pgtable>('dma_walk', {
  commutes: ['dma_walk', 'dma_done'] as const,
  opaque: true,
  orders: false,
});
const DONE = op<io_pgtable>('dma_done', {
  commutes: ['dma_walk', 'dma_done', 'pte_set'] as const,
  enables: ['pte_clear'] as const,
  opaque: true,
  orders: false,
});
const READ = op<Observed>('dma_read', { commutes: ['dma_read'] as const, opaque: true, orders: false });
const WRITE = op<Observed>('dma_write', { opaque: true, orders: false });

interface Access {
  readonly kind: OpKind;
  readonly needs: number;
  readonly verb: string;
  /** Moves `n` bytes at a physical address, the first of which is number `done` of the access. */
  move(paddr: number, done: number, n: number): void;
}

interface Piece {
  readonly paddr: number;
  readonly length: number;
}

/** What [iova, iova + length) leads to, as far as that is consecutive and one owner's. */
function walk(table: io_pgtable, iova: bigint, length: number, needs: number): Piece | Fault {
  const unit = BigInt(table.unit);
  const first = Number(iova / unit);
  const offset = Number(iova % unit);
  const leaf = table.first(first, first + Math.ceil((offset + length) / table.unit) - 1);
  if (leaf === null || leaf.start !== first) return 'not-mapped';
  if ((leaf.value.access & needs) === 0) return 'not-permitted';
  const paddr = leaf.value.paddr + offset;
  const mapped = Math.min((leaf.last - first + 1) * table.unit - offset, length);
  const into = paddr % PAGE_SIZE;
  const pages = memory().find(Math.floor(paddr / PAGE_SIZE), Math.ceil((into + mapped) / PAGE_SIZE));
  return { paddr, length: Math.min(mapped, (pages?.count ?? 1) * PAGE_SIZE - into) };
}

/** Moves what it can at once of the `length` bytes at `iova`. */
function* dma_piece(
  port: iommu_port,
  iova: bigint,
  length: number,
  done: number,
  access: Access,
): Gen<dma_end> {
  const table = yield* operation(LOOKUP, port, () => {
    if (port.table !== null) port.inFlight.count++;
    return port.table;
  });
  if (table === null) return { done: 0, fault: 'blocked' };
  const found = yield* operation(WALK, table, () => {
    const piece = walk(table, iova, length, access.needs);
    if (typeof piece === 'object') table.inFlight.count++;
    return piece;
  });
  if (typeof found === 'object') {
    const { paddr, length: n } = found;
    yield* operation(access.kind, memory().order(Math.floor(paddr / PAGE_SIZE)), () => {
      checkPages(port, paddr, n, access);
      access.move(paddr, done, n);
    });
    yield* operation(DONE, table, () => {
      table.inFlight.count--;
    });
  }
  yield* operation(IDLE, port, () => {
    port.inFlight.count--;
  });
  return typeof found === 'object' ? { done: found.length, fault: null } : { done: 0, fault: found };
}

/** A page that software has given back is not for a device to reach. */
function checkPages(port: iommu_port, paddr: number, length: number, { verb }: Access): void {
  const last = Math.floor((paddr + length - 1) / PAGE_SIZE);
  for (let frame = Math.floor(paddr / PAGE_SIZE); frame <= last; frame++) {
    if (memory().allocated(frame) !== null) continue;
    const owner = memory().find(frame)?.owner ?? null;
    breach('foreign-page', `${port.name} ${verb} ${memory().describe(frame)}`, owner);
  }
}

/** A request of a device: PCIe has none cross a boundary of 4 KiB. `from`: its first byte, within the access. */
interface Request {
  readonly from: number;
  readonly length: number;
}

function requestsOf(iova: bigint, length: number): Request[] {
  const requests: Request[] = [];
  for (let from = 0; from < length; ) {
    const most = PAGE_SIZE - Number((iova + BigInt(from)) % BigInt(PAGE_SIZE));
    const request = { from, length: Math.min(most, length - from) };
    requests.push(request);
    from += request.length;
  }
  return requests;
}

/** Serves one request of an access: how far it came within that. */
function* serve(port: iommu_port, iova: bigint, request: Request, access: Access): Gen<dma_end> {
  let { from } = request;
  const end = from + request.length;
  while (from < end) {
    const piece = yield* dma_piece(port, iova + BigInt(from), end - from, from, access);
    from += piece.done;
    if (piece.fault !== null) return { done: from, fault: piece.fault };
  }
  return { done: from, fault: null };
}

/** The kind of choice that says which of a device's outstanding reads is served next. */
export const COMPLETION_ORDER = 'completion order';

/**
 * The device reads [iova, iova + length): how far it came, and what it got. Its requests are all under way at once, and
 * nothing in PCIe orders reads: any may be served first (choice COMPLETION_ORDER). That each is served in one go is
 * enough: who takes a translation away waits for what is on its way by it, so that a request that began earlier and
 * ends later comes to what one comes to that does both at its end.
 */
export function* dma_read(
  port: iommu_port,
  iova: bigint,
  length: number,
): Gen<dma_end & { readonly data: Uint8Array }> {
  const data = new Uint8Array(length);
  const access: Access = {
    kind: READ,
    needs: IO_READ,
    verb: 'reads',
    move: (paddr, done, n) => data.set(memory().read(paddr, n), done),
  };
  const requests = requestsOf(iova, length);
  let end: dma_end = { done: length, fault: null };
  while (requests.length > 0) {
    const label = (option: number): string => {
      const { from } = requests[option] ?? { from: 0 };
      return `the read of ${port.name} at 0x${(iova + BigInt(from)).toString(16)} is served next`;
    };
    const [request] = requests.splice(which(COMPLETION_ORDER, requests.length, label), 1);
    if (request === undefined) break;
    const served = yield* serve(port, iova, request, access);
    if (served.fault !== null && served.done < end.done) end = served;
  }
  return { ...end, data: data.subarray(0, end.done) };
}

/** The device writes to [iova, iova + data.length): how far it came. Writes of a device do not pass each other. */
export function* dma_write(port: iommu_port, iova: bigint, data: Uint8Array): Gen<dma_end> {
  const access: Access = {
    kind: WRITE,
    needs: IO_WRITE,
    verb: 'writes',
    move: (paddr, done, n) => memory().write(paddr, data.subarray(done, done + n)),
  };
  for (const request of requestsOf(iova, data.length)) {
    const served = yield* serve(port, iova, request, access);
    if (served.fault !== null) return served;
  }
  return { done: data.length, fault: null };
}
