// SPDX-License-Identifier: GPL-2.0-only
import * as z from 'zod';
import { copy_process, do_exit } from '../../kernel/sched/fork.ts';
import { current_process } from '../../kernel/sched/task.ts';
import { machine } from '../../sim/context.ts';
import { IS_ERR } from '../../sim/errno.ts';
import { Unsupported } from '../../sim/errors.ts';
import { verb } from '../step.ts';
import { name } from '../words.ts';

export const exit = verb({
  verb: 'exit',
  about: 'The process exits: its memory goes, and what is still open is closed. The last step of its task.',
  example: '{ "exit": 0 }',
  isLast: true,
  shape: () => ({ exit: z.int().min(0).max(255).describe('The status, which nobody looks at.') }),
  prepare: (step) => ({
    text: `exit(${step.exit})`,
    *call() {
      if (current_process().files.count > 1)
        throw new Unsupported('the exit of a process with several threads');
      yield* do_exit();
      return { ret: 0n };
    },
  }),
});

export const fork = verb({
  verb: 'fork',
  about:
    'fork(2): a process with a copy of the memory, and with the same descriptors. Its thread is the task that is named, ' +
    'whose steps begin then.',
  example: '{ "fork": "child" }',
  shape: () => ({ fork: name().describe('The task that is the thread of the child.') }),
  prepare: ({ fork: child }, scope) => {
    scope.forks(['fork'], child);
    return {
      text: `fork(${child})`,
      forks: child,
      objects: () => [
        [`${child}.process`, `${child}.process`],
        [child, child],
      ],
      *call(names) {
        const group = yield* copy_process(machine().root, `${child}.process`);
        if (IS_ERR(group)) return { ret: BigInt(group) };
        names.forked(child, group);
        return { ret: 0n };
      },
    };
  },
});
