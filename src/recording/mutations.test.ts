// SPDX-License-Identifier: GPL-2.0-only

/** Recordings with slips in them: each is refused with a place, or replays to a verdict. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BadRecording, decode } from './decode.ts';
import { replay } from './replay.ts';

const folder = fileURLToPath(new URL('../../golden/recordings', import.meta.url));
const text = (name: string): string =>
  gunzipSync(readFileSync(`${folder}/${name}.jsonl.gz`)).toString('utf8');

const recordings = [
  'selftest/iommufd.cmd_fail',
  'selftest/iommufd.global_options',
  'selftest/iommufd_ioas.no_domain.fork_gone',
  'selftest/vfio_compat_mock_domain.Ver1v2.option_huge_pages',
].map(text);

/** A piece of text taken out, put in, or exchanged; some of it in the form of what stands in recordings. */
const slip = fc.record({
  at: fc.nat(),
  cut: fc.nat({ max: 12 }),
  insert: fc.oneof(
    fc.constantFrom(
      '',
      '"',
      '{',
      '}',
      ',',
      '-1',
      '0x',
      'null',
      '1e99',
      '"0xffffffffffffffff"',
      '[]',
      '\n',
      '\u0000',
    ),
    fc.string({ maxLength: 6 }),
  ),
});

test('thousands of slips: no crash, no hang', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...recordings),
      fc.array(slip, { minLength: 1, maxLength: 3 }),
      (whole, slips) => {
        let mutated = whole;
        for (const { at, cut, insert } of slips) {
          const from = at % mutated.length;
          mutated = mutated.slice(0, from) + insert + mutated.slice(from + cut);
        }
        try {
          const { status, matched, calls } = replay(decode(mutated, 'mutated.jsonl'));
          expect(['matched', 'diverged', 'unsupported']).toContain(status);
          expect(matched).toBeLessThanOrEqual(calls);
        } catch (e) {
          if (!(e instanceof BadRecording)) throw e;
          expect(e.message).toMatch(/^mutated\.jsonl(:\d+)?: /);
        }
      },
    ),
    { numRuns: Number(process.env.RUNS ?? 2000), seed: Number(process.env.SEED ?? 1) },
  );
});
