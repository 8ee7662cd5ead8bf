// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import { PAGE_SIZE } from '../../hw/memory.ts';
import { current } from '../../sim/context.ts';
import { type Err, IS_ERR } from '../../sim/errno.ts';
import { Observed } from '../../sim/observed.ts';
import { refcount_init } from '../../sim/sync/refcount.ts';
import type { Gen } from '../../sim/task.ts';
import { EBUSY, EINVAL, ENOENT, EOVERFLOW, EPERM } from '../../uapi/errno.ts';
import { file } from '../fs/file.ts';
import { IOMMU_CACHE, IOMMU_READ, IOMMU_WRITE } from '../iommu/iommu.h.ts';
import { PROT_READ, PROT_WRITE, user_load, user_store } from '../mm/mm.ts';
import { count_pages, type page_run } from '../mm/page.ts';
import { map, pattern, run } from '../mm/testing.ts';
import {
  iommufd_access_attach,
  iommufd_access_create,
  iommufd_access_destroy,
  iommufd_access_detach,
  iommufd_access_pin_pages,
  iommufd_access_replace,
  iommufd_access_rw,
  iommufd_access_unpin_pages,
} from './access.ts';
import { ULONG_MAX } from './io_pagetable.h.ts';
import { iopt_map_user_pages } from './io_pagetable_map.ts';
import { iopt_unmap_iova } from './io_pagetable_unmap.ts';
import { iommufd_ioas_alloc } from './ioas.ts';
import {
  IOMMUFD_ACCESS_RW_WRITE,
  type iommufd_access,
  type iommufd_access_ops,
  iommufd_ctx,
  type iommufd_ioas,
} from './iommufd_private.h.ts';
import { iommufd_object_finalize, iommufd_object_remove } from './main.ts';

const USER = 0x10_0000n;
const IOVA = 0x100_0000n;
const PAGE = BigInt(PAGE_SIZE);

class driver extends Observed {}

function ok<T>(it: T | Err): T {
  if (IS_ERR(it)) throw new Error(`unexpected error ${it}`);
  return it;
}

function* context_with_ioas(): Gen<{ ictx: iommufd_ctx; first: iommufd_ioas; second: iommufd_ioas }> {
  const filp = new file(current(), 'file');
  refcount_init(filp.f_count, 1);
  const ictx = new iommufd_ctx(current(), 'iommufd');
  ictx.file = filp;
  const first = ok(yield* iommufd_ioas_alloc(ictx));
  yield* iommufd_object_finalize(ictx, first);
  const second = ok(yield* iommufd_ioas_alloc(ictx));
  yield* iommufd_object_finalize(ictx, second);
  return { ictx, first, second };
}

/** Maps pages of the program at IOVA, one area each. */
function* map_pages(ictx: iommufd_ctx, { iopt }: iommufd_ioas, prots: readonly number[]): Gen<void> {
  for (const [i, prot] of prots.entries()) {
    const offset = BigInt(i) * PAGE;
    ok(yield* iopt_map_user_pages(ictx, iopt, IOVA + offset, USER + offset, PAGE, prot, 0));
  }
}

const RW = IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE;
const R = IOMMU_READ | IOMMU_CACHE;
const NO_PIN: iommufd_access_ops = { needs_pin_pages: false };

test('bytes are read and written across areas, as far as each allows it', () => {
  const warnings = run(function* (mm) {
    map(mm, USER, 3n * PAGE, PROT_READ | PROT_WRITE);
    const { ictx, first } = yield* context_with_ioas();
    yield* map_pages(ictx, first, [RW, RW, R]);
    const access = ok(yield* iommufd_access_create(ictx, NO_PIN, new driver(current(), 'driver')));
    const write = (iova: bigint, data: Uint8Array) =>
      iommufd_access_rw(access, iova, data, IOMMUFD_ACCESS_RW_WRITE);
    const data = pattern(2 * PAGE_SIZE - 100);
    expect(yield* write(IOVA, data)).toBe(-ENOENT);
    expect(yield* iommufd_access_attach(access, first.id)).toBe(0);

    expect(yield* write(IOVA + 50n, data)).toBe(0);
    expect(user_load(mm, USER + 50n, data.length)).toEqual(data);
    const back = new Uint8Array(data.length);
    expect(yield* iommufd_access_rw(access, IOVA + 50n, back, 0)).toBe(0);
    expect(back).toEqual(data);

    // What lies before the area that refuses has been written.
    user_store(mm, USER, new Uint8Array(3 * PAGE_SIZE));
    expect(yield* write(IOVA + PAGE, data)).toBe(-EPERM);
    expect(user_load(mm, USER + PAGE, PAGE_SIZE)).toEqual(data.subarray(0, PAGE_SIZE));
    expect(user_load(mm, USER + 2n * PAGE, PAGE_SIZE)).toEqual(new Uint8Array(PAGE_SIZE));
    expect(yield* iommufd_access_rw(access, IOVA + 2n * PAGE, data, 0)).toBe(-ENOENT);
    expect(yield* iommufd_access_rw(access, IOVA, new Uint8Array(0), 0)).toBe(-EINVAL);
    expect(yield* iommufd_access_rw(access, ULONG_MAX, new Uint8Array(2), 0)).toBe(-EOVERFLOW);

    yield* iommufd_access_detach(access);
    expect(yield* write(IOVA, data)).toBe(-ENOENT);
    yield* iommufd_access_destroy(access);
    expect([first.users.refs, ictx.file?.f_count.refs]).toEqual([1, 1]);
  });
  expect(warnings).toEqual([]);
});

