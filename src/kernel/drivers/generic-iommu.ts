// SPDX-License-Identifier: GPL-2.0-only

/**
 * An IOMMU driver of no make: what the IOMMU core asks of every driver, and nothing else. Pages of 4 KiB, IOVA of
 * 48 bits, domains that block and that let everything through; devices with one requester are one group. Some of what
 * IOMMUs can do only now and then it does if it is asked for at boot.
 */
import { IO_READ, IO_WRITE, io_pgtable, iommu_port, pte_clear, pte_set, set_table } from '../../hw/iommu.ts';
import { PAGE_SIZE } from '../../hw/memory.ts';
import { klist_find } from '../../sim/collections/klist.ts';
import { list_add_tail, type list_head } from '../../sim/collections/list.ts';
import { machine } from '../../sim/context.ts';
import { done } from '../../sim/coroutine.ts';
import { type Err, fail, type Rc } from '../../sim/errno.ts';
import { bool, embed, ref } from '../../sim/field.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Named } from '../../sim/observed.ts';
import { kfree, kzalloc } from '../../sim/slab.ts';
import { root, struct } from '../../sim/struct.ts';
import { spin_lock, spin_unlock } from '../../sim/sync/spinlock.ts';
import type { Co, Gen } from '../../sim/task.ts';
import { WARN_ON } from '../../sim/warn.ts';
import { ENOMEM } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import {
  IOMMU_MMIO,
  IOMMU_NOEXEC,
  IOMMU_READ,
  IOMMU_WRITE,
  type iommu_cap,
  iommu_device,
  iommu_domain,
  type iommu_domain_ops,
  iommu_domain_type,
  type iommu_group,
  type iommu_mapped,
  type iommu_ops,
  type iommu_resv_region,
  iommu_resv_type,
  type phys_extent,
} from '../iommu/iommu.h.ts';
import { iommu_alloc_resv_region } from '../iommu/iommu.ts';
import { iommu_group_alloc, iommu_group_get } from '../iommu/iommu_group.ts';

const fn = sourceFile('no driver of Linux');

const APERTURE_END = (1n << 48n) - 1n;

/** Where drivers have MSI doorbells mapped that do it by software (drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h). */
const MSI_IOVA_BASE = 0x800_0000n;
const MSI_IOVA_LENGTH = 0x10_0000n;

/** What this IOMMU may be able to do. */
export const GENERIC_CAPABILITIES = [
  'cache-coherency',
  'deferred-flush',
  'enforced-coherency',
  'software-msi',
] as const;
export type GenericCapability = (typeof GENERIC_CAPABILITIES)[number];
const USUAL: readonly GenericCapability[] = ['cache-coherency', 'deferred-flush'];

class generic_domain extends struct('generic_domain', iommu_domain, {
  table: io_pgtable(PAGE_SIZE, () => ''),
  /** No DMA passes the CPU's caches by, whatever the device asks for. */
  force_snooping: bool(),
}) {}

/** What the driver keeps for a device. */
class generic_device extends struct('generic_device', root, {
  port: embed(iommu_port),
  /** What it is attached to. */
  domain: ref<iommu_domain>(),
}) {}

class generic_iommu extends struct('generic_iommu', root, {
  hardware: embed(iommu_device),
  identity_domain: embed(iommu_domain),
  blocked_domain: embed(iommu_domain),
  coherent: bool(),
  defers_flushes: bool(),
  enforces_coherency: bool(),
  software_msi: bool(),
}) {}

function power_on(creator: Named): generic_iommu {
  const it = new generic_iommu(creator, 'iommu', true);
  it.identity_domain.type = iommu_domain_type.IOMMU_DOMAIN_IDENTITY;
  it.identity_domain.ops = static_domain_ops;
  it.blocked_domain.type = iommu_domain_type.IOMMU_DOMAIN_BLOCKED;
  it.blocked_domain.ops = static_domain_ops;
  return it;
}

const generic = (): generic_iommu => machine().singleton(power_on);

/** Boot: what this one can do; without: what is usual. */
export function build_iommu(capabilities: readonly GenericCapability[] = USUAL): void {
  const it = generic();
  it.coherent = capabilities.includes('cache-coherency');
  it.defers_flushes = capabilities.includes('deferred-flush');
  it.enforces_coherency = capabilities.includes('enforced-coherency');
  it.software_msi = capabilities.includes('software-msi');
}

function generic_capable(_dev: device, cap: iommu_cap): boolean {
  const it = generic();
  switch (cap) {
    case 'IOMMU_CAP_CACHE_COHERENCY':
      return it.coherent;
    case 'IOMMU_CAP_DEFERRED_FLUSH':
      return it.defers_flushes;
    case 'IOMMU_CAP_ENFORCE_CACHE_COHERENCY':
      return it.enforces_coherency;
    default:
      return false;
  }
}

const generic_enforce_cache_coherency = fn(
  'generic_enforce_cache_coherency',
  function* (domain: iommu_domain): Gen<boolean> {
    if (!(domain instanceof generic_domain) || !generic().enforces_coherency) return false;
    domain.force_snooping = true;
    return true;
  },
);

function* generic_get_resv_regions(dev: device, head: list_head<iommu_resv_region>): Gen<void> {
  if (!generic().software_msi) return;
  const { IOMMU_RESV_SW_MSI } = iommu_resv_type;
  const prot = IOMMU_WRITE | IOMMU_NOEXEC | IOMMU_MMIO;
  const region = iommu_alloc_resv_region(dev, MSI_IOVA_BASE, MSI_IOVA_LENGTH, prot, IOMMU_RESV_SW_MSI);
  if (region !== null) list_add_tail(region.list, head);
}

