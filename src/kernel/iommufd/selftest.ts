// SPDX-License-Identifier: GPL-2.0-only

/** drivers/iommu/iommufd/selftest.c (6.12): the test ioctls and the mock IOMMU driver. */
import { happens } from '../../sim/chance.ts';
import type { Rc } from '../../sim/errno.ts';
import { Unsupported } from '../../sim/errors.ts';
import { sourceFile } from '../../sim/fn.ts';
import type { Gen } from '../../sim/task.ts';
import { ioctlByName } from '../../uapi/ioctls.ts';
import { IOMMU_TEST_CMD, iommu_test_cmd } from '../../uapi/iommufd_test.ts';
import { view } from '../../uapi/layout.ts';
import type { iommufd_ucmd } from './iommufd_private.h.ts';

const fn = sourceFile('drivers/iommu/iommufd/selftest.c');

/** The kind of choice behind the fail_iommufd fault injection; open when the run's options say so. */
export const FAIL_IOMMUFD = 'fail_iommufd';

/** Whether fault injection strikes here. */
export const iommufd_should_fail = (): boolean =>
  happens(FAIL_IOMMUFD, (yes) => (yes ? 'fail_iommufd strikes' : 'fail_iommufd does not strike'));

const op_names: ReadonlyMap<number, string> = new Map(
  [...ioctlByName.values()].flatMap((it) =>
    it.cmd === IOMMU_TEST_CMD && it.op !== undefined ? [[it.op, it.name] as const] : [],
  ),
);

/** IOMMU_TEST_CMD. -EOPNOTSUPP: no such op. */
export const iommufd_test = fn('iommufd_test', function* (ucmd: iommufd_ucmd): Gen<Rc> {
  const cmd = view(iommu_test_cmd, ucmd.bytes);
  const name = op_names.get(cmd.op);
  throw new Unsupported(name ?? `IOMMU_TEST_CMD op ${cmd.op}`);
});
