// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as iommufd from './iommufd.ts';
import * as iommufdTest from './iommufd_test.ts';
import type { AnyLayout, Field, FieldValue } from './layout.ts';
import { bytes, getRaw, s32, setRaw, struct, u8, u16, u32, u64, view } from './layout.ts';
import * as vfio from './vfio.ts';

const { iommu_ioas_map, iommu_hw_info } = iommufd;

interface Exported {
  readonly exportedAs: string;
  readonly layout: AnyLayout;
}

const layouts: readonly Exported[] = Object.entries({ ...iommufd, ...iommufdTest, ...vfio }).flatMap(
  ([exportedAs, value]) => (typeof value === 'object' ? [{ exportedAs, layout: value }] : []),
);

test('members sit on their natural boundaries and the struct is padded to its widest', () => {
  const layout = struct('s', { a: u8, b: u16, c: u8, d: u64, e: s32 });
  expect(Object.values(layout.fields).map((field) => field.offset)).toEqual([0, 2, 4, 8, 16]);
  expect([layout.size, layout.align]).toEqual([24, 8]);
});

test('a nested struct brings its own alignment, and its members have dotted names', () => {
  const inner = struct('inner', { x: u8, y: u64 });
  const middle = struct('middle', { flag: u8, inner });
  const outer = struct('outer', { flag: u8, middle, last: u8 });
  expect(Object.entries(outer.fields).map(([name, field]) => `${name}@${field.offset}`)).toEqual([
    'flag@0',
    'middle.flag@8',
    'middle.inner.x@16',
    'middle.inner.y@24',
    'last@32',
  ]);
  const y: bigint = view(outer, new Uint8Array(outer.size))['middle.inner.y'];
  expect(y).toBe(0n);
});

test('an arm of a union is as big and as aligned as the union', () => {
  const arm = struct('arm', { x: u8 }, { size: 16, align: 8 });
  const layout = struct('s', { head: u32, arm, last: u32 });
  expect(layout.fields['arm.x'].offset).toBe(8);
  expect(layout.fields.last.offset).toBe(24);
  expect(layout.size).toBe(32);
});

test('offsetofend is where the field ends', () => {
  expect(iommu_ioas_map.offsetofend('size')).toBe(4);
  expect(iommu_ioas_map.offsetofend('iova')).toBe(40);
  expect(vfio.vfio_iommu_type1_dirty_bitmap_get.offsetofend('bitmap.data')).toBe(40);
  const anyLayout: AnyLayout = iommu_ioas_map;
  expect(() => anyLayout.offsetofend('iovo')).toThrow('struct iommu_ioas_map has no field iovo');
});

test('a view writes little-endian, at its offset within the subarray, and nowhere else', () => {
  const memory = new Uint8Array(64).fill(0xee);
  const map = view(iommu_ioas_map, memory.subarray(3, 60), 5);
  map.flags = 0x01020304;
  map.iova = 0x1122334455667788n;
  const expected = new Uint8Array(64).fill(0xee);
  expected.set([4, 3, 2, 1], 3 + 5 + 4);
  expected.set([0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11], 3 + 5 + 32);
  expect(memory).toEqual(expected);
  expect([map.flags, map.iova, map.size]).toEqual([0x01020304, 0x1122334455667788n, 0xeeeeeeee]);
});

test('numbers are truncated to their field as C does', () => {
  const layout = struct('s', { byte: u8, int: s32, word: u32, long: u64 });
  const v = view(layout, new Uint8Array(layout.size));
  v.byte = 0x1ff;
  v.int = 0xffffffff;
  v.word = -1;
  v.long = -1n;
  expect([v.byte, v.int, v.word, v.long]).toEqual([0xff, -1, 0xffffffff, 0xffffffffffffffffn]);
});

test('a byte array reads as a live subarray and takes exactly its own length', () => {
  const memory = new Uint8Array(iommu_hw_info.size);
  const info = view(iommu_hw_info, memory);
  info.__reserved = Uint8Array.of(1, 2, 3);
  expect([...memory.subarray(28, 33)]).toEqual([0, 1, 2, 3, 0]);
  memory[30] = 9;
  expect([...info.__reserved]).toEqual([1, 9, 3]);
  expect(() => (info.__reserved = new Uint8Array(2))).toThrow(new RangeError('2 bytes for a field of 3'));
});

test('a view must fit', () => {
  expect(view(iommu_ioas_map, new Uint8Array(41), 1).size).toBe(0);
  expect(() => view(iommu_ioas_map, new Uint8Array(40), 1)).toThrow(
    new RangeError('struct iommu_ioas_map at 1 exceeds 40 bytes'),
  );
  expect(() => view(iommu_ioas_map, new Uint8Array(64), -1)).toThrow(RangeError);
});

