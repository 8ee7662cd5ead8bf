// SPDX-License-Identifier: GPL-2.0-only

/** The platforms that a program can run on, brought up. */
import { iommufd_init } from '../kernel/iommufd/main.ts';
import type { Machine } from '../sim/machine.ts';

/** `mock`: nothing but iommufd and its mock driver. */
export const PLATFORMS = ['mock'] as const;
export type PlatformName = (typeof PLATFORMS)[number];

export const isPlatform = (name: string): name is PlatformName => PLATFORMS.some((known) => known === name);

/** Boots the powered machine. */
export function boot(machine: Machine, _platform: PlatformName): void {
  iommufd_init(machine.root);
}
