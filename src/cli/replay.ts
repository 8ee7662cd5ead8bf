// SPDX-License-Identifier: GPL-2.0-only
import { availableParallelism } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { BadRecording } from '../recording/decode.ts';
import { findRecordings, readRecording } from '../recording/files.ts';
import { type ReplayResult, replay } from '../recording/replay.ts';
import { NoTrace } from '../sim/trace.ts';
import { deal, replayElsewhere } from './replay-shares.ts';
import { EXIT } from './unusable.ts';

interface Options {
  readonly json?: true;
  readonly jobs: number;
}

export function register(program: Command): void {
  program
    .command('replay')
    .summary('feed recordings of a real kernel to the model and compare every answer')
    .argument('<recording...>', 'recordings (.jsonl, .jsonl.gz), or folders of them')
    .addOption(new Option('--json', 'print one JSON document'))
    .addOption(
      new Option('--jobs <n>', 'processes that share the work at most')
        .default(availableParallelism(), 'one a core')
        .argParser(jobs),
    )
    .addHelpText(
      'after',
      `
A replay stops at the first answer that differs, and at the first call that is not modelled: what follows is
unknown. Then comes the list of what is missing, by how many recordings it holds back.

Example:
  vfio-oracle replay golden/recordings/selftest`,
    )
    .action(async (paths: readonly string[], options: Options) => {
      process.exitCode = await run(paths, options);
    });
}

function jobs(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError('a whole number from 1 on.');
  return n;
}

/** Null: some are no recordings, which another process has told. In the order of `files`. */
async function replayAll(files: readonly string[], most: number): Promise<ReplayResult[] | null> {
  const [mine = [], ...others] = most === 1 ? [[...files]] : deal(files, most);
  const elsewhere = others.map(replayElsewhere);
  const trace = new NoTrace();
  const parts = [mine.map((path) => replay(readRecording(path), trace)), ...(await Promise.all(elsewhere))];
  const found = new Map<string, ReplayResult>();
  for (const part of parts) {
    if (part === null) return null;
    for (const result of part) found.set(result.recording, result);
  }
  return files.flatMap((file) => found.get(file) ?? []);
}

async function run(paths: readonly string[], options: Options): Promise<number> {
  let results: ReplayResult[] | null;
  try {
    results = await replayAll(findRecordings(paths), options.jobs);
  } catch (e) {
    if (!(e instanceof BadRecording)) throw e;
    console.error(`error: ${e.message}`);
    return EXIT.unusable;
  }
  if (results === null) return EXIT.unusable;
  return tell(results, options);
}

function tell(results: readonly ReplayResult[], options: Options): number {
  const count = (status: ReplayResult['status']): number => results.filter((r) => r.status === status).length;
  const summary = {
    recordings: results.length,
    calls: results.reduce((n, r) => n + r.calls, 0),
    matched: count('matched'),
    diverged: count('diverged'),
    unsupported: count('unsupported'),
  };
  if (options.json) console.log(JSON.stringify({ ...summary, results }, null, 2));
  else report(summary, results);
  if (summary.diverged > 0) return EXIT.failed;
  return summary.unsupported > 0 ? EXIT.incomplete : EXIT.ok;
}

function report(
  summary: Record<'recordings' | 'calls' | 'matched' | 'diverged' | 'unsupported', number>,
  results: readonly ReplayResult[],
): void {
  for (const r of results) {
    if (r.status !== 'diverged') continue;
    console.log(`${r.recording}:${r.at}: ${r.cmd}: ${r.field}: recorded ${r.expected}, modelled ${r.actual}`);
  }
  const missing = roadMap(results);
  if (missing.length > 0) console.log('Not modelled yet, and how many recordings each holds back:');
  for (const [what, n] of missing) console.log(`${String(n).padStart(5)}  ${what}`);
  console.log(
    `${summary.recordings} recordings, ${summary.calls} calls: ` +
      `${summary.matched} matched, ${summary.diverged} diverged, ${summary.unsupported} unsupported`,
  );
}

/** What stops replays, most frequent first; alphabetical among equals. */
function roadMap(results: readonly ReplayResult[]): [string, number][] {
  const missing = new Map<string, number>();
  for (const { status, field } of results) {
    if (status === 'unsupported' && field !== undefined) missing.set(field, (missing.get(field) ?? 0) + 1);
  }
  return [...missing].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
}