test('a u64 takes bigints only, all others numbers only', () => {
  const map: Record<string, FieldValue> = view(iommu_ioas_map, new Uint8Array(40));
  expect(() => (map.iova = 1)).toThrow(TypeError);
  expect(() => (map.flags = 1n)).toThrow(TypeError);
});

const valueFor = ({ kind, width }: Field): fc.Arbitrary<FieldValue> => {
  if (kind === 'u64') return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  if (kind === 'bytes') return fc.uint8Array({ minLength: width, maxLength: width });
  if (kind === 's32') return fc.integer();
  return fc.integer({ min: 0, max: 2 ** (8 * width) - 1 });
};

test('property: what is written to all the fields of a struct is read back, and the padding stays', () => {
  const written = fc.constantFrom(...layouts).chain(({ layout }) =>
    fc.record({
      layout: fc.constant(layout),
      values: fc.tuple(...Object.values(layout.fields).map(valueFor)),
      offset: fc.nat(16),
    }),
  );
  fc.assert(
    fc.property(written, ({ layout, values, offset }) => {
      const memory = new Uint8Array(offset + layout.size + 16).fill(0xee);
      const v = view(layout, memory.subarray(1), offset);
      const names = Object.keys(layout.fields);
      for (const [i, name] of names.entries()) v[name] = values[i] ?? 0;
      expect(names.map((name) => v[name])).toEqual(values);
      for (const field of Object.values(layout.fields)) {
        const start = 1 + offset + field.offset;
        memory.fill(0xee, start, start + field.width);
      }
      expect(memory.every((byte) => byte === 0xee)).toBe(true);
    }),
  );
});

test('property: setRaw and getRaw agree with the view on every integer field', () => {
  const integers = layouts.flatMap(({ layout }) =>
    Object.entries(layout.fields)
      .filter(([, { kind }]) => kind !== 'bytes')
      .map(([name, field]) => ({ layout, name, field })),
  );
  const u64s = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(fc.constantFrom(...integers), u64s, ({ layout, name, field }, random) => {
      const bits = 8 * field.width;
      const value = BigInt.asUintN(bits, random);
      const memory = new Uint8Array(layout.size + 3);
      setRaw(field, memory, value, 3);
      expect(getRaw(field, memory, 3)).toBe(value);
      const signed = field.kind === 's32' ? BigInt.asIntN(bits, value) : value;
      expect(String(view(layout, memory, 3)[name])).toBe(String(signed));
    }),
  );
});

test('setRaw and getRaw stay within the field, signed or unsigned, and within the bytes', () => {
  const { fields } = struct('s', { pad: u32, half: u16, three: bytes(3) });
  const memory = new Uint8Array(12);
  setRaw(fields.half, memory, -0x8000n);
  expect(getRaw(fields.half, memory)).toBe(0x8000n);
  setRaw(fields.three, memory, 0x030201n);
  expect([...memory.subarray(6, 9)]).toEqual([1, 2, 3]);
  expect(() => getRaw(fields.half, memory, 7)).toThrow('a field of 2 bytes at 11 of 12');
  for (const value of [0x10000n, -0x8001n]) {
    expect(() => setRaw(fields.half, memory, value)).toThrow(`${value} does not fit into 2 bytes`);
  }
});

/*
 * What GCC 12 on x86-64 says of Linux 6.12.117's headers: the struct (by the name of our export), its sizeof,
 * and name:type@offsetof of each member.
 */
