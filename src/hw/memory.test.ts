// SPDX-License-Identifier: GPL-2.0-only

import { expect, test } from 'vitest';
import { context } from '../sim/context.ts';
import { Machine } from '../sim/machine.ts';
import type { Observed } from '../sim/observed.ts';
import { runToBlock } from '../sim/policies/run-to-block.ts';
import { KIND_MASK, STRIDE, WARN } from '../sim/trace.ts';
import { memory, PAGE_SIZE, page_owner } from './memory.ts';

class owner extends page_owner {
  readonly freed = new Set<number>();

  get order(): Observed {
    return this;
  }

  protected released(first: number, last: number): void {
    for (let i = first; i <= last; i++) if (!this.holdsAny(i, i)) this.freed.add(i);
  }
}

function make(pages: number, name: string): owner {
  const it = new owner(machine.root, name);
  memory().reserve(it, 0, pages);
  return it;
}

let machine = new Machine(runToBlock).powerOn();

function boot(): void {
  machine = new Machine(runToBlock).powerOn();
}

function warned(): number {
  let n = 0;
  const { buf, len } = context.trace;
  for (let at = 0; at < len; at += STRIDE) if (((buf[at] ?? 0) & KIND_MASK) === WARN) n++;
  return n;
}

test('each frame is one owner’s, huge pages fit, and owners are no neighbours', () => {
  boot();
  const a = make(512, 'a');
  const b = make(3, 'b');
  expect([a.frame(0) % 512, b.frame(0) % 512]).toEqual([0, 0]);
  expect(b.frame(0)).toBeGreaterThan(a.frame(511) + 1);
  expect(memory().find(a.frame(7), 1000)).toEqual({ owner: a, index: 7, count: 505 });
  expect(memory().find(b.frame(2))).toEqual({ owner: b, index: 2, count: 1 });
  expect(memory().find(b.frame(2) + 1)).toBe(null);
  expect(memory().find(1)).toBe(null);
  expect(() => b.frame(3)).toThrow('b has no room for page 3');
  // The same order of owners gives the same frames in any run.
  const before = [a.frame(0), b.frame(0)];
  boot();
  expect([make(512, 'a').frame(0), make(3, 'b').frame(0)]).toEqual(before);
});

test('a page is free when the last reference and the last pin are gone', () => {
  boot();
  const a = make(8, 'a');
  expect(memory().allocated(a.frame(0))).toBe(null);
  a.take(0, 7);
  a.pin(2, 5);
  a.pin(4, 4);
  a.hold(7, 7);
  a.drop(0, 7);
  expect([...a.freed]).toEqual([0, 1, 6]);
  expect(memory().describe(a.frame(0))).toBe('a free page, formerly a[0x0]');
  expect(memory().allocated(a.frame(2))).toBe(a);
  expect(memory().describe(a.frame(2))).toBe('a[0x2000]');
  a.unpin(2, 5);
  expect([...a.freed]).toEqual([0, 1, 6, 2, 3, 5]);
  a.unpin(4, 4);
  a.drop(7, 7);
  expect(a.isEmpty).toBe(true);
  expect(warned()).toBe(0);
  a.unpin(0, 1);
  expect(warned()).toBe(1);
  expect(a.isEmpty).toBe(true);
});

test('bytes by physical address, across pages and owners', () => {
  boot();
  const a = make(2, 'a');
  make(1, 'b');
  const at = a.frame(0) * PAGE_SIZE + PAGE_SIZE - 3;
  memory().write(at, Uint8Array.of(1, 2, 3, 4, 5));
  expect(a.contents.read(PAGE_SIZE - 3, 5)).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
  expect(memory().read(at - 1, 8)).toEqual(Uint8Array.of(0, 1, 2, 3, 4, 5, 0, 0));
  const end = (a.frame(1) + 1) * PAGE_SIZE;
  memory().write(end - 2, Uint8Array.of(7, 8, 9));
  expect(memory().read(end - 2, 4)).toEqual(Uint8Array.of(7, 8, 0, 0));
});

test('a frame that has no owner, or a dead one, is ordered by the memory itself', () => {
  boot();
  const a = make(1, 'a');
  expect(memory().order(a.frame(0))).toBe(a);
  expect(memory().order(2)).toBe(memory());
  expect(memory().describe(2)).toBe('no memory at frame 0x2');
  a.$freed = true;
  expect(memory().order(a.frame(0))).toBe(memory());
  expect(memory().allocated(a.frame(0))).toBe(null);
});
