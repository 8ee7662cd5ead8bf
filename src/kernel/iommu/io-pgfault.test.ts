// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import type { Policy } from '../../sim/choice.ts';
import { __xa_store, xa_lock, xa_unlock } from '../../sim/collections/xarray.ts';
import { done } from '../../sim/coroutine.ts';
import { type Err, fail, IS_ERR, type Rc } from '../../sim/errno.ts';
import { Machine } from '../../sim/machine.ts';
import { ALLOCATION } from '../../sim/slab.ts';
import { INIT_WORK, queue_work, work_struct } from '../../sim/sync/workqueue.ts';
import type { Gen } from '../../sim/task.ts';
import { EBUSY, EINVAL, ENODEV, ENOMEM } from '../../uapi/errno.ts';
import { device } from '../driver-core/device.ts';
import { finish } from '../mm/testing.ts';
import {
  IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
  iommu_fault_type,
  iommu_page_response_code,
  type iopf_event,
  type iopf_group,
  type iopf_queue,
} from './io-pgfault.h.ts';
import {
  iommu_report_device_fault,
  iopf_free_group,
  iopf_group_dequeue,
  iopf_group_response,
} from './io-pgfault.ts';
import {
  iopf_queue_add_device,
  iopf_queue_alloc,
  iopf_queue_discard_partial,
  iopf_queue_flush_dev,
  iopf_queue_free,
  iopf_queue_remove_device,
} from './io-pgfault_queue.ts';
import {
  dev_iommu,
  iommu_attach_handle,
  iommu_device,
  iommu_domain,
  iommu_domain_type,
  type iommu_ops,
} from './iommu.h.ts';
import { iommu_dev_disable_feature, iommu_dev_enable_feature } from './iommu.ts';
import { iommu_group_alloc } from './iommu_group.ts';

const { IOMMU_PAGE_RESP_SUCCESS, IOMMU_PAGE_RESP_INVALID, IOMMU_PAGE_RESP_FAILURE } =
  iommu_page_response_code;
const WITH_PASID = IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;

function ok<T>(it: T | Err | null): T {
  if (it === null || IS_ERR(it)) throw new Error(`unexpected error ${it}`);
  return it;
}

interface Options {
  readonly answers?: boolean;
  readonly user_pasid_table?: boolean;
  readonly nested?: boolean;
  /** What the handler says. */
  readonly refuse?: boolean;
}

/** A device that is attached, with a handler that keeps the groups it gets. */
class World {
  readonly dev: device;
  readonly queue: iopf_queue;
  readonly domain: iommu_domain;
  readonly groups: iopf_group[] = [];
  /** Answers, as `grpid: code`. */
  readonly answers: string[] = [];

  constructor(
    on: Machine,
    { answers = true, user_pasid_table = false, nested = false, refuse = false }: Options,
  ) {
    this.dev = new device(on.root, 'd');
    const param = new dev_iommu(this.dev, 'iommu');
    param.iommu_dev = new iommu_device(on.root, 'hardware');
    const ops: iommu_ops = {
      name: 'test_ops',
      probe_device: () => done(fail(ENODEV, 'never asked')),
      device_group: () => done(fail(ENODEV, 'never asked')),
      default_domain_ops: { name: 'test_domain_ops' },
      pgsize_bitmap: 0x1000n,
      user_pasid_table,
    };
    const page_response: iommu_ops['page_response'] = (_dev, _evt, { grpid, code }) => {
      this.answers.push(`${grpid}: ${code}`);
      return done(undefined);
    };
    param.iommu_dev.ops = answers ? { ...ops, page_response } : ops;
    this.dev.iommu = param;
    this.queue = ok(iopf_queue_alloc(on.root, 'test'));
    this.domain = new iommu_domain(on.root, 'domain');
    this.domain.type = nested
      ? iommu_domain_type.IOMMU_DOMAIN_NESTED
      : iommu_domain_type.IOMMU_DOMAIN_UNMANAGED;
    const groups = this.groups;
    this.domain.iopf_handler = {
      name: 'keep',
      *handle(group): Gen<Rc> {
        if (refuse) return fail(EINVAL, 'refused');
        yield* iopf_group_dequeue(group);
        groups.push(group);
        return 0;
      },
    };
  }

  *attach(pasid = 0): Gen<void> {
    const group = this.dev.iommu_group ?? ok(yield* iommu_group_alloc(this.dev));
    this.dev.iommu_group = group;
    const handle = new iommu_attach_handle(this.dev, 'handle');
    handle.domain = this.domain;
    yield* xa_lock(group.pasid_array);
    __xa_store(group.pasid_array, pasid, handle);
    yield* xa_unlock(group.pasid_array);
  }

