// SPDX-License-Identifier: GPL-2.0-only

/**
 * Physical memory. Every page belongs to a `page_owner` (the anonymous memory of a mapping, a file's page
 * cache), which keeps what is known of its pages, by index and as extents: how many hold each, how many have
 * pinned it, what it contains. The memory itself only knows whose a frame is.
 *
 * A frame is given out once and never again, to nobody: whoever reaches one that is free uses it after its
 * end, and it can be said whose it was. Linux hands a freed frame to the next who asks, so that the same
 * mistake would read or spoil somebody else's data; what can go wrong is the same, but here it is never
 * hidden by a frame that happened to stay unused. Frame numbers follow from the order in which owners come to
 * be, not from the order in which pages are touched.
 *
 * Nothing here is a point at which others may go first: whoever touches pages announces his operation on the
 * `order` of their owner, and so takes part in one order with all others who touch them.
 */
import { bytes } from '../sim/collections/bytes.ts';
import { ExtentMap } from '../sim/collections/extent-map.ts';
import { type ExtentKind, extents, frames } from '../sim/collections/extents.ts';
import { machine } from '../sim/context.ts';
import { Observed, type Root } from '../sim/observed.ts';
import { root, struct } from '../sim/struct.ts';
import { WARN_ON } from '../sim/warn.ts';

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
/** Pages in 2 MiB: what a huge page is made of, and the alignment of every owner's first frame. */
export const HPAGE_PMD_NR = 512;

declare const brand: unique symbol;
/** The number of a physical page. */
export type pfn = number & { readonly [brand]: 'pfn' };

const isPfn = (n: number): n is pfn => Number.isSafeInteger(n) && n >= 0;

/** Says that a number is a frame's. Throws (a bug of ours) when it cannot be. */
export function pfn(n: number): pfn {
  if (!isPfn(n)) throw new RangeError(`${n} is no frame number`);
  return n;
}

const counts: ExtentKind<number> = {
  along: (n) => n,
  same: (a, b) => a === b,
  show: (n) => String(n),
  none: '0',
  unit: PAGE_SIZE,
};

/**
 * Whose pages they are. Indexes are page numbers within the owner, from 0 on. `refs`: page tables and caches
 * that hold a page; `pins`: FOLL_PIN. A page is allocated while either is there; the owner is not freed before
 * its last page.
 */
export abstract class page_owner extends struct('page_owner', root, {
  refs: extents(counts),
  pins: extents(counts),
  contents: bytes(),
}) {
  /** Where its pages are. No state: it only grows, and nothing is decided by it. */
  readonly #frames = new ExtentMap<number>(frames);
  /** The first frames that it was given: those of pages [0, count). */
  #start = 0;
  #count = 0;

  /** What everybody who touches these pages announces his operation on. */
  abstract get order(): Observed;

  /** The pages come in blocks of HPAGE_PMD_NR that are allocated and freed together. */
  get compound(): boolean {
    return false;
  }

  /** Some of these pages may have become free; not told by `take`. */
  protected abstract released(first: number, last: number): void;

  /** The frame of a page that the owner has room for. Throws (a bug of ours) when it has none. */
  frame(index: number): pfn {
    const frame = this.#frames.get(index);
    if (frame === undefined) throw new Error(`${this.name} has no room for page ${index}`);
    return pfn(frame);
  }

  hasRoom(index: number): boolean {
    return this.#frames.get(index) !== undefined;
  }

  /** Gives it frames for pages from `index` on. For the memory only. */
  $give(index: number, frame: number, count: number): void {
    this.#frames.set(index, index + count - 1, frame);
    if (index !== 0) return;
    this.#start = frame;
    this.#count = count;
  }

  /** The page at a frame; -1 when that cannot be told at once. */
  $quickIndex(frame: number): number {
    const index = frame - this.#start;
    return index >= 0 && index < this.#count ? index : -1;
  }

  /** Allocates pages that are free: zeroed memory, held once. */
  take(first: number, last: number): void {
    this.refs.set(first, last, 1);
  }

  /** One more who holds each of the pages. */
  hold(first: number, last: number): void {
    add(this, 'refs', first, last, 1);
  }

  /** One fewer who holds each of the pages. WARN where nobody does. */
  drop(first: number, last: number): void {
    add(this, 'refs', first, last, -1);
    this.released(first, last);
  }

  /** One more pin of each of the pages. */
  pin(first: number, last: number): void {
    add(this, 'pins', first, last, 1);
  }

  /** One pin fewer of each of the pages. WARN where there is none. */
  unpin(first: number, last: number): void {
    add(this, 'pins', first, last, -1);
    this.released(first, last);
  }

  /** Whether any of the pages is allocated. */
  holdsAny(first: number, last: number): boolean {
    return this.refs.first(first, last) !== null || this.pins.first(first, last) !== null;
  }

  get isEmpty(): boolean {
    return this.refs.isEmpty && this.pins.isEmpty;
  }
}

