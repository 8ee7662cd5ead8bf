// SPDX-License-Identifier: GPL-2.0-only

/** Compares what the model answers with what was recorded. */
import { errnoName } from '../uapi/errno.ts';
import type { ComparedCall } from './event.ts';

/** The first answer that is not the recorded one. */
export class Divergence extends Error {
  readonly field: string;
  readonly expected: string;
  readonly actual: string;

  constructor(field: string, expected: string, actual: string) {
    super(`${field}: recorded ${expected}, modelled ${actual}`);
    this.field = field;
    this.expected = expected;
    this.actual = actual;
  }
}

/** A call's answer in words; `errno` positive, 0 for none. */
export function shownAnswer(ret: number, errno: number): string {
  return ret === -1 && errno !== 0 ? `-${errnoName(errno) ?? errno}` : String(ret);
}

/** What a system call of the model returned, in words. */
export const shownReturn = (ret: number): string => shownAnswer(ret < 0 ? -1 : ret, -ret);

export const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Throws Divergence unless `actual`, a value or a negative errno, is what was recorded. */
export function sameAnswer({ ret, errno }: ComparedCall, actual: number): void {
  const recorded = ret === -1 ? -errno : ret;
  if (recorded === actual) return;
  const field = ret === -1 && actual < 0 ? 'errno' : 'ret';
  throw new Divergence(field, shownAnswer(ret, errno), shownReturn(actual));
}

/** Throws Divergence unless the bytes are alike; `actual` null: they cannot be read. */
export function sameBytes(field: string, expected: Uint8Array, actual: Uint8Array | null): void {
  if (actual === null) throw new Divergence(field, `${expected.length} bytes`, 'not readable');
  const length = Math.min(expected.length, actual.length);
  let at = 0;
  while (at < length && expected[at] === actual[at]) at++;
  if (at === expected.length && at === actual.length) return;
  const some = (bytes: Uint8Array): string =>
    Array.from(bytes.subarray(at, at + 8), (b) => b.toString(16).padStart(2, '0')).join('');
  throw new Divergence(`${field}[${at}]`, some(expected), some(actual));
}
