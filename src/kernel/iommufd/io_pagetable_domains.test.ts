// SPDX-License-Identifier: GPL-2.0-only
import { beforeEach, expect, test } from 'vitest';
import { list_add_tail } from '../../sim/collections/list.ts';
import { interval_tree_for_each_span } from '../../sim/collections/spans.ts';
import { boot, inTask, recorded } from '../../sim/collections/testing.ts';
import { xa_for_each } from '../../sim/collections/xarray.ts';
import { fail } from '../../sim/errno.ts';
import type { Machine } from '../../sim/machine.ts';
import { refcount_init } from '../../sim/sync/refcount.ts';
import type { Gen } from '../../sim/task.ts';
import { EADDRINUSE, EDEADLOCK, EEXIST, EINVAL, ENODEV } from '../../uapi/errno.ts';
import { device } from '../driver-core/device.ts';
import {
  dev_iommu,
  IOMMU_CACHE,
  IOMMU_READ,
  iommu_device,
  iommu_domain,
  type iommu_ops,
  iommu_resv_type,
} from '../iommu/iommu.h.ts';
import { iommu_alloc_resv_region } from '../iommu/iommu.ts';
import { spawn } from '../mm/testing.ts';
import { iopt_area_iter_first, ULONG_MAX } from './io_pagetable.h.ts';
import { iopt_init_table } from './io_pagetable.ts';
import {
  iopt_add_access,
  iopt_disable_large_pages,
  iopt_enable_large_pages,
  iopt_remove_access,
  iopt_table_add_domain,
  iopt_table_enforce_dev_resv_regions,
  iopt_table_remove_domain,
} from './io_pagetable_domains.ts';
import { iopt_remove_reserved_iova } from './io_pagetable_iova.ts';
import { iopt_map_user_pages } from './io_pagetable_map.ts';
import { iopt_unmap_iova } from './io_pagetable_unmap.ts';
import { io_pagetable, iommufd_access, iommufd_ctx, iommufd_ioas } from './iommufd_private.h.ts';

const PAGE = 0x1000n;
const READ = IOMMU_CACHE | IOMMU_READ;

let machine: Machine;
let iopt: io_pagetable;

beforeEach(() => {
  machine = boot();
  iopt = new io_pagetable(machine.root, 'iopt');
  iopt_init_table(iopt);
});

/** A domain without a driver: enough for a table in which nothing is mapped. */
function new_domain(
  role: string,
  pgsize_bitmap: bigint,
  aperture_start = 0n,
  aperture_end = ULONG_MAX,
): iommu_domain {
  const domain = new iommu_domain(machine.root, role);
  domain.pgsize_bitmap = pgsize_bitmap;
  domain.geometry.aperture_start = aperture_start;
  domain.geometry.aperture_end = aperture_end;
  return domain;
}

function new_access(role: string, iova_alignment: bigint): iommufd_access {
  const access = new iommufd_access(machine.root, role);
  access.iova_alignment = iova_alignment;
  return access;
}

const warnings = (): string[] =>
  recorded(machine).flatMap((line) => (line.startsWith('WARN ') ? [line.slice(5)] : []));

/** What is not reserved. */
function free_ranges(): string[] {
  const found: string[] = [];
  for (const span of interval_tree_for_each_span(iopt.reserved_itree, 0n, ULONG_MAX)) {
    if (span.is_hole === 1) found.push(`${span.start_hole.toString(16)}-${span.last_hole.toString(16)}`);
  }
  return found;
}

const ALL = `0-${ULONG_MAX.toString(16)}`;

