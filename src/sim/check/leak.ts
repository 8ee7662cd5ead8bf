// SPDX-License-Identifier: GPL-2.0-only

/**
 * Why something was never freed: who still points to it, as kmemleak asks, or who dropped the last pointer to it; and
 * the gets and puts of its reference counts that are not at 0.
 */
import type { Machine } from '../machine.ts';
import { Observed } from '../observed.ts';
import { fieldInfo } from '../struct.ts';
import { refcount_t } from '../sync/refcount.ts';
import { ADD, DEL, KIND_MASK, PUT, WRITE } from '../trace.ts';
import { counting } from './counting.ts';
import { type Checker, type Place, type Stack, side, walk } from './walk.ts';

/** By object, the sides of its report. At the end of a run. */
export function whyLeft(machine: Machine, left: readonly Observed[]): Map<Observed, string[]> {
  const pointers = new Pointers(machine, left);
  walk(machine, [pointers], machine.trace.len);
  const counts = machine.objects.filter((it) => it instanceof refcount_t).filter((it) => it.refs !== 0);
  return new Map(
    left.map((object) => [
      object,
      [
        pointers.tell(object),
        ...counts
          .filter((count) => count.$allocation === object)
          .map((count) => counting(machine, machine.trace.len, count)),
      ],
    ]),
  );
}

/** Who points to an object, and who did last. */
interface Holders {
  /** By the name of the field or collection: what it is part of, and how often it points there. */
  readonly now: Map<string, { readonly owner: Observed; readonly times: number }>;
  last: { readonly how: string; readonly by: Stack } | null;
}

const MOST_NAMED = 4;

class Pointers implements Checker {
  readonly #machine: Machine;
  readonly #holders: Map<Observed, Holders>;

  constructor(machine: Machine, targets: readonly Observed[]) {
    this.#machine = machine;
    this.#holders = new Map(targets.map((object) => [object, { now: new Map(), last: null }]));
  }

  write(object: Observed, field: number, place: Place): void {
    const { trace, objects } = this.#machine;
    const { buf, values } = trace;
    const a = buf[place.at + 2] ?? -1;
    const b = buf[place.at + 3] ?? -1;
    switch ((buf[place.at] ?? 0) & KIND_MASK) {
      case WRITE: {
        const { field: declared, name } = fieldInfo(field);
        if (declared.encoding === 'ref')
          this.#change(object, `${object.name}.${name}`, objects[a], objects[b], place);
        break;
      }
      case ADD:
        this.#change(object, object.name, undefined, values[b], place);
        break;
      case DEL:
        this.#change(object, object.name, values[b], undefined, place);
        break;
      case PUT:
        this.#change(object, object.name, values[b], values[b + 1], place);
    }
  }

  freed(owner: Observed, place: Place): void {
    for (const holders of this.#holders.values())
      for (const [where, { owner: each }] of holders.now)
        if (each === owner) drop(holders, where, `was freed with ${owner.name}`, place);
  }

  tell(object: Observed): string {
    const holders = this.#holders.get(object);
    const names = [...(holders?.now ?? [])].map(
      ([where, { owner }]) => `${where}${this.#holders.has(owner) ? ' (which is left, too)' : ''}`,
    );
    if (names.length > 0) {
      const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : '';
      return `still pointed to by ${names.slice(0, MOST_NAMED).join(', ')}${more}`;
    }
    const last = holders?.last ?? null;
    return last === null ? 'nothing pointed to it' : side(`the last pointer to it, ${last.how} by`, last.by);
  }

  #change(holder: Observed, where: string, before: unknown, after: unknown, place: Place): void {
    const owner = holder.$allocation;
    const [lost, gained] = [before, after].map((it) =>
      it instanceof Observed && it.$allocation !== owner ? this.#holders.get(it.$allocation) : undefined,
    );
    if (lost === gained) return;
    gained?.now.set(where, { owner, times: (gained.now.get(where)?.times ?? 0) + 1 });
    const times = lost?.now.get(where)?.times ?? 0;
    if (times > 1) lost?.now.set(where, { owner, times: times - 1 });
    else if (lost !== undefined) drop(lost, where, 'was cleared', place);
  }
}

function drop(holders: Holders, where: string, how: string, place: Place): void {
  holders.now.delete(where);
  holders.last = { how: `${where}, ${how}`, by: place.stack() };
}
