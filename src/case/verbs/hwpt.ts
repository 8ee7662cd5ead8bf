// SPDX-License-Identifier: GPL-2.0-only

/** Short words for page tables that user space makes, their dirty tracking and invalidation, and hardware info. */
import * as z from 'zod';
import { data, flags, operand } from '../words.ts';
import { short } from './ioctl.ts';

const on = () => operand().optional().describe('The iommufd; by default the one that the id belongs to.');

export const hwpt_alloc = short({
  verb: 'hwpt_alloc',
  about:
    'Makes a page table for a device: of an IOAS, or nested in another page table, with data for the IOMMU driver.',
  example:
    '{ "hwpt_alloc": "idev1", "pt": "ioas1", "flags": "IOMMU_HWPT_ALLOC_NEST_PARENT", "as": "parent" }',
  ioctl: 'IOMMU_HWPT_ALLOC',
  shape: () => ({
    hwpt_alloc: operand().describe('The id of the device.'),
    pt: operand().describe('The id of the IOAS, or of the page table to nest in.'),
    flags: flags()
      .optional()
      .describe(
        'IOMMU_HWPT_ALLOC_NEST_PARENT, _DIRTY_TRACKING; IOMMU_HWPT_FAULT_ID_VALID comes with "fault".',
      ),
    fault: operand().optional().describe('The id of the fault queue that page requests go to.'),
    data_type: operand().optional().describe('What "data" is: IOMMU_HWPT_DATA_SELFTEST for the mock driver.'),
    data: data().optional().describe('Bytes for the driver.'),
    data_len: operand().optional().describe('How many bytes; by default those of "data".'),
    data_uptr: operand()
      .optional()
      .describe('Where in the memory of the program they are, instead of "data".'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['hwpt_alloc'], step.hwpt_alloc),
  with: (step) => ({
    ...(step.flags === undefined && step.fault === undefined
      ? {}
      : {
          flags: [
            ['flags'],
            [step.flags ?? [], step.fault === undefined ? [] : 'IOMMU_HWPT_FAULT_ID_VALID'].flat(),
          ],
        }),
    dev_id: [['hwpt_alloc'], step.hwpt_alloc],
    pt_id: [['pt'], step.pt],
    ...(step.data_type === undefined ? {} : { data_type: [['data_type'], step.data_type] }),
    ...lengthOf(step),
    ...(step.data_uptr === undefined ? {} : { data_uptr: [['data_uptr'], step.data_uptr] }),
    ...(step.fault === undefined ? {} : { fault_id: [['fault'], step.fault] }),
  }),
  buffer: (step) =>
    step.data === undefined ? undefined : { field: 'data_uptr', path: ['data'], bytes: step.data },
});

interface WithData {
  readonly data?: Uint8Array | undefined;
  readonly data_len?: string | number | undefined;
}

/** The field data_len: as the step says, or the length of its bytes. */
function lengthOf({ data: bytes, data_len }: WithData): {
  data_len?: [path: string[], value: string | number];
} {
  const length = data_len ?? bytes?.length;
  return length === undefined ? {} : { data_len: [['data_len'], length] };
}

export const invalidate = short({
  verb: 'invalidate',
  about:
    'Invalidates what the IOMMU has cached of a nested page table. What is left undone is told by entry_num.',
  example:
    '{ "invalidate": "nested", "data_type": "IOMMU_HWPT_INVALIDATE_DATA_SELFTEST", "entries": ["01 00 00 00 00 00 00 00"] }',
  ioctl: 'IOMMU_HWPT_INVALIDATE',
  shape: () => ({
    invalidate: operand().describe('The id of the page table.'),
    data_type: operand().optional().describe('What the entries are: IOMMU_HWPT_INVALIDATE_DATA_SELFTEST.'),
    entries: z.array(data()).max(500).optional().describe('The entries, all of the same length.'),
    entry_len: operand().optional().describe('Bytes of an entry; by default those of the first.'),
    entry_num: operand().optional().describe('How many there are; by default as many as "entries" has.'),
    data_uptr: operand()
      .optional()
      .describe('Where in the memory of the program they are, instead of "entries".'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['invalidate'], step.invalidate),
  with: (step) => ({
    hwpt_id: [['invalidate'], step.invalidate],
    ...(step.data_uptr === undefined ? {} : { data_uptr: [['data_uptr'], step.data_uptr] }),
    ...(step.data_type === undefined ? {} : { data_type: [['data_type'], step.data_type] }),
    entry_len: [['entry_len'], step.entry_len ?? step.entries?.[0]?.length ?? 0],
    entry_num: [['entry_num'], step.entry_num ?? step.entries?.length ?? 0],
  }),
  buffer: ({ entries = [] }) =>
    entries.length === 0
      ? undefined
      : { field: 'data_uptr', path: ['entries'], bytes: Buffer.concat(entries) },
});

export const dirty_tracking = short({
  verb: 'dirty_tracking',
  about: 'Switches dirty tracking of a page table on or off.',
  example: '{ "dirty_tracking": "hwpt1", "flags": "IOMMU_HWPT_DIRTY_TRACKING_ENABLE" }',
  ioctl: 'IOMMU_HWPT_SET_DIRTY_TRACKING',
  shape: () => ({
    dirty_tracking: operand().describe('The id of the page table.'),
    flags: flags().optional().describe('IOMMU_HWPT_DIRTY_TRACKING_ENABLE, without which it is switched off.'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['dirty_tracking'], step.dirty_tracking),
  with: (step) => ({
    ...(step.flags === undefined ? {} : { flags: [['flags'], step.flags] }),
    hwpt_id: [['dirty_tracking'], step.dirty_tracking],
  }),
});

const page_size = () => operand().describe('Bytes that one bit stands for.');
const length = () => operand().describe('How many bytes.');
const iova = () => operand().describe('The IOVA.');

export const dirty_bitmap = short({
  verb: 'dirty_bitmap',
  about: 'Reads which pages of a page table are dirty, and makes them clean.',
  example:
    '{ "dirty_bitmap": "hwpt1", "iova": "iova", "length": "64K", "page_size": "4K", "bits": "01 00 00 00 00 00 00 00" }',
  ioctl: 'IOMMU_HWPT_GET_DIRTY_BITMAP',
  shape: () => ({
    dirty_bitmap: operand().describe('The id of the page table.'),
    iova: iova(),
    length: length(),
    page_size: page_size(),
    flags: flags().optional().describe('IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR to leave them dirty.'),
    bits: data().optional().describe('The bitmap that must come: as many bytes, all 0 before.'),
    data: operand().optional().describe('Where in the memory of the program it goes, instead of "bits".'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['dirty_bitmap'], step.dirty_bitmap),
  with: (step) => ({
    hwpt_id: [['dirty_bitmap'], step.dirty_bitmap],
    ...(step.flags === undefined ? {} : { flags: [['flags'], step.flags] }),
    iova: [['iova'], step.iova],
    length: [['length'], step.length],
    page_size: [['page_size'], step.page_size],
    ...(step.data === undefined ? {} : { data: [['data'], step.data] }),
  }),
  buffer: ({ bits }) =>
    bits === undefined
      ? undefined
      : { field: 'data', path: ['bits'], bytes: new Uint8Array(bits.length), expected: bits },
});

export const mock_dirty = short({
  verb: 'mock_dirty',
  about:
    'A mock device dirties pages: their bits in the mock page table are set. How many were clean is told.',
  example: '{ "mock_dirty": "hwpt1", "iova": "iova", "length": "64K", "page_size": "4K", "bits": "01 00" }',
  ioctl: 'IOMMU_TEST_OP_DIRTY',
  shape: () => ({
    mock_dirty: operand().describe('The id of the page table.'),
    iova: iova(),
    length: length(),
    page_size: page_size(),
    bits: data().optional().describe('A bit for each page.'),
    uptr: operand().optional().describe('Where in the memory of the program they are, instead of "bits".'),
    flags: flags().optional().describe('There are none.'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['mock_dirty'], step.mock_dirty),
  with: (step) => ({
    id: [['mock_dirty'], step.mock_dirty],
    ...(step.flags === undefined ? {} : { flags: [['flags'], step.flags] }),
    iova: [['iova'], step.iova],
    length: [['length'], step.length],
    page_size: [['page_size'], step.page_size],
    ...(step.uptr === undefined ? {} : { uptr: [['uptr'], step.uptr] }),
  }),
  buffer: ({ bits }) =>
    bits === undefined ? undefined : { field: 'dirty.uptr', path: ['bits'], bytes: bits },
});

export const hw_info = short({
  verb: 'hw_info',
  about: 'Asks what the IOMMU of a device can do. data_len tells how many bytes there would be.',
  example: '{ "hw_info": "idev1", "data": "00 00 00 00 ef be ad de" }',
  ioctl: 'IOMMU_GET_HW_INFO',
  shape: () => ({
    hw_info: operand().describe('The id of the device.'),
    data: data().optional().describe('The bytes that must come: room for as many, all 0 before.'),
    data_len: operand().optional().describe('How much room there is; by default for "data".'),
    data_uptr: operand().optional().describe('Where in the memory of the program it is, instead of "data".'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['hw_info'], step.hw_info),
  with: (step) => ({
    dev_id: [['hw_info'], step.hw_info],
    ...lengthOf(step),
    ...(step.data_uptr === undefined ? {} : { data_uptr: [['data_uptr'], step.data_uptr] }),
  }),
  buffer: ({ data: bytes }) =>
    bytes === undefined
      ? undefined
      : { field: 'data_uptr', path: ['data'], bytes: new Uint8Array(bytes.length), expected: bytes },
});
