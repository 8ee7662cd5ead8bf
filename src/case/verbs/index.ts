// SPDX-License-Identifier: GPL-2.0-only

/** The table of verbs. A new one is an entry in a file here, and its name in a list below. */
import type { Verb } from '../step.ts';
import { dma_read, dma_write } from './device.ts';
import {
  bind_driver,
  driver_override,
  drivers_probe,
  group_type,
  modprobe,
  rmmod,
  unbind_driver,
} from './driver.ts';
import { fault_queue, poll, read_faults, respond, trigger_iopf } from './fault.ts';
import { close, eventfd, open, read, write } from './file.ts';
import { dirty_bitmap, dirty_tracking, hw_info, hwpt_alloc, invalidate, mock_dirty } from './hwpt.ts';
import { iommufd_attach, iommufd_bind, iommufd_detach, iommufd_replace, iommufd_unbind } from './idev.ts';
import { ioctl } from './ioctl.ts';
import {
  allow_iovas,
  copy,
  destroy,
  ioas_alloc,
  iova_ranges,
  map,
  option,
  unmap,
  vfio_ioas,
} from './iommufd.ts';
import { load, mmap, mprotect, munmap, store } from './memory.ts';
import {
  attach_domain,
  claim_device,
  claim_group,
  detach_domain,
  release_device,
  release_group,
} from './owner.ts';
import { exit, fork } from './process.ts';
import {
  access_pages,
  access_replace_ioas,
  access_rw,
  add_reserved,
  check_iotlb,
  check_map,
  check_refs,
  create_access,
  destroy_access_pages,
  memory_limit,
  mock_domain,
  mock_domain_flags,
  mock_domain_replace,
} from './selftest.ts';

/** What tasks can do, in the order of the documentation. */
export const taskVerbs: readonly Verb[] = [
  open,
  close,
  ioctl,
  ioas_alloc,
  destroy,
  option,
  map,
  copy,
  unmap,
  iova_ranges,
  allow_iovas,
  hwpt_alloc,
  invalidate,
  dirty_tracking,
  dirty_bitmap,
  hw_info,
  fault_queue,
  read_faults,
  respond,
  vfio_ioas,
  mock_domain,
  mock_domain_flags,
  mock_domain_replace,
  check_map,
  check_refs,
  check_iotlb,
  mock_dirty,
  trigger_iopf,
  memory_limit,
  create_access,
  access_pages,
  destroy_access_pages,
  access_rw,
  access_replace_ioas,
  add_reserved,
  bind_driver,
  unbind_driver,
  driver_override,
  drivers_probe,
  modprobe,
  rmmod,
  group_type,
  claim_group,
  release_group,
  claim_device,
  release_device,
  attach_domain,
  detach_domain,
  iommufd_bind,
  iommufd_attach,
  iommufd_replace,
  iommufd_detach,
  iommufd_unbind,
  mmap,
  munmap,
  mprotect,
  store,
  load,
  read,
  write,
  poll,
  eventfd,
  fork,
  exit,
];

/** What devices can do by themselves. */
export const deviceVerbs: readonly Verb[] = [dma_read, dma_write];
