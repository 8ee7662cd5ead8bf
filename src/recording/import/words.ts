// SPDX-License-Identifier: GPL-2.0-only

/** Numbers of a recording in the words of a case. */
import { constants } from '../../case/constants.ts';

/** `4096` as "4K", other numbers in hex, small ones as they are. */
export function length(value: bigint): string | number {
  const units: readonly [bigint, string][] = [
    [30n, 'G'],
    [20n, 'M'],
    [10n, 'K'],
  ];
  for (const [shift, unit] of units) {
    const count = value >> shift;
    if (count > 0n && count << shift === value && count < 1024n) return `${count}${unit}`;
  }
  return number(value);
}

export const number = (value: bigint): string | number => (value < 4096n ? Number(value) : hex(value));

export const hex = (value: bigint): string => `0x${value.toString(16)}`;

const constant = (name: string): bigint => {
  const value = constants().get(name);
  if (value === undefined) throw new Error(`no constant is called ${name}`);
  return value;
};

/** Bits by name; what has none stays a number. */
export function bits(value: bigint, names: readonly string[]): string | number | (string | number)[] {
  const known = names.filter((name) => (value & constant(name)) !== 0n);
  const rest = known.reduce((left, name) => left & ~constant(name), value);
  const parts = [...known, ...(rest === 0n ? [] : [number(rest)])];
  const [first = 0] = parts;
  return parts.length < 2 ? first : parts;
}

/** One of several values by name; another stays a number. */
export const choice = (value: bigint, names: readonly string[]): string | number =>
  names.find((name) => constant(name) === value) ?? number(value);

const FEW = 8;
const MANY = 128;

export type Bytes =
  | string
  | { fill: number; length: string | number }
  | { pattern: string; every: number; length: string | number };

const hexText = (data: Uint8Array): string =>
  Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join(' ');

/** Bytes as a case has them: hex, one byte many times, or a pattern that comes again and again. */
export function bytes(data: Uint8Array): Bytes {
  const [first = 0] = data;
  const size = length(BigInt(data.length));
  if (data.length > FEW && data.every((byte) => byte === first)) return { fill: first, length: size };
  const every = data.length > MANY ? periodOf(data) : null;
  if (every === null) return hexText(data);
  let end = every;
  while (end > 1 && data[end - 1] === 0) end--;
  return { pattern: hexText(data.subarray(0, end)), every, length: size };
}

/** After how many bytes, a power of two, it comes again; null: it does not, or not soon. */
function periodOf(data: Uint8Array): number | null {
  for (let every = 1; every <= MANY; every *= 2) {
    if (data.every((byte, i) => i < every || byte === data[i - every])) return every;
  }
  return null;
}
