// SPDX-License-Identifier: GPL-2.0-only

/**
 * Closed intervals in order of their start, those of equal start as inserted; they may overlap. A B+ tree in
 * which every slot also knows the greatest `last` below it, so that a search skips what ends too early.
 *
 * Blocks compare doubles: 64 bit keys are rounded, which keeps order (what is less rounded is less indeed),
 * and only keys that round to the same double are compared exactly. So one code serves numbers and bigints
 * at the price of numbers, and a search of a million touches four blocks, not twenty nodes and their bigints.
 */
export type Key = number | bigint;

export function successor<K extends Key>(key: K): K {
  const next = typeof key === 'bigint' ? key + 1n : Number(key) + 1;
  // cast: of the same type as the key
  return next as K;
}

export function predecessor<K extends Key>(key: K): K {
  const before = typeof key === 'bigint' ? key - 1n : Number(key) - 1;
  // cast: of the same type as the key
  return before as K;
}

/** A slot of a block: an interval or, above the leaves, another block. `$in` is the block it stands in. */
interface Slot {
  $in: Block | null;
}

/** What an index holds. Its ends change only while it is in none, or with `resized`. */
export interface Interval<K extends Key = Key> extends Slot {
  readonly _start: K;
  readonly _last: K;
}

/** Slots of a block; measured best between 16 and 64. */
const CAPACITY = 32;
/** Below this many slots a block tries to join a neighbour, unless that made it nearly full. */
const SPARSE = CAPACITY / 4;
const ROOMY = (CAPACITY * 3) / 4;

export class Block implements Slot {
  $in: Block | null = null;
  /** Of each slot, rounded: its first start, its greatest last. */
  starts: number[] = [];
  lasts: number[] = [];
  slots: (Block | Interval)[] = [];
  /** No hole between its first start and its greatest last; null: not known any more. */
  gapless: boolean | null = null;
}

/** How far a stretch without holes reaches, and the same rounded. */
interface Reach {
  at: Key;
  rounded: number;
}

export class IntervalIndex<K extends Key, I extends Interval<K>> {
  #root: Block | null = null;

  get isEmpty(): boolean {
    return this.#root === null;
  }

  /** Puts it after all that start no later. It must be in no index. */
  insert(item: I): void {
    const start = Number(item._start);
    let block = this.#root ?? new Block();
    this.#root ??= block;
    for (;;) {
      const at = upperBound(block, start, item._start);
      const child = block.slots[at === 0 ? 0 : at - 1];
      if (!(child instanceof Block)) {
        this.#put(block, at, item, start, Number(item._last));
        return;
      }
      block = child;
    }
  }

  /** It must be in this index. */
  remove(item: I): void {
    if (item.$in !== null) this.#take(item.$in, item);
    item.$in = null;
  }

  /** The ends of an item have changed, without changing its place in the order. */
  resized(item: I): void {
    const block = item.$in;
    if (block === null) return;
    const at = block.slots.indexOf(item);
    block.starts[at] = Number(item._start);
    block.lasts[at] = Number(item._last);
    changed(block);
  }

  /** The first that intersects [start, last]. */
  first(start: K, last: K): I | null {
    if (this.#root === null) return null;
    // cast: an index holds nothing but what was inserted
    return search(this.#root, 0, start, last, Number(start), Number(last)) as I | null;
  }

  /** The one after `item`, which is in the index, that intersects [start, last]. */
  next(item: I, start: K, last: K): I | null {
    const s = Number(start);
    const l = Number(last);
    let slot: Block | Interval = item;
    for (let block = item.$in; block !== null; block = block.$in) {
      const found = search(block, block.slots.indexOf(slot) + 1, start, last, s, l);
      // cast: an index holds nothing but what was inserted
      if (found !== null) return found as I;
      slot = block;
    }
    return null;
  }

  /** The end of the stretch without holes that `from` lies in; null when nothing covers `from`. */
  reach(from: K): K | null {
    const item = this.first(from, from);
    if (item === null) return null;
    const reach: Reach = { at: item._last, rounded: Number(item._last) };
    let slot: Block | Interval = item;
    for (let block = item.$in; block !== null; block = block.$in) {
      if (!extend(reach, block, block.slots.indexOf(slot) + 1)) break;
      slot = block;
    }
    // cast: it comes from an item of this index
    return reach.at as K;
  }

  #put(block: Block, at: number, slot: Block | Interval, start: number, last: number): void {
    insertAt(block.starts, at, start);
    insertAt(block.lasts, at, last);
    insertAt(block.slots, at, slot);
    slot.$in = block;
    if (block.slots.length > CAPACITY) this.#split(block, at);
    changed(block);
  }

  #split(block: Block, grown: number): void {
    // What grows at its end, as IOVA and ids do, leaves full blocks behind.
    const from = grown === CAPACITY ? CAPACITY : CAPACITY / 2;
    const right = new Block();
    right.starts = block.starts.splice(from);
    right.lasts = block.lasts.splice(from);
    right.slots = block.slots.splice(from);
    for (const slot of right.slots) slot.$in = right;
    let parent = block.$in;
    if (parent === null) {
      parent = new Block();
      this.#root = parent;
      this.#put(parent, 0, block, block.starts[0] ?? 0, greatest(block.lasts));
    }
    const at = parent.slots.indexOf(block) + 1;
    this.#put(parent, at, right, right.starts[0] ?? 0, greatest(right.lasts));
  }

