// SPDX-License-Identifier: GPL-2.0-only

/** Short words for iommufd's ioctls. */
import type { Placed } from '../ioctl-call.ts';
import { type Flags, flags, operand } from '../words.ts';
import { short } from './ioctl.ts';

const on = () => operand().optional().describe('The descriptor; by default the one that the id belongs to.');

export const ioas_alloc = short({
  verb: 'ioas_alloc',
  about: 'Makes an I/O address space.',
  example: '{ "ioas_alloc": "iommufd", "as": "ioas1" }',
  ioctl: 'IOMMU_IOAS_ALLOC',
  shape: () => ({ ioas_alloc: operand().describe('The iommufd.') }),
  on: (step) => step.ioas_alloc,
  with: () => ({}),
});

export const destroy = short({
  verb: 'destroy',
  about: 'Destroys an object by its id.',
  example: '{ "destroy": "ioas1", "errno": "EBUSY" }',
  ioctl: 'IOMMU_DESTROY',
  shape: () => ({ destroy: operand().describe('The id of the object.'), on: on() }),
  on: (step, scope) => step.on ?? scope.ownerOf(['destroy'], step.destroy),
  with: (step) => ({ id: [['destroy'], step.destroy] }),
});

const READ_WRITE = ['IOMMU_IOAS_MAP_READABLE', 'IOMMU_IOAS_MAP_WRITEABLE'];

const map_flags = (step: { flags?: Flags | undefined; at?: string | number | undefined }): Placed => [
  ['flags'],
  [step.flags ?? READ_WRITE, step.at === undefined ? [] : 'IOMMU_IOAS_MAP_FIXED_IOVA'].flat(),
];

const mapping_flags = () =>
  flags()
    .optional()
    .describe('IOMMU_IOAS_MAP_READABLE and _WRITEABLE unless said otherwise; _FIXED_IOVA comes with "at".');

export const map = short({
  verb: 'map',
  about: 'Maps memory of the program into an IOAS. What it makes is the IOVA.',
  example: '{ "map": "buf", "length": "64K", "into": "ioas1", "as": "iova" }',
  ioctl: 'IOMMU_IOAS_MAP',
  shape: () => ({
    map: operand().describe('The address in the memory of the program.'),
    length: operand().describe('How many bytes.'),
    into: operand().describe('The id of the IOAS.'),
    on: on(),
    at: operand().optional().describe('The IOVA; absent: the kernel chooses one.'),
    flags: mapping_flags(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['into'], step.into),
  with: (step) => ({
    flags: map_flags(step),
    ioas_id: [['into'], step.into],
    user_va: [['map'], step.map],
    length: [['length'], step.length],
    ...(step.at === undefined ? {} : { iova: [['at'], step.at] }),
  }),
});

export const copy = short({
  verb: 'copy',
  about:
    'Maps what an IOAS has mapped into another one, or the same, without pinning it again. What it makes is the IOVA.',
  example: '{ "copy": "iova", "length": "64K", "from": "ioas1", "into": "ioas1", "as": "iova2" }',
  ioctl: 'IOMMU_IOAS_COPY',
  shape: () => ({
    copy: operand().describe('The IOVA where it is mapped.'),
    length: operand().describe('How many bytes.'),
    from: operand().describe('The id of the IOAS where it is mapped.'),
    into: operand().describe('The id of the IOAS that it is mapped into.'),
    on: on(),
    at: operand().optional().describe('The new IOVA; absent: the kernel chooses one.'),
    flags: mapping_flags(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['into'], step.into),
  with: (step) => ({
    flags: map_flags(step),
    dst_ioas_id: [['into'], step.into],
    src_ioas_id: [['from'], step.from],
    length: [['length'], step.length],
    ...(step.at === undefined ? {} : { dst_iova: [['at'], step.at] }),
    src_iova: [['copy'], step.copy],
  }),
});

export const unmap = short({
  verb: 'unmap',
  about: 'Takes a range of IOVA out of an IOAS.',
  example: '{ "unmap": "iova", "length": "64K", "from": "ioas1" }',
  ioctl: 'IOMMU_IOAS_UNMAP',
  shape: () => ({
    unmap: operand().describe('The IOVA.'),
    length: operand().describe('How many bytes.'),
    from: operand().describe('The id of the IOAS.'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['from'], step.from),
  with: (step) => ({
    ioas_id: [['from'], step.from],
    iova: [['unmap'], step.unmap],
    length: [['length'], step.length],
  }),
});

export const option = short({
  verb: 'option',
  about: 'Sets an option of an iommufd or of an IOAS, or gets it: without "set".',
  example: '{ "option": "IOMMU_OPTION_HUGE_PAGES", "of": "ioas1", "set": 0 }',
  ioctl: 'IOMMU_OPTION',
  shape: () => ({
    option: operand().describe('IOMMU_OPTION_RLIMIT_MODE or IOMMU_OPTION_HUGE_PAGES.'),
    of: operand().optional().describe('The id of the IOAS; none for an option of the whole iommufd.'),
    on: on(),
    set: flags()
      .optional()
      .describe('The value to set; absent: the value is got, and told in the field val64.'),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['of'], step.of ?? 0),
  with: (step) => ({
    option_id: [['option'], step.option],
    op: [['option'], step.set === undefined ? 'IOMMU_OPTION_OP_GET' : 'IOMMU_OPTION_OP_SET'],
    ...(step.of === undefined ? {} : { object_id: [['of'], step.of] }),
    ...(step.set === undefined ? {} : { val64: [['set'], step.set] }),
  }),
});
