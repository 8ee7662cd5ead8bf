// SPDX-License-Identifier: GPL-2.0-only

/** include/linux/iommu.h (6.12): page requests of devices, and who answers them. */
import { list, list_node } from '../../sim/collections/list.ts';
import type { Rc } from '../../sim/errno.ts';
import { embed, enumeration, flags32, int, ref, u32, u64 } from '../../sim/field.ts';
import { root, struct } from '../../sim/struct.ts';
import { mutex } from '../../sim/sync/mutex.ts';
import { refcount_t } from '../../sim/sync/refcount.ts';
import type { workqueue_struct } from '../../sim/sync/workqueue.ts';
import type { Co } from '../../sim/task.ts';
import type { device } from '../driver-core/device.ts';
import type { iommu_attach_handle } from './iommu.h.ts';

export const iommu_fault_type = { IOMMU_FAULT_PAGE_REQ: 1 } as const;

export const IOMMU_FAULT_PAGE_REQUEST_PASID_VALID = 1 << 0;
export const IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE = 1 << 1;

/** What is answered: go on; this request cannot be served; nor can any that follow. */
export const iommu_page_response_code = {
  IOMMU_PAGE_RESP_SUCCESS: 0,
  IOMMU_PAGE_RESP_INVALID: 1,
  IOMMU_PAGE_RESP_FAILURE: 2,
} as const;
export type iommu_page_response_code =
  (typeof iommu_page_response_code)[keyof typeof iommu_page_response_code];

/** An answer on its way to the device. */
export interface iommu_page_response {
  readonly pasid: number;
  readonly grpid: number;
  readonly code: iommu_page_response_code;
}

/** What a device asks for. (A driver's private_data is not modelled: nobody but the driver looks at it.) */
class iommu_fault_page_request extends struct('iommu_fault_page_request', root, {
  /** IOMMU_FAULT_PAGE_REQUEST_*. */
  flags: flags32(),
  pasid: u32(),
  /** Requests of one group get one answer. */
  grpid: u32(),
  /** IOMMU_PGFAULT_PERM_*. */
  perm: flags32(),
  addr: u64(),
}) {}

export class iommu_fault extends struct('iommu_fault', root, {
  type: enumeration({ NONE: 0, ...iommu_fault_type }),
  prm: embed(iommu_fault_page_request),
}) {}

/** A fault as the driver has it on its stack while it reports it. */
export interface iopf_event {
  readonly fault: Pick<iommu_fault, 'type'> & {
    readonly prm: Readonly<Pick<iommu_fault_page_request, 'flags' | 'pasid' | 'grpid' | 'perm' | 'addr'>>;
  };
}

/** A page request that waits for the others of its group, or for the answer. */
export class iopf_fault extends struct('iopf_fault', root, {
  fault: embed(iommu_fault),
  /** On iommu_fault_param.partial, then on iopf_group.faults. */
  list: list_node<iopf_fault>(),
}) {}

/** Page requests that get one answer, oldest first. */
export class iopf_group extends struct('iopf_group', root, {
  last_fault: embed(iopf_fault),
  faults: list<iopf_fault>(),
  fault_count: int(),
  /** On iommu_fault_param.faults. */
  pending_node: list_node<iopf_group>(),
  attach_handle: ref<iommu_attach_handle>(),
  fault_param: ref<iommu_fault_param>(),
  /** On a list of the handler's. */
  node: list_node<iopf_group>(),
  cookie: u32(),
}) {}

/** That page requests of a device are handled: there from iopf_queue_add_device until the last answer. */
export class iommu_fault_param extends struct('iommu_fault_param', root, {
  lock: embed(mutex),
  users: embed(refcount_t),
  dev: ref<device>(),
  queue: ref<iopf_queue>(),
  /** On iopf_queue.devices. */
  queue_list: list_node<iommu_fault_param>(),
  /** Requests the last of whose group is still to come. */
  partial: list<iopf_fault>({ guardedBy: 'lock' }),
  /** Groups that wait for their answer. */
  faults: list<iopf_group>({ guardedBy: 'lock' }),
}) {}

/** The page requests that one IOMMU takes. */
export class iopf_queue extends struct('iopf_queue', root, {
  wq: ref<workqueue_struct>(),
  devices: list<iommu_fault_param>({ guardedBy: 'lock' }),
  lock: embed(mutex),
}) {}

/** Named as the function in Linux. */
export interface iopf_handler {
  readonly name: string;
  /** Answers the group and frees it, now or later; on error the caller does. */
  handle(group: iopf_group): Co<Rc>;
}
