// SPDX-License-Identifier: GPL-2.0-only

/**
 * The contents of memory: bytes at addresses, zero where nothing was written. The trace says which bytes were
 * written, and what when they are few.
 */
import type { FieldOptions, Member } from '../field.ts';
import type { Observed } from '../observed.ts';
import { Collection, member, reads, writes } from './collection.ts';

/** Longer writes are recorded without what was written. */
const SHORT = 16;
const CHUNK = 4096;

export class Bytes extends Collection {
  /** By address / CHUNK; what is absent is zero. */
  readonly #chunks = new Map<number, Uint8Array>();

  override $state(see: (value: unknown) => void): void {
    for (const [at, chunk] of [...this.#chunks].sort(([a], [b]) => a - b)) {
      // What was written with zeroes is as what was never written.
      if (chunk.every((byte) => byte === 0)) continue;
      see(at);
      for (const byte of chunk) see(byte);
    }
  }

  /** A copy of `length` bytes from address `at` on. */
  read(at: number, length: number): Uint8Array {
    reads(this);
    const out = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const offset = (at + done) % CHUNK;
      const n = Math.min(CHUNK - offset, length - done);
      const chunk = this.#chunks.get(Math.floor((at + done) / CHUNK));
      if (chunk !== undefined) out.set(chunk.subarray(offset, offset + n), done);
      done += n;
    }
    return out;
  }

  write(at: number, data: Uint8Array): void {
    if (data.length === 0) return;
    writes(this);
    this.$gain({ start: at, last: at + data.length - 1 }, text(data));
    for (let done = 0; done < data.length; ) {
      const offset = (at + done) % CHUNK;
      const part = data.subarray(done, done + CHUNK - offset);
      this.#chunk(Math.floor((at + done) / CHUNK)).set(part, offset);
      done += part.length;
    }
  }

  /** Sets `count` bits, from bit `first` of the byte at `at` on: a bitmap in memory, in little endian. */
  setBits(at: number, first: number, count: number): void {
    if (count === 0) return;
    const start = at + Math.floor(first / 8);
    const shift = first % 8;
    const data = this.read(start, Math.ceil((shift + count) / 8));
    for (let bit = shift; bit < shift + count; bit++) {
      data[bit >> 3] = (data[bit >> 3] ?? 0) | (1 << (bit & 7));
    }
    this.write(start, data);
  }

  #chunk(number: number): Uint8Array {
    let chunk = this.#chunks.get(number);
    if (chunk === undefined) {
      chunk = new Uint8Array(CHUNK);
      this.#chunks.set(number, chunk);
    }
    return chunk;
  }
}

function text(data: Uint8Array): string {
  if (data.length > SHORT) return `${data.length} bytes`;
  return Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

export type bytes = Bytes;
export const bytes = (o?: FieldOptions): Member<bytes> =>
  member((owner: Observed, role, { guardedBy }) => new Bytes(owner, role, true, guardedBy), o);
