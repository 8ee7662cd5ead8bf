// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import { PAGE_SIZE } from '../../hw/memory.ts';
import { current } from '../../sim/context.ts';
import { type Err, IS_ERR } from '../../sim/errno.ts';
import { refcount_init } from '../../sim/sync/refcount.ts';
import type { Gen } from '../../sim/task.ts';
import { EFAULT, EINVAL, ENODEV, ENOENT, ENOIOCTLCMD } from '../../uapi/errno.ts';
import { type Layout, view } from '../../uapi/layout.ts';
import * as uapi from '../../uapi/vfio.ts';
import { file } from '../fs/file.ts';
import { type mm_struct, PROT_READ, PROT_WRITE, user_load, user_store } from '../mm/mm.ts';
import { map, run } from '../mm/testing.ts';
import { iopt_reserve_iova } from './io_pagetable_iova.ts';
import { iommufd_ctx, type iommufd_ioas } from './iommufd_private.h.ts';
import { iommufd_get_ioas, iommufd_object_remove } from './main.ts';
import { iommufd_vfio_ioctl } from './vfio_compat.ts';
import {
  iommufd_vfio_compat_ioas_create,
  iommufd_vfio_compat_ioas_get_id,
  iommufd_vfio_compat_set_no_iommu,
} from './vfio_compat_ioas.ts';

const PAGE = BigInt(PAGE_SIZE);
const USER = 0x10_0000n;
const ARG = 0x20_0000n;
const IOVA = 0x100_0000n;
const RW = uapi.VFIO_DMA_MAP_FLAG_READ | uapi.VFIO_DMA_MAP_FLAG_WRITE;

function ok<T>(it: T | Err): T {
  if (IS_ERR(it)) throw new Error(`unexpected error ${it}`);
  return it;
}

function context(): iommufd_ctx {
  const filp = new file(current(), 'file');
  refcount_init(filp.f_count, 1);
  const ictx = new iommufd_ctx(current(), 'iommufd');
  ictx.file = filp;
  return ictx;
}

function* compat_ioas(ictx: iommufd_ctx): Gen<iommufd_ioas> {
  return ok(yield* iommufd_get_ioas(ictx, ok(yield* iommufd_vfio_compat_ioas_get_id(ictx))));
}

/** A program's memory with a page for arguments and eight to map. */
function provide(mm: mm_struct): void {
  map(mm, USER, 8n * PAGE, PROT_READ | PROT_WRITE);
  map(mm, ARG, PAGE, PROT_READ | PROT_WRITE);
}

/** Calls with a struct at ARG and `room` bytes after it, and returns what is there then. */
function* call<V extends object>(
  ictx: iommufd_ctx,
  mm: mm_struct,
  cmd: number,
  layout: Layout<V>,
  fields: Partial<V>,
  room = 0,
): Gen<{ ret: number; bytes: Uint8Array; out: V }> {
  const sent = new Uint8Array(layout.size + room);
  Object.assign(view(layout, sent), fields);
  user_store(mm, ARG, sent);
  const ret = yield* iommufd_vfio_ioctl(ictx, cmd, ARG);
  const bytes = user_load(mm, ARG, sent.length) ?? new Uint8Array(sent.length);
  return { ret, bytes, out: view(layout, bytes) };
}

const dma_map = (iova: bigint, size: bigint, flags = RW) => ({
  argsz: uapi.vfio_iommu_type1_dma_map.size,
  flags,
  vaddr: USER,
  iova,
  size,
});
const dma_unmap = (iova: bigint, size: bigint, flags = 0) => ({
  argsz: uapi.vfio_iommu_type1_dma_unmap.size,
  flags,
  iova,
  size,
});