const truth = `
iommu_destroy 8 size:u32@0 id:u32@4
iommu_fault_alloc 16 size:u32@0 flags:u32@4 out_fault_id:u32@8 out_fault_fd:u32@12
iommu_hw_info 40 size:u32@0 flags:u32@4 dev_id:u32@8 data_len:u32@12 data_uptr:u64@16 out_data_type:u32@24
  out_max_pasid_log2:u8@28 __reserved:u8[3]@29 out_capabilities:u64@32
iommu_hw_info_vtd 24 flags:u32@0 __reserved:u32@4 cap_reg:u64@8 ecap_reg:u64@16
iommu_hwpt_alloc 48 size:u32@0 flags:u32@4 dev_id:u32@8 pt_id:u32@12 out_hwpt_id:u32@16 __reserved:u32@20
  data_type:u32@24 data_len:u32@28 data_uptr:u64@32 fault_id:u32@40 __reserved2:u32@44
iommu_hwpt_get_dirty_bitmap 48 size:u32@0 hwpt_id:u32@4 flags:u32@8 __reserved:u32@12 iova:u64@16
  length:u64@24 page_size:u64@32 data:u64@40
iommu_hwpt_invalidate 32 size:u32@0 hwpt_id:u32@4 data_uptr:u64@8 data_type:u32@16 entry_len:u32@20
  entry_num:u32@24 __reserved:u32@28
iommu_hwpt_page_response 8 cookie:u32@0 code:u32@4
iommu_hwpt_pgfault 40 flags:u32@0 dev_id:u32@4 pasid:u32@8 grpid:u32@12 perm:u32@16 __reserved:u32@20
  addr:u64@24 length:u32@32 cookie:u32@36
iommu_hwpt_set_dirty_tracking 16 size:u32@0 flags:u32@4 hwpt_id:u32@8 __reserved:u32@12
iommu_hwpt_vtd_s1 24 flags:u64@0 pgtbl_addr:u64@8 addr_width:u32@16 __reserved:u32@20
iommu_hwpt_vtd_s1_invalidate 24 addr:u64@0 npages:u64@8 flags:u32@16 __reserved:u32@20
iommu_ioas_alloc 12 size:u32@0 flags:u32@4 out_ioas_id:u32@8
iommu_ioas_allow_iovas 24 size:u32@0 ioas_id:u32@4 num_iovas:u32@8 __reserved:u32@12 allowed_iovas:u64@16
iommu_ioas_copy 40 size:u32@0 flags:u32@4 dst_ioas_id:u32@8 src_ioas_id:u32@12 length:u64@16 dst_iova:u64@24
  src_iova:u64@32
iommu_ioas_iova_ranges 32 size:u32@0 ioas_id:u32@4 num_iovas:u32@8 __reserved:u32@12 allowed_iovas:u64@16
  out_iova_alignment:u64@24
iommu_ioas_map 40 size:u32@0 flags:u32@4 ioas_id:u32@8 __reserved:u32@12 user_va:u64@16 length:u64@24
  iova:u64@32
iommu_ioas_unmap 24 size:u32@0 ioas_id:u32@4 iova:u64@8 length:u64@16
iommu_iova_range 16 start:u64@0 last:u64@8
iommu_option 24 size:u32@0 option_id:u32@4 op:u16@8 __reserved:u16@10 object_id:u32@12 val64:u64@16
iommu_vfio_ioas 12 size:u32@0 ioas_id:u32@4 op:u16@8 __reserved:u16@10
iommu_hwpt_invalidate_selftest 8 flags:u32@0 iotlb_id:u32@4
iommu_hwpt_selftest 4 iotlb:u32@0
iommu_test_cmd 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12 last:u32@64
iommu_test_cmd_access_pages 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12 access_pages.flags:u32@16
  access_pages.out_access_pages_id:u32@20 access_pages.iova:u64@24 access_pages.length:u64@32
  access_pages.uptr:u64@40 last:u32@64
iommu_test_cmd_access_replace_ioas 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12
  access_replace_ioas.ioas_id:u32@16 last:u32@64
iommu_test_cmd_access_rw 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12 access_rw.iova:u64@16
  access_rw.length:u64@24 access_rw.uptr:u64@32 access_rw.flags:u32@40 last:u32@64
iommu_test_cmd_add_reserved 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12 add_reserved.start:u64@16
  add_reserved.length:u64@24 last:u32@64
iommu_test_cmd_check_iotlb 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12 check_iotlb.id:u32@16
  check_iotlb.iotlb:u32@20 last:u32@64
iommu_test_cmd_check_map 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12 check_map.iova:u64@16
  check_map.length:u64@24 check_map.uptr:u64@32 last:u32@64
iommu_test_cmd_check_refs 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12 check_refs.length:u64@16
  check_refs.uptr:u64@24 check_refs.refs:u32@32 last:u32@64
iommu_test_cmd_create_access 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12
  create_access.out_access_fd:u32@16 create_access.flags:u32@20 last:u32@64
iommu_test_cmd_destroy_access_pages 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12
  destroy_access_pages.access_pages_id:u32@16 last:u32@64
iommu_test_cmd_dirty 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12 dirty.flags:u32@16 dirty.iova:u64@24
  dirty.length:u64@32 dirty.page_size:u64@40 dirty.uptr:u64@48 dirty.out_nr_dirty:u64@56 last:u32@64
iommu_test_cmd_memory_limit 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12 memory_limit.limit:u32@16
  last:u32@64
iommu_test_cmd_mock_domain 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12 mock_domain.out_stdev_id:u32@16
  mock_domain.out_hwpt_id:u32@20 mock_domain.out_idev_id:u32@24 last:u32@64
iommu_test_cmd_mock_domain_flags 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12
  mock_domain_flags.out_stdev_id:u32@16 mock_domain_flags.out_hwpt_id:u32@20
  mock_domain_flags.out_idev_id:u32@24 mock_domain_flags.dev_flags:u32@28 last:u32@64
iommu_test_cmd_mock_domain_replace 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12
  mock_domain_replace.pt_id:u32@16 last:u32@64
iommu_test_cmd_trigger_iopf 72 size:u32@0 op:u32@4 id:u32@8 __reserved:u32@12 trigger_iopf.dev_id:u32@16
  trigger_iopf.pasid:u32@20 trigger_iopf.grpid:u32@24 trigger_iopf.perm:u32@28 trigger_iopf.addr:u64@32
  last:u32@64
iommu_test_hw_info 8 flags:u32@0 test_reg:u32@4
vfio_bitmap 24 pgsize:u64@0 size:u64@8 data:u64@16
vfio_device_attach_iommufd_pt 12 argsz:u32@0 flags:u32@4 pt_id:u32@8
vfio_device_bind_iommufd 16 argsz:u32@0 flags:u32@4 iommufd:s32@8 out_devid:u32@12
vfio_device_detach_iommufd_pt 8 argsz:u32@0 flags:u32@4
vfio_device_feature 8 argsz:u32@0 flags:u32@4
vfio_device_feature_dma_logging_control 24 page_size:u64@0 num_ranges:u32@8 __reserved:u32@12 ranges:u64@16
vfio_device_feature_dma_logging_range 16 iova:u64@0 length:u64@8
vfio_device_feature_dma_logging_report 32 iova:u64@0 length:u64@8 page_size:u64@16 bitmap:u64@24
vfio_device_info 24 argsz:u32@0 flags:u32@4 num_regions:u32@8 num_irqs:u32@12 cap_offset:u32@16 pad:u32@20
vfio_device_info_cap_pci_atomic_comp 16 header.id:u16@0 header.version:u16@2 header.next:u32@4 flags:u32@8
  reserved:u32@12
vfio_device_ioeventfd 32 argsz:u32@0 flags:u32@4 offset:u64@8 data:u64@16 fd:s32@24 reserved:u32@28
vfio_group_status 8 argsz:u32@0 flags:u32@4
vfio_info_cap_header 8 id:u16@0 version:u16@2 next:u32@4
vfio_iommu_type1_dirty_bitmap 8 argsz:u32@0 flags:u32@4
vfio_iommu_type1_dirty_bitmap_get 40 iova:u64@0 size:u64@8 bitmap.pgsize:u64@16 bitmap.size:u64@24
  bitmap.data:u64@32
vfio_iommu_type1_dma_map 32 argsz:u32@0 flags:u32@4 vaddr:u64@8 iova:u64@16 size:u64@24
vfio_iommu_type1_dma_unmap 24 argsz:u32@0 flags:u32@4 iova:u64@8 size:u64@16
vfio_iommu_type1_info 24 argsz:u32@0 flags:u32@4 iova_pgsizes:u64@8 cap_offset:u32@16 pad:u32@20
vfio_iommu_type1_info_cap_iova_range 16 header.id:u16@0 header.version:u16@2 header.next:u32@4 nr_iovas:u32@8
  reserved:u32@12
vfio_iommu_type1_info_cap_migration 32 header.id:u16@0 header.version:u16@2 header.next:u32@4 flags:u32@8
  pgsize_bitmap:u64@16 max_dirty_bitmap_size:u64@24
vfio_iommu_type1_info_dma_avail 12 header.id:u16@0 header.version:u16@2 header.next:u32@4 avail:u32@8
vfio_iova_range 16 start:u64@0 end:u64@8
vfio_irq_info 16 argsz:u32@0 flags:u32@4 index:u32@8 count:u32@12
vfio_irq_set 20 argsz:u32@0 flags:u32@4 index:u32@8 start:u32@12 count:u32@16
vfio_pci_dependent_device_devid 8 devid:u32@0 segment:u16@4 bus:u8@6 devfn:u8@7
vfio_pci_dependent_device_group_id 8 group_id:u32@0 segment:u16@4 bus:u8@6 devfn:u8@7
vfio_pci_hot_reset 12 argsz:u32@0 flags:u32@4 count:u32@8
vfio_pci_hot_reset_info 12 argsz:u32@0 flags:u32@4 count:u32@8
vfio_region_info 32 argsz:u32@0 flags:u32@4 index:u32@8 cap_offset:u32@12 size:u64@16 offset:u64@24
vfio_region_info_cap_sparse_mmap 16 header.id:u16@0 header.version:u16@2 header.next:u32@4 nr_areas:u32@8
  reserved:u32@12
vfio_region_sparse_mmap_area 16 offset:u64@0 size:u64@8
`;

test('sizes, offsets and types are those of the C headers', () => {
  const ours = layouts.map(({ exportedAs, layout }) => {
    const fields = Object.entries(layout.fields).map(([name, { kind, offset, width }]) =>
      kind === 'bytes' ? `${name}:u8[${width}]@${offset}` : `${name}:${kind}@${offset}`,
    );
    return [exportedAs, layout.size, ...fields].join(' ');
  });
  const theirs = truth.trim().split(/\n(?! )/);
  expect(ours.sort()).toEqual(theirs.map((line) => line.replace(/\s+/g, ' ')).sort());
});
