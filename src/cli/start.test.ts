// SPDX-License-Identifier: GPL-2.0-only

// What V8 compiled is kept beside the program, and never trusted.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const project = join(import.meta.dirname, '../..');

let home: string;
let dist: string;
beforeEach(() => {
  spawnSync('sh', ['scripts/build.sh', '--if-stale'], { cwd: project });
  home = mkdtempSync(join(tmpdir(), 'oracle-'));
  dist = join(home, 'dist');
  mkdirSync(dist);
  copyFileSync(join(project, 'package.json'), join(home, 'package.json'));
  for (const file of ['oracle.js', 'program.js', 'package.json'])
    copyFileSync(join(project, 'dist', file), join(dist, file));
}, 30_000);
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

const oracle = (...args: string[]): string => {
  const command = [join(dist, 'oracle.js'), ...args];
  const { stdout, stderr } = spawnSync(process.execPath, command, { cwd: project, encoding: 'utf8' });
  return stdout + stderr;
};
const list = (): string => oracle('list', 'iommufd/lowest-free-id');
const caches = (): string[] => readdirSync(dist).filter((file) => file.includes('.cache'));

test('a cache is made, used, and made anew when it is broken', () => {
  const expected = list();
  const [cache = ''] = caches();
  const made = readFileSync(join(dist, cache));
  expect(list()).toBe(expected);
  expect(readFileSync(join(dist, cache))).toEqual(made);
  for (const broken of [Buffer.alloc(0), Buffer.from('garbage'), made.subarray(0, made.length / 2)]) {
    writeFileSync(join(dist, cache), broken);
    expect(list()).toBe(expected);
    expect(readFileSync(join(dist, cache)).length).toBeGreaterThan(made.length / 2);
  }
  expect(caches()).toEqual([cache]);
});

test('a cache of another text of the same length is not used', () => {
  list();
  const [old = ''] = caches();
  const program = readFileSync(join(dist, 'program.js'), 'latin1');
  const other = program
    .replace('A deterministic oracle', 'A demonstrative oracle')
    .replace(/\d+-\d+\n$/, (mark) => mark.replace(/\d/, 'x'));
  expect(other.length).toBe(program.length);
  writeFileSync(join(dist, 'program.js'), other, 'latin1');
  expect(oracle('--help')).toContain('A demonstrative oracle');
  expect(caches()).toHaveLength(2);
  expect(caches()).toContain(old);
});

test('where none can be kept, all goes on without', () => {
  const expected = list();
  const [cache = ''] = caches();
  rmSync(join(dist, cache));
  // A folder in its place can be neither read nor replaced.
  mkdirSync(join(dist, cache));
  expect(list()).toBe(expected);
  expect(caches()).toEqual([cache]);
});
