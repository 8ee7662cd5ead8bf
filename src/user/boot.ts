// SPDX-License-Identifier: GPL-2.0-only

/** The platforms that a program can run on, brought up. */
import { iommufd_init } from '../kernel/iommufd/main.ts';
import { iommufd_test_init } from '../kernel/iommufd/selftest_driver.ts';
import type { Machine } from '../sim/machine.ts';
import type { Gen } from '../sim/task.ts';

/** `mock`: nothing but iommufd and its mock driver. */
export const PLATFORMS = ['mock'] as const;
export type PlatformName = (typeof PLATFORMS)[number];

export const isPlatform = (name: string): name is PlatformName => PLATFORMS.some((known) => known === name);

/** What takes locks as it comes up, and so needs a task. */
function* initcalls(): Gen<void> {
  yield* iommufd_test_init();
}

/** Boots the powered machine. */
export function boot(machine: Machine, _platform: PlatformName): void {
  iommufd_init(machine.root);
  machine.spawn('swapper', initcalls());
  machine.run();
}
