// SPDX-License-Identifier: GPL-2.0-only

/** Structs of ioctls from a recording's hex to bytes, and compared with what the model made of them. */
import { Unsupported } from '../sim/errors.ts';
import { zeroed } from '../sim/zeroed.ts';
import type { AnyLayout, Field } from '../uapi/layout.ts';
import { Divergence, hex } from './divergence.ts';
import type { HexFields, StructArgument } from './event.ts';

const nibble = (code: number): number => (code <= 0x39 ? code - 0x30 : (code | 0x20) - 0x57);

/** Writes a field from its hex, without a detour over numbers: of these there are millions. False: it does not fit. */
function putHex(bytes: Uint8Array, { offset, width }: Field, text: string): boolean {
  let at = offset;
  for (let i = text.length - 1; i > 1; i -= 2) {
    const byte = nibble(text.charCodeAt(i)) | (i === 2 ? 0 : nibble(text.charCodeAt(i - 1)) << 4);
    if (at < offset + width) bytes[at++] = byte;
    else if (byte !== 0) return false;
  }
  while (at < offset + width) bytes[at++] = 0;
  return true;
}

function putFields(layout: AnyLayout, bytes: Uint8Array, fields: HexFields): void {
  for (const name in fields) {
    const [field, text] = [layout.fields[name], fields[name]];
    if (field !== undefined && text !== undefined && putHex(bytes, field, text)) continue;
    throw new Unsupported(`${name} = ${text} in a struct ${layout.name}`);
  }
}

/** The struct that the program passed: fields as recorded, the others zero; then what followed it. */
export function structBytes(layout: AnyLayout, { in: fields, tail }: StructArgument): Uint8Array {
  const bytes = zeroed(layout.size + (tail?.length ?? 0));
  putFields(layout, bytes, fields);
  if (tail !== null) bytes.set(tail, layout.size);
  return bytes;
}

/**
 * Throws Divergence unless the recorded fields are afterwards as recorded. `before`: the bytes passed;
 * `actual`: the same after the call.
 */
export function sameFields(
  layout: AnyLayout,
  { in: fields, out }: StructArgument,
  before: Uint8Array,
  actual: Uint8Array,
): void {
  const expected = out === null ? before : before.slice();
  if (out !== null) putFields(layout, expected, out);
  for (let at = 0; at < layout.size; at++) {
    if (expected[at] === actual[at]) continue;
    for (const name in layout.fields) {
      const field = layout.fields[name];
      if (field === undefined || at < field.offset || at >= field.offset + field.width) continue;
      // Of a short struct only what the program passed is recorded.
      if (fields[name] !== undefined) throw new Divergence(name, text(field, expected), text(field, actual));
    }
  }
}

const text = ({ offset, width }: Field, bytes: Uint8Array): string =>
  hex(bytes.subarray(offset, offset + width).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n));
