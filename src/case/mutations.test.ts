// SPDX-License-Identifier: GPL-2.0-only

// Case files mutated by the thousand: each is either refused with a place, or runs to a verdict.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { globSync } from 'glob';
import { expect, test } from 'vitest';
import { Trace } from '../sim/trace.ts';
import { loadCase } from './load.ts';
import { CaseError } from './place.ts';
import { runCase } from './run.ts';
import { storyOf } from './story.ts';
import { verdictOf } from './verdict.ts';

const cases = join(import.meta.dirname, '../../cases');
const texts = globSync('**/*.jsonc', { cwd: cases })
  .sort()
  .map((path) => readFileSync(join(cases, path), 'utf8'));
const trace = new Trace();

function isHandled(text: string): void {
  try {
    const it = loadCase('t', 't.jsonc', text);
    const run = runCase(it, { trace });
    expect(verdictOf(run).status).toMatch(/^(passed|failed|incomplete|unsupported)$/);
    expect(storyOf(run)).toMatch(/\n$/);
  } catch (e) {
    if (!(e instanceof CaseError)) throw e;
    expect(e.report()).toMatch(/^t\.jsonc:\d+:\d+: error: ./);
  }
}

/** Pieces that a slip of the hand, or malice, puts into a case. */
const piece = fc.oneof(
  fc.constantFrom(
    '"',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '//',
    '/*',
    '\\',
    '\n',
    'null',
    'true',
    '-1',
    '1e9',
    '0',
    '3',
    '"0x7fffffffffff"',
  ),
  fc.constantFrom(
    '"ioas1"',
    '"iommufd"',
    '"buf+0x1000"',
    '"EBUSY"',
    '"4K"',
    '"0xffffffffffffffff"',
    '"-1"',
    '{ "exit": 0 },',
    '"any": true,',
  ),
  fc.constantFrom(
    '{ "mmap": "4K", "as": "page" },',
    '{ "ioas_alloc": 3 },',
    '{ "destroy": 1, "on": 3 },',
    '"trace": "sync",',
    '"label": "l",',
  ),
  fc.string({ maxLength: 6, unit: 'binary' }),
);

const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 40 })),
  insert: fc.oneof(piece, fc.constant('')),
});

test('a case file with slips in it is refused with a place, or runs', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...texts),
      fc.array(mutation, { minLength: 1, maxLength: 4 }),
      (text, mutations) => {
        let mutated = text;
        for (const { at, length, insert } of mutations) {
          const offset = Math.floor(at * mutated.length);
          mutated = mutated.slice(0, offset) + insert + mutated.slice(offset + length);
        }
        isHandled(mutated);
      },
    ),
    { numRuns: 3000 },
  );
});

/** A value of a case's JSON, put where another value was: well-formed text, wrong meaning. */
const WORDS = [
  'ioas1',
  'iommufd',
  'vmm',
  'a',
  'buf',
  'page+0x10',
  '0x1000',
  '-5',
  'EBUSY',
  'sync',
  'random',
  'warn',
  '',
  '0xffffffffffffffff',
  'process',
];

test('a case whose values are exchanged is refused with a place, or runs', () => {
  const value = fc.oneof(
    fc.constantFrom(...WORDS),
    fc.integer(),
    fc.constantFrom(
      true,
      null,
      [],
      {},
      [1, 2],
      { fill: 1, length: 5000 },
      { not: 1 },
      { random: 1 },
      { replay: ['x'] },
    ),
  );
  const places = /(?<=: |\[)("(?:[^"\\]|\\.)*"|-?\d+|true|null)(?=[,\s}\]])/g;
  fc.assert(
    fc.property(
      fc.constantFrom(...texts),
      fc.array(fc.tuple(fc.nat(), value), { minLength: 1, maxLength: 3 }),
      (text, swaps) => {
        let mutated = text;
        for (const [n, other] of swaps) {
          const spots = [...mutated.matchAll(places)];
          const spot = spots[n % Math.max(spots.length, 1)];
          if (spot === undefined) continue;
          mutated =
            mutated.slice(0, spot.index) + JSON.stringify(other) + mutated.slice(spot.index + spot[0].length);
        }
        isHandled(mutated);
      },
    ),
    { numRuns: 3000 },
  );
});