test('a compatibility IOAS is made once, found by id, and gone with its object', () => {
  const warnings = run(function* () {
    const ictx = context();
    expect(yield* iommufd_vfio_compat_ioas_get_id(ictx)).toBe(-ENODEV);
    expect(yield* iommufd_vfio_compat_ioas_create(ictx)).toBe(0);
    const id = ok(yield* iommufd_vfio_compat_ioas_get_id(ictx));
    expect(yield* iommufd_vfio_compat_ioas_create(ictx)).toBe(0);
    expect(yield* iommufd_vfio_compat_ioas_get_id(ictx)).toBe(id);
    expect(yield* iommufd_vfio_compat_set_no_iommu(ictx)).toBe(-EINVAL);
    expect(yield* iommufd_object_remove(ictx, null, id, 0)).toBe(0);
    expect(yield* iommufd_vfio_compat_ioas_get_id(ictx)).toBe(-ENODEV);
    expect(yield* iommufd_get_ioas(ictx, id)).toBe(-ENOENT);
  });
  expect(warnings).toEqual([]);
});

test('with a device without an IOMMU there is no IOAS and no type of IOMMU', () => {
  run(function* () {
    const ictx = context();
    const ioctl = (cmd: number, arg: number) => iommufd_vfio_ioctl(ictx, cmd, BigInt(arg));
    expect(yield* ioctl(uapi.VFIO_CHECK_EXTENSION, uapi.VFIO_UNMAP_ALL)).toBe(1);
    expect(yield* ioctl(uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU)).toBe(-ENODEV);
    expect(yield* iommufd_vfio_compat_set_no_iommu(ictx)).toBe(0);
    expect(yield* iommufd_vfio_compat_ioas_create(ictx)).toBe(-EINVAL);
    expect(yield* ioctl(uapi.VFIO_CHECK_EXTENSION, uapi.VFIO_UNMAP_ALL)).toBe(0);
    expect(yield* ioctl(uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU)).toBe(-EINVAL);
    expect(yield* ioctl(uapi.VFIO_CHECK_EXTENSION, uapi.VFIO_DMA_CC_IOMMU)).toBe(-ENODEV);
    expect(yield* ioctl(uapi.VFIO_IOMMU_DIRTY_PAGES, 0)).toBe(-ENOIOCTLCMD);
  });
});

test('TYPE1 unmaps the middle of what was mapped, TYPE1v2 does not', () => {
  run(function* (mm) {
    provide(mm);
    for (const type of [uapi.VFIO_TYPE1_IOMMU, uapi.VFIO_TYPE1v2_IOMMU]) {
      const ictx = context();
      expect(yield* iommufd_vfio_compat_ioas_create(ictx)).toBe(0);
      expect(yield* iommufd_vfio_ioctl(ictx, uapi.VFIO_SET_IOMMU, BigInt(type))).toBe(0);
      const mapped = dma_map(IOVA, 8n * PAGE);
      const { vfio_iommu_type1_dma_map, vfio_iommu_type1_dma_unmap } = uapi;
      const made = yield* call(ictx, mm, uapi.VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map, mapped);
      expect(made.ret).toBe(0);
      const middle = dma_unmap(IOVA + PAGE, 2n * PAGE);
      const cut = yield* call(ictx, mm, uapi.VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, middle);
      const type1 = type === uapi.VFIO_TYPE1_IOMMU;
      expect([cut.ret, cut.out.size]).toEqual(type1 ? [0, 2n * PAGE] : [-ENOENT, 0n]);
      const all = dma_unmap(0n, 0n, uapi.VFIO_DMA_UNMAP_FLAG_ALL);
      const rest = yield* call(ictx, mm, uapi.VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, all);
      expect([rest.ret, rest.out.size]).toEqual([0, (type1 ? 6n : 8n) * PAGE]);
    }
  });
});