  #take(block: Block, slot: Block | Interval): void {
    const at = block.slots.indexOf(slot);
    removeAt(block.starts, at);
    removeAt(block.lasts, at);
    removeAt(block.slots, at);
    const parent = block.$in;
    if (parent === null) {
      this.#lowerRoot(block);
      changed(block);
    } else if (block.slots.length === 0) {
      this.#take(parent, block);
    } else {
      changed(block);
      if (block.slots.length < SPARSE) this.#join(parent, block);
    }
  }

  #lowerRoot(root: Block): void {
    const [only] = root.slots;
    if (only === undefined) {
      this.#root = null;
    } else if (root.slots.length === 1 && only instanceof Block) {
      only.$in = null;
      this.#root = only;
    }
  }

  #join(parent: Block, block: Block): void {
    const at = parent.slots.indexOf(block);
    const left = parent.slots[at === 0 ? 0 : at - 1];
    const right = parent.slots[at === 0 ? 1 : at];
    if (!(left instanceof Block && right instanceof Block)) return;
    if (left.slots.length + right.slots.length > ROOMY) return;
    for (const slot of right.slots) slot.$in = left;
    left.starts.push(...right.starts);
    left.lasts.push(...right.lasts);
    left.slots.push(...right.slots);
    changed(left);
    this.#take(parent, right);
  }
}

/** Loops, not splice or copyWithin: those allocate, or walk plain arrays by property name. */
function insertAt<T>(array: T[], at: number, value: T): void {
  array.push(value);
  for (let i = array.length - 1; i > at; i--) moveTo(array, i, i - 1);
  array[at] = value;
}

function removeAt<T>(array: T[], at: number): void {
  for (let i = at; i < array.length - 1; i++) moveTo(array, i, i + 1);
  array.pop();
}

function moveTo<T>(array: T[], to: number, from: number): void {
  const value = array[from];
  if (value !== undefined) array[to] = value;
}

/** Keeps what the blocks above know of `block` right. */
function changed(block: Block): void {
  block.gapless = null;
  let settled = false;
  for (let child = block, parent = child.$in; parent !== null; child = parent, parent = child.$in) {
    parent.gapless = null;
    if (settled) continue;
    const at = parent.slots.indexOf(child);
    const start = child.starts[0] ?? 0;
    const last = greatest(child.lasts);
    settled = parent.starts[at] === start && parent.lasts[at] === last;
    parent.starts[at] = start;
    parent.lasts[at] = last;
  }
}

function greatest(lasts: readonly number[]): number {
  let most = lasts[0] ?? 0;
  for (let i = 1; i < lasts.length; i++) {
    const last = lasts[i] ?? 0;
    if (last > most) most = last;
  }
  return most;
}

/** How many slots of a block start no later than `exact`, which is `start` rounded. */
function upperBound(block: Block, start: number, exact: Key): number {
  const { starts, slots } = block;
  let at = starts.length;
  while (at > 0) {
    const other = starts[at - 1] ?? 0;
    if (other < start || (other === start && exactStart(slots, at - 1) <= exact)) break;
    at--;
  }
  return at;
}

function search(
  block: Block,
  from: number,
  start: Key,
  last: Key,
  roundedStart: number,
  roundedLast: number,
): Interval | null {
  const { starts, lasts, slots } = block;
  for (let i = from; i < slots.length; i++) {
    const slotStart = starts[i] ?? 0;
    if (slotStart > roundedLast) return null;
    const slotLast = lasts[i] ?? 0;
    if (slotLast < roundedStart) continue;
    const slot = slots[i];
    if (slot instanceof Block) {
      const found = search(slot, 0, start, last, roundedStart, roundedLast);
      if (found !== null) return found;
    } else if (
      slot !== undefined &&
      (slotLast > roundedStart || slot._last >= start) &&
      (slotStart < roundedLast || slot._start <= last)
    ) {
      return slot;
    }
  }
  return null;
}

/** The start of a slot, not rounded. */
function exactStart(slots: readonly (Block | Interval)[], at: number): Key {
  let slot = slots[at];
  while (slot instanceof Block) slot = slot.slots[0];
  return slot?._start ?? 0;
}

/** The greatest `last` of a slot, not rounded. */
function exactLast(slot: Block | Interval): Key {
  if (!(slot instanceof Block)) return slot._last;
  const most = greatest(slot.lasts);
  let exact: Key = -1;
  slot.slots.forEach((each, i) => {
    if (slot.lasts[i] !== most) return;
    const last = exactLast(each);
    if (last > exact) exact = last;
  });
  return exact;
}

/** Lets `reach` grow over the slots of a block from one on; false: there was a hole, and it ends there. */
function extend(reach: Reach, block: Block, from: number): boolean {
  const { starts, lasts, slots } = block;
  for (let i = from; i < slots.length; i++) {
    const start = starts[i] ?? 0;
    if (start > reach.rounded && isBeyond(reach, start, slots, i)) return false;
    const last = lasts[i] ?? 0;
    const slot = slots[i];
    if (last < reach.rounded || slot === undefined) continue;
    if (slot instanceof Block && !isGapless(slot)) {
      if (!extend(reach, slot, 0)) return false;
      continue;
    }
    const exact = exactLast(slot);
    if (exact <= reach.at) continue;
    reach.at = exact;
    reach.rounded = last;
  }
  return true;
}

/** Whether a hole lies between `reach` and the start of a slot. */
function isBeyond(reach: Reach, start: number, slots: readonly (Block | Interval)[], at: number): boolean {
  if (start <= Number.MAX_SAFE_INTEGER) return start > reach.rounded + 1;
  const exact = exactStart(slots, at);
  return exact > successor(reach.at);
}

function isGapless(block: Block): boolean {
  if (block.gapless === null) {
    const reach: Reach = { at: exactStart(block.slots, 0), rounded: block.starts[0] ?? 0 };
    block.gapless = extend(reach, block, 0);
  }
  return block.gapless;
}
