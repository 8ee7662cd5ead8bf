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

/** An index and, beside it, how often each place is covered. */
class Checked {
  readonly index = new IntervalIndex<number, Item>();
  readonly items: Item[] = [];
  readonly #covers = new Int32Array(SIZE + 1);

  add(start: number, last: number): void {
    const item = new Item(start, last);
    this.items.push(item);
    this.index.insert(item);
    this.#cover(item, 1);
  }

  /** Takes one out; `choice` says which. */
  take(choice: number): Item | undefined {
    const at = choice % Math.max(this.items.length, 1);
    const item = this.items[at];
    const moved = this.items.pop();
    if (item === undefined || moved === undefined) return undefined;
    if (item !== moved) this.items[at] = moved;
    this.index.remove(item);
    this.#cover(item, -1);
    return item;
  }

  expectReach(from: number): void {
    const hole = this.#covers.indexOf(0, from);
    expect(this.index.reach(from)).toBe(hole === from ? null : hole - 1);
  }

  expectEmpties(): void {
    for (const item of this.items) this.index.remove(item);
    expect(this.index.isEmpty).toBe(true);
  }

  #cover({ _start, _last }: Item, by: number): void {
    const covers = this.#covers;
    for (let at = _start; at <= _last; at++) covers[at] = (covers[at] ?? 0) + by;
  }
}

/** Runs `body` with a source of random numbers, a few times. */
function randomly(body: (next: (below: number) => number) => void): void {
  const numbers = fc.infiniteStream(fc.nat());
  fc.assert(
    fc.property(numbers, (stream) => body((below) => Number(stream.next().value) % below)),
    { numRuns: 4 },
  );
}

test('stretches without holes, while hundreds come and go: short ones that touch, long ones over many', () => {
  randomly((next) => {
    const it = new Checked();
    for (let round = 0; round < 1500; round++) {
      // Grows to some hundreds, shrinks to few, and grows again.
      if (round % 1000 < 600 ? next(4) > 0 : next(4) === 0) {
        const start = next(SIZE);
        const length = next(16) === 0 ? next(800) : 5 + next(12);
        it.add(start, Math.min(start + length, SIZE - 1));
      } else {
        it.take(next(SIZE));
      }
      it.expectReach(next(SIZE));
      it.expectReach(it.items[0]?._start ?? 0);
    }
    it.expectEmpties();
  });
});

test('stretches without holes, while blocks split and join but hardly a place becomes a hole', () => {
  randomly((next) => {
    const it = new Checked();
    it.add(0, SIZE - 1);
    let gone: Item | undefined;
    for (let round = 0; round < 1500; round++) {
      const item = it.take(next(SIZE));
      if (item === undefined) break;
      const { _start, _last } = item;
      const neighbour = round % 1000 < 600 ? undefined : it.items.find((each) => each._start === _last + 1);
      if (neighbour !== undefined) {
        it.take(it.items.indexOf(neighbour));
        it.add(_start, neighbour._last);
      } else if (_start < _last) {
        const middle = _start + next(_last - _start);
        it.add(_start, middle);
        it.add(middle + 1, _last);
      } else {
        it.add(_start, _last);
      }
      if (next(8) === 0) {
        if (gone !== undefined) it.add(gone._start, gone._last);
        gone = it.take(next(SIZE));
      }
      it.expectReach(0);
      it.expectReach(next(SIZE));
    }
    it.expectEmpties();
  });
});
