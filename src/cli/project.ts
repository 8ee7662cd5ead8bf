// SPDX-License-Identifier: GPL-2.0-only

/** Where the user's cases are, and which of them a command is about. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { nearest } from '../case/suggest.ts';
import { goldenNames, goldenPath } from '../golden/store.ts';
import { oracle, Unusable } from './unusable.ts';

const ENDING = '.jsonc';

/** A case file that a command is about. */
export interface Selected {
  /** `iommufd/ids`; of a file outside any cases/, its own name. */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  /** As the user would write it. */
  readonly shown: string;
  /** The folder that holds cases/ and golden/; null for a file outside. */
  readonly root: string | null;
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === true;

/** The nearest folder, from `start` upwards, that has a folder cases/; null when there is none. */
export function findRoot(start: string): string | null {
  for (let at = resolve(start); ; at = dirname(at)) {
    if (isFolder(join(at, 'cases'))) return at;
    if (dirname(at) === at) return null;
  }
}

/** The project of a command. Throws Unusable. */
function projectRoot(given: string | undefined): string {
  if (given !== undefined) {
    if (!isFolder(join(given, 'cases'))) {
      throw new Unusable(
        `${given} has no folder cases/`,
        '--root names the folder that holds cases/ and golden/',
      );
    }
    return resolve(given);
  }
  const found = findRoot(process.cwd());
  if (found === null) {
    throw new Unusable(
      'there is no folder cases/ here or further up',
      `${oracle()} new iommufd/first makes one with a first case in it; --root names another place`,
    );
  }
  return found;
}

/** The names of all cases of a project, sorted. */
export function caseNames(root: string): string[] {
  return readdirSync(join(root, 'cases'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.name.endsWith(ENDING) && !entry.isDirectory())
    .map((entry) => relative(join(root, 'cases'), join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .map((path) => path.slice(0, -ENDING.length))
    .sort();
}

export const casePath = (root: string, name: string): string => join(root, 'cases', `${name}${ENDING}`);

function selected(root: string, name: string): Selected {
  const path = casePath(root, name);
  return { name, path, shown: shownPath(path), root };
}

/** Relative to the working directory where that is shorter. */
export function shownPath(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith(`..${sep}..`) ? path : short;
}

/** A file given by its path: its project is where its cases/ is. */
function fileSelected(path: string): Selected {
  for (let at = dirname(path); dirname(at) !== at; at = dirname(at)) {
    if (basename(at) !== 'cases') continue;
    const name = relative(at, path).replaceAll('\\', '/').slice(0, -ENDING.length);
    return { name, path, shown: shownPath(path), root: dirname(at) };
  }
  return { name: basename(path, ENDING), path, shown: shownPath(path), root: null };
}

/** What patterns name. */
export interface Selection {
  readonly cases: readonly Selected[];
  /** Goldens that no case stands behind. */
  readonly orphans: readonly Orphan[];
}

export interface Orphan {
  readonly name: string;
  readonly root: string;
}

/**
 * The cases that patterns name: `iommufd/ids`, `ids`, `iommufd` for all of an area, `iommufd/*`, or a path to a
 * file; and the orphaned goldens among them. Everything without patterns. Throws Unusable for a pattern that names
 * nothing.
 */
export async function select(patterns: readonly string[], root: string | undefined): Promise<Selection> {
  const found = await Promise.all(
    (patterns.length === 0 ? [''] : patterns).map((pattern) => matching(pattern, root)),
  );
  const cases = new Map(found.flatMap((each) => each.cases).map((each) => [each.path, each]));
  const orphans = new Map(found.flatMap((each) => each.orphans).map((each) => [goldenPath(each.name), each]));
  return { cases: [...cases.values()], orphans: [...orphans.values()] };
}

const GLOB = /[*?[\]{}]/;

async function matching(pattern: string, given: string | undefined): Promise<Selection> {
  const path = resolve(pattern);
  if (given === undefined && isFile(path)) {
    if (path.endsWith(ENDING)) return { cases: [fileSelected(path)], orphans: [] };
    if (!path.endsWith('.trace')) throw new Unusable(`${pattern} is no case`, 'case files end with .jsonc');
  }
  const root = projectRoot(given);
  const name = nameOf(pattern, root);
  if (isAbsolute(name) || name.split('/').includes('..')) {
    throw new Unusable(
      `'${pattern}' is not in ${shownPath(join(root, 'cases'))}, and is no file`,
      `${oracle()} list shows the cases`,
    );
  }
  if (name !== '' && isFile(casePath(root, name))) return { cases: [selected(root, name)], orphans: [] };
  const names = caseNames(root);
  const all = new Set(names);
  const isMeant = name === '' ? () => true : await matcher(name, root);
  const cases = names.filter(isMeant).map((each) => selected(root, each));
  const orphans = goldenNames(root).filter((each) => !all.has(each) && isMeant(each));
  if (cases.length > 0 || orphans.length > 0)
    return { cases, orphans: orphans.map((each) => ({ name: each, root })) };
  if (names.length === 0) {
    throw new Unusable(
      `${shownPath(join(root, 'cases'))} holds no case`,
      `${oracle()} new iommufd/first makes one`,
    );
  }
  const near = nearest(name, names);
  throw new Unusable(
    `no case is called '${pattern}' in ${shownPath(join(root, 'cases')) || '.'}`,
    near === undefined ? `${oracle()} list shows them all` : `did you mean '${near}'?`,
  );
}

/** Whether a name is the one that is meant, lies in the area that is meant, or fits the pattern. */
async function matcher(name: string, root: string): Promise<(each: string) => boolean> {
  if (!GLOB.test(name))
    return (each) => each === name || each.startsWith(`${name}/`) || each.endsWith(`/${name}`);
  const { glob } = await import('glob');
  const hits = await Promise.all([
    glob(`${name}${ENDING}`, { cwd: join(root, 'cases'), posix: true }),
    glob(`${name}.trace`, { cwd: join(root, 'golden'), posix: true }),
  ]);
  const meant = new Set(hits.flat().map(strip));
  return (each) => meant.has(each);
}

/** What a pattern says about names: a path into cases/ or golden/, or a name as it is. */
function nameOf(pattern: string, root: string): string {
  const inside = resolve(pattern);
  for (const folder of ['cases', 'golden']) {
    const below = relative(join(root, folder), inside);
    if ((existsSync(inside) || pattern.startsWith(`${folder}/`)) && !below.startsWith('..'))
      return strip(below);
  }
  return strip(pattern);
}

const strip = (path: string): string =>
  path
    .replaceAll('\\', '/')
    .replace(/^\.\//, '')
    .replace(/^(cases|golden)(\/|$)/, '')
    .replace(/\.(jsonc|trace)$/, '')
    .replace(/\/$/, '');
