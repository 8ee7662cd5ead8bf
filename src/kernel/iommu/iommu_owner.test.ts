// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Machine } from '../../sim/machine.ts';
import { Observed } from '../../sim/observed.ts';
import { SeededRandom } from '../../sim/policies/random.ts';
import { runToBlock } from '../../sim/policies/run-to-block.ts';
import type { Gen } from '../../sim/task.ts';
import { EBUSY, EINVAL, EPERM } from '../../uapi/errno.ts';
import { finish } from '../mm/testing.ts';
import { iommu_attach_handle, type iommu_domain, type iommu_group } from './iommu.h.ts';
import { iommu_domain_free, iommu_paging_domain_alloc } from './iommu.ts';
import {
  iommu_attach_group_handle,
  iommu_detach_group_handle,
  iommu_replace_group_handle,
} from './iommu_group.ts';
import {
  iommu_device_claim_dma_owner,
  iommu_device_release_dma_owner,
  iommu_device_unuse_default_domain,
  iommu_device_use_default_domain,
  iommu_group_claim_dma_owner,
  iommu_group_release_dma_owner,
} from './iommu_owner.ts';
import { add_test_device, register_test_iommu, type test_device } from './testing.ts';

class claimant extends Observed {}

interface World {
  readonly devices: readonly test_device[];
  readonly group: iommu_group;
  readonly owners: readonly claimant[];
  readonly domains: readonly iommu_domain[];
}

function* domain_for(dev: test_device, owner: claimant): Gen<iommu_domain> {
  const domain = yield* iommu_paging_domain_alloc(dev, owner, 'domain');
  if (typeof domain === 'number') throw new Error(`no domain: ${domain}`);
  return domain;
}

/** Three devices of one group, two owners with a domain each. */
function* world(machine: Machine): Gen<World> {
  expect(yield* register_test_iommu()).toBe(0);
  const first = yield* add_test_device('d0', false);
  const devices = [first, yield* add_test_device('d1', true), yield* add_test_device('d2', true)];
  const group = first.iommu_group;
  if (group === null) throw new Error('the device came to no group');
  const owners = [new claimant(machine.root, 'o0'), new claimant(machine.root, 'o1')];
  const domains: iommu_domain[] = [];
  for (const owner of owners) domains.push(yield* domain_for(first, owner));
  return { devices, group, owners, domains };
}

const device = fc.nat(2);
const either = fc.nat(1);
const command = fc.oneof(
  fc.record({ op: fc.constant('use' as const), device }),
  fc.record({ op: fc.constant('unuse' as const), device }),
  { weight: 2, arbitrary: fc.record({ op: fc.constant('claim' as const), device, owner: either }) },
  fc.record({ op: fc.constant('release' as const), device }),
  fc.record({ op: fc.constant('claim group' as const), owner: either }),
  fc.record({ op: fc.constant('release group' as const) }),
  { weight: 3, arbitrary: fc.record({ op: fc.constant('attach' as const), domain: either }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('replace' as const), domain: either }) },
  fc.record({ op: fc.constant('detach' as const) }),
  { weight: 2, arbitrary: fc.record({ op: fc.constant('stubborn' as const), device, yes: fc.boolean() }) },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

/** What is expected, in the plainest words there are. */
class Expected {
  /** Devices whose driver uses the DMA API. */
  readonly users = new Set<number>();
  /** Who has claimed the group, and by which devices. */
  owner: number | null = null;
  readonly claims: number[] = [];
  whole = false;
  attached: number | null = null;
  /** Devices that refuse domains. */
  readonly stubborn = new Set<number>();

  /** The answer, or null when nobody who behaves would ask so now. */
  answer(c: Command): number | null {
    const owned = this.owner !== null;
    switch (c.op) {
      case 'use':
        if (this.users.has(c.device)) return null;
        if (owned) return -EBUSY;
        this.users.add(c.device);
        return 0;
      case 'unuse':
        return this.users.delete(c.device) ? 0 : null;
      case 'claim':
        if (this.whole && this.owner === c.owner) return null;
        if (this.users.size > 0 || (owned && this.owner !== c.owner)) return -EPERM;
        this.owner = c.owner;
        this.claims.push(c.device);
        return 0;
      case 'release': {
        const at = this.claims.indexOf(c.device);
        if (at < 0 || (this.claims.length === 1 && this.attached !== null)) return null;
        this.claims.splice(at, 1);
        if (this.claims.length === 0) this.owner = null;
        return 0;
      }
      case 'claim group':
        if (this.users.size > 0 || owned) return -EPERM;
        this.owner = c.owner;
        this.whole = true;
        return 0;
      case 'release group':
        if (!this.whole || this.attached !== null) return null;
        this.owner = null;
        this.whole = false;
        return 0;
      case 'attach':
        if (!owned) return null;
        return this.attached !== null ? -EBUSY : this.#goTo(c.domain);
      case 'replace':
        return this.attached === null || this.attached === c.domain ? null : this.#goTo(c.domain);
      case 'detach':
        if (this.attached === null) return null;
        this.attached = null;
        return 0;
      case 'stubborn':
        if (c.yes) this.stubborn.add(c.device);
        else this.stubborn.delete(c.device);
        return 0;
    }
  }

