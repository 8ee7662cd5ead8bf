// SPDX-License-Identifier: GPL-2.0-only
import type { process } from '../kernel/sched/task.ts';
import type { Handover } from './handover.ts';
import type { Names } from './operand.ts';
import type { MadeKind } from './scope.ts';
import { show } from './words.ts';

export interface Made {
  readonly kind: MadeKind;
  readonly value: bigint;
  /** For an id: the descriptor that it is an id of. */
  readonly on: string | undefined;
  /** For memory: its length in bytes, and where in the trace its making begins. */
  readonly length: bigint;
  readonly from: number;
}

/** What the names of a case stand for in one run. */
export class RunNames implements Names {
  readonly #made = new Map<string, Made>();
  /** Names that were not made; true: and the case allows for that. */
  readonly #failed = new Map<string, boolean>();
  readonly #handovers = new Map<string, Handover>();

  share(name: string, handover: Handover): void {
    this.#handovers.set(name, handover);
  }

  handover(name: string): Handover | undefined {
    return this.#handovers.get(name);
  }

  /** Begins a task whose process was forked. */
  begin: (task: string, group: process) => void = () => {};

  forked(task: string, group: process): void {
    this.begin(task, group);
  }

  /** Whether memory of the program has a name. */
  hasMemory = false;

  set(name: string, making: Made): void {
    if (making.kind === 'address') this.hasMemory = true;
    this.#made.set(name, making);
  }

  fail(name: string, excused: boolean): void {
    this.#failed.set(name, excused);
  }

  has(name: string): boolean {
    return this.#made.has(name);
  }

  isExcused(name: string): boolean {
    return this.#failed.get(name) ?? false;
  }

  value(name: string): bigint {
    const made = this.#made.get(name);
    if (made === undefined) throw new Error(`'${name}' is used before it is made`);
    return made.value;
  }

  nameOf(kind: 'id' | 'fd', value: bigint, on?: string): string | undefined {
    let last: string | undefined;
    for (const [name, made] of this.#made) {
      if (made.kind === kind && made.value === value && (on === undefined || kind === 'fd' || made.on === on))
        last = name;
    }
    return last;
  }

  /** `buf+0x1000` for an address in memory that the case named, as it was at a place of the trace. */
  addressAt(address: bigint, at: number): string | undefined {
    let found: string | undefined;
    for (const [name, { kind, value, length, from }] of this.#made) {
      if (kind !== 'address' || from > at || address < value || address >= value + length) continue;
      found = address === value ? name : `${name}+${show(address - value)}`;
    }
    return found;
  }
}