test('a table demands and reserves what its domains need, as long as it has them', () => {
  const [small, large, huge] = [
    new_domain('small', 0xfffff800n),
    new_domain('large', 0x40001000n, 0x2000n, 0xffffn),
    new_domain('huge', 0x200000n),
  ];
  const domains = (): string[] => [...xa_for_each(iopt.domains)].map(([i, { name }]) => `${i} ${name}`);
  inTask(machine, function* () {
    expect(yield* iopt_table_add_domain(iopt, small)).toBe(0);
    expect(iopt.iova_alignment).toBe(0x800n);
    expect(yield* iopt_table_add_domain(iopt, large)).toBe(0);
    expect(yield* iopt_table_add_domain(iopt, huge)).toBe(-EINVAL);
    expect(yield* iopt_table_add_domain(iopt, large)).toBe(-EEXIST);
    expect([iopt.iova_alignment, iopt.next_domain_id]).toEqual([PAGE, 2]);
    expect(free_ranges()).toEqual(['2000-ffff']);
    yield* iopt_table_remove_domain(iopt, small);
    expect(domains()).toEqual(['0 large']);
    yield* iopt_table_remove_domain(iopt, small);
    expect([iopt.iova_alignment, iopt.next_domain_id]).toEqual([PAGE, 1]);
    yield* iopt_table_remove_domain(iopt, large);
  });
  expect([iopt.iova_alignment, iopt.next_domain_id, domains(), free_ranges()]).toEqual([1n, 0, [], [ALL]]);
  expect(warnings()).toEqual(['the table has the domain already', 'the table does not have the domain']);
});

test('what is mapped refuses domains, accesses and options that do not go with it', () => {
  const ictx = new iommufd_ctx(machine.root, 'iommufd');
  const low = new_domain('low', PAGE, 0n, 0xffffn);
  const coarse = new_domain('coarse', PAGE);
  spawn(machine, 'p', function* (): Gen<void> {
    expect(yield* iopt_map_user_pages(ictx, iopt, 0x20000n, PAGE, PAGE, READ, 0)).toBe(0x20000n);
    expect(yield* iopt_table_add_domain(iopt, low)).toBe(-EADDRINUSE);
    expect([free_ranges(), iopt.next_domain_id]).toEqual([[ALL], 0]);
    expect(yield* iopt_disable_large_pages(iopt)).toBe(0);
    expect(iopt.iova_alignment).toBe(PAGE);
    yield* iopt_enable_large_pages(iopt);
    expect(iopt.iova_alignment).toBe(1n);

    expect(yield* iopt_map_user_pages(ictx, iopt, 0x800n, PAGE, 0x400n, READ, 0)).toBe(0x800n);
    expect(yield* iopt_table_add_domain(iopt, coarse)).toBe(-EADDRINUSE);
    expect(yield* iopt_add_access(iopt, new_access('pinning', PAGE))).toBe(-EADDRINUSE);
    expect(yield* iopt_disable_large_pages(iopt)).toBe(-EADDRINUSE);
    expect([iopt.disable_large_pages, iopt.iova_alignment]).toEqual([false, 1n]);

    const [reading, pinning] = [new_access('reading', 1n), new_access('pinning', 0x400n)];
    expect(yield* iopt_add_access(iopt, reading)).toBe(0);
    expect(yield* iopt_add_access(iopt, pinning)).toBe(0);
    expect([reading.iopt_access_list_id, pinning.iopt_access_list_id]).toEqual([0, 1]);
    expect(iopt.iova_alignment).toBe(0x400n);
    yield* iopt_remove_access(iopt, pinning, 1);
    expect(iopt.iova_alignment).toBe(1n);
    yield* iopt_remove_access(iopt, reading, 0);
  });
  expect(machine.run()).toEqual({ status: 'finished' });
  expect(warnings()).toEqual([]);
});

const { IOMMU_RESV_DIRECT_RELAXABLE, IOMMU_RESV_MSI, IOMMU_RESV_RESERVED, IOMMU_RESV_SW_MSI } =
  iommu_resv_type;

