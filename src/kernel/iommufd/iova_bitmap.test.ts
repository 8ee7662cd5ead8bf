// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PAGE_SIZE } from '../../hw/memory.ts';
import { IS_ERR } from '../../sim/errno.ts';
import { type mm_struct, PROT_READ, PROT_WRITE, user_load } from '../mm/mm.ts';
import { map, run } from '../mm/testing.ts';
import { iova_bitmap_alloc } from './iova_bitmap.ts';

const DATA = 0x10_0000_0000n;
/** Bytes of a bitmap that are pinned at once. */
const WINDOW = 512 * PAGE_SIZE;
/** Large enough for a window, and some of the next. */
const MAPPED = WINDOW + 4 * PAGE_SIZE;

/** Bits that are set in the bytes around some. */
function bits(mm: mm_struct, data: bigint, around: readonly number[]): Set<number> {
  const found = new Set<number>();
  for (const bit of around) {
    const first = Math.max(Math.floor(bit / 8) - 8, 0);
    const bytes = user_load(mm, data + BigInt(first), 16) ?? new Uint8Array(0);
    for (const [i, byte] of bytes.entries()) {
      for (let j = 0; j < 8; j++) if ((byte >> j) & 1) found.add((first + i) * 8 + j);
    }
  }
  return found;
}

/** A bit near an edge: the start, that of a page, that of the window, the end. */
const near = fc
  .record({
    edge: fc.constantFrom(0, PAGE_SIZE, WINDOW, WINDOW + PAGE_SIZE),
    offset: fc.integer({ min: -20, max: 20 }),
  })
  .map(({ edge, offset }) => Math.max(edge * 8 + offset, 0));

test('bits are set where user space looks for them, whatever is pinned just now', () => {
  fc.assert(
    fc.property(
      fc.record({
        misaligned: fc.nat(PAGE_SIZE - 1),
        pgshift: fc.constantFrom(11, 12, 21),
        base: fc.constantFrom(0n, 1n << 40n),
        ranges: fc.array(fc.record({ first: near, count: fc.integer({ min: 1, max: 40 }) }), {
          maxLength: 6,
        }),
      }),
      ({ misaligned, pgshift, base, ranges }) => {
        const warnings = run(function* (mm) {
          map(mm, DATA, BigInt(MAPPED + PAGE_SIZE), PROT_READ | PROT_WRITE);
          const data = DATA + BigInt(misaligned);
          const size = 1n << BigInt(pgshift);
          const bitmap = iova_bitmap_alloc(base, BigInt(MAPPED * 8) * size, size, data);
          if (IS_ERR(bitmap)) throw new Error('no bitmap');
          const expected = new Set<number>();
          for (const { first, count } of ranges) {
            yield* bitmap.set(base + BigInt(first) * size, count * Number(size));
            for (let bit = first; bit < first + count; bit++) expected.add(bit);
          }
          yield* bitmap.free();
          expect(bits(mm, data, [...expected])).toEqual(expected);
        });
        expect(warnings).toEqual([]);
      },
    ),
    { numRuns: 100 },
  );
});

test('what cannot be written is lost, from there on, and nobody is told', () => {
  const warnings = run(function* (mm) {
    map(mm, DATA, BigInt(PAGE_SIZE), PROT_READ | PROT_WRITE);
    const bitmap = iova_bitmap_alloc(0n, 1n << 40n, 4096n, DATA);
    if (IS_ERR(bitmap)) throw new Error('no bitmap');
    const last = PAGE_SIZE * 8 - 1;
    yield* bitmap.set(BigInt(last) * 4096n, 2 * 4096);
    yield* bitmap.set(0n, 4096);
    // Beyond the bitmap itself.
    yield* bitmap.set(1n << 41n, 4096);
    yield* bitmap.free();
    expect(bits(mm, DATA, [0])).toEqual(new Set([0]));
    expect(user_load(mm, DATA + BigInt(PAGE_SIZE - 1), 1)).toEqual(new Uint8Array([0x80]));
  });
  expect(warnings).toEqual([]);
});