  #goTo(domain: number): number {
    if (this.stubborn.size > 0) return -EINVAL;
    this.attached = domain;
    return 0;
  }
}

function* perform({ devices, group, owners, domains }: World, c: Command): Gen<number> {
  const pick = <T>(from: readonly T[], at: number): T => {
    const it = from[at];
    if (it === undefined) throw new Error('there is no such thing');
    return it;
  };
  const handle = (): iommu_attach_handle => new iommu_attach_handle(group, 'handle');
  switch (c.op) {
    case 'use':
      return yield* iommu_device_use_default_domain(pick(devices, c.device));
    case 'unuse':
      yield* iommu_device_unuse_default_domain(pick(devices, c.device));
      return 0;
    case 'claim':
      return yield* iommu_device_claim_dma_owner(pick(devices, c.device), pick(owners, c.owner));
    case 'release':
      yield* iommu_device_release_dma_owner(pick(devices, c.device));
      return 0;
    case 'claim group':
      return yield* iommu_group_claim_dma_owner(group, pick(owners, c.owner));
    case 'release group':
      yield* iommu_group_release_dma_owner(group);
      return 0;
    case 'attach':
      return yield* iommu_attach_group_handle(pick(domains, c.domain), group, handle());
    case 'replace':
      return yield* iommu_replace_group_handle(group, pick(domains, c.domain), handle());
    case 'detach':
      if (group.domain !== null) yield* iommu_detach_group_handle(group.domain, group);
      return 0;
    case 'stubborn':
      pick(devices, c.device).stubborn = c.yes;
      return 0;
  }
}

test('claims, drivers and attachments of one group answer as a plain model of them', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const machine = new Machine(runToBlock).powerOn();
      function* program(): Gen<void> {
        const it = yield* world(machine);
        const expected = new Expected();
        for (const c of commands) {
          const answer = expected.answer(c);
          if (answer === null) continue;
          expect(yield* perform(it, c), c.op).toBe(answer);
          const where =
            expected.attached !== null
              ? it.domains[expected.attached]
              : expected.owner !== null
                ? it.group.blocking_domain
                : it.group.default_domain;
          expect(it.devices.map((dev) => dev.domain?.name)).toEqual(Array(3).fill(where?.name));
          expect(it.group.owner?.name).toBe(it.owners[expected.owner ?? -1]?.name);
        }
      }
      machine.spawn('t', program());
      expect(finish(machine)).toEqual([]);
    }),
    { numRuns: 200 },
  );
});

test('whoever runs when, a group has one owner at a time and drivers only while it has none', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const machine = new Machine(new SeededRandom(seed)).powerOn();
      let rounds = 0;
      function* owner({ devices, group }: World, me: claimant, mine: iommu_domain): Gen<void> {
        for (const dev of devices) {
          if ((yield* iommu_device_claim_dma_owner(dev, me)) !== 0) continue;
          const handle = new iommu_attach_handle(group, 'handle');
          expect(yield* iommu_attach_group_handle(mine, group, handle)).toBe(0);
          expect(devices.map((each) => each.domain)).toEqual([mine, mine, mine]);
          yield* iommu_detach_group_handle(mine, group);
          yield* iommu_device_release_dma_owner(dev);
          rounds++;
        }
        yield* iommu_domain_free(mine);
      }
      function* driver({ devices, group }: World, dev: test_device): Gen<void> {
        for (let i = 0; i < 3; i++) {
          if ((yield* iommu_device_use_default_domain(dev)) !== 0) continue;
          expect(devices.every((each) => each.domain === group.default_domain)).toBe(true);
          yield* iommu_device_unuse_default_domain(dev);
          rounds++;
        }
      }
      function* program(): Gen<void> {
        const it = yield* world(machine);
        const [d0, d1] = it.devices;
        it.owners.forEach((me, i) => {
          const mine = it.domains[i];
          if (mine !== undefined) machine.spawn(me.name, owner(it, me, mine));
        });
        if (d0 !== undefined) machine.spawn('driver0', driver(it, d0));
        if (d1 !== undefined) machine.spawn('driver1', driver(it, d1));
      }
      machine.spawn('t', program());
      expect(finish(machine)).toEqual([]);
      expect(rounds).toBeGreaterThan(0);
    }),
    { numRuns: 100 },
  );
});