/** A device whose driver reports a page at each of the addresses. */
function new_device(...regions: readonly (readonly [bigint, 0 | 1 | 2 | 3 | 4])[]): device {
  const ops: iommu_ops = {
    name: 'test_ops',
    *probe_device() {
      return fail(ENODEV, 'not for this test');
    },
    *device_group() {
      return fail(ENODEV, 'not for this test');
    },
    *get_resv_regions(dev, list) {
      for (const [start, type] of regions) {
        const region = iommu_alloc_resv_region(dev, start, PAGE, 0, type);
        if (region !== null) list_add_tail(region.list, list);
      }
    },
    default_domain_ops: { name: 'test_domain_ops' },
    pgsize_bitmap: PAGE,
  };
  const dev = new device(machine.root, 'dev');
  const iommu = new dev_iommu(dev, 'iommu');
  const hardware = new iommu_device(machine.root, 'iommu');
  hardware.ops = ops;
  iommu.iommu_dev = hardware;
  dev.iommu = iommu;
  return dev;
}

test('what a device cannot use is reserved for it', () => {
  const good = new_device(
    [0x1000n, IOMMU_RESV_RESERVED],
    [0x3000n, IOMMU_RESV_DIRECT_RELAXABLE],
    [0x5000n, IOMMU_RESV_SW_MSI],
  );
  const both = new_device([0x7000n, IOMMU_RESV_SW_MSI], [0x8000n, IOMMU_RESV_MSI]);
  const twice = new_device([0x7000n, IOMMU_RESV_SW_MSI], [0x8000n, IOMMU_RESV_SW_MSI]);
  const msi = { sw_msi_start: 0n };
  inTask(machine, function* () {
    expect(yield* iopt_table_enforce_dev_resv_regions(iopt, good, msi)).toBe(0);
    expect(msi.sw_msi_start).toBe(0x5000n);
    const reserved = ['0-fff', '2000-4fff', `6000-${ULONG_MAX.toString(16)}`];
    expect(free_ranges()).toEqual(reserved);
    expect(yield* iopt_table_enforce_dev_resv_regions(iopt, both, msi)).toBe(-EINVAL);
    expect(yield* iopt_table_enforce_dev_resv_regions(iopt, twice, msi)).toBe(-EINVAL);
    expect(free_ranges()).toEqual(reserved);
    expect(yield* iopt_table_enforce_dev_resv_regions(iopt, both, null)).toBe(0);
    yield* iopt_remove_reserved_iova(iopt, both);
    yield* iopt_remove_reserved_iova(iopt, good);
  });
  expect(free_ranges()).toEqual([ALL]);
  expect(warnings()).toEqual([
    'MSIs are mapped both by hardware and by software',
    'MSIs are to be mapped at several places',
  ]);
});

test('an access is asked again and again to let go, and given up in the end', () => {
  const ictx = new iommufd_ctx(machine.root, 'iommufd');
  const ioas = new iommufd_ioas(ictx, 'ioas');
  iopt_init_table(ioas.iopt);
  const access = new_access('access', PAGE);
  refcount_init(access.users, 1);
  refcount_init(access.shortterm_users, 1);
  access.ictx = ictx;
  access.ioas = ioas;
  access.data = ioas;
  access.ops = {
    needs_pin_pages: true,
    *unmap() {
      asked++;
      const area = iopt_area_iter_first(ioas.iopt, PAGE, PAGE);
      if (area !== null && asked === 100) area.num_accesses = 0;
    },
  };
  let asked = 0;
  spawn(machine, 'p', function* (): Gen<void> {
    for (const at of [PAGE, 2n * PAGE]) {
      expect(yield* iopt_map_user_pages(ictx, ioas.iopt, at, PAGE, PAGE, READ, 0)).toBe(at);
      const area = iopt_area_iter_first(ioas.iopt, at, at);
      if (area !== null) area.num_accesses = 1;
    }
    expect(yield* iopt_add_access(ioas.iopt, access)).toBe(0);
    const { rc, unmapped } = yield* iopt_unmap_iova(ioas.iopt, PAGE, 2n * PAGE);
    expect([rc, unmapped, asked]).toEqual([-EDEADLOCK, PAGE, 101]);
  });
  expect(machine.run()).toEqual({ status: 'finished' });
  expect(warnings()).toEqual(['an access does not let go of its pages']);
});
