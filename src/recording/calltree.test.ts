// SPDX-License-Identifier: GPL-2.0-only

/**
 * The model's calls against those of a real kernel, traced with ftrace. A recorded tree embeds in the model's if
 * both are equal, as ordered trees, after
 * - taking out, of both, functions that could not be traced and functions that the model does not have,
 * - taking out of the model what GCC inlined, which is listed, by caller and callee of one file: every call, no
 *   matter where, or none,
 * - leaving one of the repetitions that are listed: where Linux goes from page to page the model goes from run to
 *   run, and how long runs are depends on where memory happened to be.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { declaredFunctions } from '../sim/fn.ts';
import {
  type Call,
  CallTrace,
  collapse,
  contract,
  parseCalls,
  type Repetition,
  showCalls,
} from './calltree.testing.ts';
import { decode } from './decode.ts';
import type { Event, Recording } from './event.ts';
import { readRecording } from './files.ts';
import { type ReplayResult, replay } from './replay.ts';

const golden = fileURLToPath(new URL('../../golden', import.meta.url));

const lines = (path: string): string[] => readFileSync(`${golden}/calltree/${path}`, 'utf8').split('\n');

/** GCC puts a suffix on the names of functions that it specialised. */
const traced = new Set(lines('TRACED').map((name) => name.replace(/\..*/, '')));
const files = new Map(declaredFunctions().map(({ name, file }) => [name, file]));

/** `caller callee`: in the recorded kernel the callee is a part of the caller. */
const INLINED: readonly string[] = [
  'iommufd_ioas_alloc_ioctl iommufd_ioas_alloc',
  'iommufd_object_abort_and_destroy iommufd_object_abort',
  'iommufd_hwpt_nested_abort iommufd_hwpt_nested_destroy',
  'iopt_destroy_table iopt_remove_reserved_iova',
  '__iommu_read_and_clear_dirty iopt_area_contig_init',
  'iopt_area_unfill_domains iopt_area_unfill_domain',
  'pfn_reader_first interval_tree_double_span_iter_first',
  'iopt_pages_fill_xarray interval_tree_double_span_iter_first',
  'iopt_pages_unfill_xarray interval_tree_double_span_iter_first',
  'iopt_pages_unfill_xarray interval_tree_double_span_iter_next',
  '__iopt_area_unfill_domain interval_tree_double_span_iter_first',
  '__iopt_area_unfill_domain interval_tree_double_span_iter_next',
  '__iommu_probe_device iommu_ops_from_fwnode',
  'iommu_create_device_direct_mappings iommu_get_resv_regions',
  'iommu_create_device_direct_mappings iommu_put_resv_regions',
  'iommu_setup_default_domain __iommu_group_set_domain_internal',
  'iommu_device_release_dma_owner __iommu_group_set_domain_internal',
  'iommu_detach_group_handle __iommu_group_set_domain_internal',
  'iommu_detach_group_handle __iommu_device_set_domain',
  '__iommu_group_remove_device iommu_group_put',
];

const REPEATED: readonly Repetition[] = [
  // A call a page; the model adds a run at once.
  { caller: 'pfn_reader_next', calls: ['batch_add_pfn'] },
  { caller: 'batch_from_domain', calls: ['mock_domain_iova_to_phys', 'batch_add_pfn'] },
  { caller: 'iopt_pages_fill_xarray', calls: ['mock_domain_iova_to_phys'] },
  // A call a run in both: the recorded machine's memory was in more pieces.
  { caller: 'batch_to_domain', calls: ['iommu_map'] },
];

/** What was run, where no recording has its name. */
const STAND_INS: Readonly<Record<string, () => Recording>> = {
  // The only call of two_mock_domain that mock_domain does not make is to have a second domain, on line 7.
  'iommufd_ioas.mock_domain.access_pin_unmap': () =>
    without(recorded('iommufd_ioas.two_mock_domain.access_pin_unmap'), 7),
  // The buffer, of huge pages or not, is not used.
  'iommufd_mock_domain.one_domain.replace': () => recorded('iommufd_mock_domain.one_domain_hugepage.replace'),
  'iommufd.simple_ioctls': simple_ioctls,
};

