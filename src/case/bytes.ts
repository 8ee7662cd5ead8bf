// SPDX-License-Identifier: GPL-2.0-only

/** Bytes as steps send, get and show them. */
import type { Path } from './jsonc.ts';
import type { StepScope } from './scope.ts';
import { data, number } from './words.ts';

const SHOWN = 16;
/** More than this at once is not worth looking at. */
const MOST = 1n << 20n;

/** Bytes as a trace shows them: hex, or in short when they are many. */
export function hexOf(bytes: Uint8Array): string {
  if (bytes.length <= SHOWN) return [...bytes].map(byteText).join(' ');
  const [first = 0] = bytes;
  return bytes.every((byte) => byte === first)
    ? `${bytes.length} bytes of ${byteText(first)}`
    : `${hexOf(bytes.subarray(0, SHOWN))} … ${bytes.length} bytes`;
}

const byteText = (byte: number): string => byte.toString(16).padStart(2, '0');

/** Keys of a step that gets bytes: as many as are asked for, or as are expected. */
export const received = () => ({
  length: number(1n, MOST).optional().describe('How many bytes; absent: as many as "data" has.'),
  data: data().optional().describe('The bytes that must come, as far as any do.'),
});

/** How many bytes a step with the keys `received` asks for; a problem is told at `path` when it does not say. */
export function receivedLength(
  step: { readonly length?: bigint | undefined; readonly data?: Uint8Array | undefined },
  path: Path,
  scope: StepScope,
): number {
  const length = Number(step.length ?? 0n) || (step.data?.length ?? 0);
  if (length === 0) scope.keyProblem(path, 'say how many bytes: "length" or "data" is missing');
  return length;
}

/** What differs, for the answer of a step; empty when nothing does, or nothing is expected. */
export function compareBytes(found: Uint8Array, wanted: Uint8Array | undefined): { mismatch?: string } {
  if (wanted === undefined) return {};
  const at = wanted.findIndex((byte, i) => byte !== found[i]);
  if (at < 0) return {};
  const there = found[at];
  return {
    mismatch: `byte ${at} is ${there === undefined ? 'missing' : byteText(there)}, expected ${byteText(wanted[at] ?? 0)}`,
  };
}
