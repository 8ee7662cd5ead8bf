// SPDX-License-Identifier: GPL-2.0-only
import { context } from './context.ts';
import { NEW } from './trace.ts';

/**
 * Something with an identity that survives reruns and reorderings: the case's own name, or
 * creator + role + ordinal within the creator (`ioas1.area#2`). A global counter would not: one more
 * object anywhere would rename all that follow.
 */
export interface Named {
  readonly name: string;
  /** The task that brought it to life; null for what the machine itself set up. */
  readonly $maker: Named | null;
  /** How many of a kind this creator has made; keys are `role` or `role@task`. */
  readonly $ordinals: Map<string, number>;
}

/** A process, and all in it, belongs to the thread of its name. */
function owns(maker: Named, creator: Named): boolean {
  return creator.name === maker.name || creator.name.startsWith(`${maker.name}.`);
}

/**
 * The name of the next `role` that `creator` makes. Ordinals count within the creator; where another task
 * than the creator's own maker makes it, within creator and task, so that two tasks that create at the same
 * time get the same names in either order.
 */
function nextName(creator: Named, role: string, maker: Named | null): string {
  const foreign = maker !== null && maker !== creator && creator.$maker !== maker && !owns(maker, creator);
  const scope = foreign ? `${role}@${maker.name}` : role;
  const n = (creator.$ordinals.get(scope) ?? 0) + 1;
  creator.$ordinals.set(scope, n);
  const ordinal = foreign ? `#${maker.name}${n === 1 ? '' : `.${n}`}` : n === 1 ? '' : `#${n}`;
  const base = creator.name === '' ? role : `${creator.name}.${role}`;
  return base + ordinal;
}

/**
 * Base of everything whose transitions are recorded: structs, locks, collections. Members whose name starts
 * with `$` belong to the engine; the rest are the model's, as Linux names them.
 */
export abstract class Observed implements Named {
  // Declared, and assigned in the constructor: field initializers (and private names) in a base class with many
  // subclasses are defined by a megamorphic path of the engine, at ten times the cost.
  /** Place in the machine's object table: for the columns only, never printed. */
  declare readonly $id: number;
  declare readonly $creator: Named;
  declare readonly $role: string;
  declare readonly $maker: Named | null;
  /** Lives inside `$creator` and dies with it. */
  declare readonly $embedded: boolean;
  /** Freed: what it holds is no state any more. */
  declare $freed: boolean;
  declare private $name: string | null;
  declare private $counts: Map<string, number> | null;

  constructor(creator: Named, role: string, embedded = false) {
    const machine = context.machine;
    if (machine === null) throw new Error(`no machine is powered on to hold a ${role}`);
    const current = context.current;
    this.$creator = creator;
    this.$role = role;
    this.$embedded = embedded;
    this.$freed = false;
    this.$name = null;
    this.$counts = null;
    this.$maker = embedded ? creator.$maker : current;
    this.$id = machine.objects.push(this) - 1;
    if (!embedded) {
      // Ordinals are handed out now, in program order; only the joining of the text may wait.
      this.$name = current?.takeName(role) ?? nextName(creator, role, current);
      context.trace.push(NEW, this.$id, 0, 0);
    }
  }

  get name(): string {
    if (this.$name === null) {
      this.$name = this.$creator.name === '' ? this.$role : `${this.$creator.name}.${this.$role}`;
    }
    return this.$name;
  }

  get $ordinals(): Map<string, number> {
    if (this.$counts === null) this.$counts = new Map();
    return this.$counts;
  }

  /** Shows everything that its future depends on, other than what is embedded in it; for fingerprints. */
  $state(_see: (value: unknown) => void): void {}

  /** Whenever what `$state` shows changes, a record of the trace names this object. */
  get $recorded(): boolean {
    return true;
  }

  /** The allocation that this lives in: itself unless embedded. */
  get $allocation(): Observed {
    return this.$embedded && this.$creator instanceof Observed ? this.$creator.$allocation : this;
  }
}

/** The creator of what the machine sets up by itself. */
export class Root implements Named {
  readonly name = '';
  readonly $maker = null;
  readonly $ordinals = new Map<string, number>();
}
