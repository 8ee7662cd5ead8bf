// SPDX-License-Identifier: GPL-2.0-only

// The bundle contains other people's libraries, whose licences ask to be shipped with it: writes dist/LICENSES.txt.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';

const sourceMap = z.object({ sources: z.array(z.string()) });
const manifest = z.object({ name: z.string(), version: z.string(), license: z.string() });

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** The innermost installed package that a source comes from. Sources that a library bundled itself are not installed. */
function libraryOf(source: string): string[] {
  const [, ...packages] = source.split(/\/node_modules\//);
  for (let depth = packages.length; depth > 0; depth -= 1) {
    const dir = packages
      .slice(0, depth)
      .map((path) => join('node_modules', /^(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? ''));
    if (existsSync(join(...dir, 'package.json'))) {
      return [join(...dir)];
    }
  }
  return [];
}

const { sources } = sourceMap.parse(readJson('dist/program.js.map'));
const notices = [...new Set(sources.flatMap(libraryOf))].sort().map((library) => {
  const { name, version, license } = manifest.parse(readJson(join(library, 'package.json')));
  const texts = readdirSync(library).filter((file) => /^(?:licen[cs]e|notice)/i.test(file));
  if (texts.length === 0) {
    throw new Error(`${library}: no licence text to ship with the bundle. Use a library that has one.`);
  }
  return [
    `${name} ${version} (${license})`,
    ...texts.map((file) => readFileSync(join(library, file), 'utf8')),
  ].join('\n\n');
});
writeFileSync('dist/LICENSES.txt', notices.join('\n\n----\n\n'));