/** The test of that name makes two calls; opening, closing and looking for leaks are its fixture's. */
function simple_ioctls(): Recording {
  const check = { size: '0x48', op: '0x4', 'check_refs.length': '0x10000', 'check_refs.uptr': '0x10000' };
  const text = [
    { recording: 1, suite: 'selftest', name: 'iommufd.simple_ioctls', platform: 'mock' },
    { call: 'mmap', addr: '0x10000', len: '0x10000', prot: 3, flags: '0x31', fd: -1, ret: '0x10000' },
    { call: 'open', path: '/dev/iommu', flags: '0x2', ret: 3 },
    { call: 'ioctl', fd: 3, cmd: 'VFIO_GET_API_VERSION', arg: '0x0', ret: 0 },
    { call: 'ioctl', fd: 3, cmd: 'VFIO_CHECK_EXTENSION', arg: '0x3', ret: 1 },
    { call: 'close', fd: 3, ret: 0 },
    { call: 'open', path: '/dev/iommu', flags: '0x2', ret: 3 },
    { call: 'ioctl', fd: 3, cmd: 'IOMMU_TEST_OP_MD_CHECK_REFS', in: check, ret: 0 },
    { call: 'close', fd: 3, ret: 0 },
  ];
  return decode(text.map((line) => JSON.stringify(line)).join('\n'), 'iommufd.simple_ioctls');
}

const recorded = (name: string): Recording => readRecording(`${golden}/recordings/selftest/${name}.jsonl.gz`);

function without(recording: Recording, line: number): Recording {
  function* rest(): Generator<Event, void> {
    for (const event of recording.events) if (event.line !== line) yield event;
  }
  return { ...recording, calls: recording.calls - 1, events: rest() };
}

/** A recording ends with the program; tracing went on until its process was gone. */
function withExit(recording: Recording): Recording {
  function* events(): Generator<Event, void> {
    let line = 0;
    for (const event of recording.events) {
      ({ line } = event);
      yield event;
    }
    yield { pid: 1, line: line + 1, call: 'exit', status: 0 };
  }
  return { ...recording, events: events() };
}

const inlined: ReadonlySet<string> = new Set(INLINED);
/** Entries of INLINED that served. */
const used = new Set<string>();

const comparable = (calls: readonly Call[]): readonly Call[] =>
  contract(calls, (name) => !traced.has(name) || !files.has(name));

function isInlined(name: string, caller: string): boolean {
  const pair = `${caller} ${name}`;
  if (!inlined.has(pair)) return false;
  used.add(pair);
  return true;
}

function calls_of(recording: Recording): { readonly result: ReplayResult; readonly calls: readonly Call[] } {
  const trace = new CallTrace();
  const result = replay(withExit(recording), trace);
  return { result, calls: collapse(contract(comparable(trace.calls), isInlined), REPEATED) };
}

const trees = readdirSync(`${golden}/calltree`)
  .filter((name) => /^(iommufd|vfio_compat).*\.txt$/.test(name))
  .map((name) => name.replace(/\.txt$/, ''));

test.each(trees)('%s: the recorded calls embed', (name) => {
  const { result, calls } = calls_of(STAND_INS[name]?.() ?? recorded(name));
  const expected = collapse(comparable(parseCalls(lines(`${name}.txt`).join('\n'))), REPEATED);
  expect(result).toMatchObject({ status: 'matched', matched: result.calls });
  expect(showCalls(calls)).toBe(showCalls(expected));
});

/** Functions in the recorded trees that the model does not have, and so are not compared: links in sysfs. */
const ABSENT: readonly string[] = ['iommu_device_link', 'iommu_device_unlink'];

test('no function that was recorded is lost', () => {
  const names = trees.flatMap((name) => lines(`${name}.txt`).map((line) => line.trimStart()));
  const absent = new Set(names.filter((name) => name !== '' && !files.has(name)));
  expect([...absent].sort()).toEqual(ABSENT);
});

test('what is listed as inlined is used, and caller and callee are of one file', () => {
  expect(INLINED.filter((pair) => !used.has(pair))).toEqual([]);
  const across = INLINED.filter((pair) => new Set(pair.split(' ').map((name) => files.get(name))).size > 1);
  expect(across).toEqual([]);
});
