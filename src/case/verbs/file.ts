// SPDX-License-Identifier: GPL-2.0-only

/** open(2), close(2), read(2), write(2). */
import * as z from 'zod';
import { do_eventfd } from '../../kernel/fs/eventfd.ts';
import { sys_close, sys_open, sys_read, sys_write } from '../../kernel/fs/syscalls.ts';
import { user_load, user_store } from '../../kernel/mm/mm.ts';
import { scratch } from '../../user/ioctl.ts';
import { compareBytes, hexOf } from '../bytes.ts';
import { objectsCalled } from '../makings.ts';
import { verb } from '../step.ts';
import { data, flags, number, operand, show } from '../words.ts';

const MODES = { O_RDONLY: 0, O_WRONLY: 1, O_RDWR: 2 } as const;
const O_CLOEXEC = 0o2000000;

const asFd = (value: bigint): number => Number(BigInt.asIntN(32, value));

/** What a file opened at a path stands for, by the role under which its driver makes it. */
const ROLES: Readonly<Record<string, string>> = { '/dev/iommu': 'iommufd' };

/** What stands behind the descriptor has the name that the case gives; the struct file, the name and `.filp`. */
function objectsOf(path: string, name: string | undefined): [role: string, name: string][] {
  return name === undefined ? [] : objectsCalled(name, [ROLES[path] ?? 'driver', 'file']);
}

export const open = verb({
  verb: 'open',
  about: 'open(2).',
  example: '{ "open": "/dev/iommu", "as": "iommufd" }',
  shape: () => ({
    open: z
      .string()
      .max(255, 'expected a path of at most 255 characters')
      .regex(/^\/[\x21-\x7e]*$/, 'expected an absolute path, such as "/dev/iommu"')
      .describe('The path of a device node, or of a file in /sys.'),
    flags: z
      .enum(['O_RDONLY', 'O_WRONLY', 'O_RDWR'])
      .optional()
      .describe('For reading, for writing, or for both, which is the default.'),
  }),
  makes: () => [{ from: 'ret', kind: 'fd' }],
  prepare: (step) => ({
    text: `open("${step.open}"${step.flags === undefined ? '' : `, ${step.flags}`})`,
    objects: (as) => objectsOf(step.open, as.get('ret')),
    *call() {
      return { ret: BigInt(yield* sys_open(step.open, MODES[step.flags ?? 'O_RDWR'] | O_CLOEXEC)) };
    },
  }),
});

export const close = verb({
  verb: 'close',
  about: 'close(2).',
  example: '{ "close": "iommufd" }',
  shape: () => ({ close: operand().describe('The descriptor.') }),
  prepare: (step, scope) => {
    const fd = scope.operand(['close'], step.close, 'fd');
    return {
      text: `close(${fd.text})`,
      *call(names) {
        return { ret: BigInt(yield* sys_close(asFd(fd.of(names)))) };
      },
    };
  },
});

const MOST = 4096n;

export const read = verb({
  verb: 'read',
  about: 'read(2), into memory of the thread, or of the program.',
  example: '{ "read": "fault_fd", "length": 32, "ret": 32 }',
  shape: () => ({
    read: operand().describe('The descriptor.'),
    length: number(0n, MOST).describe('How many bytes at most.'),
    at: operand().optional().describe('Where in the memory of the program they go to.'),
    data: data().optional().describe('The bytes that must come.'),
  }),
  prepare: (step, scope) => {
    const fd = scope.operand(['read'], step.read, 'fd');
    const to = step.at === undefined ? null : scope.operand(['at'], step.at);
    return {
      text: `read(${[fd.text, show(step.length), ...(to === null ? [] : [to.text])].join(', ')})`,
      *call(names) {
        const { mm, at: own } = scratch();
        const at = to === null ? own : BigInt.asUintN(64, to.of(names));
        const ret = yield* sys_read(asFd(fd.of(names)), at, Number(step.length));
        if (ret < 0) return { ret: BigInt(ret) };
        const got = user_load(mm, at, ret) ?? new Uint8Array();
        return {
          ret: BigInt(ret),
          data: got,
          text: hexOf(got),
          ...(step.data === undefined ? {} : compareBytes(got, step.data)),
        };
      },
    };
  },
});

export const write = verb({
  verb: 'write',
  about: 'write(2), from memory of the thread, or of the program.',
  example: '{ "write": "fault_fd", "data": "01 00 00 00 00 00 00 00" }',
  shape: () => ({
    write: operand().describe('The descriptor.'),
    data: data().optional().describe('The bytes.'),
    text: z
      .string()
      .regex(/^[\x20-\x7e\n]*$/, 'expected ASCII text')
      .max(Number(MOST))
      .optional()
      .describe('The bytes, where they are text.'),
    at: operand()
      .optional()
      .describe('Where in the memory of the program they are put; where that cannot be, nothing is.'),
  }),
  prepare: (step, scope) => {
    const fd = scope.operand(['write'], step.write, 'fd');
    if ((step.data === undefined) === (step.text === undefined)) {
      scope.keyProblem(['write'], 'say what is written: either "data" or "text"');
    }
    const bytes = step.data ?? new TextEncoder().encode(step.text);
    if (BigInt(bytes.length) > MOST) scope.problem(['data'], `expected at most ${MOST} bytes`);
    const from = step.at === undefined ? null : scope.operand(['at'], step.at);
    const shown = step.text === undefined ? hexOf(bytes) : JSON.stringify(step.text);
    return {
      text: `write(${[fd.text, shown, ...(from === null ? [] : [from.text])].join(', ')})`,
      *call(names) {
        const { mm, at: own } = scratch();
        const at = from === null ? own : BigInt.asUintN(64, from.of(names));
        user_store(mm, at, bytes);
        return { ret: BigInt(yield* sys_write(asFd(fd.of(names)), at, bytes.length)) };
      },
    };
  },
});

export const eventfd = verb({
  verb: 'eventfd',
  about: 'eventfd(2): a counter behind a descriptor.',
  example: '{ "eventfd": 0, "as": "ev" }',
  shape: () => ({
    eventfd: z.int().min(0).max(0xffffffff).describe('What it counts from.'),
    flags: flags().optional().describe('EFD_SEMAPHORE (1), O_NONBLOCK (2048).'),
  }),
  makes: () => [{ from: 'ret', kind: 'fd' }],
  prepare: (step, scope) => {
    const how = step.flags === undefined ? null : scope.flags(['flags'], step.flags);
    return {
      text: `eventfd(${step.eventfd}${how === null ? '' : `, ${how.text}`})`,
      objects: (as) => [...as.values()].flatMap((name) => objectsCalled(name, ['eventfd', 'file'])),
      *call(names) {
        return { ret: BigInt(yield* do_eventfd(step.eventfd, Number(how?.of(names) ?? 0n))) };
      },
    };
  },
});
