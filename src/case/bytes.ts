// SPDX-License-Identifier: GPL-2.0-only

const SHOWN = 16;

/** Bytes as a trace shows them: hex, or in short when they are many. */
export function hexOf(bytes: Uint8Array): string {
  if (bytes.length <= SHOWN) return [...bytes].map(byteText).join(' ');
  const [first = 0] = bytes;
  return bytes.every((byte) => byte === first)
    ? `${bytes.length} bytes of ${byteText(first)}`
    : `${hexOf(bytes.subarray(0, SHOWN))} … ${bytes.length} bytes`;
}

const byteText = (byte: number): string => byte.toString(16).padStart(2, '0');

/** What differs, for the answer of a step; empty when nothing does. */
export function compareBytes(found: Uint8Array, wanted: Uint8Array): { mismatch?: string } {
  const at = wanted.findIndex((byte, i) => byte !== found[i]);
  if (at < 0) return {};
  const there = found[at];
  return {
    mismatch: `byte ${at} is ${there === undefined ? 'missing' : byteText(there)}, expected ${byteText(wanted[at] ?? 0)}`,
  };
}
