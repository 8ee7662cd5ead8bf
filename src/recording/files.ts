// SPDX-License-Identifier: GPL-2.0-only

/** Finds and reads recordings. */
import { isAscii } from 'node:buffer';
import { readFileSync, statSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { globSync } from 'glob';
import { BadRecording, decode } from './decode.ts';
import type { Recording } from './event.ts';

/** A recording decompressed may not be larger: 64 times the largest there is. */
const MAX_TEXT = 1 << 30;
/** Deflate makes nothing smaller than that. */
const MAX_RATIO = 1032;

/**
 * The recordings that the arguments name, each once, in order: a file is one; of a folder, all `.jsonl` and
 * `.jsonl.gz` below it. Throws BadRecording for a path that is not there or a folder without recordings.
 */
export function findRecordings(paths: readonly string[]): string[] {
  return [...new Set(paths.flatMap(recordingsAt))];
}

function recordingsAt(path: string): string[] {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new BadRecording(`${path}: no such file or folder`);
  if (!found.isDirectory()) return [path];
  const inside = globSync('**/*.jsonl{,.gz}', { cwd: path, posix: true, nodir: true });
  if (inside.length === 0)
    throw new BadRecording(`${path}: no recordings (*.jsonl, *.jsonl.gz) in this folder`);
  return inside.sort(naturally).map((name) => `${path.replace(/\/+$/, '')}/${name}`);
}

/** `s9` before `s10`; the same in every locale. */
function naturally(a: string, b: string): number {
  const [x, y] = [a, b].map((name) => name.replace(/\d+/g, (digits) => digits.padStart(12, '0')));
  return (x ?? '') < (y ?? '') ? -1 : 1;
}

/** Reads a recording, compressed or not. Throws BadRecording. */
export function readRecording(path: string): Recording {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (e) {
    throw new BadRecording(`${path}: cannot be read: ${e instanceof Error ? e.message : String(e)}`);
  }
  const text = decompressed(bytes, path);
  // Most are ASCII, which is copied, not decoded.
  return decode(text.toString(isAscii(text) ? 'latin1' : 'utf8'), path);
}

/** With room for more than there is, zlib need not look for more. */
const MORE = 64;

/** The size that a gzip file says it has decompressed, no larger than it can have: so it is put together of no pieces. */
function sizeOf(bytes: Buffer): number {
  const said = bytes.length < 4 ? 0 : bytes.readUInt32LE(bytes.length - 4);
  return Math.min(said, bytes.length * MAX_RATIO, MAX_TEXT);
}

function decompressed(bytes: Buffer, path: string): Buffer {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_TEXT, chunkSize: sizeOf(bytes) + MORE });
  } catch (e) {
    throw new BadRecording(`${path}: is no good gzip file: ${e instanceof Error ? e.message : String(e)}`);
  }
}
