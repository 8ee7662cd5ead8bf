// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/io_pagetable.c (6.12): which IOVA is free, may be handed out, or is reserved. */
import { HPAGE_PMD_NR, PAGE_SIZE } from '../../hw/memory.ts';
import {
  type interval_tree,
  interval_tree_insert,
  interval_tree_iter_first,
  type interval_tree_node,
  interval_tree_remove,
  RB_EMPTY_ROOT,
} from '../../sim/collections/interval-tree.ts';
import { interval_tree_for_each_span } from '../../sim/collections/spans.ts';
import { type Err, fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Observed } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { down_write, lockdep_assert_held_write, up_write } from '../../sim/sync/rwsem.ts';
import type { Gen } from '../../sim/task.ts';
import { bug } from '../../sim/variant.ts';
import { EADDRINUSE, EEXIST, EINVAL, ENOMEM, ENOSPC, EOVERFLOW } from '../../uapi/errno.ts';
import { interval_tree_for_each_double_span } from './double_span.h.ts';
import {
  type iopt_allowed,
  iopt_allowed_iter_first,
  iopt_allowed_iter_next,
  iopt_area_iter_first,
  iopt_reserved,
  iopt_reserved_iter_first,
  iopt_reserved_iter_next,
  ULONG_MAX,
} from './io_pagetable.h.ts';
import type { io_pagetable } from './iommufd_private.h.ts';

const fn = sourceFile('drivers/iommu/iommufd/io_pagetable.c');

const PAGE = BigInt(PAGE_SIZE);
/** What transparent huge pages are aligned to: alignment beyond gains nothing. */
const HPAGE_SIZE = PAGE * BigInt(HPAGE_PMD_NR);

/** The lowest power of two that is no less than `n`, a positive number of at most HPAGE_SIZE. */
const roundup_pow_of_two = (n: number): number => 2 ** (32 - Math.clz32(n - 1));

/** The greatest power of two that divides `n`, which is not 0. */
export const lowest_bit = (n: bigint): bigint => n & -n;

const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/**
 * What an IOVA for memory at `uptr` is aligned to, so that huge pages of the memory can be mapped as such.
 */
function alignment_for(uptr: bigint, length: bigint): bigint {
  // Linux takes the minimum last; rounding up before or after is the same.
  const wanted = BigInt(roundup_pow_of_two(Number(smaller(length, HPAGE_SIZE))));
  return uptr === 0n ? wanted : smaller(wanted, lowest_bit(uptr));
}

const bugB6 = bug('B6', {
  at: 'drivers/iommu/iommufd/io_pagetable.c:iopt_alloc_iova',
  about: 'An IOVA near the end of the space is aligned to one at its beginning',
  source: 'iommufd: Prevent ALIGN() overflow (CVE-2025-38688; 6.2 to 6.16, 6.12.42)',
  cure: 'Nothing is found where aligning overflows: -ENOSPC',
});

/** The lowest suitable IOVA in [start, last], or null. */
function __alloc_iova_check_range(
  start: bigint,
  last: bigint,
  length: bigint,
  iova_alignment: bigint,
  page_offset: bigint,
): bigint | null {
  const end = start + (iova_alignment - 1n);
  if (end > ULONG_MAX && !bugB6()) return null;
  // 6.12 does this: aligned to less than half a page, the IOVA may get another offset than the memory has.
  const aligned_start = (BigInt.asUintN(64, end) & ~(iova_alignment - 1n)) | page_offset;
  // 6.12 does this: a range that is exactly one byte is never taken.
  if (aligned_start >= last || last - aligned_start < length - 1n) return null;
  return aligned_start;
}

/**
 * The lowest IOVA that is allowed and neither used nor reserved, for `length` bytes of memory at `uptr`;
 * never in the first page or the last. -EOVERFLOW: length; -EINVAL: `uptr` or `length` is less aligned than
 * the table demands; -ENOSPC.
 */
export const iopt_alloc_iova = fn(
  'iopt_alloc_iova',
  (iopt: io_pagetable, uptr: bigint, length: bigint): bigint | Err => {
    const page_offset = uptr % PAGE;
    if (length === 0n || length >= ULONG_MAX / 2n) return fail(EOVERFLOW, 'the length is 0 or too great');
    const iova_alignment = alignment_for(uptr, length);
    if (iova_alignment < iopt.iova_alignment) {
      return fail(EINVAL, 'the memory is less aligned than the table demands');
    }
    for (const allowed of interval_tree_for_each_span(iopt.allowed_itree, PAGE, ULONG_MAX - PAGE)) {
      if (RB_EMPTY_ROOT(iopt.allowed_itree)) allowed.is_hole = 0;
      if (allowed.is_hole !== 0) continue;
      const { start_used, last_used } = allowed;
      const from = __alloc_iova_check_range(start_used, last_used, length, iova_alignment, page_offset);
      if (from === null) continue;
      for (const span of interval_tree_for_each_double_span(
        iopt.reserved_itree,
        iopt.area_itree,
        from,
        last_used,
      )) {
        if (span.is_used !== 0) continue;
        const iova = __alloc_iova_check_range(span.start, span.last, length, iova_alignment, page_offset);
        if (iova !== null) return iova;
      }
    }
    return fail(ENOSPC, 'no free IOVA is long enough');
  },
);