test('what mapping and unmapping refuse', () => {
  run(function* (mm) {
    provide(mm);
    const ictx = context();
    const { VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_map } = uapi;
    const { vfio_iommu_type1_dma_unmap, VFIO_DMA_UNMAP_FLAG_ALL, VFIO_DMA_UNMAP_FLAG_VADDR } = uapi;
    const mapping = (it: object) => call(ictx, mm, VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map, it);
    const unmapping = (it: object) => call(ictx, mm, VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, it);
    // The argument is looked at before the IOAS.
    expect(yield* iommufd_vfio_ioctl(ictx, VFIO_IOMMU_MAP_DMA, 0x40_0000n)).toBe(-EFAULT);
    expect((yield* mapping({ ...dma_map(IOVA, PAGE), argsz: 31 })).ret).toBe(-EINVAL);
    expect((yield* mapping(dma_map(IOVA, PAGE, RW | uapi.VFIO_DMA_MAP_FLAG_VADDR))).ret).toBe(-EINVAL);
    expect((yield* mapping(dma_map(IOVA, PAGE))).ret).toBe(-ENODEV);
    expect((yield* unmapping({ ...dma_unmap(IOVA, PAGE), argsz: 23 })).ret).toBe(-EINVAL);
    for (const flags of [uapi.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, VFIO_DMA_UNMAP_FLAG_VADDR]) {
      expect((yield* unmapping(dma_unmap(IOVA, PAGE, flags))).ret).toBe(-EINVAL);
    }
    expect((yield* unmapping(dma_unmap(IOVA, PAGE))).ret).toBe(-ENODEV);
    expect(yield* iommufd_vfio_compat_ioas_create(ictx)).toBe(0);
    const wrong = yield* unmapping(dma_unmap(0n, PAGE, VFIO_DMA_UNMAP_FLAG_ALL));
    expect([wrong.ret, wrong.out.size]).toEqual([-EINVAL, PAGE]);
    const none = yield* unmapping(dma_unmap(IOVA, PAGE));
    expect([none.ret, none.out.size]).toEqual([0, 0n]);
  });
});

test('the chain of capabilities, with less and less room for it', () => {
  run(function* (mm) {
    provide(mm);
    const ictx = context();
    expect(yield* iommufd_vfio_compat_ioas_create(ictx)).toBe(0);
    const ioas = yield* compat_ioas(ictx);
    ok(iopt_reserve_iova(ioas.iopt, 0x1000n, 0x1fffn, current()));
    const layout = uapi.vfio_iommu_type1_info;
    const info = (argsz: number) => call(ictx, mm, uapi.VFIO_IOMMU_GET_INFO, layout, { argsz, pad: 7 }, 100);

    // The struct, 24 bytes; what may be mapped yet, 12, at 24; two ranges, 16 + 2 * 16, at 40.
    const whole = yield* info(88);
    const { argsz, flags, cap_offset, pad } = whole.out;
    expect([whole.ret, argsz, flags, cap_offset, pad]).toEqual([0, 88, 3, 24, 0]);
    const avail = view(uapi.vfio_iommu_type1_info_dma_avail, whole.bytes, 24);
    expect([avail['header.id'], avail['header.next'], avail.avail]).toEqual([3, 40, 0xffffffff]);
    const ranges = view(uapi.vfio_iommu_type1_info_cap_iova_range, whole.bytes, 40);
    expect([ranges['header.id'], ranges['header.next'], ranges.nr_iovas]).toEqual([1, 0, 2]);
    const range = view(uapi.vfio_iova_range, whole.bytes, 72);
    expect([range.start, range.end]).toEqual([0x2000n, 0xffff_ffff_ffff_ffffn]);

    const less = yield* info(87);
    expect([less.ret, less.out.argsz, less.out.cap_offset]).toEqual([0, 88, 0]);
    // It refers to a capability that is not there, but for its first range.
    expect(view(uapi.vfio_iommu_type1_info_dma_avail, less.bytes, 24)['header.next']).toBe(40);
    expect(view(uapi.vfio_iommu_type1_info_cap_iova_range, less.bytes, 40).nr_iovas).toBe(0);
    expect(view(uapi.vfio_iova_range, less.bytes, 56).end).toBe(0xfffn);
    const bare = yield* info(16);
    expect([bare.ret, bare.out.argsz, bare.out.pad]).toEqual([0, 88, 7]);
    expect((yield* info(15)).ret).toBe(-EINVAL);
  });
});
