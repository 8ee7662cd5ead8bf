// SPDX-License-Identifier: GPL-2.0-only

/**
 * drivers/iommu/iommufd/iova_bitmap.c (6.12): a bitmap in user memory, a bit for each page of IOVA. It is pinned
 * in windows, as far as pointers to its pages fit into one page.
 */
import { memory, PAGE_SIZE, pfn } from '../../hw/memory.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import type { Observed } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import { kvzalloc } from '../../sim/slab.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { oops } from '../../sim/warn.ts';
import { EFAULT, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import type { iova_bitmap } from '../iommu/iommu.h.ts';
import { FOLL_WRITE, pin_user_pages_fast } from '../mm/gup.ts';
import { count_pages, type page_run, unpin_user_pages } from '../mm/page.ts';

const BITS_PER_BYTE = 8;
const BITS_PER_PAGE = PAGE_SIZE * BITS_PER_BYTE;
/** Pointers to pages that fit into one page. */
const MAX_PAGES = PAGE_SIZE / 8;
/** sizeof(struct iova_bitmap). */
const STRUCT_SIZE = 80;

const SETS: readonly string[] = ['bitmap_set'];
const SET = op<Observed>('bitmap_set', { commutes: SETS });

const NO_PAGES: readonly page_run[] = [];

const u64 = (n: bigint): bigint => BigInt.asUintN(64, n);

function bitmap_set(page: pfn, offset: number, nbits: number): Co<void> {
  const first = Math.floor(offset / BITS_PER_BYTE);
  const last = Math.floor((offset + nbits - 1) / BITS_PER_BYTE);
  const at = page * PAGE_SIZE + first;
  return operation(SET, memory().order(page), () => {
    const bytes = memory().read(at, last - first + 1);
    for (let bit = offset; bit < offset + nbits; bit++) {
      const byte = Math.floor(bit / BITS_PER_BYTE) - first;
      bytes[byte] = (bytes[byte] ?? 0) | (1 << (bit % BITS_PER_BYTE));
    }
    memory().write(at, bytes);
  });
}

const bugD4a = bug('D4a', {
  at: 'drivers/iommu/iommufd/iova_bitmap.c:iova_bitmap_set',
  about:
    'Bits of a dirty page that reaches beyond the part of the bitmap that is pinned are set all the same',
  source: 'iommufd/iova_bitmap: Bounds check mapped::pages access (6.0 to 6.7)',
  cure: 'The next part of the bitmap is pinned first',
});

const bugD4c = bug('D4c', {
  at: 'drivers/iommu/iommufd/iova_bitmap.c:iova_bitmap_offset_to_index',
  about:
    'With a page_size of 2^61 and more, what a byte of the bitmap stands for overflows to 0, and is divided by',
  source: "iommufd: Don't overflow during division for dirty tracking (6.0 to 6.17)",
  cure: 'The shift comes first',
});

/** The page of a list of runs that has a number in it. */
function page_at(pages: readonly page_run[], index: number): pfn {
  let left = index;
  for (const { start, count } of pages) {
    if (left < count) return pfn(start + left);
    left -= count;
  }
  return oops(`page ${index} of a bitmap is not pinned`);
}

/** As Linux's struct iova_bitmap; indexes count bytes of the bitmap. */
class user_bitmap implements iova_bitmap {
  readonly #data: bigint;
  readonly #iova: bigint;
  readonly #length: bigint;
  readonly #pgshift: bigint;
  readonly #total_index: bigint;
  #base_index = 0n;
  /** The window that is pinned: what it covers, and where in its first page it starts. */
  #pages = NO_PAGES;
  #npages = 0;
  #mapped_iova: bigint;
  #mapped_length = 0n;
  #pgoff = 0;

  constructor(iova: bigint, length: bigint, page_size: bigint, data: bigint) {
    this.#data = data;
    this.#iova = iova;
    this.#length = length;
    this.#pgshift = BigInt((page_size & -page_size).toString(2).length - 1);
    this.#total_index = this.#index(u64(length - 1n)) + 1n;
    this.#mapped_iova = iova;
  }

  #index(offset: bigint): bigint {
    const bits = BigInt(BITS_PER_BYTE);
    // 8 bits of 2^61 bytes and more are 0 modulo 2^64.
    if (bugD4c() && u64(bits << this.#pgshift) === 0n) oops('a division by 0 in iova_bitmap_offset_to_index');
    return (offset >> this.#pgshift) / bits;
  }

  #offset(index: bigint): bigint {
    return u64((index * BigInt(BITS_PER_BYTE)) << this.#pgshift);
  }

  *#get(): Gen<Rc> {
    const page = BigInt(PAGE_SIZE);
    const addr = u64(this.#data + this.#base_index);
    this.#pgoff = Number(addr % page);
    const rest = (this.#total_index - this.#base_index + page - 1n) / page;
    const npages = rest + (this.#pgoff === 0 ? 0n : 1n);
    const pages: page_run[] = [];
    const max = npages < MAX_PAGES ? Number(npages) : MAX_PAGES;
    const ret = yield* pin_user_pages_fast(addr, max, FOLL_WRITE, pages);
    if (IS_ERR(ret) || ret === 0) return fail(EFAULT, 'the bitmap cannot be written');
    this.#pages = pages;
    this.#npages = count_pages(pages);
    this.#mapped_iova = u64(this.#iova + this.#offset(this.#base_index));
    this.#mapped_length = this.#length_of_window();
    return 0;
  }

  #length_of_window(): bigint {
    const bytes = BigInt(this.#npages * PAGE_SIZE - this.#pgoff);
    const left = this.#total_index - this.#base_index;
    const remaining = this.#offset(left < bytes ? left : bytes);
    const max_iova = u64(this.#iova + this.#length - 1n);
    const last = u64(this.#mapped_iova + remaining - 1n);
    return last > max_iova ? remaining - (last - max_iova) : remaining;
  }

  *#put(): Gen<void> {
    const pages = this.#pages;
    this.#pages = NO_PAGES;
    this.#npages = 0;
    yield* unpin_user_pages(pages);
  }

  #covers(iova: bigint, length: bigint): boolean {
    if (this.#npages === 0 || iova < this.#mapped_iova) return false;
    return u64(iova + length - 1n) <= u64(this.#mapped_iova + this.#mapped_length - 1n);
  }

  *#advance_to(iova: bigint): Gen<Rc> {
    const index = this.#index(u64(iova - this.#iova));
    if (index >= this.#total_index) return fail(EINVAL, 'beyond the bitmap');
    this.#base_index = index;
    yield* this.#put();
    return yield* this.#get();
  }

  /** 6.12 does this: what cannot be pinned is not said, and the bits are lost. */
  *set(iova: bigint, length: number): Gen<void> {
    const end = iova + BigInt(length);
    for (let at = iova; at < end; ) {
      if (!this.#covers(at, end - at) && (yield* this.#advance_to(at)) !== 0) return;
      at = yield* this.#set_in_window(at, end - 1n);
    }
  }

  /** Sets the bits of [iova, last] that are in the window. Returns the first IOVA that is beyond it. */
  *#set_in_window(iova: bigint, last: bigint): Gen<bigint> {
    const bit = (at: bigint): number =>
      Number((at - this.#mapped_iova) >> this.#pgshift) + this.#pgoff * BITS_PER_BYTE;
    const last_bit = bit(last);
    for (let cur_bit = bit(iova); cur_bit <= last_bit; ) {
      const page_idx = Math.floor(cur_bit / BITS_PER_PAGE);
      if (page_idx >= this.#npages && !bugD4a())
        return last + 1n - (BigInt(last_bit - cur_bit + 1) << this.#pgshift);
      const offset = cur_bit % BITS_PER_PAGE;
      const nbits = Math.min(BITS_PER_PAGE - offset, last_bit - cur_bit + 1);
      yield* bitmap_set(page_at(this.#pages, page_idx), offset, nbits);
      cur_bit += nbits;
    }
    return last + 1n;
  }

  /** Unpins what is pinned. */
  free(): Gen<void> {
    return this.#put();
  }
}

/**
 * The bitmap at user address `data` of [iova, iova + length), a bit for `page_size` bytes, of which the lowest
 * bit counts. End with `free`. -ENOMEM.
 */
export function iova_bitmap_alloc(
  iova: bigint,
  length: bigint,
  page_size: bigint,
  data: bigint,
): user_bitmap | Err {
  if (kvzalloc(STRUCT_SIZE, 'a bitmap') === null) return fail(ENOMEM, 'no memory for the bitmap');
  if (kvzalloc(PAGE_SIZE, 'a page') === null) return fail(ENOMEM, "no memory for the bitmap's pages");
  return new user_bitmap(iova, length, page_size, data);
}
