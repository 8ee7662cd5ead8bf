// SPDX-License-Identifier: GPL-2.0-only
import { type Command, Option } from 'commander';
import { BadRecording } from '../recording/decode.ts';
import { findRecordings, readRecording } from '../recording/files.ts';
import { type ReplayResult, replay } from '../recording/replay.ts';
import { Trace } from '../sim/trace.ts';

interface Options {
  readonly json?: true;
}

export function register(program: Command): void {
  program
    .command('replay')
    .summary('feed recordings of a real kernel to the model and compare every answer')
    .argument('<recording...>', 'recordings (.jsonl, .jsonl.gz), or folders of them')
    .addOption(new Option('--json', 'print one JSON document'))
    .addHelpText(
      'after',
      `
A replay stops at the first answer that differs, and at the first call that is not modelled: what follows is
unknown. Then comes the list of what is missing, by how many recordings it holds back.

Example:
  vfio-oracle replay golden/recordings/selftest`,
    )
    .action((paths: readonly string[], options: Options) => {
      process.exitCode = run(paths, options);
    });
}

function run(paths: readonly string[], options: Options): number {
  let results: ReplayResult[];
  try {
    const trace = new Trace();
    results = findRecordings(paths).map((path) => replay(readRecording(path), trace));
  } catch (e) {
    if (!(e instanceof BadRecording)) throw e;
    console.error(`error: ${e.message}`);
    return 2;
  }
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
  if (summary.diverged > 0) return 1;
  return summary.unsupported > 0 ? 3 : 0;
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
