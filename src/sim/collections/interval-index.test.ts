// SPDX-License-Identifier: GPL-2.0-only
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Block, IntervalIndex } from './interval-index.ts';

class Item {
  $in: Block | null = null;
  readonly _start: number;
  readonly _last: number;

  constructor(start: number, last: number) {
    this._start = start;
    this._last = last;
  }
}

const SIZE = 6000;

test('stretches without holes, while hundreds come and go: short ones that touch, long ones over many', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(SIZE - 1)), (random) => {
      const next = (): number => Number(random.next().value);
      const index = new IntervalIndex<number, Item>();
      const items: Item[] = [];
      const covers = new Int32Array(SIZE + 1);
      const cover = ({ _start, _last }: Item, by: number): void => {
        for (let at = _start; at <= _last; at++) covers[at] = (covers[at] ?? 0) + by;
      };
      for (let round = 0; round < 1500; round++) {
        // Grows to some hundreds, shrinks to few, and grows again.
        const grows = round % 1000 < 600 ? next() % 4 > 0 : next() % 4 === 0;
        if (grows) {
          const start = next() - (next() % 8 === 0 ? 0 : next() % 10);
          const length = next() % 16 === 0 ? next() % 800 : 5 + (next() % 12);
          const item = new Item(Math.max(start, 0), Math.min(Math.max(start, 0) + length, SIZE - 1));
          items.push(item);
          index.insert(item);
          cover(item, 1);
        } else {
          const [item] = items.splice(next() % Math.max(items.length, 1), 1);
          if (item === undefined) continue;
          index.remove(item);
          cover(item, -1);
        }
        for (let probes = 0; probes < 3; probes++) {
          const from = probes === 0 ? (items[0]?._start ?? 0) : next();
          const hole = covers.indexOf(0, from);
          expect(index.reach(from)).toBe(hole === from ? null : hole - 1);
        }
      }
      for (const item of items) index.remove(item);
      expect(index.isEmpty).toBe(true);
    }),
    { numRuns: 12 },
  );
});
