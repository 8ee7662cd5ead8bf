// SPDX-License-Identifier: GPL-2.0-only

// The same bytes from every supported Node, in any locale, time zone and working directory.
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = promisify(execFile);

/** A node of that major version, from the npm registry. */
async function node(major: number): Promise<string> {
  const prefix = `${root}node_modules/.cache/nodes/${major}`;
  const binary = `${prefix}/node_modules/node/bin/node`;
  if (!existsSync(binary)) {
    const flags = ['--no-save', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
    await run('npm', ['install', ...flags, '--prefix', prefix, `node@${major}`]);
  }
  return binary;
}

/** Every trace, at the level that shows most, as one hash. */
async function traces(binary: string, cwd: string, env: Readonly<Record<string, string>>): Promise<string> {
  const options = { cwd, env: { ...process.env, ...env }, maxBuffer: 1 << 28 };
  const oracle = `${root}dist/oracle.js`;
  // A golden that differs is another test's business: here only the bytes count.
  const ran = await run(binary, [oracle, 'run', '--root', root, '--trace', '--level', 'sync'], options).catch(
    (e: unknown) => (e instanceof Error && 'stdout' in e ? { stdout: String(e.stdout) } : Promise.reject(e)),
  );
  expect(ran.stdout.length).toBeGreaterThan(1000);
  return createHash('sha256').update(ran.stdout).digest('hex');
}

const TIMEOUT = 280_000;

let here: string;
beforeAll(async () => {
  execFileSync('sh', [`${root}scripts/build.sh`, '--if-stale']);
  here = await traces(process.execPath, root, { LC_ALL: 'C', TZ: 'UTC' });
}, TIMEOUT);

test.concurrent('locale, time zone and working directory do not show', { timeout: TIMEOUT }, async () => {
  const there = await traces(process.execPath, tmpdir(), {
    LC_ALL: 'tr_TR.UTF-8',
    LANG: 'tr_TR.UTF-8',
    TZ: 'Pacific/Kiritimati',
  });
  expect(there).toBe(here);
});

test.concurrent.each([22, 24])('Node %i gives the same bytes', { timeout: TIMEOUT }, async (major) => {
  expect(await traces(await node(major), root, {})).toBe(here);
});
