// SPDX-License-Identifier: GPL-2.0-only
import * as z from 'zod';
import { exit_files } from '../../kernel/fs/file.ts';
import { current_process } from '../../kernel/sched/task.ts';
import { verb } from '../step.ts';

export const exit = verb({
  verb: 'exit',
  about: 'The process exits: what is still open is closed. The last step of its task.',
  example: '{ "exit": 0 }',
  shape: () => ({ exit: z.int().min(0).max(255).describe('The status, which nobody looks at.') }),
  prepare: (step) => ({
    text: `exit(${step.exit})`,
    *call() {
      yield* exit_files(current_process().files);
      return { ret: 0n };
    },
  }),
});
