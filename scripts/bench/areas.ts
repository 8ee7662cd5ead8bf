// SPDX-License-Identifier: GPL-2.0-only

import { sys_open } from '../../src/kernel/fs/syscalls.ts';
import { do_mmap, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../../src/kernel/mm/mm.ts';
// What an IOAS costs when it has many areas: by the calls of a program, and its tree alone.
import {
  interval_tree,
  interval_tree_insert,
  interval_tree_iter_first,
  interval_tree_node,
  interval_tree_remove,
} from '../../src/sim/collections/interval-tree.ts';
import { IS_ERR } from '../../src/sim/errno.ts';
import { Machine } from '../../src/sim/machine.ts';
import type { Named } from '../../src/sim/observed.ts';
import { runToBlock } from '../../src/sim/policies/run-to-block.ts';
import { root, struct } from '../../src/sim/struct.ts';
import type { Gen } from '../../src/sim/task.ts';
import { NoTrace } from '../../src/sim/trace.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as test from '../../src/uapi/iommufd_test.ts';
import { type AnyLayout, getRaw } from '../../src/uapi/layout.ts';
import { boot } from '../../src/user/boot.ts';
import { calling_mm, encode, ioctl_struct } from '../../src/user/ioctl.ts';
import { create_process, Thread } from '../../src/user/process.ts';

const unlimited = { stepLimit: Number.POSITIVE_INFINITY };

const PAGE = 0x1000n;
/** From one area to the next: they do not touch. */
const STRIDE = 2n * PAGE;
const TIMES = 20_000;
const RW = uapi.IOMMU_IOAS_MAP_FIXED_IOVA | uapi.IOMMU_IOAS_MAP_READABLE | uapi.IOMMU_IOAS_MAP_WRITEABLE;

/** Comes by all of `count` places, each far from the one before: what is looked at is in no cache by chance. */
function walk(count: number): () => number {
  const step = Math.floor(count * 0.618) | 1;
  let at = 0;
  return () => {
    at = (at + step) % count;
    return at;
  };
}

/** The median of what a call takes, us. */
export interface Calls {
  readonly unmap: number;
  readonly map: number;
  /** An access reads eight bytes. */
  readonly read: number;
}

/** What IOMMU_IOAS_UNMAP, IOMMU_IOAS_MAP and a read through an access take where an IOAS has `count` areas. */
export function callsOnAreas(count: number): Calls {
  const machine = new Machine(runToBlock, unlimited, new NoTrace()).powerOn();
  boot(machine, 'mock');
  const process = create_process(machine.root, 'vmm', { rlimit_memlock: 1n << 50n });
  const calls = { unmap: 0, map: 0, read: 0 };
  new Thread(process, 'vmm', program(count, calls));
  const { status } = machine.run();
  if (status !== 'finished') throw new Error(`the benchmark's run ended with ${status}`);
  return calls;
}

function* program(count: number, medians: { -readonly [call in keyof Calls]: number }): Gen<void> {
  const at = do_mmap(calling_mm(), 0n, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  if (IS_ERR(at)) throw new Error(`mmap: ${at}`);
  const user = BigInt(at);
  const fd = yield* sys_open('/dev/iommu', 2);
  const ioas = yield* ioctl(fd, uapi.IOMMU_IOAS_ALLOC, uapi.iommu_ioas_alloc, {}, 'out_ioas_id');
  const iova = (at: number): bigint => BigInt(at + 1) * STRIDE;
  const map = (at: number): Gen<bigint> =>
    ioctl(fd, uapi.IOMMU_IOAS_MAP, uapi.iommu_ioas_map, {
      flags: BigInt(RW),
      ioas_id: ioas,
      user_va: user,
      length: PAGE,
      iova: iova(at),
    });
  const unmap = (at: number): Gen<bigint> =>
    ioctl(fd, uapi.IOMMU_IOAS_UNMAP, uapi.iommu_ioas_unmap, { ioas_id: ioas, iova: iova(at), length: PAGE });
  const testOp = (op: number, id: bigint, layout: AnyLayout, fields: Fields, out?: string): Gen<bigint> =>
    ioctl(fd, test.IOMMU_TEST_CMD, layout, { op: BigInt(op), id, ...fields }, out);
  const { iommu_test_cmd_create_access, iommu_test_cmd_access_rw } = test;
  const access = yield* testOp(
    test.IOMMU_TEST_OP_CREATE_ACCESS,
    ioas,
    iommu_test_cmd_create_access,
    {},
    'create_access.out_access_fd',
  );
  const read = (at: number): Gen<bigint> =>
    testOp(test.IOMMU_TEST_OP_ACCESS_RW, access, iommu_test_cmd_access_rw, {
      'access_rw.iova': iova(at),
      'access_rw.length': 8n,
      'access_rw.uptr': user,
    });
  for (let at = 0; at < count; at++) yield* map(at);

  const next = walk(count);
  const times: { [call in keyof Calls]: number[] } = { unmap: [], map: [], read: [] };
  for (let i = 0; i < TIMES; i++) {
    const at = next();
    times.unmap.push(yield* timed(unmap(at)));
    times.map.push(yield* timed(map(at)));
    times.read.push(yield* timed(read(next())));
  }
  for (const call of ['unmap', 'map', 'read'] as const)
    medians[call] = times[call].sort((a, b) => a - b)[TIMES / 2] ?? 0;
}

type Fields = Readonly<Record<string, bigint>>;

/** Returns the field `out` of the answer. Throws when the call fails. */
function* ioctl(fd: number, cmd: number, layout: AnyLayout, fields: Fields, out?: string): Gen<bigint> {
  const all = Object.entries({ size: BigInt(layout.size), ...fields });
  const { ret, bytes } = yield* ioctl_struct(fd, cmd, encode(layout, all));
  if (ret < 0) throw new Error(`${layout.name}: ${ret}`);
  const field = out === undefined ? undefined : layout.fields[out];
  return field === undefined ? 0n : getRaw(field, bytes);
}

/** What it took, us. */
function* timed(call: Gen<bigint>): Gen<number> {
  const start = performance.now();
  yield* call;
  return (performance.now() - start) * 1000;
}

class bench_area extends struct('bench_area', root, { node: interval_tree_node<bench_area>() }) {
  readonly at: bigint;

  constructor(creator: Named, at: bigint) {
    super(creator, 'area');
    this.at = at;
    this.node.start = at;
    this.node.last = at + 0xfffn;
  }
}

class bench_table extends struct('bench_table', root, { areas: interval_tree<bench_area>() }) {}

/** What one operation takes, us. */
export interface Tree {
  /** To take an area out and put it in again. */
  readonly change: number;
  readonly find: number;
  /** To read one area, without the tree: what the caches of this machine cost. */
  readonly look: number;
}

const ROUNDS = 5;
const OPERATIONS = 200_000;

/** What the tree of an IOAS takes where it has `count` areas. */
export function treeOfAreas(count: number): Tree {
  const machine = new Machine(runToBlock, unlimited, new NoTrace()).powerOn();
  const { areas: tree } = new bench_table(machine.root, 'table');
  const all = Array.from({ length: count }, (_, i) => new bench_area(machine.root, BigInt(i) * STRIDE));
  for (const { node } of all) interval_tree_insert(node, tree);
  const next = walk(count);
  const bestOf = (work: (area: bench_area) => void): number => {
    const times = Array.from({ length: ROUNDS }, () => {
      const start = performance.now();
      for (let i = 0; i < OPERATIONS; i++) {
        const area = all[next()];
        if (area !== undefined) work(area);
      }
      return performance.now() - start;
    });
    return (Math.min(...times) * 1000) / OPERATIONS;
  };
  return {
    change: bestOf(({ node }) => {
      interval_tree_remove(node, tree);
      interval_tree_insert(node, tree);
    }),
    find: bestOf(({ at }) => {
      if (interval_tree_iter_first(tree, at + 8n, at + 8n) === null) throw new Error('an area is lost');
    }),
    look: bestOf(({ node }) => {
      if (node.start < 0n) throw new Error('an area is nowhere');
    }),
  };
}
