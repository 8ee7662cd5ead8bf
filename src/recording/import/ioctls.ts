// SPDX-License-Identifier: GPL-2.0-only

/** How a case says each ioctl: its short word, and what its fields hold. */

/** What a field of a struct holds. */
export type FieldKind =
  | { readonly is: 'number' | 'hex' | 'length' | 'fd' | 'id' | 'address' }
  /** The id that a file behind another field gives: `of` is that field. */
  | { readonly is: 'item'; readonly of: string }
  /** In the IOAS that another field names, if there is such a field. */
  | { readonly is: 'iova'; readonly of?: string }
  | { readonly is: 'bits' | 'choice'; readonly names: readonly string[] };

/** What an ioctl makes: a field that tells it, and what it is called. The first is its primary one. */
export interface Makes {
  readonly field: string;
  readonly word: string;
  readonly is: 'id' | 'fd' | 'item' | 'iova';
}

/** How bytes behind the struct's pointer are said in the step. */
export type Inline =
  | 'data'
  | 'entries'
  | 'allow'
  | 'ranges'
  | 'comes' /* bytes that must come, all overwritten */
  | 'bitmap'
  | 'dirty'
  | 'rw';

export interface IoctlWords {
  /** The short word; absent: the ioctl by its own name. */
  readonly verb?: string;
  /** The key that the descriptor stands under where it is not `on`. */
  readonly descriptor?: string;
  /** The key of each field that the short word has; one with another value needs the ioctl's own name. */
  readonly keys?: Readonly<Record<string, string>>;
  /** Keys that are said even where the field is 0. */
  readonly always?: readonly string[];
  /** `on` is said always. */
  readonly needsOn?: true;
  /** Whose descriptor `on` would be by default: the id in this field. */
  readonly owner?: string;
  readonly fields?: Readonly<Record<string, FieldKind>>;
  readonly makes?: readonly Makes[];
  readonly inline?: Inline;
}

const is = (kind: 'number' | 'hex' | 'length' | 'fd' | 'id' | 'address'): FieldKind => ({ is: kind });
const id = is('id');
const length = is('length');
const address = is('address');
const iova = (of?: string): FieldKind => (of === undefined ? { is: 'iova' } : { is: 'iova', of });
const bits = (...names: string[]): FieldKind => ({ is: 'bits', names });
const choice = (...names: string[]): FieldKind => ({ is: 'choice', names });

const mapFlags = bits('IOMMU_IOAS_MAP_FIXED_IOVA', 'IOMMU_IOAS_MAP_WRITEABLE', 'IOMMU_IOAS_MAP_READABLE');
const deviceMakes: Makes['word'][] = ['stdev', 'hwpt', 'idev'];
const mockDomain = (arm: string): readonly Makes[] =>
  deviceMakes.map((word) => ({ field: `${arm}.out_${word}_id`, word, is: 'id' }));
const perm = bits(
  'IOMMU_PGFAULT_PERM_READ',
  'IOMMU_PGFAULT_PERM_WRITE',
  'IOMMU_PGFAULT_PERM_EXEC',
  'IOMMU_PGFAULT_PERM_PRIV',
);
export const FAULT_KINDS: Readonly<Record<string, FieldKind>> = {
  flags: bits('IOMMU_PGFAULT_FLAGS_PASID_VALID', 'IOMMU_PGFAULT_FLAGS_LAST_PAGE'),
  dev_id: id,
  perm,
  addr: is('hex'),
};
export const RESPONSE_CODES = ['IOMMUFD_PAGE_RESP_SUCCESS', 'IOMMUFD_PAGE_RESP_INVALID'] as const;

