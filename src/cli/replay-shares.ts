// SPDX-License-Identifier: GPL-2.0-only

/** Shares a replay of many recordings among processes: one uses one core. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import type { ReplayResult } from '../recording/replay.ts';
import { EXIT } from './unusable.ts';

/** How much text makes up for the time that one more process takes to start and to warm up, bytes. */
const WORTHWHILE = 8 << 20;
/** How much smaller compressed recordings are. */
const COMPRESSION = 10;

function textSize(path: string): number {
  const { size } = statSync(path);
  return path.endsWith('.gz') ? size * COMPRESSION : size;
}

interface Share {
  size: number;
  readonly paths: string[];
}

/** Deals recordings out to at most `most` processes, so that all have about as much to do. */
export function deal(paths: readonly string[], most: number): string[][] {
  const sized = paths.map((path) => ({ path, size: textSize(path) })).sort((a, b) => b.size - a.size);
  const total = sized.reduce((sum, { size }) => sum + size, 0);
  const count = Math.max(1, Math.min(most, Math.floor(total / WORTHWHILE)));
  const shares = Array.from({ length: count }, (): Share => ({ size: 0, paths: [] }));
  for (const { path, size } of sized) {
    const least = shares.reduce((a, b) => (b.size < a.size ? b : a));
    least.paths.push(path);
    least.size += size;
  }
  return shares.map((share) => share.paths);
}

/** What another process finds out about recordings; null when it cannot use them and has said why. */
export async function replayElsewhere(paths: readonly string[]): Promise<ReplayResult[] | null> {
  const [node, oracle = ''] = process.argv;
  const args = [...process.execArgv, oracle, 'replay', '--json', '--jobs', '1', '--', ...paths];
  const child = spawn(node ?? process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const text: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => text.push(part));
  await once(child, 'close');
  if (child.exitCode === EXIT.unusable) return null;
  const { results }: { results: ReplayResult[] } = JSON.parse(Buffer.concat(text).toString('utf8'));
  return results;
}
