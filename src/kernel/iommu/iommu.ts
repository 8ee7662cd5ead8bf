// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommu.c (6.12): domains, and mapping in them. Groups are in iommu_group.ts and its neighbours. */
import { PAGE_SIZE } from '../../hw/memory.ts';
import { list_del, type list_head } from '../../sim/collections/list.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import type { Gen } from '../../sim/task.ts';
import { BUG_ON, oops, WARN_ON } from '../../sim/warn.ts';
import { EBUSY, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import { iommu_get_dma_cookie, iommu_put_dma_cookie } from './dma-iommu.ts';
import {
  __IOMMU_DOMAIN_PAGING,
  IOMMU_DOMAIN_ALLOC_FLAGS,
  type iommu_cap,
  type iommu_dev_features,
  type iommu_domain,
  iommu_domain_type,
  type iommu_iotlb_gather,
  iommu_iotlb_gather_init,
  iommu_is_dma_domain,
  type iommu_mapped,
  type iommu_ops,
  iommu_resv_region,
  type phys_extent,
} from './iommu.h.ts';

const fn = sourceFile('drivers/iommu/iommu.c');

type DomainType = iommu_domain['type'];

/** The driver of the IOMMU that the device is behind. Nobody may ask of a device that is behind none: an Oops. */
export function dev_iommu_ops(dev: device): iommu_ops {
  return dev.iommu?.iommu_dev?.ops ?? oops(`dev_iommu_ops of ${dev.name}, which is behind no IOMMU`);
}

/** Whether an IOMMU driver has taken the device. */
export const dev_has_iommu = (dev: device): boolean => (dev.iommu?.iommu_dev ?? null) !== null;

/** Whether the IOMMU can do something for the device; false too when there is none. */
export const device_iommu_capable = fn('device_iommu_capable', (dev: device, cap: iommu_cap): boolean => {
  if (!dev_has_iommu(dev)) return false;
  return dev_iommu_ops(dev).capable?.(dev, cap) ?? false;
});

/** Turns a feature of the device on. -ENODEV: the IOMMU driver has no such feature; what it says. */
export const iommu_dev_enable_feature = fn(
  'iommu_dev_enable_feature',
  function* (dev: device, feat: iommu_dev_features): Gen<Rc> {
    const enable = dev_has_iommu(dev) ? dev_iommu_ops(dev).dev_enable_feat : undefined;
    return enable ? yield* enable(dev, feat) : fail(ENODEV, 'the IOMMU driver has no such feature');
  },
);

/** Undoes iommu_dev_enable_feature. -EBUSY: the IOMMU driver has no such feature; what it says. */
export const iommu_dev_disable_feature = fn(
  'iommu_dev_disable_feature',
  function* (dev: device, feat: iommu_dev_features): Gen<Rc> {
    const disable = dev_has_iommu(dev) ? dev_iommu_ops(dev).dev_disable_feat : undefined;
    return disable ? yield* disable(dev, feat) : fail(EBUSY, 'the IOMMU driver has no such feature');
  },
);

/**
 * A domain of a type from a driver: its static one, or a new one that `creator` and `role` name and
 * iommu_domain_free ends. -EOPNOTSUPP: the driver has no such type; -ENOMEM; what the driver says.
 */
export const __iommu_domain_alloc = fn(
  '__iommu_domain_alloc',
  function* (
    ops: iommu_ops,
    dev: device | null,
    type: DomainType,
    creator: Named,
    role: string,
  ): Gen<iommu_domain | Err> {
    const alloc_type = type & IOMMU_DOMAIN_ALLOC_FLAGS;
    if (alloc_type === iommu_domain_type.IOMMU_DOMAIN_IDENTITY && ops.identity_domain)
      return ops.identity_domain;
    if (alloc_type === iommu_domain_type.IOMMU_DOMAIN_BLOCKED && ops.blocked_domain)
      return ops.blocked_domain;
    let domain: iommu_domain | Err | null;
    if ((type & __IOMMU_DOMAIN_PAGING) !== 0 && ops.domain_alloc_paging) {
      domain = yield* ops.domain_alloc_paging(dev, creator, role);
    } else if (ops.domain_alloc) {
      domain = yield* ops.domain_alloc(alloc_type, creator, role);
    } else {
      return fail(EOPNOTSUPP, 'the IOMMU driver has no such type of domain');
    }
    if (domain === null) return fail(ENOMEM, 'no memory for the domain');
    if (IS_ERR(domain)) return domain;

    domain.type = type;
    domain.owner = ops;
    if (domain.pgsize_bitmap === 0n) domain.pgsize_bitmap = ops.pgsize_bitmap;
    if (domain.ops === null) domain.ops = ops.default_domain_ops;
    if (iommu_is_dma_domain(domain)) {
      const rc = iommu_get_dma_cookie(domain);
      if (rc !== 0) {
        yield* iommu_domain_free(domain);
        return rc;
      }
    }
    return domain;
  },
);

/** An empty domain that a kernel driver will map into. -ENODEV: no IOMMU; else as __iommu_domain_alloc. */
export const iommu_paging_domain_alloc = fn(
  'iommu_paging_domain_alloc',
  function* (dev: device, creator: Named, role: string): Gen<iommu_domain | Err> {
    if (!dev_has_iommu(dev)) return fail(ENODEV, 'the device is behind no IOMMU');
    return yield* __iommu_domain_alloc(
      dev_iommu_ops(dev),
      dev,
      iommu_domain_type.IOMMU_DOMAIN_UNMANAGED,
      creator,
      role,
    );
  },
);

/** Ends a domain that nothing is attached to. A static one stays. */
export const iommu_domain_free = fn('iommu_domain_free', function* (domain: iommu_domain): Gen<void> {
  iommu_put_dma_cookie(domain);
  if (domain.ops?.free) yield* domain.ops.free(domain);
});

/** The physical address behind an IOVA; 0: nothing is mapped there. */
export const iommu_iova_to_phys = fn('iommu_iova_to_phys', (domain: iommu_domain, iova: bigint): number => {
  if (domain.type === iommu_domain_type.IOMMU_DOMAIN_IDENTITY) return Number(iova);
  if (domain.type === iommu_domain_type.IOMMU_DOMAIN_BLOCKED) return 0;
  return domain.ops?.iova_to_phys?.(domain, iova) ?? 0;
});

/**
 * What [iova, iova + size) leads to, as far as that is consecutive; where the driver cannot tell, the rest of
 * the first page.
 */
export function iommu_iova_to_phys_extent(domain: iommu_domain, iova: bigint, size: number): phys_extent {
  const extent = domain.ops?.iova_to_phys_extent;
  if (extent !== undefined) return extent(domain, iova, size);
  const phys = iommu_iova_to_phys(domain, iova);
  return { phys, bytes: Math.min(size, PAGE_SIZE - (phys % PAGE_SIZE)) };
}

/** As far as a double is exact; no page is larger, so that the rest decides nothing about pages. */
const low_bits = (n: bigint): number => Number(BigInt.asUintN(53, n));

interface Pages {
  readonly pgsize: number;
  readonly count: number;
}

/**
 * The largest page that fits at `iova` and `paddr` and into `size` bytes, and how many of them to use before a
 * larger one fits. `iova`: its low bits.
 */
const iommu_pgsize = fn(
  'iommu_pgsize',
  (domain: iommu_domain, iova: number, paddr: number, size: number): Pages => {
    const pgsizes = low_bits(domain.pgsize_bitmap);
    let pgsize = 0;
    let pgsize_next = 0;
    for (let bit = 1; bit <= pgsizes; bit *= 2) {
      if (pgsizes % (2 * bit) < bit) continue;
      if (bit > size || iova % bit !== 0 || paddr % bit !== 0) {
        pgsize_next = bit;
        break;
      }
      pgsize = bit;
    }
    BUG_ON(pgsize === 0, 'no page size fits');

    let length = size;
    if (pgsize_next !== 0 && iova % pgsize_next === paddr % pgsize_next) {
      const offset = pgsize_next - (iova % pgsize_next);
      if (offset + pgsize_next <= size) length = offset;
    }
    return { pgsize, count: Math.floor(length / pgsize) };
  },
);

function smallest_page({ pgsize_bitmap }: iommu_domain): bigint {
  return pgsize_bitmap & -pgsize_bitmap;
}

const __iommu_map = fn(
  '__iommu_map',
  function* (domain: iommu_domain, iova: bigint, paddr: number, size: number, prot: number): Gen<Rc> {
    if ((domain.type & __IOMMU_DOMAIN_PAGING) === 0)
      return fail(EINVAL, 'nothing can be mapped in the domain');
    const map_pages = domain.ops?.map_pages;
    if (map_pages === undefined || domain.pgsize_bitmap === 0n) {
      WARN_ON(true, 'a paging domain without pages');
      return fail(ENODEV, 'a paging domain without pages');
    }
    if (((iova | BigInt(paddr) | BigInt(size)) & (smallest_page(domain) - 1n)) !== 0n) {
      return fail(EINVAL, 'IOVA, address or size is not aligned to the smallest page');
    }

    const mapped: iommu_mapped = { bytes: 0 };
    let ret: Rc = 0;
    while (ret === 0 && mapped.bytes < size) {
      const at = iova + BigInt(mapped.bytes);
      const phys = paddr + mapped.bytes;
      const { pgsize, count } = iommu_pgsize(domain, low_bits(at), phys, size - mapped.bytes);
      ret = yield* map_pages(domain, at, phys, pgsize, count, prot, mapped);
    }
    if (ret !== 0) yield* iommu_unmap(domain, iova, mapped.bytes);
    return ret;
  },
);

/**
 * Maps `size` bytes, with the largest pages that fit. -EINVAL: not aligned to the smallest page, or the domain
 * is not of the kind; what the driver says, and then nothing is mapped.
 */
export const iommu_map = fn(
  'iommu_map',
  function* (domain: iommu_domain, iova: bigint, paddr: number, size: number, prot: number): Gen<Rc> {
    let ret = yield* __iommu_map(domain, iova, paddr, size, prot);
    if (ret === 0 && domain.ops?.iotlb_sync_map) {
      ret = yield* domain.ops.iotlb_sync_map(domain, iova, size);
      if (ret !== 0) yield* iommu_unmap(domain, iova, size);
    }
    return ret;
  },
);

const __iommu_unmap = fn(
  '__iommu_unmap',
  function* (domain: iommu_domain, iova: bigint, size: number, gather: iommu_iotlb_gather): Gen<number> {
    if ((domain.type & __IOMMU_DOMAIN_PAGING) === 0) return 0;
    const unmap_pages = domain.ops?.unmap_pages;
    if (unmap_pages === undefined || domain.pgsize_bitmap === 0n) {
      WARN_ON(true, 'a paging domain without pages');
      return 0;
    }
    if (((iova | BigInt(size)) & (smallest_page(domain) - 1n)) !== 0n) return 0;

    let unmapped = 0;
    while (unmapped < size) {
      const at = iova + BigInt(unmapped);
      const { pgsize, count } = iommu_pgsize(domain, low_bits(at), low_bits(at), size - unmapped);
      const bytes = yield* unmap_pages(domain, at, pgsize, count, gather);
      if (bytes === 0) break;
      unmapped += bytes;
    }
    return unmapped;
  },
);

/** Invalidates what was gathered; the gather is empty afterwards. */
export function* iommu_iotlb_sync(domain: iommu_domain, gather: iommu_iotlb_gather): Gen<void> {
  if (domain.ops?.iotlb_sync) yield* domain.ops.iotlb_sync(domain, gather);
  Object.assign(gather, iommu_iotlb_gather_init());
}

/** Unmaps up to the first hole and invalidates. Returns the bytes unmapped, which may be more than `size`. */
export const iommu_unmap = fn(
  'iommu_unmap',
  function* (domain: iommu_domain, iova: bigint, size: number): Gen<number> {
    const gather = iommu_iotlb_gather_init();
    const unmapped = yield* __iommu_unmap(domain, iova, size, gather);
    yield* iommu_iotlb_sync(domain, gather);
    return unmapped;
  },
);

/** As iommu_unmap, but the caller invalidates later, with iommu_iotlb_sync. */
export const iommu_unmap_fast = fn(
  'iommu_unmap_fast',
  function* (domain: iommu_domain, iova: bigint, size: number, gather: iommu_iotlb_gather): Gen<number> {
    return yield* __iommu_unmap(domain, iova, size, gather);
  },
);

/** Has the driver put the device's regions on the list, which iommu_put_resv_regions empties. */
export const iommu_get_resv_regions = fn(
  'iommu_get_resv_regions',
  function* (dev: device, list: list_head<iommu_resv_region>): Gen<void> {
    const ops = dev_iommu_ops(dev);
    if (ops.get_resv_regions) yield* ops.get_resv_regions(dev, list);
  },
);

/** Frees what iommu_get_resv_regions put on the list. */
export const iommu_put_resv_regions = fn(
  'iommu_put_resv_regions',
  (_dev: device, list: list_head<iommu_resv_region>): void => {
    for (const region of list) {
      list_del(region.list);
      kfree(region);
    }
  },
);

/** A region on no list, bytes; null when memory is short. */
export const iommu_alloc_resv_region = fn(
  'iommu_alloc_resv_region',
  (
    creator: Named,
    start: bigint,
    length: bigint,
    prot: number,
    type: iommu_resv_region['type'],
  ): iommu_resv_region | null => {
    const region = kzalloc(iommu_resv_region, creator, 'resv_region');
    if (region === null) return null;
    region.start = start;
    region.length = length;
    region.prot = prot;
    region.type = type;
    return region;
  },
);
