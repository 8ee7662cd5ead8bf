// SPDX-License-Identifier: GPL-2.0-only

/** Memory that a program used and no recorded mapping made: its stack and its heap. */
import { ioctlByName } from '../../uapi/ioctls.ts';
import type { Event } from '../event.ts';

export interface Area {
  readonly word: 'stack' | 'heap';
  readonly start: bigint;
  readonly length: bigint;
}

const PAGE = 4096n;
/** Addresses that are closer lie in one area. */
const GAP = 1n << 18n;
const STACK = 0x7ff0_0000_0000n;

const down = (address: bigint): bigint => address - (address % PAGE);

/** The areas of buffers that calls were given, lowest first. */
export function areasOf(events: readonly Event[]): Area[] {
  const mapped = events.flatMap((event) =>
    event.call === 'mmap' ? [{ start: event.at, end: event.at + event.len }] : [],
  );
  const used = events
    .flatMap(buffersOf)
    .filter(({ start }) => !mapped.some((range) => start >= range.start && start < range.end))
    .sort((a, b) => (a.start < b.start ? -1 : Number(a.start > b.start)));
  const areas: { start: bigint; end: bigint }[] = [];
  for (const { start, end } of used) {
    const last = areas.at(-1);
    if (last === undefined || start > last.end + GAP) areas.push({ start: down(start), end });
    else if (end > last.end) last.end = end;
  }
  return areas.map(({ start, end }) => ({
    word: start >= STACK ? 'stack' : 'heap',
    start,
    length: down(end + PAGE - 1n) - start,
  }));
}

function buffersOf(event: Event): { start: bigint; end: bigint }[] {
  if (event.call !== 'ioctl' || event.arg.kind !== 'struct') return [];
  const { in: fields, bufIn } = event.arg;
  const pointer = fields[ioctlByName.get(event.cmd)?.buffer ?? ''];
  if (pointer === undefined || bufIn === null || bufIn.length === 0) return [];
  const start = BigInt(pointer);
  // Of the buffer of ACCESS_RW not more is recorded than its beginning.
  const length = BigInt(fields['access_rw.length'] ?? 0);
  const most = length <= 16n << 20n ? length : 0n;
  const known = BigInt(bufIn.length);
  return [{ start, end: start + (most > known ? most : known) }];
}
