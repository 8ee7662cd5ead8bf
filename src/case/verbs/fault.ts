// SPDX-License-Identifier: GPL-2.0-only

/** Page requests that user space answers: fault queues, and read(2), write(2) and poll(2) of their descriptors. */
import * as z from 'zod';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from '../../kernel/fs/select.ts';
import { sys_poll, sys_read, sys_write } from '../../kernel/fs/syscalls.ts';
import { user_load, user_store } from '../../kernel/mm/mm.ts';
import { iommu_hwpt_page_response, iommu_hwpt_pgfault } from '../../uapi/iommufd.ts';
import { getRaw } from '../../uapi/layout.ts';
import { encode, scratch } from '../../user/ioctl.ts';
import type { Names, Operand } from '../operand.ts';
import { type Answer, verb } from '../step.ts';
import { flags, number, operand, show } from '../words.ts';
import { short } from './ioctl.ts';

export const fault_queue = short({
  verb: 'fault_queue',
  about: 'Makes a queue that page requests go to, with a descriptor to read them from and to answer them by.',
  example: '{ "fault_queue": "iommufd", "as": { "out_fault_id": "fault1", "out_fault_fd": "fault_fd" } }',
  ioctl: 'IOMMU_FAULT_QUEUE_ALLOC',
  shape: () => ({
    fault_queue: operand().describe('The iommufd.'),
    flags: flags().optional().describe('There are none.'),
  }),
  on: (step) => step.fault_queue,
  with: (step) => (step.flags === undefined ? {} : { flags: [['flags'], step.flags] }),
});

export const trigger_iopf = short({
  verb: 'trigger_iopf',
  about: 'A mock device reports a page request, the last one of its group.',
  example: '{ "trigger_iopf": "idev1", "grpid": 2, "perm": "IOMMU_PGFAULT_PERM_READ", "addr": "0x1000000" }',
  ioctl: 'IOMMU_TEST_OP_TRIGGER_IOPF',
  shape: () => ({
    trigger_iopf: operand().describe('The id of the device.'),
    pasid: operand().optional().describe('The PASID; IOMMU_NO_PASID (0) unless said otherwise.'),
    grpid: operand().optional().describe('The group of requests; 0 unless said otherwise.'),
    perm: flags().optional().describe('IOMMU_PGFAULT_PERM_READ, _WRITE, _EXEC, _PRIV.'),
    addr: operand().optional().describe('The IOVA.'),
    on: operand().optional().describe('The iommufd; by default the one that the id belongs to.'),
  }),
  on: (step, scope) => step.on ?? scope.ownerOf(['trigger_iopf'], step.trigger_iopf),
  with: (step) => ({
    dev_id: [['trigger_iopf'], step.trigger_iopf],
    ...(step.pasid === undefined ? {} : { pasid: [['pasid'], step.pasid] }),
    ...(step.grpid === undefined ? {} : { grpid: [['grpid'], step.grpid] }),
    ...(step.perm === undefined ? {} : { perm: [['perm'], step.perm] }),
    ...(step.addr === undefined ? {} : { addr: [['addr'], step.addr] }),
  }),
});

const asFd = (value: bigint): number => Number(BigInt.asIntN(32, value));

const FAULT_FIELDS = ['flags', 'dev_id', 'pasid', 'grpid', 'perm', 'addr', 'length', 'cookie'] as const;
type FaultField = (typeof FAULT_FIELDS)[number];

const faultSchema = () =>
  z.strictObject({
    flags: flags().optional().describe('IOMMU_PGFAULT_FLAGS_PASID_VALID, _LAST_PAGE.'),
    dev_id: operand().optional().describe('The id of the device.'),
    pasid: operand().optional().describe('The PASID.'),
    grpid: operand().optional().describe('The group that it belongs to.'),
    perm: flags().optional().describe('IOMMU_PGFAULT_PERM_READ, _WRITE, _EXEC, _PRIV.'),
    addr: operand().optional().describe('The IOVA.'),
    length: operand().optional().describe('How many bytes; 0 where the hardware does not say.'),
    cookie: operand().optional().describe('By which the group is answered.'),
  });

const MOST_FAULTS = 4096 / iommu_hwpt_pgfault.size;

export const read_faults = verb({
  verb: 'read_faults',
  about: 'read(2) of a fault queue: page requests, whole groups of them.',
  example:
    '{ "read_faults": "fault_fd", "room": 1, "faults": [{ "dev_id": "idev1", "grpid": 2, "cookie": 1 }] }',
  shape: () => ({
    read_faults: operand().describe('The descriptor.'),
    room: z.int().min(0).max(Math.floor(MOST_FAULTS)).describe('For how many page requests there is room.'),
    faults: z
      .array(faultSchema())
      .max(100)
      .optional()
      .describe('Those that must come, each with the fields that matter.'),
  }),
  prepare: (step, scope) => {
    const fd = scope.operand(['read_faults'], step.read_faults, 'fd');
    const wanted = step.faults?.map((fault, i) =>
      FAULT_FIELDS.flatMap((field): [FaultField, Operand][] => {
        const value = fault[field];
        return value === undefined ? [] : [[field, scope.flags(['faults', i, field], value)]];
      }),
    );
    return {
      text: `read(${fd.text}, ${step.room} page requests)`,
      *call(names) {
        const { mm, at } = scratch();
        const { size } = iommu_hwpt_pgfault;
        const ret = yield* sys_read(asFd(fd.of(names)), at, step.room * size);
        if (ret < 0) return { ret: BigInt(ret) };
        const found = Array.from({ length: Math.floor(ret / size) }, (_, i) =>
          decodeFault(user_load(mm, at + BigInt(i * size), size) ?? new Uint8Array(size)),
        );
        const text = found.map((fault) => showFault(fault, names)).join(' ');
        return {
          ret: BigInt(ret),
          ...(text === '' ? {} : { text }),
          ...(wanted === undefined ? {} : compareFaults(found, wanted, names)),
        };
      },
    };
  },
});

