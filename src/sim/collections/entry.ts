// SPDX-License-Identifier: GPL-2.0-only

/** How what collections gain, lose and hold looks in text. */
import { Observed } from '../observed.ts';
import { Bitmap } from './bitmap.ts';
import { Bytes } from './bytes.ts';
import { Extents } from './extents.ts';
import type { Key } from './interval-index.ts';
import { Klist } from './klist.ts';
import { list_head } from './list.ts';

interface Range {
  readonly start: Key;
  readonly last: Key;
}

function isRange(key: unknown): key is Range {
  return typeof key === 'object' && key !== null && 'start' in key && 'last' in key;
}

function showRange({ start, last }: Range, show: (key: Key) => string): string {
  return start === last ? `[${show(start)}]` : `[${show(start)}-${show(last)}]`;
}

const hex = (n: Key): string => `0x${n.toString(16)}`;
/** Addresses in hex, indexes in decimal: a bigint is an address. */
const plain = (n: Key): string => (typeof n === 'bigint' ? hex(n) : String(n));

/**
 * A key as it stands in a line: `[7]` (an index), `[0x1000-0x1fff]` (addresses), `[3-5]` (page indexes,
 * bits); empty where entries have none.
 */
function showKey(collection: Observed | undefined, key: unknown): string {
  if (key === undefined) return '';
  if (!isRange(key)) return `[${String(key)}]`;
  if (collection instanceof Bytes) return showRange(key, hex);
  const unit = collection instanceof Extents ? collection.$kind.unit : undefined;
  if (unit === undefined) return showRange(key, plain);
  const size = BigInt(unit);
  return showRange({ start: BigInt(key.start) * size, last: (BigInt(key.last) + 1n) * size - 1n }, hex);
}

function showValue(collection: Observed | undefined, key: unknown, value: unknown): string {
  const kind = collection instanceof Extents ? collection.$kind : undefined;
  if (value === undefined) return kind?.none ?? '-';
  if (value instanceof Observed) return value.name;
  if (value === null) return 'reserved';
  if (kind !== undefined && isRange(key)) {
    return kind.show(value, Number(key.last) - Number(key.start) + 1);
  }
  return typeof value === 'number' || typeof value === 'bigint' ? hex(value) : String(value);
}

/** A gain or loss: `igroup1.device_list += dev1`, `ioas1.iopt.area_itree -= [0x1000-0x1fff] ioas1.area`. */
export function showMember(
  collection: Observed | undefined,
  added: boolean,
  key: unknown,
  value: unknown,
): string {
  const name = collection?.name ?? '?';
  const sign = added ? '+=' : '-=';
  const shown = showValue(collection, key, value);
  if (collection instanceof list_head || collection instanceof Klist) {
    return `${name} ${sign} ${shown}${key === undefined ? '' : ` (${String(key)})`}`;
  }
  // What memory held before is not told.
  if (collection instanceof Bytes) return `${name}${showKey(collection, key)} = ${shown}`;
  return `${name} ${sign} ${showKey(collection, key)} ${shown}`;
}

/**
 * What is at a key changes, as a field does: `iommufd.objects[1]: reserved -> ioas1`,
 * `buf.anon_vma.pins[0x0-0x3fff]: 1 -> 2`, `hwpt1.ptes[0x1000-0x4fff]: pfn 0x10-0x13 -> -`. Bits come and go:
 * `hwpt1.dirty += [3-5]`.
 */
export function showPut(
  collection: Observed | undefined,
  key: unknown,
  before: unknown,
  after: unknown,
): string {
  const name = collection?.name ?? '?';
  const place = showKey(collection, key);
  if (collection instanceof Bitmap) return `${name} ${after === undefined ? '-=' : '+='} ${place}`;
  return `${name}${place}: ${showValue(collection, key, before)} -> ${showValue(collection, key, after)}`;
}
