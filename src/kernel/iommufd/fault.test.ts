// SPDX-License-Identifier: GPL-2.0-only

// Fault queues as a program has them: a nested page table on the mock driver, requests, reads and answers.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Check } from '../../sim/check/check.ts';
import { context } from '../../sim/context.ts';
import { functionInfo } from '../../sim/fn.ts';
import { Machine } from '../../sim/machine.ts';
import { SeededRandom } from '../../sim/policies/random.ts';
import { runToBlock } from '../../sim/policies/run-to-block.ts';
import type { Gen } from '../../sim/task.ts';
import { ENTER, KIND_MASK, STRIDE } from '../../sim/trace.ts';
import { recordReads } from '../../sim/watch.ts';
import { EBUSY, EFAULT, EINVAL, EMFILE, ENOENT, EOPNOTSUPP, ESPIPE } from '../../uapi/errno.ts';
import * as uapi from '../../uapi/iommufd.ts';
import * as selftest from '../../uapi/iommufd_test.ts';
import { type Layout, view } from '../../uapi/layout.ts';
import { do_pipe2 } from '../fs/pipe.ts';
import { EPOLLIN, EPOLLOUT, EPOLLRDNORM } from '../fs/select.ts';
import { sys_close, sys_ioctl, sys_open, sys_poll, sys_read, sys_write } from '../fs/syscalls.ts';
import { do_mprotect, PROT_READ, PROT_WRITE, user_load, user_store } from '../mm/mm.ts';
import type { mm_struct } from '../mm/mm_types.ts';
import { finish, map, spawn, thread } from '../mm/testing.ts';
import { current_process } from '../sched/task.ts';
import { iommufd_init } from './main.ts';
import { iommufd_test_init } from './selftest_driver.ts';

/** Calls of a function so far. */
function calls(name: string): number {
  const { buf, len } = context.trace;
  let found = 0;
  for (let at = 0; at < len; at += STRIDE) {
    const entered = ((buf[at] ?? 0) & KIND_MASK) === ENTER;
    if (entered && functionInfo(buf[at + 1] ?? -1).name === name) found++;
  }
  return found;
}

const SIZE = uapi.iommu_hwpt_pgfault.size;
const PAGE = 0x1000n;
const ARGUMENTS = 0x10_0000n;
const BUF = 0x20_0000n;
const READ_ONLY = 0x30_0000n;
const NOTHING = 0x40_0000n;

interface Fault {
  readonly id: number;
  readonly fd: number;
}

type Body = (it: Program) => Gen<void>;

/** A thread of a program with /dev/iommu open, and how it calls. */
class Program {
  readonly on: Machine;
  readonly mm: mm_struct;
  readonly fd: number;
  /** Where it puts the arguments of its calls. */
  readonly #arg: bigint;

