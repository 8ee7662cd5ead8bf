// SPDX-License-Identifier: GPL-2.0-only

/** Hashes of states, in which members of orbits (symmetry.ts) are named apart from the rest. */

/** Two independent hashes of 32 bits. */
export interface Hash {
  a: number;
  b: number;
  /** By member: a hash of the places at which it was named; 0 or absent: nowhere. */
  of: number[];
}

/** A part of the state that names members. */
export type Part = Readonly<Hash>;

export const NOBODY: readonly number[] = [];
export const hash = (a: number, b = 0, of: number[] = []): Hash => ({ a, b, of });

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);

export const mix = (h: number, x: number): number => {
  const t = Math.imul(h ^ x, 0x9e3779b1);
  return t ^ (t >>> 15);
};

export function text(h: Hash, s: string): void {
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    h.a = Math.imul(h.a ^ c, 0x01000193);
    h.b = Math.imul(h.b + c, 0x85ebca6b) ^ (h.b >>> 13);
  }
}

export function add(h: Hash, x: number): void {
  h.a = mix(h.a, x);
  h.b = mix(h.b, x ^ 0x5bd1e995);
}

/** The members are named here. */
export function mention(h: Hash, members: readonly number[]): void {
  for (const member of members) {
    add(h, 13);
    mark(h.of, member, h.a);
  }
}

function mark(of: number[], member: number, place: number): void {
  while (of.length <= member) of.push(0);
  of[member] = mix(of[member] ?? 0, place) | 1;
}

/** What was told, seen or handed on has named members: that is here, now. */
export function mentionAll(h: Hash, of: readonly number[]): void {
  for (let member = 0; member < of.length; member++)
    if (of[member] !== 0) mark(h.of, member, mix(of[member] ?? 0, h.a));
}

export function addFloat(h: Hash, kind: number, x: number): void {
  float[0] = x;
  add(h, kind);
  add(h, words[0] ?? 0);
  add(h, words[1] ?? 0);
}

/** Like numbers become unlike. */
export function scatter(x: number): number {
  let h = x ^ (x >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** The whole of something is in it, and it can be added up with others: what is like is not near any more. */
export function finish(h: Hash): void {
  const { a, b } = h;
  h.a = scatter(a ^ Math.imul(b, 0x9e3779b1));
  h.b = scatter(b ^ Math.imul(a, 0x27d4eb2f));
}

/** Of what is a name. */
export const nameHash = (): Hash => ({ a: 0x811c9dc5, b: 0x1b873593, of: [] });