type Fault = ReadonlyMap<FaultField, bigint>;

const decodeFault = (bytes: Uint8Array): Fault =>
  new Map(FAULT_FIELDS.map((field) => [field, getRaw(iommu_hwpt_pgfault.fields[field], bytes)]));

function showFault(fault: Fault, names: Names): string {
  const shown = [...fault].map(([field, value]) => {
    const name = field === 'dev_id' ? names.nameOf('id', value) : undefined;
    return `${field}=${name ?? show(value)}`;
  });
  return `{${shown.join(', ')}}`;
}

function compareFaults(
  found: readonly Fault[],
  wanted: readonly (readonly [FaultField, Operand])[][],
  names: Names,
): Pick<Answer, 'mismatch'> {
  if (found.length !== wanted.length) {
    return { mismatch: `expected ${wanted.length} page requests, got ${found.length}` };
  }
  for (const [i, fields] of wanted.entries()) {
    for (const [field, operand] of fields) {
      const value = found[i]?.get(field) ?? 0n;
      if (value !== operand.of(names)) {
        return { mismatch: `page request ${i}: expected ${field} to be ${operand.text}, got ${show(value)}` };
      }
    }
  }
  return {};
}

export const respond = verb({
  verb: 'respond',
  about: 'write(2) to a fault queue: the answers to groups of page requests.',
  example: '{ "respond": "fault_fd", "responses": [{ "cookie": 1, "code": "IOMMUFD_PAGE_RESP_SUCCESS" }] }',
  shape: () => ({
    respond: operand().describe('The descriptor.'),
    responses: z
      .array(
        z.strictObject({
          cookie: operand().describe('What the page requests came with.'),
          code: operand().describe('IOMMUFD_PAGE_RESP_SUCCESS or _INVALID.'),
        }),
      )
      .max(100)
      .describe('The answers.'),
  }),
  prepare: (step, scope) => {
    const fd = scope.operand(['respond'], step.respond, 'fd');
    const responses = step.responses.map(({ cookie, code }, i) => ({
      cookie: scope.operand(['responses', i, 'cookie'], cookie),
      code: scope.operand(['responses', i, 'code'], code),
    }));
    const shown = responses.map(({ cookie, code }) => `{cookie=${cookie.text}, code=${code.text}}`);
    return {
      text: `write(${[fd.text, ...shown].join(', ')})`,
      *call(names) {
        const { mm, at } = scratch();
        const bytes = Buffer.concat(
          responses.map(({ cookie, code }) =>
            encode(iommu_hwpt_page_response, [
              ['cookie', BigInt.asUintN(32, cookie.of(names))],
              ['code', BigInt.asUintN(32, code.of(names))],
            ]),
          ),
        );
        user_store(mm, at, bytes);
        return { ret: BigInt(yield* sys_write(asFd(fd.of(names)), at, bytes.length)) };
      },
    };
  },
});

const POLL = { POLLIN: EPOLLIN, POLLOUT: EPOLLOUT, POLLERR: EPOLLERR, POLLHUP: EPOLLHUP } as const;
const events = () => z.array(z.enum(['POLLIN', 'POLLOUT', 'POLLERR', 'POLLHUP'])).max(4);
const showEvents = (mask: number): string =>
  Object.entries(POLL)
    .flatMap(([name, bit]) => ((mask & bit) === 0 ? [] : [name]))
    .join('|') || 'nothing';

const maskOf = (names: readonly (keyof typeof POLL)[]): number =>
  names.reduce((mask, name) => mask | POLL[name], 0);

export const poll = verb({
  verb: 'poll',
  about: 'poll(2) of one descriptor.',
  example: '{ "poll": "fault_fd", "events": ["POLLIN", "POLLOUT"], "ready": ["POLLOUT"] }',
  shape: () => ({
    poll: operand().describe('The descriptor.'),
    events: events().describe('What is asked for: POLLIN, POLLOUT.'),
    timeout: number(-1n, 3_600_000n)
      .optional()
      .describe('Milliseconds of virtual time to wait at most; 0 unless said otherwise, -1 for ever.'),
    ready: events().optional().describe('What must be the answer; [] for nothing.'),
  }),
  prepare: (step, scope) => {
    const fd = scope.operand(['poll'], step.poll, 'fd');
    const asked = maskOf(step.events);
    const timeout = Number(step.timeout ?? 0n);
    return {
      text: `poll(${fd.text}, ${showEvents(asked)}${timeout === 0 ? '' : `, ${timeout} ms`})`,
      *call(names) {
        const mask = yield* sys_poll(asFd(fd.of(names)), asked, timeout);
        if (mask < 0) return { ret: BigInt(mask) };
        const wanted = step.ready === undefined ? mask : maskOf(step.ready);
        return {
          ret: mask === 0 ? 0n : 1n,
          text: showEvents(mask),
          ...(mask === wanted ? {} : { mismatch: `expected ${showEvents(wanted)}, got ${showEvents(mask)}` }),
        };
      },
    };
  },
});