  constructor(on: Machine, mm: mm_struct, fd: number, nth: number) {
    this.on = on;
    this.mm = mm;
    this.fd = fd;
    this.#arg = ARGUMENTS + BigInt(nth) * PAGE;
    map(mm, this.#arg, PAGE, PROT_READ | PROT_WRITE);
  }

  /** One more thread of the program. */
  beside(role: string, body: Body): void {
    const group = current_process();
    const nth = ++group.files.count;
    thread(this.on, group, role, body(new Program(this.on, this.mm, this.fd, nth)));
  }

  *call<V extends object>(cmd: number, layout: Layout<V>, fields: Partial<V>): Gen<{ ret: number; out: V }> {
    const sent = new Uint8Array(layout.size);
    Object.assign(view(layout, sent), { size: layout.size, ...fields });
    user_store(this.mm, this.#arg, sent);
    const ret = yield* sys_ioctl(this.fd, cmd, this.#arg);
    return { ret, out: view(layout, user_load(this.mm, this.#arg, sent.length) ?? sent) };
  }

  *good<V extends object>(cmd: number, layout: Layout<V>, fields: Partial<V>): Gen<V> {
    const { ret, out } = yield* this.call(cmd, layout, fields);
    expect(ret).toBe(0);
    return out;
  }

  *queue(): Gen<Fault> {
    const out = yield* this.good(uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, {});
    return { id: out.out_fault_id, fd: out.out_fault_fd };
  }

  *destroy(id: number): Gen<number> {
    return (yield* this.call(uapi.IOMMU_DESTROY, uapi.iommu_destroy, { id })).ret;
  }

  *hwpt(dev_id: number, pt_id: number, flags: number, fault: Fault | null): Gen<{ ret: number; id: number }> {
    const data = uapi.IOMMU_HWPT_ALLOC_NEST_PARENT === flags ? 0 : selftest.iommu_hwpt_selftest.size;
    user_store(this.mm, BUF, new Uint8Array(selftest.iommu_hwpt_selftest.size));
    const { ret, out } = yield* this.call(uapi.IOMMU_HWPT_ALLOC, uapi.iommu_hwpt_alloc, {
      flags,
      dev_id,
      pt_id,
      data_type: data === 0 ? uapi.IOMMU_HWPT_DATA_NONE : selftest.IOMMU_HWPT_DATA_SELFTEST,
      data_len: data,
      data_uptr: data === 0 ? 0n : BUF,
      fault_id: fault?.id ?? 0,
    });
    return { ret, id: out.out_hwpt_id };
  }

  *replace(stdev: number, pt_id: number): Gen<number> {
    const op = { op: selftest.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, id: stdev };
    const fields = { ...op, 'mock_domain_replace.pt_id': pt_id };
    const { ret } = yield* this.call(
      selftest.IOMMU_TEST_CMD,
      selftest.iommu_test_cmd_mock_domain_replace,
      fields,
    );
    return ret;
  }

  *trigger(dev_id: number, grpid: number, pasid = 0): Gen<number> {
    const { ret } = yield* this.call(selftest.IOMMU_TEST_CMD, selftest.iommu_test_cmd_trigger_iopf, {
      op: selftest.IOMMU_TEST_OP_TRIGGER_IOPF,
      'trigger_iopf.dev_id': dev_id,
      'trigger_iopf.grpid': grpid,
      'trigger_iopf.pasid': pasid,
      'trigger_iopf.addr': 0x1000n * BigInt(grpid),
    });
    return ret;
  }

  /** What has been read into BUF. */
  got(n: number): { grpid: number; cookie: number; dev_id: number; flags: number; addr: bigint }[] {
    const bytes = user_load(this.mm, BUF, n * SIZE);
    if (bytes === null) throw new Error('the buffer is gone');
    return Array.from({ length: n }, (_, i) => {
      const it = view(uapi.iommu_hwpt_pgfault, bytes.subarray(i * SIZE, (i + 1) * SIZE));
      return { grpid: it.grpid, cookie: it.cookie, dev_id: it.dev_id, flags: it.flags, addr: it.addr };
    });
  }

  *answer(fd: number, ...answers: (readonly [cookie: number, code: number])[]): Gen<number> {
    const bytes = new Uint8Array(answers.length * uapi.iommu_hwpt_page_response.size);
    for (const [i, [cookie, code]] of answers.entries()) {
      Object.assign(view(uapi.iommu_hwpt_page_response, bytes.subarray(i * 8, i * 8 + 8)), { cookie, code });
    }
    user_store(this.mm, BUF, bytes);
    return yield* sys_write(fd, BUF, bytes.length);
  }

  /** A mock device that is attached to an IOAS, and a page table to nest on. */
  *device(): Gen<{ idev: number; stdev: number; ioas: number; parent: number }> {
    const { out_ioas_id: ioas } = yield* this.good(uapi.IOMMU_IOAS_ALLOC, uapi.iommu_ioas_alloc, {});
    const out = yield* this.good(selftest.IOMMU_TEST_CMD, selftest.iommu_test_cmd_mock_domain, {
      op: selftest.IOMMU_TEST_OP_MOCK_DOMAIN,
      id: ioas,
    });
    const idev = out['mock_domain.out_idev_id'];
    const { ret, id } = yield* this.hwpt(idev, ioas, uapi.IOMMU_HWPT_ALLOC_NEST_PARENT, null);
    expect(ret).toBe(0);
    return { idev, stdev: out['mock_domain.out_stdev_id'], ioas, parent: id };
  }

  /** A nested page table of `fault`'s. */
  *nested(idev: number, parent: number, fault: Fault): Gen<number> {
    const { ret, id } = yield* this.hwpt(idev, parent, uapi.IOMMU_HWPT_FAULT_ID_VALID, fault);
    expect(ret).toBe(0);
    return id;
  }
}

/** Runs a program on the mock platform; returns what warned. */
function run(body: Body, on = new Machine(runToBlock)): string[] {
  on.powerOn();
  iommufd_init(on.root);
  on.spawn('swapper', boot());
  finish(on);
  on.trace.clear();
  context.watch = recordReads;
  spawn(on, 'p', function* (mm, { files }) {
    files.count = 1;
    map(mm, BUF, 2n * PAGE, PROT_READ | PROT_WRITE);
    map(mm, READ_ONLY, PAGE, PROT_READ);
    yield* body(new Program(on, mm, yield* sys_open('/dev/iommu', 2), 0));
  });
  return finish(on);
}

function* boot(): Gen<void> {
  expect(yield* iommufd_test_init()).toBe(0);
}

test('a queue is an object and a file, each of which keeps it', () => {
  const warned = run(function* (it) {
    const flags = { flags: 1 };
    expect((yield* it.call(uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, flags)).ret).toBe(
      -EOPNOTSUPP,
    );
    const fault = yield* it.queue();
    expect(yield* it.destroy(fault.id)).toBe(-EBUSY);
    const { idev, stdev, ioas, parent } = yield* it.device();
    const nested = yield* it.nested(idev, parent, fault);
    expect(yield* sys_close(fault.fd)).toBe(0);
    expect(yield* it.destroy(fault.id)).toBe(-EBUSY);
    expect(yield* it.destroy(nested)).toBe(0);
    expect(yield* it.destroy(fault.id)).toBe(0);
    expect(yield* it.destroy(stdev)).toBe(0);
    expect(yield* it.destroy(parent)).toBe(0);
    expect(yield* it.destroy(ioas)).toBe(0);
  });
  expect(warned).toEqual([]);
});

test('a queue that user space cannot be told of is gone, and its descriptor free', () => {
  const warned = run(function* (it) {
    const bytes = new Uint8Array(uapi.iommu_fault_alloc.size);
    view(uapi.iommu_fault_alloc, bytes).size = bytes.length;
    const from = BUF + 2n * PAGE - BigInt(bytes.length);
    user_store(it.mm, from, bytes);
    expect(yield* do_mprotect(it.mm, BUF + PAGE, PAGE, PROT_READ)).toBe(0);
    expect(yield* sys_ioctl(it.fd, uapi.IOMMU_FAULT_QUEUE_ALLOC, from)).toBe(-EFAULT);
    const fds: number[] = [];
    for (let ends = yield* do_pipe2(0); typeof ends !== 'number'; ends = yield* do_pipe2(0))
      fds.push(...ends);
    const last = yield* sys_open('/dev/iommu', 2);
    const refused = yield* it.call(uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, {});
    expect(refused.ret).toBe(-EMFILE);
    yield* sys_close(last < 0 ? (fds[0] ?? -1) : last);
    const fault = yield* it.queue();
    expect(fault.id).toBe(1);
    // It keeps the context alive by itself.
    yield* sys_close(it.fd);
    expect(yield* sys_read(fault.fd, BUF, SIZE)).toBe(0);
    yield* sys_close(fault.fd);
  });
  expect(warned).toEqual([]);
});

test('only a nested page table can have a queue, and one that is there', () => {
  const warned = run(function* (it) {
    const { idev, ioas, parent } = yield* it.device();
    const fault = yield* it.queue();
    const both = uapi.IOMMU_HWPT_ALLOC_NEST_PARENT | uapi.IOMMU_HWPT_FAULT_ID_VALID;
    expect((yield* it.hwpt(idev, ioas, both, fault)).ret).toBe(-EOPNOTSUPP);
    const flag = uapi.IOMMU_HWPT_FAULT_ID_VALID;
    expect((yield* it.hwpt(idev, parent, flag, null)).ret).toBe(-ENOENT);
    expect((yield* it.hwpt(idev, parent, flag, { id: ioas, fd: -1 })).ret).toBe(-ENOENT);
    expect(yield* it.destroy(parent)).toBe(0);
  });
  expect(warned).toEqual([]);
});

test('requests are read in order, whole groups at a time, and answered by cookie', () => {
  const warned = run(function* (it) {
    const { idev, stdev, parent } = yield* it.device();
    const { fd, id } = yield* it.queue();
    const nested = yield* it.nested(idev, parent, { fd, id });
    expect(yield* it.trigger(999, 1)).toBe(-ENOENT);
    // Nobody is attached who would handle it.
    expect(yield* it.trigger(idev, 1)).toBe(0);
    expect(yield* it.replace(stdev, nested)).toBe(0);
    expect(yield* sys_read(fd, BUF, SIZE)).toBe(0);
    expect(yield* sys_read(fd, BUF, 0)).toBe(0);
    // No address of user space is refused whatever there is, one that is not mapped only when it is used.
    expect(yield* sys_read(fd, 1n << 63n, SIZE)).toBe(-EFAULT);
    expect(yield* sys_write(fd, 1n << 63n, 0)).toBe(-EFAULT);
    expect(yield* sys_read(fd, NOTHING, SIZE)).toBe(0);
    for (const grpid of [1, 2, 3]) expect(yield* it.trigger(idev, grpid, grpid === 3 ? 7 : 0)).toBe(0);
    expect(yield* sys_read(fd, BUF, SIZE - 1)).toBe(-ESPIPE);
    // A whole number of requests, but of so many bytes the driver hears of less.
    expect(yield* sys_read(fd, BUF, 60_000_000 * SIZE)).toBe(-ESPIPE);
    expect(yield* sys_read(fd, BUF, 0)).toBe(-EINVAL);
    expect(yield* sys_read(fd, BUF, 2 * SIZE)).toBe(2 * SIZE);
    expect(it.got(2)).toEqual([
      { grpid: 1, cookie: 1, dev_id: idev, flags: uapi.IOMMU_PGFAULT_FLAGS_LAST_PAGE, addr: 0x1000n },
      { grpid: 2, cookie: 2, dev_id: idev, flags: uapi.IOMMU_PGFAULT_FLAGS_LAST_PAGE, addr: 0x2000n },
    ]);
    expect(yield* sys_read(fd, BUF, 5 * SIZE)).toBe(SIZE);
    expect(it.got(1)).toMatchObject([{ grpid: 3, cookie: 3, flags: 3 }]);

    const { IOMMUFD_PAGE_RESP_INVALID: INVALID, IOMMUFD_PAGE_RESP_SUCCESS: SUCCESS } = uapi;
    expect(yield* sys_write(fd, BUF, 7)).toBe(-ESPIPE);
    expect(yield* sys_write(fd, BUF, 0)).toBe(0);
    expect(yield* sys_write(fd, NOTHING, 8)).toBe(-EFAULT);
    expect(yield* it.answer(fd, [99, SUCCESS])).toBe(-EINVAL);
    expect(yield* it.answer(fd, [1, 2])).toBe(-EINVAL);
    expect(yield* it.answer(fd, [2, INVALID], [1, SUCCESS], [1, SUCCESS])).toBe(16);
    expect(yield* it.answer(fd, [2, SUCCESS])).toBe(-EINVAL);
    // A cookie is free again once it is answered; what is left is refused when the device leaves.
    expect(yield* it.trigger(idev, 4)).toBe(0);
    expect(yield* sys_read(fd, BUF, SIZE)).toBe(SIZE);
    expect(it.got(1)).toMatchObject([{ grpid: 4, cookie: 1 }]);
    expect(yield* it.trigger(idev, 5)).toBe(0);
    expect(yield* it.replace(stdev, parent)).toBe(0);
    expect(yield* sys_read(fd, BUF, SIZE)).toBe(0);
    expect(yield* it.answer(fd, [1, SUCCESS])).toBe(-EINVAL);
  });
  expect(warned).toEqual([]);
});

test('a read that cannot be delivered changes nothing', () => {
  const warned = run(function* (it) {
    const { idev, stdev, parent } = yield* it.device();
    const fault = yield* it.queue();
    expect(yield* it.replace(stdev, yield* it.nested(idev, parent, fault))).toBe(0);
    for (const grpid of [1, 2]) yield* it.trigger(idev, grpid);
    expect(yield* sys_read(fault.fd, READ_ONLY, SIZE)).toBe(-EFAULT);
    // The first fits into what is left of the mapping, the second does not.
    const end = BUF + 2n * PAGE - BigInt(SIZE);
    expect(yield* sys_read(fault.fd, end, 2 * SIZE)).toBe(SIZE);
    expect(yield* sys_read(fault.fd, BUF, 2 * SIZE)).toBe(SIZE);
    expect(it.got(1)).toMatchObject([{ grpid: 2, cookie: 2 }]);
  });
  expect(warned).toEqual([]);
});

test('poll says when there is something to read, and waits for it', () => {
  const warned = run(function* (it) {
    const { idev, stdev, parent } = yield* it.device();
    const fault = yield* it.queue();
    expect(yield* it.replace(stdev, yield* it.nested(idev, parent, fault))).toBe(0);
    const readable = EPOLLIN | EPOLLRDNORM;
    expect(yield* sys_poll(fault.fd, readable | EPOLLOUT, 0)).toBe(EPOLLOUT);
    expect(yield* sys_poll(fault.fd, readable, 0)).toBe(0);
    expect(yield* sys_poll(fault.fd, EPOLLIN, 10)).toBe(0);
    let seen = 0;
    it.beside('waiter', function* () {
      seen = yield* sys_poll(fault.fd, EPOLLIN, -1);
    });
    yield* it.trigger(idev, 1);
    expect(yield* sys_poll(fault.fd, readable, 1000)).toBe(readable);
    // A file that does not say is always ready.
    expect(yield* sys_poll(it.fd, EPOLLIN, 0)).toBe(EPOLLIN);
    while (seen === 0) yield* sys_poll(fault.fd, 0, 1);
    expect(seen).toBe(EPOLLIN);
  });
  expect(warned).toEqual([]);
});

/** Places at which 6.12 looks before it has the lock, and that have nothing to do with queues. */
const LOOKS_FIRST: ReadonlySet<string> = new Set([
  'iommufd_group.hwpt is read without iommufd_group.lock',
  'blocking_notifier_head.head is read without blocking_notifier_head.rwsem',
]);

test('whoever reports, reads, answers and replaces meanwhile: each request has one answer', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const machine = new Machine(new SeededRandom(seed));
      const warned = run(function* (it) {
        const { idev, stdev, parent } = yield* it.device();
        const first = yield* it.queue();
        const second = yield* it.queue();
        const nested = [yield* it.nested(idev, parent, first), yield* it.nested(idev, parent, second)];
        let left = 4;
        const last = function* (): Gen<void> {
          if (--left === 0) yield* sys_close(it.fd);
        };
        const server = ({ fd }: Fault): Body =>
          function* (me) {
            for (let i = 0; i < 3; i++) {
              const n = yield* sys_read(fd, BUF, 2 * SIZE);
              if (n > 0) yield* me.answer(fd, [1, 0]);
            }
            yield* sys_close(fd);
            yield* last();
          };
        it.beside('server1', server(first));
        it.beside('server2', server(second));
        it.beside('reporter', function* (me) {
          for (let grpid = 1; grpid <= 4; grpid++) yield* me.trigger(idev, grpid);
          yield* last();
        });
        it.beside('mover', function* (me) {
          for (const to of [...nested, parent, ...nested]) expect(yield* me.replace(stdev, to)).toBe(0);
          yield* last();
        });
      }, machine);
      expect(warned).toEqual([]);
      const findings = new Check().run(machine, { status: 'finished' });
      expect(findings.filter(({ title }) => !LOOKS_FIRST.has(title))).toEqual([]);
      expect(calls('mock_domain_page_response')).toBe(4);
      expect(calls('iopf_free_group')).toBe(calls('iommufd_fault_iopf_handler'));
    }),
    { numRuns: 40 },
  );
});
