// SPDX-License-Identifier: GPL-2.0-only
import { happens } from './chance.ts';
import { context } from './context.ts';
import type { Named, Observed } from './observed.ts';
import { ALLOC, FREE } from './trace.ts';
import { WARN_ON } from './warn.ts';
import { zeroed } from './zeroed.ts';

/** The kind of choice that says whether an allocation fails; open when the run's options say so. */
export const ALLOCATION = 'allocation';

/**
 * Allocates a zeroed struct, or null when the run's policy has this allocation fail. `creator` and `role`
 * give it its name.
 */
export function kzalloc<T extends Observed>(
  type: new (creator: Named, role?: string) => T,
  creator: Named,
  role?: string,
): T | null {
  const fails = happens(ALLOCATION, (yes) => `${yes ? 'no memory for' : 'allocate'} ${role ?? type.name}`);
  if (fails) return null;
  const object = new type(creator, role);
  context.trace.push(ALLOC, object.$id, 0, 0);
  return object;
}

/**
 * As kzalloc, for `length` zeroed bytes that nobody but the caller sees and that need not be freed. `what`: in
 * words, with its article.
 */
export function kvzalloc(length: number, what: string): Uint8Array | null {
  const fails = happens(ALLOCATION, (yes) => `${yes ? 'no memory for' : 'allocate'} ${what}`);
  return fails ? null : zeroed(length);
}

/** Frees what kzalloc returned, with everything embedded in it. */
export function kfree(object: Observed): void {
  WARN_ON(object.$embedded, `kfree of ${object.name}, which lives inside ${object.$creator.name}`);
  object.$freed = true;
  context.trace.push(FREE, object.$id, 0, 0);
}