export const ioctlWords: Readonly<Record<string, IoctlWords>> = {
  IOMMU_DESTROY: { verb: 'destroy', keys: { id: 'destroy' }, owner: 'id', fields: { id } },
  IOMMU_IOAS_ALLOC: {
    verb: 'ioas_alloc',
    descriptor: 'ioas_alloc',
    makes: [{ field: 'out_ioas_id', word: 'ioas', is: 'id' }],
  },
  IOMMU_IOAS_MAP: {
    verb: 'map',
    keys: { user_va: 'map', length: 'length', ioas_id: 'into', iova: 'at', flags: 'flags' },
    owner: 'ioas_id',
    fields: { user_va: address, length, ioas_id: id, iova: iova('ioas_id'), flags: mapFlags },
    makes: [{ field: 'iova', word: 'iova', is: 'iova' }],
  },
  IOMMU_IOAS_COPY: {
    verb: 'copy',
    keys: {
      src_iova: 'copy',
      length: 'length',
      src_ioas_id: 'from',
      dst_ioas_id: 'into',
      dst_iova: 'at',
      flags: 'flags',
    },
    owner: 'dst_ioas_id',
    fields: {
      src_iova: iova('src_ioas_id'),
      length,
      src_ioas_id: id,
      dst_ioas_id: id,
      dst_iova: iova('dst_ioas_id'),
      flags: mapFlags,
    },
    makes: [{ field: 'dst_iova', word: 'iova', is: 'iova' }],
  },
  IOMMU_IOAS_UNMAP: {
    verb: 'unmap',
    keys: { iova: 'unmap', length: 'length', ioas_id: 'from' },
    owner: 'ioas_id',
    fields: { iova: iova('ioas_id'), length, ioas_id: id },
  },
  IOMMU_IOAS_IOVA_RANGES: {
    verb: 'iova_ranges',
    keys: { ioas_id: 'iova_ranges', num_iovas: 'num_iovas', allowed_iovas: 'allowed_iovas' },
    owner: 'ioas_id',
    fields: { ioas_id: id, allowed_iovas: address, out_iova_alignment: length },
    inline: 'ranges',
  },
  IOMMU_IOAS_ALLOW_IOVAS: {
    verb: 'allow_iovas',
    keys: { ioas_id: 'allow_iovas', num_iovas: 'num_iovas', allowed_iovas: 'allowed_iovas' },
    owner: 'ioas_id',
    fields: { ioas_id: id, allowed_iovas: address },
    inline: 'allow',
  },
  IOMMU_OPTION: {
    fields: {
      option_id: choice('IOMMU_OPTION_RLIMIT_MODE', 'IOMMU_OPTION_HUGE_PAGES'),
      op: choice('IOMMU_OPTION_OP_SET', 'IOMMU_OPTION_OP_GET'),
      object_id: id,
    },
    always: ['option_id', 'op'],
  },
  IOMMU_VFIO_IOAS: {
    verb: 'vfio_ioas',
    descriptor: 'vfio_ioas',
    keys: { ioas_id: 'ioas', op: 'op' },
    always: ['op'],
    fields: {
      ioas_id: id,
      op: choice('IOMMU_VFIO_IOAS_GET', 'IOMMU_VFIO_IOAS_SET', 'IOMMU_VFIO_IOAS_CLEAR'),
    },
  },
  IOMMU_HWPT_ALLOC: {
    verb: 'hwpt_alloc',
    keys: {
      dev_id: 'hwpt_alloc',
      pt_id: 'pt',
      flags: 'flags',
      fault_id: 'fault',
      data_type: 'data_type',
      data_len: 'data_len',
      data_uptr: 'data_uptr',
    },
    owner: 'dev_id',
    fields: {
      dev_id: id,
      pt_id: id,
      fault_id: id,
      flags: bits(
        'IOMMU_HWPT_ALLOC_NEST_PARENT',
        'IOMMU_HWPT_ALLOC_DIRTY_TRACKING',
        'IOMMU_HWPT_FAULT_ID_VALID',
      ),
      data_type: choice('IOMMU_HWPT_DATA_SELFTEST', 'IOMMU_HWPT_DATA_VTD_S1'),
      data_uptr: address,
    },
    makes: [{ field: 'out_hwpt_id', word: 'hwpt', is: 'id' }],
    inline: 'data',
  },
  IOMMU_GET_HW_INFO: {
    verb: 'hw_info',
    keys: { dev_id: 'hw_info', data_len: 'data_len', data_uptr: 'data_uptr' },
    owner: 'dev_id',
    fields: {
      dev_id: id,
      data_uptr: address,
      out_data_type: choice('IOMMU_HW_INFO_TYPE_SELFTEST'),
      out_capabilities: bits('IOMMU_HW_CAP_DIRTY_TRACKING'),
    },
    inline: 'comes',
  },
  IOMMU_HWPT_SET_DIRTY_TRACKING: {
    verb: 'dirty_tracking',
    keys: { hwpt_id: 'dirty_tracking', flags: 'flags' },
    owner: 'hwpt_id',
    fields: { hwpt_id: id, flags: bits('IOMMU_HWPT_DIRTY_TRACKING_ENABLE') },
  },
  IOMMU_HWPT_GET_DIRTY_BITMAP: {
    verb: 'dirty_bitmap',
    keys: {
      hwpt_id: 'dirty_bitmap',
      iova: 'iova',
      length: 'length',
      page_size: 'page_size',
      flags: 'flags',
      data: 'data',
    },
    owner: 'hwpt_id',
    fields: {
      hwpt_id: id,
      iova: iova(),
      length,
      page_size: length,
      flags: bits('IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR'),
      data: address,
    },
    inline: 'bitmap',
  },
  IOMMU_HWPT_INVALIDATE: {
    verb: 'invalidate',
    keys: {
      hwpt_id: 'invalidate',
      data_type: 'data_type',
      data_uptr: 'data_uptr',
      entry_len: 'entry_len',
      entry_num: 'entry_num',
    },
    owner: 'hwpt_id',
    fields: {
      hwpt_id: id,
      data_type: choice('IOMMU_HWPT_INVALIDATE_DATA_SELFTEST', 'IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID'),
      data_uptr: address,
    },
    inline: 'entries',
  },
  IOMMU_FAULT_QUEUE_ALLOC: {
    verb: 'fault_queue',
    descriptor: 'fault_queue',
    keys: { flags: 'flags' },
    makes: [
      { field: 'out_fault_id', word: 'fault', is: 'id' },
      { field: 'out_fault_fd', word: 'fault_fd', is: 'fd' },
    ],
  },

  IOMMU_TEST_OP_ADD_RESERVED: {
    verb: 'add_reserved',
    keys: { id: 'in', 'add_reserved.start': 'add_reserved', 'add_reserved.length': 'length' },
    owner: 'id',
    fields: { id, 'add_reserved.start': is('hex'), 'add_reserved.length': length },
  },
  IOMMU_TEST_OP_MOCK_DOMAIN: {
    verb: 'mock_domain',
    keys: { id: 'mock_domain' },
    owner: 'id',
    fields: { id },
    makes: mockDomain('mock_domain'),
  },
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS: {
    verb: 'mock_domain_flags',
    keys: { id: 'mock_domain_flags', 'mock_domain_flags.dev_flags': 'dev_flags' },
    owner: 'id',
    always: ['mock_domain_flags.dev_flags'],
    fields: {
      id,
      'mock_domain_flags.dev_flags': bits('MOCK_FLAGS_DEVICE_NO_DIRTY', 'MOCK_FLAGS_DEVICE_HUGE_IOVA'),
    },
    makes: mockDomain('mock_domain_flags'),
  },
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE: {
    verb: 'mock_domain_replace',
    keys: { id: 'mock_domain_replace', 'mock_domain_replace.pt_id': 'pt' },
    owner: 'id',
    fields: { id, 'mock_domain_replace.pt_id': id },
    makes: [{ field: 'mock_domain_replace.pt_id', word: 'hwpt', is: 'id' }],
  },
  IOMMU_TEST_OP_MD_CHECK_MAP: {
    verb: 'check_map',
    keys: { id: 'in', 'check_map.iova': 'iova', 'check_map.length': 'length', 'check_map.uptr': 'check_map' },
    owner: 'id',
    fields: { id, 'check_map.iova': iova(), 'check_map.length': length, 'check_map.uptr': address },
  },
  IOMMU_TEST_OP_MD_CHECK_REFS: {
    verb: 'check_refs',
    keys: { 'check_refs.length': 'length', 'check_refs.uptr': 'check_refs', 'check_refs.refs': 'refs' },
    needsOn: true,
    fields: { 'check_refs.length': length, 'check_refs.uptr': address },
  },
  IOMMU_TEST_OP_CREATE_ACCESS: {
    verb: 'create_access',
    keys: { id: 'create_access', 'create_access.flags': 'flags' },
    owner: 'id',
    fields: { id, 'create_access.flags': bits('MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES') },
    makes: [{ field: 'create_access.out_access_fd', word: 'access', is: 'fd' }],
  },
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES: {
    verb: 'destroy_access_pages',
    keys: { id: 'of', 'destroy_access_pages.access_pages_id': 'destroy_access_pages' },
    owner: 'id',
    fields: { id: is('fd'), 'destroy_access_pages.access_pages_id': { is: 'item', of: 'id' } },
  },
  IOMMU_TEST_OP_ACCESS_PAGES: {
    verb: 'access_pages',
    keys: {
      id: 'access_pages',
      'access_pages.flags': 'flags',
      'access_pages.iova': 'iova',
      'access_pages.length': 'length',
      'access_pages.uptr': 'uptr',
    },
    owner: 'id',
    fields: {
      id: is('fd'),
      'access_pages.flags': bits('MOCK_FLAGS_ACCESS_WRITE', 'MOCK_FLAGS_ACCESS_SYZ'),
      'access_pages.iova': iova(),
      'access_pages.length': length,
      'access_pages.uptr': address,
    },
    makes: [{ field: 'access_pages.out_access_pages_id', word: 'pin', is: 'item' }],
  },
  IOMMU_TEST_OP_ACCESS_RW: {
    verb: 'access_rw',
    keys: {
      id: 'access_rw',
      'access_rw.iova': 'iova',
      'access_rw.length': 'length',
      'access_rw.uptr': 'uptr',
      'access_rw.flags': 'flags',
    },
    owner: 'id',
    fields: {
      id: is('fd'),
      'access_rw.iova': iova(),
      'access_rw.length': length,
      'access_rw.uptr': address,
      'access_rw.flags': bits('MOCK_ACCESS_RW_WRITE', 'MOCK_ACCESS_RW_SLOW_PATH'),
    },
    inline: 'rw',
  },
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT: {
    verb: 'memory_limit',
    keys: { 'memory_limit.limit': 'memory_limit' },
    needsOn: true,
  },
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS: {
    verb: 'access_replace_ioas',
    keys: { id: 'access_replace_ioas', 'access_replace_ioas.ioas_id': 'to' },
    owner: 'access_replace_ioas.ioas_id',
    fields: { id: is('fd'), 'access_replace_ioas.ioas_id': id },
  },
  IOMMU_TEST_OP_DIRTY: {
    verb: 'mock_dirty',
    keys: {
      id: 'mock_dirty',
      'dirty.flags': 'flags',
      'dirty.iova': 'iova',
      'dirty.length': 'length',
      'dirty.page_size': 'page_size',
      'dirty.uptr': 'uptr',
    },
    owner: 'id',
    fields: {
      id,
      'dirty.iova': iova(),
      'dirty.length': length,
      'dirty.page_size': length,
      'dirty.uptr': address,
    },
    inline: 'dirty',
  },
  IOMMU_TEST_OP_MD_CHECK_IOTLB: {
    verb: 'check_iotlb',
    keys: { id: 'check_iotlb', 'check_iotlb.id': 'id', 'check_iotlb.iotlb': 'iotlb' },
    owner: 'id',
    fields: { id, 'check_iotlb.iotlb': choice('IOMMU_TEST_IOTLB_DEFAULT') },
  },
  IOMMU_TEST_OP_TRIGGER_IOPF: {
    verb: 'trigger_iopf',
    keys: {
      'trigger_iopf.dev_id': 'trigger_iopf',
      'trigger_iopf.pasid': 'pasid',
      'trigger_iopf.grpid': 'grpid',
      'trigger_iopf.perm': 'perm',
      'trigger_iopf.addr': 'addr',
    },
    owner: 'trigger_iopf.dev_id',
    fields: { 'trigger_iopf.dev_id': id, 'trigger_iopf.perm': perm, 'trigger_iopf.addr': is('hex') },
  },

  VFIO_IOMMU_MAP_DMA: {
    fields: {
      flags: bits('VFIO_DMA_MAP_FLAG_READ', 'VFIO_DMA_MAP_FLAG_WRITE', 'VFIO_DMA_MAP_FLAG_VADDR'),
      vaddr: address,
      iova: is('hex'),
      size: length,
    },
  },
  VFIO_IOMMU_UNMAP_DMA: {
    fields: {
      flags: bits(
        'VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP',
        'VFIO_DMA_UNMAP_FLAG_ALL',
        'VFIO_DMA_UNMAP_FLAG_VADDR',
      ),
      iova: is('hex'),
      size: length,
    },
  },
};

/** Numbers that ioctls without a struct take. */
export const argumentWords: Readonly<Record<string, readonly string[]>> = {
  VFIO_SET_IOMMU: ['VFIO_TYPE1_IOMMU', 'VFIO_TYPE1v2_IOMMU'],
  VFIO_CHECK_EXTENSION: [
    'VFIO_TYPE1_IOMMU',
    'VFIO_TYPE1v2_IOMMU',
    'VFIO_DMA_CC_IOMMU',
    'VFIO_TYPE1_NESTING_IOMMU',
    'VFIO_UNMAP_ALL',
  ],
};
