// SPDX-License-Identifier: GPL-2.0-only

/**
 * The contents of memory: bytes at addresses, zero where nothing was written. The trace says which bytes were
 * written, and what when they are few.
 */
import { context } from '../context.ts';
import type { FieldOptions, Member } from '../field.ts';
import type { Observed } from '../observed.ts';
import { CONTENTS, Collection, member, writes } from './collection.ts';

/** Longer writes are recorded without what was written. */
const SHORT = 16;
const CHUNK = 4096;
/** Copied one by one. */
const FEW = 40;

export class Bytes extends Collection {
  /** By address / CHUNK; what is absent is zero. */
  readonly #chunks = new Map<number, Uint8Array>();

  /** By chunk: how many of its bytes may be other than zero, from the first on. */
  readonly #ends = new Map<number, number>();
  /** By chunk: what it holds as one string, until it is written again; empty when all is zero. */
  readonly #digests = new Map<number, string>();

  override $state(see: (value: unknown) => void): void {
    for (const at of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      const digest = this.#digest(at);
      // What was written with zeroes is as what was never written.
      if (digest === '') continue;
      see(at);
      see(digest);
    }
  }

  #digest(at: number): string {
    let digest = this.#digests.get(at);
    if (digest === undefined) {
      const chunk = this.#chunks.get(at) ?? new Uint8Array();
      let end = this.#ends.get(at) ?? 0;
      while (end > 0 && chunk[end - 1] === 0) end--;
      digest = end === 0 ? '' : text(chunk, 0, end, end);
      this.#digests.set(at, digest);
    }
    return digest;
  }

  /** A copy of `length` bytes from address `at` on. */
  read(at: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    this.load(at, out, 0, length);
    return out;
  }

  /** Copies `length` bytes from address `at` on to `out[from]` and after it. */
  load(at: number, out: Uint8Array, from: number, length: number): void {
    for (let done = 0; done < length; ) {
      const offset = (at + done) % CHUNK;
      const n = Math.min(CHUNK - offset, length - done);
      const chunk = this.#chunks.get(Math.floor((at + done) / CHUNK));
      if (chunk === undefined) out.fill(0, from + done, from + done + n);
      else copy(out, from + done, chunk, offset, n);
      done += n;
    }
    if (context.watch !== null) context.watch.read(this, CONTENTS, text(out, from, length, length));
  }

  write(at: number, data: Uint8Array): void {
    this.store(at, data, 0, data.length);
  }

  /** Copies `length` bytes from `data[from]` on to address `at` and after it. */
  store(at: number, data: Uint8Array, from: number, length: number): void {
    if (length === 0) return;
    writes(this);
    this.$gain({ start: at, last: at + length - 1 }, text(data, from, length));
    for (let done = 0; done < length; ) {
      const offset = (at + done) % CHUNK;
      const n = Math.min(CHUNK - offset, length - done);
      copy(this.#chunk(Math.floor((at + done) / CHUNK), offset + n), offset, data, from + done, n);
      done += n;
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

  /** A chunk that is about to be written, before `end`. */
  #chunk(number: number, end: number): Uint8Array {
    this.#digests.delete(number);
    this.#ends.set(number, Math.max(end, this.#ends.get(number) ?? 0));
    let chunk = this.#chunks.get(number);
    if (chunk === undefined) {
      chunk = new Uint8Array(CHUNK);
      this.#chunks.set(number, chunk);
    }
    return chunk;
  }
}

/** As to.set(from.subarray(start, start + n), at), which takes longer for few bytes. */
function copy(to: Uint8Array, at: number, from: Uint8Array, start: number, n: number): void {
  if (n > FEW) to.set(from.subarray(start, start + n), at);
  else for (let i = 0; i < n; i++) to[at + i] = from[start + i] ?? 0;
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

function text(data: Uint8Array, from: number, length: number, short = SHORT): string {
  if (length > short) return `${length} bytes`;
  let shown = HEX[data[from] ?? 0] ?? '';
  for (let i = from + 1; i < from + length; i++) shown += ` ${HEX[data[i] ?? 0]}`;
  return shown;
}

export type bytes = Bytes;
export const bytes = (o?: FieldOptions): Member<bytes> =>
  member((owner: Observed, role, { guardedBy }) => new Bytes(owner, role, true, guardedBy), o);
