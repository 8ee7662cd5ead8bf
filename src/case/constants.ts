// SPDX-License-Identifier: GPL-2.0-only

/** The numbers that Linux's headers give names to. */
import * as mm from '../kernel/mm/mm_types.ts';
import { errnoName } from '../uapi/errno.ts';
import * as iommufd from '../uapi/iommufd.ts';
import * as test from '../uapi/iommufd_test.ts';
import * as vfio from '../uapi/vfio.ts';
import { once } from './once.ts';

const CONSTANT = /^[A-Z][A-Z0-9]*_[A-Za-z0-9_]+$/;

/** Constants of the user API and of mmap(2), by name. */
export const constants = once((): ReadonlyMap<string, bigint> => {
  const own = named(mm).filter(([name]) => /^(PROT|MAP)_/.test(name));
  return new Map([...[iommufd, test, vfio].flatMap(named), ...own]);
});

function named(module: object): [string, bigint][] {
  return Object.entries(module).flatMap(([name, value]): [string, bigint][] => {
    if (!CONSTANT.test(name)) return [];
    if (typeof value === 'bigint') return [[name, value]];
    return typeof value === 'number' && Number.isSafeInteger(value) ? [[name, BigInt(value)]] : [];
  });
}

const LAST_ERRNO = 531;

/** Error numbers by name. */
export const errnos = once(
  (): ReadonlyMap<string, number> =>
    new Map(
      Array.from({ length: LAST_ERRNO }, (_, i) => i + 1).flatMap((n): [string, number][] => {
        const name = errnoName(n);
        return name === undefined ? [] : [[name, n]];
      }),
    ),
);

/** The name of an error number, for texts. */
export const nameOfErrno = (errno: number): string => errnoName(errno) ?? `errno ${errno}`;