/**
 * Whether [iova, iova + length) is free. -EINVAL: not aligned, or reserved; -EOVERFLOW; -EEXIST: an area is
 * there.
 */
export const iopt_check_iova = fn(
  'iopt_check_iova',
  (iopt: io_pagetable, iova: bigint, length: bigint): Rc => {
    if ((iova & (iopt.iova_alignment - 1n)) !== 0n) {
      return fail(EINVAL, 'the IOVA is less aligned than the table demands');
    }
    const last = iova + (length - 1n);
    if (last > ULONG_MAX) return fail(EOVERFLOW, 'the range ends beyond the IOVA space');
    if (iopt_reserved_iter_first(iopt, iova, last) !== null) {
      return fail(EINVAL, 'part of the range is reserved');
    }
    if (iopt_area_iter_first(iopt, iova, last) !== null) {
      return fail(EEXIST, 'part of the range is mapped already');
    }
    return 0;
  },
);

/** Takes the nodes out of a tree, one by one. */
function* take_all<T>(tree: interval_tree<T>): Generator<interval_tree_node<T>, void> {
  for (;;) {
    const node = interval_tree_iter_first(tree, 0n, ULONG_MAX);
    if (node === null) return;
    interval_tree_remove(node, tree);
    yield node;
  }
}

/** Exchanges what two trees hold. */
function swap<T>(a: interval_tree<T>, b: interval_tree<T>): void {
  const [fromA, fromB] = [[...take_all(a)], [...take_all(b)]];
  for (const node of fromA) interval_tree_insert(node, b);
  for (const node of fromB) interval_tree_insert(node, a);
}

/** Frees what a tree holds. */
export function free_allowed(tree: interval_tree<iopt_allowed>): void {
  for (const node of take_all(tree)) kfree(node.item);
}

/**
 * Makes `allowed_iova` the IOVA that may be handed out without being asked for and can no longer become
 * reserved; no node means all. Afterwards `allowed_iova` holds what the caller has to free: the nodes of
 * before or, on error, his own. -EADDRINUSE: some of it is reserved.
 */
export const iopt_set_allow_iova = fn(
  'iopt_set_allow_iova',
  function* (iopt: io_pagetable, allowed_iova: interval_tree<iopt_allowed>): Gen<Rc> {
    yield* down_write(iopt.iova_rwsem);
    swap(allowed_iova, iopt.allowed_itree);
    let allowed = iopt_allowed_iter_first(iopt, 0n, ULONG_MAX);
    for (; allowed !== null; allowed = iopt_allowed_iter_next(allowed, 0n, ULONG_MAX)) {
      if (iopt_reserved_iter_first(iopt, allowed.node.start, allowed.node.last) === null) continue;
      swap(allowed_iova, iopt.allowed_itree);
      yield* up_write(iopt.iova_rwsem);
      return fail(EADDRINUSE, 'a range to be allowed is reserved');
    }
    yield* up_write(iopt.iova_rwsem);
    return 0;
  },
);

/**
 * Keeps [start, last] from being mapped until `owner` takes his reservations back; null is an owner too. With
 * iova_rwsem held for writing. -EADDRINUSE: part of it is mapped or allowed; -ENOMEM.
 */
export const iopt_reserve_iova = fn(
  'iopt_reserve_iova',
  (iopt: io_pagetable, start: bigint, last: bigint, owner: Observed | null): Rc => {
    lockdep_assert_held_write(iopt.iova_rwsem);
    if (iopt_area_iter_first(iopt, start, last) !== null) {
      return fail(EADDRINUSE, 'part of the range to be reserved is mapped');
    }
    if (iopt_allowed_iter_first(iopt, start, last) !== null) {
      return fail(EADDRINUSE, 'part of the range to be reserved is allowed');
    }
    const reserved = kzalloc(iopt_reserved, iopt.$allocation, 'reserved');
    if (reserved === null) return fail(ENOMEM, 'no memory for the reservation');
    reserved.node.start = start;
    reserved.node.last = last;
    reserved.owner = owner;
    interval_tree_insert(reserved.node, iopt.reserved_itree);
    return 0;
  },
);

/** As iopt_remove_reserved_iova, with iova_rwsem held for writing. */
export const __iopt_remove_reserved_iova = fn(
  '__iopt_remove_reserved_iova',
  (iopt: io_pagetable, owner: Observed | null): void => {
    lockdep_assert_held_write(iopt.iova_rwsem);
    let reserved = iopt_reserved_iter_first(iopt, 0n, ULONG_MAX);
    while (reserved !== null) {
      const next = iopt_reserved_iter_next(reserved, 0n, ULONG_MAX);
      if (reserved.owner === owner) {
        interval_tree_remove(reserved.node, iopt.reserved_itree);
        kfree(reserved);
      }
      reserved = next;
    }
  },
);

/** Takes all of an owner's reservations back. */
export const iopt_remove_reserved_iova = fn(
  'iopt_remove_reserved_iova',
  function* (iopt: io_pagetable, owner: Observed | null): Gen<void> {
    yield* down_write(iopt.iova_rwsem);
    __iopt_remove_reserved_iova(iopt, owner);
    yield* up_write(iopt.iova_rwsem);
  },
);
