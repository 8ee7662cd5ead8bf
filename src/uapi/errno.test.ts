// SPDX-License-Identifier: GPL-2.0-only
import { expect, test } from 'vitest';
import * as errno from './errno.ts';

test('errnoName knows every number, by the name that is not an alias', () => {
  const numbers = Object.entries(errno).filter(([, value]) => typeof value === 'number');
  const aliases = numbers.filter(([name, number]) => errno.errnoName(Number(number)) !== name);
  expect(Object.fromEntries(aliases)).toEqual({ EDEADLOCK: errno.EDEADLK, EWOULDBLOCK: errno.EAGAIN });
});

test('errnoName has no name for what is not an error number', () => {
  for (const n of [0, -22, 41, 58, 134, 520, 532]) expect(errno.errnoName(n)).toBeUndefined();
});