const generic_attach_dev = fn('generic_attach_dev', function* (domain: iommu_domain, dev: device): Gen<Rc> {
  const it = dev.iommu?.priv;
  if (!(it instanceof generic_device)) throw new Error(`${dev.name} is not behind this IOMMU`);
  it.domain = domain;
  yield* set_table(it.port, domain instanceof generic_domain ? domain.table : null);
  return 0;
});

const static_domain_ops: iommu_domain_ops = {
  name: 'generic_static_domain_ops',
  attach_dev: generic_attach_dev,
};

function table_of(domain: iommu_domain): io_pgtable {
  if (!(domain instanceof generic_domain)) throw new Error(`${domain.name} is no domain of this IOMMU`);
  return domain.table;
}

const generic_map_pages = fn(
  'generic_map_pages',
  function* (
    domain: iommu_domain,
    iova: bigint,
    paddr: number,
    pgsize: number,
    pgcount: number,
    prot: number,
    mapped: iommu_mapped,
  ): Gen<Rc> {
    const table = table_of(domain);
    const first = Number(iova / BigInt(PAGE_SIZE));
    yield* spin_lock(table.lock);
    WARN_ON(table.first(first, first + pgcount - 1) !== null, 'map_pages: something is mapped there already');
    const access = ((prot & IOMMU_READ) === 0 ? 0 : IO_READ) | ((prot & IOMMU_WRITE) === 0 ? 0 : IO_WRITE);
    const leaf = { paddr, before: 0, after: pgcount - 1, access, bits: 0 };
    yield* pte_set(table, first, first + pgcount - 1, leaf);
    yield* spin_unlock(table.lock);
    mapped.bytes += pgsize * pgcount;
    return 0;
  },
);

const generic_unmap_pages = fn(
  'generic_unmap_pages',
  function* (domain: iommu_domain, iova: bigint, pgsize: number, pgcount: number): Gen<number> {
    const table = table_of(domain);
    const first = Number(iova / BigInt(PAGE_SIZE));
    yield* spin_lock(table.lock);
    yield* pte_clear(table, first, first + pgcount - 1);
    yield* spin_unlock(table.lock);
    return pgsize * pgcount;
  },
);

function lookup(domain: iommu_domain, iova: bigint, size: number): phys_extent {
  const table = table_of(domain);
  const index = Number(iova / BigInt(PAGE_SIZE));
  const offset = Number(iova % BigInt(PAGE_SIZE));
  const entry = table.first(index, index + Math.ceil((offset + size) / PAGE_SIZE) - 1);
  if (entry === null || entry.start !== index) return { phys: 0, bytes: PAGE_SIZE - offset };
  return {
    phys: entry.value.paddr + offset,
    bytes: Math.min(size, (entry.last - index + 1) * PAGE_SIZE - offset),
  };
}

const generic_domain_free = fn('generic_domain_free', function* (domain: iommu_domain): Gen<void> {
  kfree(domain);
});

const domain_ops: iommu_domain_ops = {
  name: 'generic_domain_ops',
  attach_dev: generic_attach_dev,
  map_pages: generic_map_pages,
  unmap_pages: generic_unmap_pages,
  iova_to_phys: (domain, iova) => lookup(domain, iova, 1).phys,
  iova_to_phys_extent: lookup,
  enforce_cache_coherency: generic_enforce_cache_coherency,
  free: generic_domain_free,
};

const generic_domain_alloc_paging = fn(
  'generic_domain_alloc_paging',
  function* (_dev: device | null, creator: Named, role: string): Gen<iommu_domain | null> {
    const domain = kzalloc(generic_domain, creator, role);
    if (domain !== null) domain.geometry.aperture_end = APERTURE_END;
    return domain;
  },
);

function probe_device(dev: device): Co<iommu_device | Err> {
  const it = kzalloc(generic_device, dev, 'generic');
  if (it === null || dev.iommu === null)
    return done(fail(ENOMEM, "no memory for the driver's data of the device"));
  dev.iommu.priv = it;
  return done(generic().hardware);
}

function* release_device(dev: device): Gen<void> {
  const it = dev.iommu?.priv;
  if (it instanceof generic_device) kfree(it);
}

const generic_device_group = fn('generic_device_group', function* (dev: device): Gen<iommu_group | Err> {
  const { bus, requester } = dev;
  const isSibling = (other: device): boolean =>
    other !== dev && other.requester === requester && other.iommu_group !== null;
  const sibling = bus === null ? null : yield* klist_find(bus.klist_devices, isSibling);
  const group = sibling === null ? null : yield* iommu_group_get(sibling);
  return group ?? (yield* iommu_group_alloc(dev));
});

/** The driver's operations; what they act on is the machine's own. */
export const generic_ops: iommu_ops = {
  name: 'generic_ops',
  get identity_domain() {
    return generic().identity_domain;
  },
  get blocked_domain() {
    return generic().blocked_domain;
  },
  capable: generic_capable,
  get_resv_regions: generic_get_resv_regions,
  domain_alloc_paging: generic_domain_alloc_paging,
  probe_device,
  release_device,
  device_group: generic_device_group,
  default_domain_ops: domain_ops,
  pgsize_bitmap: BigInt(PAGE_SIZE),
};

/** The hardware, for iommu_device_register. */
export const generic_hardware = (): iommu_device => generic().hardware;
