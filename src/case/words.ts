// SPDX-License-Identifier: GPL-2.0-only

/** The small words of the case language: names, numbers, bytes. What every part of the schema is made of. */
import * as z from 'zod';
import { FAULTS, type Fault } from '../hw/iommu.ts';
import { errnos } from './constants.ts';
import { once } from './once.ts';

// Cases are small and validated once: compiling validators for them costs more than it gains.
z.config({ jitless: true });

const NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,39}$/;

/** What a case calls something of its own: never a dot or a #, which the engine's own names have. */
export const name = (): z.ZodString =>
  z.string().regex(NAME, 'expected a name: letters, digits, _ and -, at most 40, no digit first');

const NUMBER = /^(-?)(0x[0-9a-f]{1,16}|[0-9]{1,20})([KMGT]?)$/i;
const SHIFT: Readonly<Record<string, bigint>> = { '': 0n, K: 10n, M: 20n, G: 30n, T: 40n };

/** The number that a text stands for; null when it is none. */
export function parseNumber(text: string): bigint | null {
  const match = NUMBER.exec(text);
  if (match === null) return null;
  const [, sign, digits = '0', unit = ''] = match;
  const value = BigInt(digits) << (SHIFT[unit.toUpperCase()] ?? 0n);
  return sign === '-' ? -value : value;
}

const U64 = (1n << 64n) - 1n;

/** A number within limits, as JSON number or as text: `4096`, `"0x1000"`, `"4K"`. */
export const number = (min: bigint, max: bigint): z.ZodType<bigint, string | number> =>
  z
    .union([z.int(), z.string()], 'expected a whole number, such as 4096, "0x1000" or "4K"')
    .transform((input, context) => {
      const value = typeof input === 'number' ? BigInt(input) : parseNumber(input);
      if (value === null) {
        context.addIssue(
          `expected a whole number, such as 4096, "0x1000" or "4K"; found ${JSON.stringify(input)}`,
        );
        return z.NEVER;
      }
      if (value < min || value > max) {
        context.addIssue(`the number is out of range: expected ${show(min)} to ${show(max)}`);
        return z.NEVER;
      }
      return value;
    });

export const show = (value: bigint): string => (value > 9n ? `0x${value.toString(16)}` : String(value));

/**
 * A number, or something that stands for one: what a step has made (`iommufd`, `ioas1`), an address within a
 * buffer (`buf+0x1000`), a constant of the user API. Resolved when the case is loaded.
 */
export const operand = (): z.ZodType<string | number> =>
  z.union([z.int(), z.string().min(1).max(100)], 'expected a number or a name');

/** As operand, or several to be or-ed together. */
export const flags = (): z.ZodType<Flags> =>
  z.union([operand(), z.array(operand()).max(64)], 'expected a number, a name, or a list of flags');
export type Flags = string | number | (string | number)[];

const MAX_DATA = 1 << 20;
const HEX_BYTES = /^(?:[0-9a-fA-F]{2}[ _]*)*$/;

/** The bytes that hex text stands for. */
export const bytesOf = (text: string): Uint8Array =>
  Uint8Array.from(text.match(/[0-9a-f]{2}/gi) ?? [], (byte) => Number.parseInt(byte, 16));

function repeated(pattern: Uint8Array, every: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += every) bytes.set(pattern.subarray(0, length - at), at);
  return bytes;
}

/** Bytes as hex text. */
export const hexText = (): z.ZodString =>
  z
    .string()
    .max(3 * MAX_DATA)
    .regex(HEX_BYTES, 'expected bytes in hex, such as "de ad be ef"');

const hexBytes = () => hexText().transform(bytesOf);

type Data =
  | string
  | {
      fill?: number | undefined;
      pattern?: string | undefined;
      every?: string | number | undefined;
      length: string | number;
    };

/** Bytes: hex text, one byte many times, or a pattern with zeros between. */
export const data = (): z.ZodType<Uint8Array, Data> =>
  z.union(
    [
      hexBytes(),
      z
        .strictObject({
          fill: z.int().min(0).max(255).optional().describe('The byte.'),
          pattern: hexBytes()
            .optional()
            .describe('Or: bytes that come again after every so many, zeros between.'),
          every: number(1n, BigInt(MAX_DATA)).optional().describe('After how many.'),
          length: number(0n, BigInt(MAX_DATA)).describe('How many bytes in all.'),
        })
        .transform(({ fill, pattern, every, length }, context) => {
          const size = Number(length);
          if (fill !== undefined && pattern === undefined && every === undefined) {
            return new Uint8Array(size).fill(fill);
          }
          if (fill === undefined && pattern !== undefined && every !== undefined) {
            return repeated(pattern, Number(every), size);
          }
          context.addIssue('expected either "fill" or "pattern" and "every"');
          return z.NEVER;
        }),
    ],
    'expected bytes: hex text "de ad be ef", or { "fill": 255, "length": 4096 }',
  );

export const U64_MAX = U64;

/** One line of prose. */
export const line = (max: number): z.ZodString =>
  z
    .string()
    .min(1, 'expected one line of text')
    .max(max, `expected at most ${max} characters`)
    .regex(/^[^\p{Cc}\p{Cs}\u2028\u2029]*$/u, 'expected one line of text, without control characters');

/** How a call ends: the name of an errno, or 0. */
export const result = once(() =>
  z.union([z.enum([...errnos().keys()]), z.literal(0)]).meta({ id: 'result' }),
);

const FAULT_WORDS = Object.keys(FAULTS).filter((word): word is Fault => Object.hasOwn(FAULTS, word));

/** How an access of a device ends: why the IOMMU refused it, or 0. */
export const fault = once(() => z.union([z.enum(FAULT_WORDS), z.literal(0)]).meta({ id: 'fault' }));

/** How a step ends: a result, or a fault. */
export const ending = once(() =>
  z.union([z.enum([...errnos().keys(), ...FAULT_WORDS]), z.literal(0)]).meta({ id: 'ending' }),
);
