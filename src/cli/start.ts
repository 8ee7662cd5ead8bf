// SPDX-License-Identifier: GPL-2.0-only

/**
 * Starts the program. Most of the time of a short command would go into compiling a megabyte of JavaScript; so the first
 * command keeps beside the program what V8 made of it, if it may write there. A cache that V8 does not like, of another
 * processor for instance, is as good as none.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Script } from 'node:vm';

const path = join(import.meta.dirname, 'program.js');
// esbuild writes ASCII.
const source = readFileSync(path, 'latin1');
// V8 itself looks at the length of the text only: the build's mark, at its end, tells one text from another.
const mark = source.slice(source.lastIndexOf(' ') + 1).trim();
const cache = join(import.meta.dirname, `program-${mark}-${process.version}.cache`);

function kept(): Buffer | undefined {
  try {
    return readFileSync(cache);
  } catch {
    return undefined;
  }
}

function keep(script: Script): void {
  const whole = `${cache}.${process.pid}`;
  try {
    writeFileSync(whole, script.createCachedData());
    renameSync(whole, cache);
  } catch {
    // Not ours to write: the next command compiles, too.
    rmSync(whole, { force: true });
  }
}

const cachedData = kept();
const script = new Script(`(function (require, __dirname) {${source}\n})`, { filename: path, cachedData });
if (cachedData === undefined || script.cachedDataRejected) process.on('exit', () => keep(script));
script.runInThisContext()(createRequire(path), import.meta.dirname);
