// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/selftest.c (6.12): what a selftest changes in the code that it tests. */
import { happens } from '../../sim/chance.ts';
import { machine } from '../../sim/context.ts';
import { count } from '../../sim/field.ts';
import type { Named } from '../../sim/observed.ts';
import { root, struct } from '../../sim/struct.ts';

/** The kind of choice behind the fail_iommufd fault injection; open when the run's options say so. */
export const FAIL_IOMMUFD = 'fail_iommufd';

/** Whether fault injection strikes here. */
export const iommufd_should_fail = (): boolean =>
  happens(FAIL_IOMMUFD, (yes) => (yes ? 'fail_iommufd strikes' : 'fail_iommufd does not strike'));

class test_settings extends struct('iommufd_test_settings', root, { memory_limit: count() }) {}

/** What a selftest can set; it is there from the loading of the module on. */
export const test_module_settings = (): test_settings => machine().singleton(default_settings);

function default_settings(creator: Named): test_settings {
  const it = new test_settings(creator, 'iommufd_test', true);
  it.memory_limit = 65536;
  return it;
}

/** The most memory, in bytes, that pages.c may take for a moment. It holds for all contexts, until set again. */
export const iommufd_test_memory_limit = (): number => test_module_settings().memory_limit;

/** IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT. `limit` in bytes. */
export function set_memory_limit(limit: number): void {
  test_module_settings().memory_limit = limit;
}
