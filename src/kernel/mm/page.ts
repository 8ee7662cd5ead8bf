// SPDX-License-Identifier: GPL-2.0-only

/** Pages by frame number: references and pins (include/linux/mm.h, mm/gup.c, 6.12). */
import { memory, type page_owner, pfn } from '../../hw/memory.ts';
import type { Observed } from '../../sim/observed.ts';
import { op } from '../../sim/op.ts';
import { operation } from '../../sim/point.ts';
import type { Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';

/** What a pin counts in the reference count of an ordinary page. */
export const GUP_PIN_COUNTING_BIAS = 1024;

/**
 * What reads of anonymous memory show that was never written. It belongs to nobody, and is neither counted
 * nor ever free.
 */
export const ZERO_PFN: pfn = pfn(1);

/** Pages with consecutive frame numbers. */
export interface page_run {
  readonly start: pfn;
  readonly count: number;
}

/** Appends pages to a list of runs, to the last of them if they follow it. */
export function add_pages(pages: page_run[], start: pfn, count: number): void {
  const end = pages.at(-1);
  if (end !== undefined && end.start + end.count === start && start !== ZERO_PFN) {
    pages[pages.length - 1] = { start: end.start, count: end.count + count };
  } else {
    pages.push({ start, count });
  }
}

/** How many pages a list of runs has. */
export const count_pages = (pages: readonly page_run[]): number =>
  pages.reduce((sum, { count }) => sum + count, 0);

const COUNTS: readonly string[] = ['unpin_user_page', 'folio_put'];
const READS: readonly string[] = ['page_ref_count'];
const UNPIN = op<Observed>('unpin_user_page', { commutes: COUNTS, opaque: true });
const PUT = op<Observed>('folio_put', { commutes: COUNTS, opaque: true });
const COUNT = op<Observed>('page_ref_count', { commutes: READS, opaque: true });

/** Does something to the pages of a run, in one step for each owner; nothing to the zero page. */
function* each(
  { start, count }: page_run,
  kind: typeof UNPIN,
  visit: (owner: page_owner, first: number, last: number) => void,
): Gen<void> {
  if (start === ZERO_PFN) return;
  for (let at: number = start; at < start + count; ) {
    const found = memory().find(at, start + count - at);
    if (WARN_ON(found === null || found.owner.$freed, `${kind.name} of ${memory().describe(at)}`)) return;
    if (found === null) return;
    const { owner, index } = found;
    yield* operation(kind, owner.order, () => visit(owner, index, index + found.count - 1));
    at += found.count;
  }
}

const unpin = (owner: page_owner, first: number, last: number): void => owner.unpin(first, last);
const put = (owner: page_owner, first: number, last: number): void => owner.drop(first, last);

/**
 * Takes back a pin of each page; pages that nothing else holds are free then. A point at which others may go
 * first, for each owner of pages (mm/gup.c: unpin_user_pages).
 */
export function* unpin_user_pages(pages: readonly page_run[]): Gen<void> {
  for (const run of pages) yield* each(run, UNPIN, unpin);
}

/** As unpin_user_pages, of one page. */
export const unpin_user_page = (page: pfn): Gen<void> => each({ start: page, count: 1 }, UNPIN, unpin);

/**
 * As unpin_user_pages, of `npages` pages from `page` on. Whether they are marked dirty makes no difference
 * here: nothing writes pages back (mm/gup.c: unpin_user_page_range_dirty_lock).
 */
export const unpin_user_page_range_dirty_lock = (
  page: pfn,
  npages: number,
  _make_dirty: boolean,
): Gen<void> => each({ start: page, count: npages }, UNPIN, unpin);

/** As unpin_user_pages; see unpin_user_page_range_dirty_lock for `_make_dirty`. */
export const unpin_user_pages_dirty_lock = (pages: readonly page_run[], _make_dirty: boolean): Gen<void> =>
  unpin_user_pages(pages);

/** Drops a reference that get_user_pages_fast took (include/linux/mm.h). */
export const put_page = (page: pfn): Gen<void> => each({ start: page, count: 1 }, PUT, put);

/** The reference count of a page, pins included; of the zero page 1. */
export function* page_ref_count(page: pfn): Gen<number> {
  let sum = page === ZERO_PFN ? 1 : 0;
  yield* each({ start: page, count: 1 }, COUNT, (owner, index) => {
    sum = (owner.refs.get(index) ?? 0) + (owner.pins.get(index) ?? 0) * GUP_PIN_COUNTING_BIAS;
  });
  return sum;
}

/** Whether a page is part of a larger one: of a huge page (include/linux/page-flags.h). */
export const PageCompound = (page: pfn): boolean => memory().find(page)?.owner.compound === true;
