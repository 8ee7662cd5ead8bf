// SPDX-License-Identifier: GPL-2.0-only

/** Short words for iommufd's ioctls. */
import * as z from 'zod';
import { iommu_iova_range } from '../../uapi/iommufd.ts';
import { encode } from '../../user/ioctl.ts';
import type { Placed } from '../ioctl-call.ts';
import { type Flags, flags, number, operand, U64_MAX } from '../words.ts';
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

const address = () => number(0n, U64_MAX);
const ranges = () => z.array(z.array(address()).length(2, 'expected the first and the last IOVA')).max(150);

const encodeRanges = (given: readonly (readonly bigint[])[], room: number): Uint8Array => {
  const bytes = new Uint8Array(room * iommu_iova_range.size);
  for (const [i, [start = 0n, last = 0n]] of given.slice(0, room).entries()) {
    const range = encode(iommu_iova_range, [
      ['start', start],
      ['last', last],
    ]);
    bytes.set(range, i * range.length);
  }
  return bytes;
};

export const allow_iovas = short({
  verb: 'allow_iovas',
  about: 'Says which IOVA the kernel may choose from, and devices must be able to use; without ranges: all.',
  example: '{ "allow_iovas": "ioas1", "ranges": [["0x1000", "0xfffff"]] }',
  ioctl: 'IOMMU_IOAS_ALLOW_IOVAS',
  shape: () => ({
    allow_iovas: operand().describe('The id of the IOAS.'),
    ranges: ranges().optional().describe('Each with its first and its last IOVA.'),
    num_iovas: operand().optional().describe('How many there are; by default as many as "ranges" has.'),
    allowed_iovas: operand()
      .optional()
      .describe('Where in the memory of the program they are, instead of "ranges".'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['allow_iovas'], step.allow_iovas),
  with: (step) => ({
    ioas_id: [['allow_iovas'], step.allow_iovas],
    num_iovas: [['num_iovas'], step.num_iovas ?? step.ranges?.length ?? 0],
    ...(step.allowed_iovas === undefined ? {} : { allowed_iovas: [['allowed_iovas'], step.allowed_iovas] }),
  }),
  buffer: ({ ranges: given }) =>
    given === undefined || given.length === 0
      ? undefined
      : { field: 'allowed_iovas', path: ['ranges'], bytes: encodeRanges(given, given.length) },
});

export const iova_ranges = short({
  verb: 'iova_ranges',
  about: 'Asks which IOVA are not reserved. num_iovas tells how many ranges there are.',
  example: '{ "iova_ranges": "ioas1", "room": 1, "ranges": [["0", "0xffffffffffffffff"]] }',
  ioctl: 'IOMMU_IOAS_IOVA_RANGES',
  shape: () => ({
    iova_ranges: operand().describe('The id of the IOAS.'),
    room: z.int().min(0).max(150).optional().describe('For how many ranges there is room.'),
    ranges: ranges().optional().describe('Those that must come, each with its first and its last IOVA.'),
    num_iovas: operand().optional().describe('How many there is room for; by default as "room" says.'),
    allowed_iovas: operand()
      .optional()
      .describe('Where in the memory of the program the room is, instead of "room".'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['iova_ranges'], step.iova_ranges),
  with: (step) => ({
    ioas_id: [['iova_ranges'], step.iova_ranges],
    num_iovas: [['num_iovas'], step.num_iovas ?? step.room ?? 0],
    ...(step.allowed_iovas === undefined ? {} : { allowed_iovas: [['allowed_iovas'], step.allowed_iovas] }),
  }),
  buffer: ({ room, ranges: given }) =>
    room === undefined || room === 0
      ? undefined
      : {
          field: 'allowed_iovas',
          path: ['ranges'],
          bytes: encodeRanges([], room),
          expected: given === undefined ? undefined : encodeRanges(given, room),
        },
});

export const vfio_ioas = short({
  verb: 'vfio_ioas',
  about: 'Says which IOAS the ioctls of VFIO containers are about, or asks: without "ioas" and "op".',
  example: '{ "vfio_ioas": "iommufd", "ioas": "ioas1" }',
  ioctl: 'IOMMU_VFIO_IOAS',
  shape: () => ({
    vfio_ioas: operand().describe('The iommufd.'),
    ioas: operand().optional().describe('The id of the IOAS.'),
    op: operand()
      .optional()
      .describe('IOMMU_VFIO_IOAS_GET, _SET or _CLEAR; by default _SET with "ioas", _GET without.'),
  }),
  on: (step) => step.vfio_ioas,
  with: (step) => ({
    ...(step.ioas === undefined ? {} : { ioas_id: [['ioas'], step.ioas] }),
    op: [['op'], step.op ?? (step.ioas === undefined ? 'IOMMU_VFIO_IOAS_GET' : 'IOMMU_VFIO_IOAS_SET')],
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
