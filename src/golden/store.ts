// SPDX-License-Identifier: GPL-2.0-only

/** Where goldens are, and how they are written: whole, or not at all. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** `trace`: of the run of a case; `outcomes`: of all its runs. */
export type GoldenKind = 'trace' | 'outcomes';

const STAGING = '.update-';

/** The folder of goldens of a project. */
const goldenFolder = (root: string): string => join(root, 'golden');

/** The path of a case's golden, from the project's root. */
export const goldenPath = (name: string, kind: GoldenKind = 'trace'): string => `golden/${name}.${kind}`;

/** A case's golden; null when it has none. */
export function readGolden(root: string, name: string, kind: GoldenKind = 'trace'): string | null {
  try {
    return readFileSync(join(root, goldenPath(name, kind)), 'utf8');
  } catch (e) {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return null;
    throw e;
  }
}

/** The names of all goldens, sorted. */
export function goldenNames(root: string, kind: GoldenKind = 'trace'): string[] {
  const ending = `.${kind}`;
  const folder = goldenFolder(root);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.name.endsWith(ending) && entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((path) => !path.startsWith(STAGING))
    .map((path) => path.slice(0, -ending.length))
    .sort();
}

/** A golden's new text; null: it goes. */
export interface Change {
  readonly name: string;
  readonly text: string | null;
  /** Default `trace`. */
  readonly kind?: GoldenKind;
}

/**
 * Writes goldens: all aside first, then each renamed into place. Whoever is killed midway, or finds the disk
 * full, leaves whole files.
 */
export function writeGoldens(root: string, changes: readonly Change[]): void {
  const folder = goldenFolder(root);
  mkdirSync(folder, { recursive: true });
  // What an update that was killed has left.
  for (const entry of readdirSync(folder)) {
    if (entry.startsWith(STAGING)) rmSync(join(folder, entry), { recursive: true, force: true });
  }
  const staging = join(folder, `${STAGING}${process.pid}`);
  try {
    mkdirSync(staging);
    for (const [i, { text }] of changes.entries()) {
      if (text !== null) writeFileSync(join(staging, String(i)), text, { flush: true });
    }
    for (const [i, { name, text, kind }] of changes.entries()) {
      const path = join(root, goldenPath(name, kind));
      if (text === null) rmSync(path, { force: true });
      else {
        mkdirSync(dirname(path), { recursive: true });
        renameSync(join(staging, String(i)), path);
      }
    }
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}
