// SPDX-License-Identifier: GPL-2.0-only
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { deal } from './replay-shares.ts';

test('recordings are dealt out by their size, to no more processes than are worth it', () => {
  const dir = mkdtempSync(join(tmpdir(), 'replay-shares-'));
  try {
    const file = (name: string, mebibytes: number): string => {
      const path = join(dir, name);
      writeFileSync(path, '');
      truncateSync(path, mebibytes << 20);
      return path;
    };
    const [a, b, c, d] = [file('a', 9), file('b', 3), file('c', 4), file('d.gz', 1)];
    expect(deal([a, b, c, d], 8)).toEqual([[d], [a], [c, b]]);
    expect(deal([a, b, c, d], 2)).toEqual([
      [d, b],
      [a, c],
    ]);
    expect(deal([a, b, c, d], 1)).toEqual([[d, a, c, b]]);
    expect(deal([b], 8)).toEqual([[b]]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
