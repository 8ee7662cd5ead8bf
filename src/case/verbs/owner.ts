// SPDX-License-Identifier: GPL-2.0-only

/** DMA ownership of IOMMU groups, as parts of the kernel claim it that are not modelled yet. */
import * as z from 'zod';
import type { Rc } from '../../sim/errno.ts';
import type { Gen } from '../../sim/task.ts';
import * as user from '../../user/owner.ts';
import type { Answer, Prepared } from '../step.ts';
import { verb } from '../step.ts';
import { name } from '../words.ts';
import { deviceOf } from './driver.ts';

const dev = (what = 'The device.') => name().describe(what);
const owner = () => name().describe('Who claims: a name, which is made here.');

function calls(text: string, body: () => Gen<Rc>): Prepared {
  return {
    text,
    *call(): Gen<Answer> {
      return { ret: BigInt(yield* body()) };
    },
  };
}

export const claim_group = verb({
  verb: 'claim_group',
  about:
    "Claims a device's group for DMA of its own, once for the whole group: as VFIO does for a container.",
  example: '{ "claim_group": "dev1", "owner": "vfio1" }',
  shape: () => ({ claim_group: dev('A device of the group.'), owner: owner() }),
  prepare: ({ claim_group: it, owner: by }, scope) => {
    scope.present('device', ['claim_group'], it);
    scope.made(by);
    return calls(`claim_group(${it}, ${by})`, () => user.claim_group(deviceOf(it), by));
  },
});

export const release_group = verb({
  verb: 'release_group',
  about: "Gives up the claim on a device's group that claim_group made.",
  example: '{ "release_group": "dev1" }',
  shape: () => ({ release_group: dev('A device of the group.') }),
  prepare: ({ release_group: it }, scope) => {
    scope.present('device', ['release_group'], it);
    return calls(`release_group(${it})`, () => user.release_group(deviceOf(it)));
  },
});

export const claim_device = verb({
  verb: 'claim_device',
  about:
    "Claims a device's group for DMA of its own, once for each device: as iommufd does when one is bound to it.",
  example: '{ "claim_device": "dev1", "owner": "iommufd1" }',
  shape: () => ({ claim_device: dev(), owner: owner() }),
  prepare: ({ claim_device: it, owner: by }, scope) => {
    scope.present('device', ['claim_device'], it);
    scope.made(by);
    return calls(`claim_device(${it}, ${by})`, () => user.claim_device(deviceOf(it), by));
  },
});

export const release_device = verb({
  verb: 'release_device',
  about: 'Gives up what one claim_device has claimed.',
  example: '{ "release_device": "dev1" }',
  shape: () => ({ release_device: dev() }),
  prepare: ({ release_device: it }, scope) => {
    scope.present('device', ['release_device'], it);
    return calls(`release_device(${it})`, () => user.release_device(deviceOf(it)));
  },
});

export const attach_domain = verb({
  verb: 'attach_domain',
  about:
    'A driver attaches its device to a domain of its own (iommu_attach_device), which it makes at first.',
  example: '{ "attach_domain": "dev1", "domain": "dom1" }',
  shape: () => ({ attach_domain: dev(), domain: name().describe('The domain.') }),
  prepare: ({ attach_domain: it, domain }, scope) => {
    scope.present('device', ['attach_domain'], it);
    scope.made(domain);
    return calls(`attach_domain(${it}, ${domain})`, () => user.attach_domain(deviceOf(it), domain));
  },
});

export const detach_domain = verb({
  verb: 'detach_domain',
  about:
    'A driver detaches its device from its domain (iommu_detach_device), and frees that, unless others use it.',
  example: '{ "detach_domain": "dev1", "domain": "dom1" }',
  shape: () => ({
    detach_domain: dev(),
    domain: name().describe('The domain.'),
    keep: z.literal(true).optional().describe('Others are still attached to it: it is not freed.'),
  }),
  prepare: ({ detach_domain: it, domain, keep }, scope) => {
    scope.present('device', ['detach_domain'], it);
    return calls(`detach_domain(${it}, ${domain})`, () =>
      user.detach_domain(deviceOf(it), domain, keep !== true),
    );
  },
});
