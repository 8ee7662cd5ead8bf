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

/** What rounds to no more than this was not rounded. */
const EXACT = Number.MAX_SAFE_INTEGER;
/** Slots of a block; measured between 16 and 128. */
const CAPACITY = 32;
/** Below this many slots a block tries to join a neighbour, unless that made it nearly full. */
const SPARSE = CAPACITY / 4;
const ROOMY = (CAPACITY * 3) / 4;

export class Block implements Slot {
  $in: Block | null = null;
  slots: (Block | Interval)[] = [];
  /** Rounded, two for each slot: its first start, its greatest last. */
  ends: number[] = [];
  /** Bit i: in slot i, a block, there is no hole between its first start and its greatest last. Else unknown. */
  gapless = 0;
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
    block.ends[2 * at] = Number(item._start);
    block.ends[2 * at + 1] = Number(item._last);
    changed(block);
  }

  /** All, in order. */
  *all(block: Block | null = this.#root): Generator<I, void> {
    for (const slot of block?.slots ?? []) {
      if (slot instanceof Block) yield* this.all(slot);
      // cast: an index holds nothing but what was inserted
      else yield slot as I;
    }
  }

  /** The first that intersects [start, last]. */
  first(start: K, last: K): I | null {
    if (this.#root === null) return null;
    // cast: an index holds nothing but what was inserted
    return search(this.#root, 0, start, last) as I | null;
  }

  /** The one after `item`, which is in the index, that intersects [start, last]. */
  next(item: I, start: K, last: K): I | null {
    const block = item.$in;
    if (block === null) return null;
    // cast: an index holds nothing but what was inserted
    return search(block, block.slots.indexOf(item) + 1, start, last) as I | null;
  }

  /** The end of the stretch without holes that `from` lies in; null when nothing covers `from`. */
  reach(from: K): K | null {
    const item = this.first(from, from);
    if (item === null) return null;
    const reach: Reach = { by: item, last: Number(item._last) };
    let slot: Block | Interval = item;
    for (let block = item.$in; block !== null; block = block.$in) {
      if (!extend(reach, block, block.slots.indexOf(slot) + 1)) break;
      slot = block;
    }
    // cast: it is the end of an item of this index
    return exactLast(reach, from) as K;
  }

  #put(block: Block, at: number, slot: Block | Interval, start: number, last: number): void {
    insertAt(block.slots, at, slot);
    insertAt(block.ends, 2 * at, start);
    insertAt(block.ends, 2 * at + 1, last);
    slot.$in = block;
    block.gapless = 0;
    if (block.slots.length > CAPACITY) this.#split(block, at);
    changed(block);
  }

  #split(block: Block, grown: number): void {
    // What grows at its end, as IOVA and ids do, leaves full blocks behind.
    const from = grown === CAPACITY ? CAPACITY : CAPACITY / 2;
    const right = new Block();
    right.slots = block.slots.splice(from);
    right.ends = block.ends.splice(2 * from);
    for (const slot of right.slots) slot.$in = right;
    let parent = block.$in;
    if (parent === null) {
      parent = new Block();
      this.#root = parent;
      this.#put(parent, 0, block, block.ends[0] ?? 0, greatestLast(block));
    }
    const at = parent.slots.indexOf(block) + 1;
    this.#put(parent, at, right, right.ends[0] ?? 0, greatestLast(right));
  }

  #take(block: Block, slot: Block | Interval): void {
    const at = block.slots.indexOf(slot);
    removeAt(block.slots, at, 1);
    removeAt(block.ends, 2 * at, 2);
    block.gapless = 0;
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
    const at = Math.max(parent.slots.indexOf(block), 1);
    const left = parent.slots[at - 1];
    const right = parent.slots[at];
    if (!(left instanceof Block && right instanceof Block)) return;
    if (left.slots.length + right.slots.length > ROOMY) return;
    for (const slot of right.slots) slot.$in = left;
    left.slots.push(...right.slots);
    left.ends.push(...right.ends);
    changed(left);
    this.#take(parent, right);
  }
}

// Loops, not splice or copyWithin: those allocate, or walk plain arrays by property name.
function insertAt<T>(array: T[], at: number, value: T): void {
  array.push(value);
  for (let i = array.length - 1; i > at; i--) array[i] = array[i - 1] ?? value;
  array[at] = value;
}

function removeAt<T>(array: T[], at: number, count: number): void {
  for (let i = at + count; i < array.length; i++) {
    const value = array[i];
    if (value !== undefined) array[i - count] = value;
  }
  for (let i = 0; i < count; i++) array.pop();
}

