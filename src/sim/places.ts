// SPDX-License-Identifier: GPL-2.0-only
import { mix, type Part } from './hash.ts';
import type { Permutation, Symmetry } from './symmetry.ts';

/**
 * A place for each member among its orbit, by what names it: the same for the same state under other names, but
 * for members that what names them does not tell apart.
 */
export function placesOf({ orbits, size }: Symmetry, parts: readonly Part[]): Permutation {
  const rank: number[] = Array.from({ length: size }, () => 0);
  for (let unlike = 0; ; ) {
    // Named where, beside whom of those that are told apart so far.
    const next = [...rank];
    for (const part of parts) {
      let beside = 0;
      for (const [member, at] of part.of.entries())
        if (at !== 0) beside = (beside + mix(at, rank[member] ?? 0)) | 0;
      for (const [member, at] of part.of.entries())
        if (at !== 0) next[member] = ((next[member] ?? 0) + mix(mix(mix(part.a, part.b), beside), at)) | 0;
    }
    for (const [member, n] of next.entries()) rank[member] = n;
    const now = orbits.reduce((n, orbit) => n + new Set(orbit.map((member) => rank[member])).size, 0);
    if (now === size || now <= unlike) break;
    unlike = now;
  }
  const places: number[] = [];
  for (const orbit of orbits) {
    const order = [...orbit].sort((x, y) => (rank[x] ?? 0) - (rank[y] ?? 0) || x - y);
    for (const [i, member] of order.entries()) places[member] = orbit[i] ?? member;
  }
  return places;
}