/** A driver that pins, and unpins when it is told to. */
class Pinning {
  readonly told: (readonly [iova: bigint, length: bigint])[] = [];
  readonly pinned: (readonly [iova: bigint, length: bigint])[] = [];
  access: iommufd_access | null = null;

  *unmap(iova: bigint, length: bigint): Gen<void> {
    this.told.push([iova, length]);
    for (const [start, size] of this.pinned.splice(0)) {
      if (this.access !== null) yield* iommufd_access_unpin_pages(this.access, start, size);
    }
  }

  *pin(iova: bigint, length: bigint, flags: number): Gen<number> {
    const pages: page_run[] = [];
    if (this.access === null) throw new Error('nothing to pin with');
    const rc = yield* iommufd_access_pin_pages(this.access, iova, length, pages, flags);
    if (rc !== 0) return rc;
    this.pinned.push([iova, length]);
    return count_pages(pages);
  }

  *create(ictx: iommufd_ctx): Gen<iommufd_access> {
    const ops: iommufd_access_ops = {
      needs_pin_pages: true,
      unmap: (_data, iova, length) => this.unmap(iova, length),
    };
    this.access = ok(yield* iommufd_access_create(ictx, ops, new driver(current(), 'driver')));
    return this.access;
  }
}

test('pages are pinned until they are unmapped, all of a range or none', () => {
  const warnings = run(function* (mm) {
    map(mm, USER, 3n * PAGE, PROT_READ | PROT_WRITE);
    const { ictx, first } = yield* context_with_ioas();
    yield* map_pages(ictx, first, [RW, RW, R]);
    const it = new Pinning();
    const access = yield* it.create(ictx);
    expect(yield* it.pin(IOVA, PAGE, 0)).toBe(-ENOENT);
    expect(yield* iommufd_access_attach(access, first.id)).toBe(0);

    expect(yield* it.pin(IOVA, 3n * PAGE, 0)).toBe(3);
    expect(yield* it.pin(IOVA, 3n * PAGE, IOMMUFD_ACCESS_RW_WRITE)).toBe(-EPERM);
    expect(yield* it.pin(IOVA, 4n * PAGE, 0)).toBe(-ENOENT);
    expect(yield* it.pin(IOVA + 8n, PAGE, 0)).toBe(-EINVAL);
    expect(yield* it.pin(IOVA, 0n, 0)).toBe(-EINVAL);
    expect(yield* it.pin(ULONG_MAX, 2n, 0)).toBe(-EOVERFLOW);
    expect(it.told).toEqual([]);

    // Had a failed one left a pin behind, this would be refused.
    expect(ok(yield* iopt_unmap_iova(first.iopt, IOVA, 3n * PAGE)).unmapped).toBe(3n * PAGE);
    expect(it.told.length).toBeGreaterThan(0);
    expect(it.pinned).toEqual([]);
    yield* iommufd_access_destroy(access);
    expect([first.users.refs, ictx.file?.f_count.refs]).toEqual([1, 1]);
  });
  expect(warnings).toEqual([]);
});

test('an access that moves to another IOAS lets go of all that it has pinned, and nobody moves it meanwhile', () => {
  const warnings = run(function* (mm) {
    map(mm, USER, PAGE, PROT_READ | PROT_WRITE);
    const { ictx, first, second } = yield* context_with_ioas();
    yield* map_pages(ictx, first, [RW]);
    const it = new Pinning();
    const answers: number[] = [];
    const access = yield* it.create(ictx);
    expect(yield* iommufd_access_replace(access, first.id)).toBe(-ENOENT);
    expect(yield* iommufd_access_attach(access, 999)).toBe(-ENOENT);
    expect(yield* iommufd_access_attach(access, first.id)).toBe(0);
    expect(yield* it.pin(IOVA, PAGE, 0)).toBe(1);
    expect(yield* iommufd_object_remove(ictx, null, first.id, 0)).toBe(-EBUSY);

    const unmap = it.unmap.bind(it);
    it.unmap = function* (iova, length) {
      answers.push(yield* iommufd_access_replace(access, first.id));
      answers.push(yield* iommufd_access_attach(access, first.id));
      answers.push(yield* it.pin(IOVA, PAGE, 0));
      yield* unmap(iova, length);
    };
    expect(yield* iommufd_access_replace(access, second.id)).toBe(0);
    expect(it.told).toEqual([[0n, ULONG_MAX]]);
    expect(answers).toEqual([-ENOENT, -EBUSY, -ENOENT]);
    expect([first.users.refs, second.users.refs]).toEqual([1, 2]);
    // The same again changes nothing.
    expect(yield* iommufd_access_replace(access, second.id)).toBe(0);
    expect(it.told).toHaveLength(1);
    it.unmap = unmap;
    yield* iommufd_access_destroy(access);
    expect([second.users.refs, ictx.file?.f_count.refs]).toEqual([1, 1]);
  });
  expect(warnings).toEqual([]);
});