/** Keeps what the blocks above know of `block` right. */
function changed(block: Block): void {
  let settled = false;
  for (let child = block, parent = child.$in; parent !== null; child = parent, parent = child.$in) {
    if (settled && parent.gapless === 0) continue;
    const { ends } = parent;
    const at = parent.slots.indexOf(child);
    parent.gapless &= ~(1 << at);
    if (settled) continue;
    const start = child.ends[0] ?? 0;
    const last = greatestLast(child);
    settled = ends[2 * at] === start && ends[2 * at + 1] === last;
    ends[2 * at] = start;
    ends[2 * at + 1] = last;
  }
}

function greatestLast({ ends }: Block): number {
  let most = ends[1] ?? 0;
  for (let i = 3; i < ends.length; i += 2) {
    const last = ends[i] ?? 0;
    if (last > most) most = last;
  }
  return most;
}

/** How many slots of a block start no later than `exact`, which is `start` rounded. */
function upperBound({ ends, slots }: Block, start: number, exact: Key): number {
  let at = slots.length;
  while (at > 0) {
    const other = ends[2 * at - 2] ?? 0;
    if (other < start || (other === start && (start <= EXACT || exactStart(slots[at - 1]) <= exact))) break;
    at--;
  }
  return at;
}

/** The first, from slot `at` of `block` on, that intersects [start, last]. */
function search(block: Block, at: number, start: Key, last: Key): Interval | null {
  const s = Number(start);
  const l = Number(last);
  let { slots, ends } = block;
  for (let i = at; ; i++) {
    if (i < slots.length) {
      const slotStart = ends[2 * i] ?? 0;
      if (slotStart > l) return null;
      const slotLast = ends[2 * i + 1] ?? 0;
      if (slotLast < s) continue;
      const slot = slots[i];
      if (slot instanceof Block) {
        block = slot;
        i = -1;
      } else if (
        slot !== undefined &&
        (slotLast > s || s <= EXACT || slot._last >= start) &&
        (slotStart < l || l <= EXACT || slot._start <= last)
      ) {
        return slot;
      } else continue;
    } else {
      const parent = block.$in;
      if (parent === null) return null;
      i = parent.slots.indexOf(block);
      block = parent;
    }
    ({ slots, ends } = block);
  }
}

/** The start of a slot, not rounded. */
function exactStart(slot: Block | Interval | undefined): Key {
  let first = slot;
  while (first instanceof Block) first = first.slots[0];
  return first?._start ?? 0;
}

/** A stretch without holes that grows: what ends it, and where that is, rounded. */
interface Reach {
  by: Block | Interval;
  last: number;
}

/** Lets a stretch grow over the slots of a block from one on; false: there was a hole, and it ends there. */
function extend(reach: Reach, block: Block, from: number): boolean {
  const { slots, ends } = block;
  for (let i = from; i < slots.length; i++) {
    const slot = slots[i];
    const start = ends[2 * i] ?? 0;
    const last = ends[2 * i + 1] ?? 0;
    if (slot === undefined || isBeyond(reach, slot, start)) return false;
    if (last < reach.last) continue;
    if (((block.gapless >>> i) & 1) === 0 && slot instanceof Block) {
      const whole = start > reach.last;
      if (!extend(reach, slot, 0)) return false;
      if (whole) block.gapless |= 1 << i;
    } else if (last > reach.last || greatest(slot) > greatest(reach.by)) {
      reach.by = slot;
      reach.last = last;
    }
  }
  return true;
}

/** Whether a hole lies between a stretch and a slot that starts, rounded, at `start`. */
function isBeyond(reach: Reach, slot: Block | Interval, start: number): boolean {
  if (start <= EXACT) return start > reach.last + 1;
  return start >= reach.last && exactStart(slot) > successor(greatest(reach.by));
}

/** Where a stretch ends, not rounded; `like`: a key of the type wanted. */
function exactLast(reach: Reach, like: Key): Key {
  if (reach.last > EXACT) return greatest(reach.by);
  return typeof like === 'bigint' ? BigInt(reach.last) : reach.last;
}

/** The greatest `last` of a slot, not rounded. */
function greatest(slot: Block | Interval): Key {
  if (!(slot instanceof Block)) return slot._last;
  const rounded = greatestLast(slot);
  let most: Key = -1;
  slot.slots.forEach((each, i) => {
    if (slot.ends[2 * i + 1] !== rounded) return;
    const last = greatest(each);
    if (last > most) most = last;
  });
  return most;
}
