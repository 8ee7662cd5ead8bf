// SPDX-License-Identifier: GPL-2.0-only

const SLAB = 1 << 16;
/** Longer arrays have their own memory. */
const LONGEST = 1 << 12;

let slab = new ArrayBuffer(SLAB);
let used = 0;

/**
 * `length` zero bytes, for a short time: what is kept keeps its neighbours too. V8 calls malloc for each array
 * of more than 64 bytes, and that takes longer than a system call of the model.
 */
export function zeroed(length: number): Uint8Array {
  if (length > LONGEST) return new Uint8Array(length);
  if (used + length > SLAB) {
    slab = new ArrayBuffer(SLAB);
    used = 0;
  }
  const bytes = new Uint8Array(slab, used, length);
  used += (length + 7) & ~7;
  return bytes;
}
