// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/dma-iommu.c (6.12): what a domain needs for the DMA API, and for MSIs. */
import { happens } from '../../sim/chance.ts';
import { fail, type Rc } from '../../sim/errno.ts';
import { sourceFile } from '../../sim/fn.ts';
import { ALLOCATION, kfree, kzalloc } from '../../sim/slab.ts';
import { EEXIST, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import type { device } from '../driver-core/device.ts';
import {
  iommu_dma_cookie,
  iommu_dma_cookie_type,
  type iommu_domain,
  iommu_domain_type,
  iommu_is_dma_domain,
} from './iommu.h.ts';
import { device_iommu_capable } from './iommu.ts';
import { iommu_get_domain_for_dev } from './iommu_group.ts';

const fn = sourceFile('drivers/iommu/dma-iommu.c');

/** Makes the domain one for the DMA API. -EEXIST: it has a cookie; -ENOMEM. */
export const iommu_get_dma_cookie = fn('iommu_get_dma_cookie', (domain: iommu_domain): Rc => {
  if (domain.iova_cookie !== null) return fail(EEXIST, 'the domain has a cookie already');
  domain.iova_cookie = kzalloc(iommu_dma_cookie, domain, 'iova_cookie');
  if (domain.iova_cookie === null) return fail(ENOMEM, 'no memory for the cookie');
  domain.iova_cookie.type = iommu_dma_cookie_type.IOMMU_DMA_IOVA_COOKIE;
  return 0;
});

/**
 * Has MSI doorbells mapped at `base` and above when interrupts are requested. -EINVAL: not a domain that its
 * user maps; -EEXIST: it has a cookie; -ENOMEM.
 */
export const iommu_get_msi_cookie = fn('iommu_get_msi_cookie', (domain: iommu_domain, base: bigint): Rc => {
  if (domain.type !== iommu_domain_type.IOMMU_DOMAIN_UNMANAGED) {
    return fail(EINVAL, 'MSIs are mapped only into a domain that its user maps');
  }
  if (domain.iova_cookie !== null) return fail(EEXIST, 'the domain has a cookie already');
  const cookie = kzalloc(iommu_dma_cookie, domain, 'iova_cookie');
  if (cookie === null) return fail(ENOMEM, 'no memory for the cookie');
  cookie.type = iommu_dma_cookie_type.IOMMU_DMA_MSI_COOKIE;
  cookie.msi_iova = base;
  domain.iova_cookie = cookie;
  return 0;
});

/** Undoes either. */
export const iommu_put_dma_cookie = fn('iommu_put_dma_cookie', (domain: iommu_domain): void => {
  if (domain.iova_cookie === null) return;
  kfree(domain.iova_cookie);
  domain.iova_cookie = null;
});

/** Has the invalidations of the DMA API's unmaps be collected, and done at once. -ENOMEM. */
export const iommu_dma_init_fq = fn('iommu_dma_init_fq', (domain: iommu_domain): Rc => {
  const { iova_cookie } = domain;
  if (iova_cookie === null) throw new Error(`${domain.name} is no domain of the DMA API`);
  if (iova_cookie.fq_domain) return 0;
  if (happens(ALLOCATION, (yes) => (yes ? 'no memory for the flush queue' : 'allocate the flush queue'))) {
    return fail(ENOMEM, 'no memory for the flush queue');
  }
  iova_cookie.fq_domain = true;
  return 0;
});

/** Sets a domain of the DMA API up for its first device. One that cannot have a flush queue does without. */
function iommu_dma_init_domain(domain: iommu_domain, dev: device): void {
  const { IOMMU_DOMAIN_DMA, IOMMU_DOMAIN_DMA_FQ } = iommu_domain_type;
  if (domain.iova_cookie?.initialized !== false) return;
  domain.iova_cookie.initialized = true;
  const lazy = domain.type === IOMMU_DOMAIN_DMA_FQ;
  const can = lazy && device_iommu_capable(dev, 'IOMMU_CAP_DEFERRED_FLUSH');
  if (lazy && (!can || iommu_dma_init_fq(domain) !== 0)) domain.type = IOMMU_DOMAIN_DMA;
}

/** Has the DMA API go through the IOMMU, or not, as the device's domain wants it. */
export const iommu_setup_dma_ops = fn('iommu_setup_dma_ops', (dev: device): void => {
  const domain = iommu_get_domain_for_dev(dev);
  dev.dma_iommu = domain !== null && iommu_is_dma_domain(domain);
  if (domain !== null && dev.dma_iommu) iommu_dma_init_domain(domain, dev);
});