/** Adds to the count of every page of a range; a count of 0 is none. WARN, and nothing done, below 0. */
function add(owner: page_owner, what: 'refs' | 'pins', first: number, last: number, by: 1 | -1): void {
  const map = owner[what];
  for (let at = first; at <= last; ) {
    const piece = map.first(at, last);
    const start = piece === null ? last + 1 : piece.start;
    if (at < start) {
      if (!WARN_ON(by < 0, `${owner.name}: ${what} of a page that has none`)) map.set(at, start - 1, by);
      at = start;
    }
    if (piece === null) return;
    const count = piece.value + by;
    if (count === 0) map.clear(piece.start, piece.last);
    else map.set(piece.start, piece.last, count);
    at = piece.last + 1;
  }
}

/** A stretch of frames that belongs to one owner; `index` of its first. */
export interface page_range {
  readonly owner: page_owner;
  readonly index: number;
  readonly count: number;
}

interface Window {
  readonly owner: page_owner;
  readonly base: number;
  readonly index: number;
}

/** Above what a PC keeps below 4 GiB: device memory, the interrupt controllers. */
const FIRST_FRAME = 0x100000;

export class physical_memory extends Observed {
  /** Whose each frame is. No state: it only grows, and nothing is decided by it. */
  readonly #windows = new ExtentMap<Window>({ along: (w) => w, same: (a, b) => a === b });
  #next = FIRST_FRAME;

  /**
   * Gives an owner room for `count` pages from `index` on: consecutive frames, the first of a huge page's
   * alignment, and no neighbours of any other owner's. Takes no memory. Returns the first frame.
   */
  reserve(owner: page_owner, index: number, count: number): pfn {
    const base = this.#next;
    this.#windows.set(base, base + count - 1, { owner, base, index });
    owner.$give(index, base, count);
    this.#next += (Math.floor(count / HPAGE_PMD_NR) + 1) * HPAGE_PMD_NR;
    return pfn(base);
  }

  /** Whose the frames from `frame` on are, as far as they are one owner's but at most `count`; null: nobody's. */
  find(frame: number, count = 1): page_range | null {
    const piece = this.#windows.first(frame, frame + count - 1);
    if (piece === null || piece.start !== frame) return null;
    const { owner, base, index } = piece.value;
    return { owner, index: index + frame - base, count: piece.last - frame + 1 };
  }

  /** What an access to a frame is announced on: the order of its owner; the memory itself when it has none. */
  order(frame: number): Observed {
    const owner = this.find(frame)?.owner;
    return owner === undefined || owner.$freed ? this : owner.order;
  }

  /** The owner of an allocated frame; null when it is free, or no memory at all. */
  allocated(frame: number): page_owner | null {
    const found = this.find(frame);
    if (found === null || found.owner.$freed) return null;
    return found.owner.holdsAny(found.index, found.index) ? found.owner : null;
  }

  /** A frame in words: `vmm.mm.vma.anon_vma[0x3000]`, with who had it when it is free. */
  describe(frame: number): string {
    const found = this.find(frame);
    if (found === null) return `no memory at frame 0x${frame.toString(16)}`;
    const page = `${found.owner.name}[0x${(found.index * PAGE_SIZE).toString(16)}]`;
    return this.allocated(frame) === null ? `a free page, formerly ${page}` : page;
  }

  /** A copy of `length` bytes at physical address `at`; zeros where no memory is, or its owner is gone. */
  read(at: number, length: number): Uint8Array {
    const data = new Uint8Array(length);
    this.#each(at, length, (owner, from, done, n) => owner.contents.load(from, data, done, n));
    return data;
  }

  /** Writes bytes at physical address `at`; to no effect where no memory is, or its owner is gone. */
  write(at: number, data: Uint8Array): void {
    this.#each(at, data.length, (owner, from, done, n) => owner.contents.store(from, data, done, n));
  }

  #each(
    at: number,
    length: number,
    visit: (owner: page_owner, from: number, done: number, n: number) => void,
  ): void {
    for (let done = 0; done < length; ) {
      const frame = Math.floor((at + done) / PAGE_SIZE);
      const offset = (at + done) % PAGE_SIZE;
      const pages = Math.ceil((offset + length - done) / PAGE_SIZE);
      const found = this.find(frame, pages);
      const n = Math.min((found?.count ?? 1) * PAGE_SIZE - offset, length - done);
      if (found !== null && !found.owner.$freed)
        visit(found.owner, found.index * PAGE_SIZE + offset, done, n);
      done += n;
    }
  }
}

const make = (creator: Root): physical_memory => new physical_memory(creator, 'memory', true);

/** The memory of the machine that runs. */
export const memory = (): physical_memory => machine().singleton(make);
