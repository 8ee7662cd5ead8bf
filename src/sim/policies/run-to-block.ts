// SPDX-License-Identifier: GPL-2.0-only
import type { Policy } from '../choice.ts';

/** The default: a task goes on until it waits; then the oldest that can. Nothing fails. */
export const runToBlock: Policy = { choose: (choice) => choice.fallback };