  *report(grpid: number, last = true, flags = 0): Gen<Rc> {
    const all = flags | (last ? IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE : 0);
    return yield* iommu_report_device_fault(this.dev, event(grpid, all));
  }

  *answer(): Gen<void> {
    for (const group of this.groups.splice(0)) {
      yield* iopf_group_response(group, IOMMU_PAGE_RESP_SUCCESS);
      yield* iopf_free_group(group);
    }
  }
}

let addr = 0n;

function event(grpid: number, flags: number): iopf_event {
  const prm = { flags, pasid: flags & WITH_PASID ? 5 : 0, grpid, perm: 1, addr: addr++ };
  return { fault: { type: iommu_fault_type.IOMMU_FAULT_PAGE_REQ, prm } };
}

/** Runs a body; returns what warned. `lacks`: the role of what there is never memory for. */
function run(body: (it: World) => Gen<void>, options: Options = {}, lacks = ''): string[] {
  const policy: Policy = {
    choose: (c) => (c.kind === ALLOCATION && c.label(1) === `no memory for ${lacks}` ? 1 : c.fallback),
  };
  const on = new Machine(policy, { choices: new Set([ALLOCATION]) }).powerOn();
  on.spawn('t', body(new World(on, options)));
  return finish(on);
}

const list = (group: iopf_group | undefined): number[] =>
  group === undefined ? [] : [...group.faults].map(({ fault }) => Number(fault.prm.addr));

test('requests wait for the last of their group, and come oldest first', () => {
  const warned = run(function* (it) {
    yield* it.attach();
    expect(yield* iopf_queue_add_device(it.queue, it.dev)).toBe(0);
    const first = Number(addr);
    for (const grpid of [5, 6, 5]) expect(yield* it.report(grpid, false)).toBe(0);
    expect(it.groups).toEqual([]);
    expect(yield* it.report(5)).toBe(0);
    expect(list(it.groups[0])).toEqual([first, first + 2, first + 3]);
    expect(it.groups[0]?.fault_count).toBe(3);
    yield* it.answer();
    expect(it.answers).toEqual([`5: ${IOMMU_PAGE_RESP_SUCCESS}`]);

    // What is left of group 6 is lost, so that its last comes alone.
    expect(yield* iopf_queue_discard_partial(it.queue)).toBe(0);
    expect(yield* it.report(6)).toBe(0);
    expect(list(it.groups[0])).toHaveLength(1);
    yield* it.answer();
    expect(yield* iopf_queue_discard_partial(null)).toBe(-EINVAL);
    yield* iopf_queue_free(it.queue);
    expect(it.dev.iommu?.fault_param).toBe(null);
  });
  expect(warned).toEqual([]);
});

test('a request that nobody handles is answered at once, and so is one that the handler refuses', () => {
  const refused = `1: ${IOMMU_PAGE_RESP_INVALID}`;
  const warned = run(
    function* (it) {
      it.dev.iommu_group = ok(yield* iommu_group_alloc(it.dev));
      expect(yield* it.report(1)).toBe(-EINVAL);
      yield* it.attach();
      // A domain that takes requests, though the device is on no queue.
      expect(yield* it.report(1)).toBe(-EINVAL);
      expect(yield* it.report(1, true, WITH_PASID)).toBe(-EINVAL);
      expect(it.answers.splice(0)).toEqual([refused, refused, refused]);
      expect(yield* iopf_queue_add_device(it.queue, it.dev)).toBe(0);
      expect(yield* it.report(2, false)).toBe(0);
      expect(yield* it.report(2)).toBe(0);
      expect(it.answers.splice(0)).toEqual([`2: ${IOMMU_PAGE_RESP_FAILURE}`]);
      expect(it.dev.iommu?.fault_param?.users.refs).toBe(1);
      it.domain.iopf_handler = null;
      expect(yield* it.report(1)).toBe(-EINVAL);
      expect(it.answers).toEqual([refused]);
      yield* iopf_queue_remove_device(it.queue, it.dev);
    },
    { refuse: true },
  );
  expect(warned).toEqual(['d has a domain with a page request handler, but is on no queue']);
});

