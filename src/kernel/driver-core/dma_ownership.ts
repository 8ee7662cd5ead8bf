// SPDX-License-Identifier: GPL-2.0-only

/**
 * Where the driver core has a driver's claim for the DMA API made and given up, and what it does to dev->driver
 * meanwhile, which others read.
 */
import { variant } from '../../sim/variant.ts';

const THREAD = 'Fix BUG_ON in vfio_iommu_group_notifier(), v6 02/11, Feb 2022';

const dmaCleanup = variant('dma-cleanup', {
  at: 'drivers/base/dd.c:really_probe',
  about: "Where a driver's claim for the DMA API is made and given up",
  choices: {
    '6.12': {
      about: "in the bus's dma_configure, and its dma_cleanup on every way out",
      source: 'Linux 6.12',
    },
    v6: {
      about: 'as 6.12, but not after the trial removal of DEBUG_TEST_DRIVER_REMOVE',
      source: `${THREAD}: the two hunks of dd.c`,
    },
    'driver-core': {
      about:
        'in really_probe and __device_release_driver themselves, by a flag of every driver, whatever its bus',
      source: `${THREAD}: what the first version had, and Gunthorpe asks for again`,
    },
    'bus-notifier': {
      about:
        "made in dma_configure, given up by the IOMMU core's bus notifier: UNBOUND_DRIVER and DRIVER_NOT_BOUND",
      source: `${THREAD}: Murphy, 2022-02-21`,
    },
  },
});

interface Cleanup {
  readonly by: 'bus' | 'driver core' | 'notifier';
  /** Also after the trial removal. */
  readonly after_trial: boolean;
}

/** Who gives claims up, and when. */
export function dma_cleanup_by(): Cleanup {
  switch (dmaCleanup()) {
    case '6.12':
      return { by: 'bus', after_trial: true };
    case 'v6':
      return { by: 'bus', after_trial: false };
    case 'driver-core':
      return { by: 'driver core', after_trial: true };
    case 'bus-notifier':
      return { by: 'notifier', after_trial: false };
  }
}

const refusedDmaConfigure = variant('refused-dma-configure', {
  at: 'drivers/base/dd.c:really_probe',
  about: 'What follows when dma_configure refuses',
  choices: {
    '6.12': { about: 'nobody is told, and nothing is given up that was not claimed', source: 'Linux 6.12' },
    cleanup: {
      about: 'DRIVER_NOT_BOUND is told and dma_cleanup called, as after every other failure',
      source: `${THREAD}: "only some errors deserve to get a notifier" (Gunthorpe, 2022-02-22)`,
    },
  },
});

export const cleans_up_after_refusal = (): boolean => refusedDmaConfigure() === 'cleanup';

const driverPointer = variant('driver-pointer', {
  at: 'drivers/base/dd.c:device_unbind_cleanup',
  about: "When dev->driver is cleared, and how the IOMMU core looks at that of a device's siblings",
  choices: {
    '6.12': {
      about: 'dma_cleanup runs before the clear; who looks does so without device_lock',
      source: 'Linux 6.12',
    },
    'store-then-lock': {
      about: 'the clear comes first: whoever takes the mutex of the group after the hook sees it',
      source: `${THREAD}: Gunthorpe, 2022-02-23, "an uncommon locking pattern, but it does work"`,
    },
    'unlocked-owner': {
      about: 'group->owner is read and written without the mutex of the group',
      source: `${THREAD}: Gunthorpe, 2022-02-22, "with a lockless algorithm"`,
    },
    'private-copy': {
      about:
        'nobody looks at dev->driver: the IOMMU core keeps what really_probe tells it, under the mutex of the group',
      source: `${THREAD}: Murphy, 2022-02-23, "capture the relevant information in IOMMU API private data"`,
    },
    'foreign-store': {
      about: "a driver's remove clears dev->driver by itself",
      source: `${THREAD}: Kroah-Hartman, 2022-02-23, on the USB gadget code`,
    },
    'siblings-device-lock': {
      about: 'who looks takes the device_lock of each sibling, under the mutex of the group',
      source: `${THREAD}: Gunthorpe, 2022-02-22, "the only locking we have for this today"`,
    },
  },
});

interface DriverPointer {
  readonly cleared_first: boolean;
  readonly owner_locked: boolean;
  readonly private_copy: boolean;
  readonly foreign_store: boolean;
  readonly siblings_locked: boolean;
}

const LINUX: DriverPointer = {
  cleared_first: false,
  owner_locked: true,
  private_copy: false,
  foreign_store: false,
  siblings_locked: false,
};

/** How dev->driver is written, and looked at by others. */
export function driver_pointer(): DriverPointer {
  switch (driverPointer()) {
    case '6.12':
      return LINUX;
    case 'store-then-lock':
      return { ...LINUX, cleared_first: true };
    case 'unlocked-owner':
      return { ...LINUX, owner_locked: false };
    case 'private-copy':
      return { ...LINUX, private_copy: true };
    case 'foreign-store':
      return { ...LINUX, foreign_store: true };
    case 'siblings-device-lock':
      return { ...LINUX, siblings_locked: true };
  }
}
