// SPDX-License-Identifier: GPL-2.0-only

/** Devices in iommufd, as a driver puts them there: what VFIO does for its ioctls. */
import type { Err, Rc } from '../../sim/errno.ts';
import type { Gen } from '../../sim/task.ts';
import * as user from '../../user/idev.ts';
import type { Answer, Prepared } from '../step.ts';
import { verb } from '../step.ts';
import { name, operand } from '../words.ts';
import { deviceOf } from './driver.ts';

const dev = () => name().describe('The device.');
const pt = () => operand().describe('The id of a page table, or of an IOAS, which has or makes one.');
const asNumber = (value: bigint): number => Number(BigInt.asUintN(32, value));

function calls(text: string, body: () => Gen<Rc>): Prepared {
  return {
    text,
    *call(): Gen<Answer> {
      return { ret: BigInt(yield* body()) };
    },
  };
}

export const iommufd_bind = verb({
  verb: 'iommufd_bind',
  about: 'A driver binds its device to an iommufd (iommufd_device_bind). What it makes is the id.',
  example: '{ "iommufd_bind": "dev1", "to": "iommufd", "as": "idev1" }',
  shape: () => ({ iommufd_bind: dev(), to: operand().describe('The iommufd.') }),
  makes: ({ to }) => [{ from: 'ret', kind: 'id', on: to }],
  prepare: ({ iommufd_bind: it, to }, scope) => {
    scope.present('device', ['iommufd_bind'], it);
    const fd = scope.operand(['to'], to, 'fd');
    return {
      text: `iommufd_device_bind(${fd.text}, ${it})`,
      objects: (as) => [...as.values()].map((called) => ['idev', called] as const),
      *call(names): Gen<Answer> {
        return { ret: BigInt(yield* user.bind(deviceOf(it), Number(BigInt.asIntN(32, fd.of(names))))) };
      },
    };
  },
});

/** Both lead to a page table, whose id they tell. */
function toPageTable(
  called: 'iommufd_attach' | 'iommufd_replace',
  about: string,
  change: (dev: ReturnType<typeof deviceOf>, pt_id: number) => Gen<number | Err>,
) {
  return verb({
    verb: called,
    about: `${about} What it makes is the id of the page table.`,
    example: `{ "${called}": "dev1", "pt": "ioas1", "as": "hwpt1" }`,
    shape: () => ({ [called]: dev(), pt: pt() }),
    makes: (step) => [{ from: 'ret', kind: 'id', on: { sameAs: String(step['pt']) } }],
    prepare: (step, scope) => {
      const it = String(step[called]);
      scope.present('device', [called], it);
      const id = scope.operand(['pt'], step['pt'] ?? 0);
      const text = called.replace('_', '_device_');
      return {
        text: `${text}(${it}, ${id.text})`,
        objects: (as) => [...as.values()].flatMap((hwpt) => [['hwpt', hwpt] as const]),
        *call(names): Gen<Answer> {
          return { ret: BigInt(yield* change(deviceOf(it), asNumber(id.of(names)))) };
        },
      };
    },
  });
}

export const iommufd_attach = toPageTable(
  'iommufd_attach',
  'A driver attaches its bound device (iommufd_device_attach).',
  user.attach,
);

export const iommufd_replace = toPageTable(
  'iommufd_replace',
  'A driver moves its attached device, and its whole group, to another page table (iommufd_device_replace).',
  user.replace,
);

export const iommufd_detach = verb({
  verb: 'iommufd_detach',
  about: 'A driver detaches its device, which must be attached (iommufd_device_detach).',
  example: '{ "iommufd_detach": "dev1" }',
  shape: () => ({ iommufd_detach: dev() }),
  prepare: ({ iommufd_detach: it }, scope) => {
    scope.present('device', ['iommufd_detach'], it);
    return calls(`iommufd_device_detach(${it})`, () => user.detach(deviceOf(it)));
  },
});

export const iommufd_unbind = verb({
  verb: 'iommufd_unbind',
  about: 'A driver takes its device back, which must be detached (iommufd_device_unbind).',
  example: '{ "iommufd_unbind": "dev1" }',
  shape: () => ({ iommufd_unbind: dev() }),
  prepare: ({ iommufd_unbind: it }, scope) => {
    scope.present('device', ['iommufd_unbind'], it);
    return calls(`iommufd_device_unbind(${it})`, () => user.unbind(deviceOf(it)));
  },
});
