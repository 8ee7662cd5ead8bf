// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import { context } from '../../sim/context.ts';
import { Machine } from '../../sim/machine.ts';
import { runToBlock } from '../../sim/policies/run-to-block.ts';
import { ALLOCATION } from '../../sim/slab.ts';
import type { Gen } from '../../sim/task.ts';
import { FREE, KIND_MASK, NEW, STRIDE } from '../../sim/trace.ts';
import { device_unregister } from '../driver-core/core.ts';
import { finish } from '../mm/testing.ts';
import { iommu_domain_type } from './iommu.h.ts';
import { iommu_group_get, iommu_group_put } from './iommu_group.ts';
import { iommu_device_claim_dma_owner } from './iommu_owner.ts';
import { add_test_device, register_test_iommu, the_iommu } from './testing.ts';

/** Names of what was allocated and not freed since, without tasks. */
function left(machine: Machine): string[] {
  const names = new Set<string>();
  const { buf, len } = context.trace;
  for (let at = 0; at < len; at += STRIDE) {
    const object = machine.objects[buf[at + 1] ?? -1];
    const kind = (buf[at] ?? 0) & KIND_MASK;
    if (kind === NEW && object?.$role !== 't') names.add(object?.name ?? '?');
    if (kind === FREE) names.delete(object?.name ?? '?');
  }
  return [...names];
}

function inTask(machine: Machine, body: () => Gen<void>): string[] {
  machine.spawn('t', body());
  return finish(machine);
}

test('devices come to groups with a domain for the DMA API; the last that goes takes all away', () => {
  const machine = new Machine(runToBlock).powerOn();
  const warnings = inTask(machine, function* () {
    yield* register_test_iommu();
    const d0 = yield* add_test_device('d0', false);
    const d1 = yield* add_test_device('d1', true);
    const d2 = yield* add_test_device('d2', false);
    expect([d0, d1, d2].map((dev) => dev.iommu_group?.id)).toEqual([0, 0, 1]);
    for (const dev of [d0, d1, d2]) expect(dev.domain).toBe(dev.iommu_group?.default_domain);
    expect(d0.domain?.type).toBe(iommu_domain_type.IOMMU_DOMAIN_DMA_FQ);
    expect(d0.dma_iommu).toBe(true);

    const group = yield* iommu_group_get(d0);
    yield* device_unregister(d0);
    yield* device_unregister(d1);
    expect(group?.default_domain).toBe(null);
    // Somebody holds the group: its number is not free yet.
    const d3 = yield* add_test_device('d3', false);
    expect(d3.iommu_group?.id).toBe(2);
    yield* iommu_group_put(group);
    const d4 = yield* add_test_device('d4', false);
    expect(d4.iommu_group?.id).toBe(0);
    for (const dev of [d2, d3, d4]) yield* device_unregister(dev);
  });
  expect(warnings).toEqual([]);
  expect(left(machine)).toEqual([]);
});

test('a device that came to an owned group is cut off from memory like the others', () => {
  const machine = new Machine(runToBlock).powerOn();
  inTask(machine, function* () {
    yield* register_test_iommu();
    const d0 = yield* add_test_device('d0', false);
    expect(yield* iommu_device_claim_dma_owner(d0, the_iommu())).toBe(0);
    const d1 = yield* add_test_device('d1', true);
    expect([d0.domain, d1.domain]).toEqual([the_iommu().blocked, the_iommu().blocked]);
  });
});

test('a device that goes while its group is owned is a warning', () => {
  const machine = new Machine(runToBlock).powerOn();
  const warnings = inTask(machine, function* () {
    yield* register_test_iommu();
    const d0 = yield* add_test_device('d0', false);
    yield* iommu_device_claim_dma_owner(d0, the_iommu());
    yield* device_unregister(d0);
  });
  expect(warnings).toEqual([expect.stringContaining('the last device leaves')]);
});

test('a device that cannot be probed for want of memory is there without an IOMMU, and nothing is lost', () => {
  for (let failing = 0; ; failing++) {
    let allocations = 0;
    const policy = {
      choose: (c: { kind: string; fallback: number }) =>
        c.kind === ALLOCATION && allocations++ === failing ? 1 : c.fallback,
    };
    const machine = new Machine(policy, { choices: new Set([ALLOCATION]) }).powerOn();
    let probed = true;
    const warnings = inTask(machine, function* () {
      yield* register_test_iommu();
      const dev = yield* add_test_device('d0', false);
      probed = dev.iommu_group !== null;
      yield* device_unregister(dev);
    });
    expect(warnings).toEqual([]);
    expect(left(machine)).toEqual([]);
    if (allocations <= failing) break;
    // Two of them make a domain: without the first kind of it, the second is tried. One is the flush queue.
    expect(probed, `allocation ${failing}`).toBe([4, 5, 6].includes(failing));
  }
});
