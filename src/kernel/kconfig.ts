// SPDX-License-Identifier: GPL-2.0-only

/** Options that a kernel is built with or without, of those that change what is modelled. */
import { machine } from '../sim/context.ts';

/** DEBUG_TEST_DRIVER_REMOVE: each driver that is bound is unbound once and bound again (drivers/base/Kconfig). */
export const KCONFIG = ['DEBUG_TEST_DRIVER_REMOVE'] as const;
export type KconfigOption = (typeof KCONFIG)[number];

const NOTHING: ReadonlySet<KconfigOption> = new Set();

class Kconfig {
  enabled = NOTHING;
}

const kconfig = (): Kconfig => machine().singleton(without);
const without = (): Kconfig => new Kconfig();

/** Before boot: what the kernel was built with; without this call nothing. */
export function build_with(options: ReadonlySet<KconfigOption>): void {
  kconfig().enabled = options;
}

export const IS_ENABLED = (option: KconfigOption): boolean => kconfig().enabled.has(option);
