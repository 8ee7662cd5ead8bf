// SPDX-License-Identifier: GPL-2.0-only
import * as z from 'zod';
import { do_exit } from '../../kernel/sched/fork.ts';
import { current_process } from '../../kernel/sched/task.ts';
import { Unsupported } from '../../sim/errors.ts';
import { verb } from '../step.ts';

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
