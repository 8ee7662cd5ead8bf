// SPDX-License-Identifier: GPL-2.0-only

/** Short words for the ioctl of iommufd's selftest: mock devices, and accesses as a driver has them. */
import { data, flags, operand } from '../words.ts';
import { short } from './ioctl.ts';

const on = () => operand().optional().describe('The iommufd; by default the one that the id belongs to.');
const length = () => operand().describe('How many bytes.');

export const mock_domain = short({
  verb: 'mock_domain',
  about:
    'Makes a mock device and attaches it to an IOAS, by an automatic page table, or to a page table. "as" names ' +
    'the object that owns the device: destroying it detaches.',
  example: '{ "mock_domain": "ioas1", "as": { "out_stdev_id": "dev1", "out_hwpt_id": "hwpt1" } }',
  ioctl: 'IOMMU_TEST_OP_MOCK_DOMAIN',
  shape: () => ({ mock_domain: operand().describe('The id of the IOAS or page table.'), on: on() }),
  on: (step, scope) => step.on ?? scope.ownerOf(['mock_domain'], step.mock_domain),
  with: (step) => ({ id: [['mock_domain'], step.mock_domain] }),
});

export const mock_domain_flags = short({
  verb: 'mock_domain_flags',
  about: 'As mock_domain, with a device that lacks something.',
  example:
    '{ "mock_domain_flags": "ioas1", "dev_flags": "MOCK_FLAGS_DEVICE_NO_DIRTY", "as": { "out_idev_id": "idev1" } }',
  ioctl: 'IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS',
  shape: () => ({
    mock_domain_flags: operand().describe('The id of the IOAS or page table.'),
    dev_flags: flags().describe(
      'MOCK_FLAGS_DEVICE_NO_DIRTY: it cannot track dirty pages. MOCK_FLAGS_DEVICE_HUGE_IOVA: its page tables ' +
        'can have huge pages.',
    ),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['mock_domain_flags'], step.mock_domain_flags),
  with: (step) => ({
    id: [['mock_domain_flags'], step.mock_domain_flags],
    dev_flags: [['dev_flags'], step.dev_flags],
  }),
});

export const mock_domain_replace = short({
  verb: 'mock_domain_replace',
  about:
    'A mock device goes over to another IOAS or page table. What it makes is the page table: an automatic one for ' +
    'an IOAS.',
  example: '{ "mock_domain_replace": "stdev1", "pt": "ioas2", "as": "hwpt2" }',
  ioctl: 'IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE',
  shape: () => ({
    mock_domain_replace: operand().describe('The object that owns the device.'),
    pt: operand().describe('The id of the IOAS or page table.'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['mock_domain_replace'], step.mock_domain_replace),
  with: (step) => ({
    id: [['mock_domain_replace'], step.mock_domain_replace],
    pt_id: [['pt'], step.pt],
  }),
});

export const check_iotlb = short({
  verb: 'check_iotlb',
  about: 'Looks into what a mock IOMMU has cached of a nested page table.',
  example: '{ "check_iotlb": "nested", "id": 0, "iotlb": "IOMMU_TEST_IOTLB_DEFAULT" }',
  ioctl: 'IOMMU_TEST_OP_MD_CHECK_IOTLB',
  shape: () => ({
    check_iotlb: operand().describe('The id of the page table.'),
    id: operand().describe('The entry: 0 to 3.'),
    iotlb: operand().describe('What it must be; 0 once it was invalidated.'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['check_iotlb'], step.check_iotlb),
  with: (step) => ({
    id: [['check_iotlb'], step.check_iotlb],
    'check_iotlb.id': [['id'], step.id],
    iotlb: [['iotlb'], step.iotlb],
  }),
});

export const memory_limit = short({
  verb: 'memory_limit',
  about: 'Limits the memory that pinning takes for a moment, for all iommufds.',
  example: '{ "memory_limit": 16, "on": "iommufd" }',
  ioctl: 'IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT',
  shape: () => ({
    memory_limit: operand().describe('The limit in bytes.'),
    on: operand().describe('An iommufd.'),
  }),
  on: (step) => step.on,
  with: (step) => ({ limit: [['memory_limit'], step.memory_limit] }),
});

export const check_map = short({
  verb: 'check_map',
  about: 'Looks into a mock page table: does each IOVA lead to the page that is behind the address now?',
  example: '{ "check_map": "buf", "length": "64K", "iova": "iova", "in": "hwpt0" }',
  ioctl: 'IOMMU_TEST_OP_MD_CHECK_MAP',
  shape: () => ({
    check_map: operand().describe('The address in the memory of the program.'),
    length: length(),
    iova: operand().describe('The IOVA.'),
    in: operand().describe('The id of the page table.'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['in'], step.in),
  with: (step) => ({
    id: [['in'], step.in],
    uptr: [['check_map'], step.check_map],
    length: [['length'], step.length],
    iova: [['iova'], step.iova],
  }),
});

export const check_refs = short({
  verb: 'check_refs',
  about: 'Looks at the pages of the program: is each pinned that often?',
  example: '{ "check_refs": "buf", "length": "64K", "refs": 0, "on": "iommufd" }',
  ioctl: 'IOMMU_TEST_OP_MD_CHECK_REFS',
  shape: () => ({
    check_refs: operand().describe('The address in the memory of the program.'),
    length: length(),
    refs: operand().describe('How often.'),
    on: operand().describe('An iommufd.'),
  }),
  on: (step) => step.on,
  with: (step) => ({
    uptr: [['check_refs'], step.check_refs],
    length: [['length'], step.length],
    refs: [['refs'], step.refs],
  }),
});

export const create_access = short({
  verb: 'create_access',
  about:
    'Opens an access to an IOAS, as a driver does that touches memory by IOVA. What it makes is a descriptor.',
  example:
    '{ "create_access": "ioas1", "flags": "MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES", "as": "access1" }',
  ioctl: 'IOMMU_TEST_OP_CREATE_ACCESS',
  shape: () => ({
    create_access: operand().describe('The id of the IOAS.'),
    flags: flags()
      .optional()
      .describe(
        'MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES, without which it can read and write, but not pin.',
      ),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['create_access'], step.create_access),
  with: (step) => ({
    id: [['create_access'], step.create_access],
    ...(step.flags === undefined ? {} : { flags: [['flags'], step.flags] }),
  }),
});

export const access_pages = short({
  verb: 'access_pages',
  about:
    'An access pins what is behind a range of IOVA, until it is told to let go or the range is unmapped.',
  example: '{ "access_pages": "access0", "iova": "iova", "length": "4K", "as": "pin1" }',
  ioctl: 'IOMMU_TEST_OP_ACCESS_PAGES',
  shape: () => ({
    access_pages: operand().describe('The access.'),
    iova: operand().describe('The IOVA.'),
    length: length(),
    uptr: operand()
      .optional()
      .describe('The address at which the same pages are to be; absent: not compared.'),
    flags: flags().optional().describe('MOCK_FLAGS_ACCESS_WRITE to pin for writing too.'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['access_pages'], step.access_pages),
  with: (step) => ({
    id: [['access_pages'], step.access_pages],
    iova: [['iova'], step.iova],
    length: [['length'], step.length],
    ...(step.uptr === undefined ? {} : { uptr: [['uptr'], step.uptr] }),
    ...(step.flags === undefined ? {} : { flags: [['flags'], step.flags] }),
  }),
});

export const destroy_access_pages = short({
  verb: 'destroy_access_pages',
  about: 'An access unpins what one access_pages has pinned.',
  example: '{ "destroy_access_pages": 0, "of": "access0" }',
  ioctl: 'IOMMU_TEST_OP_DESTROY_ACCESS_PAGES',
  shape: () => ({
    destroy_access_pages: operand().describe('What access_pages has made.'),
    of: operand().describe('The access.'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['of'], step.of),
  with: (step) => ({
    id: [['of'], step.of],
    access_pages_id: [['destroy_access_pages'], step.destroy_access_pages],
  }),
});

export const access_rw = short({
  verb: 'access_rw',
  about: 'An access reads a range of IOVA into memory of the program, or writes there.',
  example: '{ "access_rw": "access0", "iova": "iova", "length": 4, "uptr": "buf" }',
  ioctl: 'IOMMU_TEST_OP_ACCESS_RW',
  shape: () => ({
    access_rw: operand().describe('The access.'),
    iova: operand().describe('The IOVA.'),
    length: length(),
    uptr: operand()
      .optional()
      .describe('The address in the memory of the program where the bytes go to or come from.'),
    data: data()
      .optional()
      .describe('Instead of "uptr": the bytes to write, or those that must be read (all 0 before).'),
    flags: flags()
      .optional()
      .describe(
        'MOCK_ACCESS_RW_WRITE to write; MOCK_ACCESS_RW_SLOW_PATH to pin the pages even if they are its own.',
      ),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['access_rw'], step.access_rw),
  with: (step) => ({
    id: [['access_rw'], step.access_rw],
    iova: [['iova'], step.iova],
    length: [['length'], step.length],
    ...(step.uptr === undefined ? {} : { uptr: [['uptr'], step.uptr] }),
    ...(step.flags === undefined ? {} : { flags: [['flags'], step.flags] }),
  }),
  buffer: ({ data: bytes, flags: how = [] }) => {
    if (bytes === undefined) return undefined;
    const place = { field: 'access_rw.uptr', path: ['data'] };
    return [how].flat().includes('MOCK_ACCESS_RW_WRITE')
      ? { ...place, bytes }
      : { ...place, bytes: new Uint8Array(bytes.length), expected: bytes };
  },
});

export const access_replace_ioas = short({
  verb: 'access_replace_ioas',
  about: 'An access goes over to another IOAS; what it has pinned it lets go of.',
  example: '{ "access_replace_ioas": "access0", "to": "ioas1" }',
  ioctl: 'IOMMU_TEST_OP_ACCESS_REPLACE_IOAS',
  shape: () => ({
    access_replace_ioas: operand().describe('The access.'),
    to: operand().describe('The id of the IOAS.'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['to'], step.to),
  with: (step) => ({
    id: [['access_replace_ioas'], step.access_replace_ioas],
    ioas_id: [['to'], step.to],
  }),
});

export const add_reserved = short({
  verb: 'add_reserved',
  about: 'Reserves a range of IOVA, as a device does that cannot use it.',
  example: '{ "add_reserved": "0x100000", "length": "4K", "in": "ioas1" }',
  ioctl: 'IOMMU_TEST_OP_ADD_RESERVED',
  shape: () => ({
    add_reserved: operand().describe('The IOVA.'),
    length: length(),
    in: operand().describe('The id of the IOAS.'),
    on: on(),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['in'], step.in),
  with: (step) => ({
    id: [['in'], step.in],
    start: [['add_reserved'], step.add_reserved],
    length: [['length'], step.length],
  }),
});
