// SPDX-License-Identifier: GPL-2.0-only

import { do_mprotect, vm_mmap, vm_munmap } from '../../kernel/mm/mm.ts';
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../../kernel/mm/mm_types.ts';
import { program_load, program_store } from '../../kernel/mm/uaccess.ts';
/** The memory of the program: mmap(2), munmap(2), and its own loads and stores. */
import { fail } from '../../sim/errno.ts';
import { EFAULT } from '../../uapi/errno.ts';
import { calling_mm } from '../../user/ioctl.ts';
import { compareBytes, hexOf, received, receivedLength } from '../bytes.ts';
import { verb } from '../step.ts';
import { data, flags, number, operand, show } from '../words.ts';

const TASK_SIZE = 1n << 47n;
const length = () => number(0n, TASK_SIZE);

export const mmap = verb({
  verb: 'mmap',
  about: 'mmap(2): anonymous memory that is private and zeroed, unless flags say otherwise.',
  example: '{ "mmap": "64K", "as": "buf" }',
  shape: () => ({
    mmap: length().describe('How many bytes.'),
    at: operand().optional().describe('The address: exactly there (MAP_FIXED).'),
    prot: flags().optional().describe('PROT_READ and PROT_WRITE unless said otherwise.'),
    flags: flags()
      .optional()
      .describe('MAP_PRIVATE and MAP_ANONYMOUS unless said otherwise; MAP_FIXED comes with "at".'),
  }),
  makes: (step) => [{ from: 'ret', kind: 'address', length: step.mmap }],
  prepare: (step, scope) => {
    const at = step.at === undefined ? null : scope.operand(['at'], step.at);
    const prot = step.prot === undefined ? null : scope.flags(['prot'], step.prot);
    const how = step.flags === undefined ? null : scope.flags(['flags'], step.flags);
    const shown = [show(step.mmap), at && `at ${at.text}`, prot?.text, how?.text].filter(
      (each) => typeof each === 'string',
    );
    return {
      text: `mmap(${shown.join(', ')})`,
      objects: (as) => [...as.values()].map((name) => ['vma', name] as const),
      *call(names) {
        const fixed = at === null ? 0 : MAP_FIXED;
        const ret = yield* vm_mmap(
          calling_mm(),
          at?.of(names) ?? 0n,
          step.mmap,
          Number(prot?.of(names) ?? BigInt(PROT_READ | PROT_WRITE)),
          Number(how?.of(names) ?? BigInt(MAP_PRIVATE | MAP_ANONYMOUS)) | fixed,
        );
        return { ret: BigInt(ret) };
      },
    };
  },
});

export const munmap = verb({
  verb: 'munmap',
  about: 'munmap(2).',
  example: '{ "munmap": "buf", "length": "64K" }',
  shape: () => ({ munmap: operand().describe('The address.'), length: length().describe('How many bytes.') }),
  prepare: (step, scope) => {
    const at = scope.operand(['munmap'], step.munmap);
    return {
      text: `munmap(${at.text}, ${show(step.length)})`,
      *call(names) {
        return { ret: BigInt(yield* vm_munmap(calling_mm(), at.of(names), step.length)) };
      },
    };
  },
});

export const mprotect = verb({
  verb: 'mprotect',
  about: 'mprotect(2).',
  example: '{ "mprotect": "buf", "length": "4K", "prot": "PROT_READ" }',
  shape: () => ({
    mprotect: operand().describe('The address.'),
    length: length().describe('How many bytes.'),
    prot: flags().describe('PROT_NONE, or a list of PROT_READ, PROT_WRITE, PROT_EXEC.'),
  }),
  prepare: (step, scope) => {
    const at = scope.operand(['mprotect'], step.mprotect);
    const prot = scope.flags(['prot'], step.prot);
    return {
      text: `mprotect(${at.text}, ${show(step.length)}, ${prot.text})`,
      *call(names) {
        return {
          ret: BigInt(yield* do_mprotect(calling_mm(), at.of(names), step.length, Number(prot.of(names)))),
        };
      },
    };
  },
});

export const store = verb({
  verb: 'store',
  about: 'The program writes to its own memory. Where it may not, that counts as EFAULT.',
  example: '{ "store": "buf+0x10", "data": "de ad be ef" }',
  shape: () => ({ store: operand().describe('The address.'), data: data().describe('The bytes.') }),
  prepare: (step, scope) => {
    const at = scope.operand(['store'], step.store);
    return {
      text: `store(${at.text}, ${hexOf(step.data)})`,
      *call(names) {
        const stored = yield* program_store(at.of(names), step.data);
        return { ret: BigInt(stored ? 0 : fail(EFAULT, 'the program may not write there')) };
      },
    };
  },
});

export const load = verb({
  verb: 'load',
  about:
    'The program reads its own memory, and may say what it must find. Where it may not read, that counts as EFAULT.',
  example: '{ "load": "buf", "data": "de ad be ef" }',
  shape: () => ({
    load: operand().describe('The address.'),
    ...received(),
  }),
  prepare: (step, scope) => {
    const at = scope.operand(['load'], step.load);
    const length = receivedLength(step, ['load'], scope);
    return {
      text: `load(${at.text}, ${length} bytes)`,
      *call(names) {
        const found = yield* program_load(at.of(names), length);
        if (found === null) return { ret: BigInt(fail(EFAULT, 'the program may not read there')) };
        return { ret: 0n, data: found, text: hexOf(found), ...compareBytes(found, step.data) };
      },
    };
  },
});