test('a PASID leads to its own domain, else to the nested one where user space keeps the table', () => {
  for (const [user_pasid_table, nested, ret] of [
    [true, true, 0],
    [true, false, -EINVAL],
    [false, true, -EINVAL],
  ] as const) {
    const warned = run(
      function* (it) {
        yield* it.attach();
        yield* iopf_queue_add_device(it.queue, it.dev);
        expect(yield* it.report(1, true, WITH_PASID)).toBe(ret);
        expect(it.groups).toHaveLength(ret === 0 ? 1 : 0);
        yield* it.attach(5);
        expect(yield* it.report(2, true, WITH_PASID)).toBe(0);
        yield* it.answer();
        yield* iopf_queue_remove_device(it.queue, it.dev);
      },
      { user_pasid_table, nested },
    );
    expect(warned).toEqual([]);
  }
});

test('without memory a group is refused, and the first of its requests is forgotten', () => {
  const refused = run(
    function* (it) {
      yield* it.attach();
      yield* iopf_queue_add_device(it.queue, it.dev);
      expect(yield* it.report(1, false)).toBe(0);
      expect(yield* it.report(1)).toBe(0);
      expect(it.answers).toEqual([`1: ${IOMMU_PAGE_RESP_FAILURE}`]);
      expect(it.dev.iommu?.fault_param?.users.refs).toBe(1);
      yield* iopf_queue_remove_device(it.queue, it.dev);
    },
    {},
    'iopf_group',
  );
  const forgotten = run(
    function* (it) {
      yield* it.attach();
      yield* iopf_queue_add_device(it.queue, it.dev);
      expect(yield* it.report(1, false)).toBe(-ENOMEM);
      expect(it.answers).toEqual([]);
      yield* iopf_queue_remove_device(it.queue, it.dev);
    },
    {},
    'partial_fault',
  );
  expect([...refused, ...forgotten]).toEqual([]);
});

test('a device is on one queue at most, and what a group holds outlives its leaving', () => {
  const warned = run(function* (it) {
    yield* it.attach();
    expect(yield* iopf_queue_add_device(it.queue, it.dev)).toBe(0);
    expect(yield* iopf_queue_add_device(it.queue, it.dev)).toBe(-EBUSY);
    const work = new work_struct(it.dev, 'work');
    let worked = false;
    INIT_WORK(work, function* () {
      worked = true;
    });
    if (it.queue.wq !== null) yield* queue_work(it.queue.wq, work);
    expect(yield* iopf_queue_flush_dev(it.dev)).toBe(0);
    expect(worked).toBe(true);

    yield* it.report(1);
    const fault_param = it.dev.iommu?.fault_param;
    // One whose handler has not taken it yet is answered when the device leaves.
    const kept = it.groups[0];
    yield* iopf_queue_remove_device(it.queue, it.dev);
    expect(it.dev.iommu?.fault_param).toBe(null);
    expect(fault_param?.users.refs).toBe(1);
    yield* it.answer();
    expect(kept?.$freed).toBe(true);
    expect(fault_param?.users.refs).toBe(0);
    yield* iopf_queue_remove_device(it.queue, it.dev);
    expect(yield* iopf_queue_flush_dev(it.dev)).toBe(-ENODEV);
    yield* iopf_queue_free(null);
  });
  expect(warned).toEqual([
    'd is removed from a queue that it is not on',
    'the page requests of d are flushed though it is on no queue',
  ]);
});

test('a group that its handler has not taken is answered when the device leaves', () => {
  const warned = run(function* (it) {
    yield* it.attach();
    yield* iopf_queue_add_device(it.queue, it.dev);
    it.domain.iopf_handler = {
      name: 'slow',
      *handle(): Gen<Rc> {
        yield* iopf_queue_remove_device(it.queue, it.dev);
        return 0;
      },
    };
    expect(yield* it.report(1, false)).toBe(0);
    expect(yield* it.report(2)).toBe(0);
    expect(it.answers).toEqual([`2: ${IOMMU_PAGE_RESP_INVALID}`]);
  });
  expect(warned).toEqual([]);
});

test("features are the driver's, and need a driver that answers", () => {
  const warned = run(
    function* (it) {
      expect(yield* iopf_queue_add_device(it.queue, it.dev)).toBe(-ENODEV);
      expect(yield* iommu_dev_enable_feature(it.dev, 'IOMMU_DEV_FEAT_IOPF')).toBe(-ENODEV);
      expect(yield* iommu_dev_disable_feature(it.dev, 'IOMMU_DEV_FEAT_IOPF')).toBe(-EBUSY);
    },
    { answers: false },
  );
  const full = run(
    function* (it) {
      expect(yield* iopf_queue_add_device(it.queue, it.dev)).toBe(-ENOMEM);
    },
    {},
    'fault_param',
  );
  expect([...warned, ...full]).toEqual([]);
});
