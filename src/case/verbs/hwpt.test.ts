// SPDX-License-Identifier: GPL-2.0-only

/** Verbs of page tables and page requests: what they expect is compared, on success and on errors. */
import { expect, test } from 'vitest';
import { loadCase } from '../load.ts';
import { CaseError } from '../place.ts';
import { runCase } from '../run.ts';
import { verdictOf } from '../verdict.ts';

const SETUP = [
  '{ "open": "/dev/iommu", "as": "iommufd" }',
  '{ "ioas_alloc": "iommufd", "as": "ioas1" }',
  '{ "mock_domain": "ioas1", "as": { "out_stdev_id": "stdev1", "out_idev_id": "idev1" } }',
  '{ "hwpt_alloc": "idev1", "pt": "ioas1", "flags": "IOMMU_HWPT_ALLOC_NEST_PARENT", "as": "parent" }',
  '{ "fault_queue": "iommufd", "as": { "out_fault_id": "fault1", "out_fault_fd": "fault_fd" } }',
  '{ "hwpt_alloc": "idev1", "pt": "parent", "fault": "fault1", "data_type": "IOMMU_HWPT_DATA_SELFTEST", "data": "ef be ad 0b", "as": "nested" }',
];

const load = (...steps: string[]) =>
  loadCase(
    't',
    't',
    `{ "title": "t", "tasks": { "vmm": [${[...SETUP, ...steps, '{ "exit": 0 }'].join(', ')}] } }`,
  );

/** Why the case does not pass. */
const reasons = (...steps: string[]): readonly string[] => verdictOf(runCase(load(...steps))).reasons;

const REQUEST = [
  '{ "mock_domain_replace": "stdev1", "pt": "nested" }',
  '{ "trigger_iopf": "idev1", "pasid": 1, "grpid": 2, "perm": "IOMMU_PGFAULT_PERM_READ", "addr": "0x1000" }',
];
const requests = (fault: string): string => `{ "read_faults": "fault_fd", "room": 2, "faults": [${fault}] }`;

test.each([
  ['ranges', '{ "iova_ranges": "ioas1", "room": 2, "ranges": [["0x1000000", "0x7fffffff"]] }'],
  ['info', '{ "hw_info": "idev1", "data": "00 00 00 00 ef be ad de 00" }'],
  [
    'a nested page table',
    '{ "invalidate": "nested", "data_type": "IOMMU_HWPT_INVALIDATE_DATA_SELFTEST", "entries": ["00 00 00 00 01 00 00 00"] }',
    '{ "check_iotlb": "nested", "id": 0, "iotlb": "IOMMU_TEST_IOTLB_DEFAULT" }',
    '{ "check_iotlb": "nested", "id": 1, "iotlb": 0 }',
  ],
  [
    'page requests',
    ...REQUEST,
    '{ "poll": "fault_fd", "events": ["POLLIN", "POLLOUT"], "ready": ["POLLIN", "POLLOUT"] }',
    requests('{ "dev_id": "idev1", "grpid": 2, "perm": "IOMMU_PGFAULT_PERM_READ", "cookie": 1 }'),
    '{ "poll": "fault_fd", "events": ["POLLIN", "POLLOUT"], "ready": ["POLLOUT"] }',
    '{ "respond": "fault_fd", "responses": [{ "cookie": 1, "code": "IOMMUFD_PAGE_RESP_SUCCESS" }], "ret": 8 }',
  ],
  [
    'dirty pages',
    '{ "mmap": "16K", "as": "buf" }',
    '{ "map": "buf", "length": "16K", "into": "ioas1", "as": "iova" }',
    '{ "hwpt_alloc": "idev1", "pt": "ioas1", "flags": "IOMMU_HWPT_ALLOC_DIRTY_TRACKING", "as": "hwpt1" }',
    '{ "dirty_tracking": "hwpt1", "flags": "IOMMU_HWPT_DIRTY_TRACKING_ENABLE" }',
    '{ "mock_dirty": "hwpt1", "iova": "iova", "length": "16K", "page_size": "2K", "bits": "05", "out": { "out_nr_dirty": 2 } }',
    '{ "dirty_bitmap": "hwpt1", "iova": "iova", "length": "16K", "page_size": "2K", "bits": "05 00 00 00 00 00 00 00" }',
  ],
])('%s', (_, ...steps) => {
  expect(reasons(...steps)).toEqual([]);
});

test.each([
  ['ranges', '{ "iova_ranges": "ioas1", "room": 2, "ranges": [] }', 'byte 3 is 01, expected 00'],
  ['info', '{ "hw_info": "idev1", "data": "01 00 00 00" }', 'byte 0 is 00, expected 01'],
  [
    'a field after an error',
    '{ "invalidate": "nested", "data_type": 1, "entries": ["00 00 00 00 00 00 00 00"], "errno": "EINVAL", "out": { "entry_num": 1 } }',
    'expected entry_num to be 1, got 0',
  ],
  ['a page request', ...REQUEST, requests('{ "grpid": 3 }'), 'page request 0: expected grpid to be 3, got 2'],
  ['no page request', requests(''), ''],
  ['a page request that is not there', requests('{}'), 'expected 1 page requests, got 0'],
  [
    'nothing ready',
    '{ "poll": "fault_fd", "events": ["POLLIN"], "ready": ["POLLIN"] }',
    'expected POLLIN, got nothing',
  ],
])('%s: is compared', (_, ...steps) => {
  const wanted = steps.pop() ?? '';
  const found = reasons(...steps);
  if (wanted === '') expect(found).toEqual([]);
  else expect(found).toEqual([expect.stringContaining(wanted)]);
});

test.each([
  [
    '{ "hw_info": "idev1", "data": "00", "data_uptr": 4096 }',
    'either these bytes or data_uptr, a buffer of the program',
  ],
  [
    '{ "hw_info": "idev1", "data": { "fill": 0, "length": "4K" } }',
    'more than 3072 bytes: put them into a buffer, and say by data_uptr which',
  ],
  ['{ "poll": "fault_fd", "events": ["POLLNEVER"] }', 'POLLIN'],
  ['{ "iova_ranges": "ioas1", "room": 1, "ranges": [["0x1000"]] }', 'expected the first and the last IOVA'],
])('%s', (step, wanted) => {
  expect(() => load(step)).toThrow(CaseError);
  expect(() => load(step)).toThrow(wanted);
});
