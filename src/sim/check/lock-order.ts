// SPDX-License-Identifier: GPL-2.0-only

/**
 * Lock order, as lockdep: taking B while holding A orders class A before class B, for ever and over all runs
 * that are shown; a cycle of such orders, of any length, is a deadlock that some schedule may reach. Two locks
 * of one class are told apart by object.
 */
import type { Observed } from '../observed.ts';
import type { Findings } from './finding.ts';
import { HeldLocks, lockClass } from './locks.ts';
import { type Checker, type Place, type Stack, side } from './walk.ts';

interface Edge {
  readonly from: string;
  readonly to: string;
  /** Where the first was taken, and then the second. */
  readonly first: Stack;
  readonly second: Stack;
}

/** The orders seen so far: keep one for all runs of an exploration. */
export class LockOrders {
  readonly #edges = new Map<string, Map<string, Edge>>();

  /** The cycle that a new order closes, if it does. */
  add(edge: Edge): readonly Edge[] | null {
    const from = this.#edges.get(edge.from) ?? new Map<string, Edge>();
    this.#edges.set(edge.from, from);
    if (from.has(edge.to)) return null;
    from.set(edge.to, edge);
    const back = this.#path(edge.to, edge.from, new Set());
    return back === null ? null : [edge, ...back];
  }

  #path(from: string, to: string, seen: Set<string>): readonly Edge[] | null {
    if (from === to) return [];
    seen.add(from);
    for (const edge of this.#edges.get(from)?.values() ?? []) {
      if (seen.has(edge.to)) continue;
      const rest = this.#path(edge.to, to, seen);
      if (rest !== null) return [edge, ...rest];
    }
    return null;
  }
}

export class LockOrderChecker implements Checker {
  readonly #findings: Findings;
  readonly #orders: LockOrders;
  readonly #held = new HeldLocks();

  constructor(findings: Findings, orders: LockOrders) {
    this.#findings = findings;
    this.#orders = orders;
  }

  taken(lock: Observed, shared: boolean, place: Place): void {
    for (const held of this.#held.of(place.task)) {
      if (held.lock === lock && held.shared && shared) continue;
      const [from, to] = orderOf(held.lock, lock);
      const cycle = this.#orders.add({ from, to, first: held.stack, second: place.stack() });
      if (cycle !== null) this.#report(cycle);
    }
    this.#held.taken(lock, shared, place);
  }

  given(lock: Observed, place: Place): void {
    this.#held.given(lock, place);
  }

  #report(cycle: readonly Edge[]): void {
    const smallest = cycle.reduce((low, e, i) => (e.from < (cycle[low]?.from ?? '') ? i : low), 0);
    const turned = [...cycle.slice(smallest), ...cycle.slice(0, smallest)];
    const title = [...turned.map((e) => e.from), turned[0]?.from].join(' -> ');
    this.#findings.add('lock-order', title, () =>
      turned.flatMap((e) => [side(`${e.from} taken by`, e.first), side(`and then ${e.to} by`, e.second)]),
    );
  }
}

function orderOf(a: Observed, b: Observed): readonly [string, string] {
  const [from, to] = [lockClass(a), lockClass(b)];
  return from === to ? [a.name, b.name] : [from, to];
}
