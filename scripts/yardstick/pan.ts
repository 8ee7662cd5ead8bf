// SPDX-License-Identifier: GPL-2.0-only

/** SPIN's verifier on ownership.pml: as its users run it, partial-order reduction on. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Protocol } from './protocol.ts';

const MODEL = resolve('scripts/yardstick/ownership.pml');
/** A stack deeper than any path of the model, and a hash table that is small at first: pan lets it grow. */
const LIMITS = '-m10000 -w20';

export type Verdict = 'holds' | 'violated' | 'unknown';

export interface Verified {
  readonly verdict: Verdict;
  readonly states: number;
  /** CPU time of the whole search, and of one that ends with the first violation (null: there is none). */
  readonly ms: number;
  readonly firstMs: number | null;
  /** Of `spin -a` and the C compiler. */
  readonly compileMs: number;
}

/** What is missing; null when all is there. */
export function missingTools(): string | null {
  const missing = ['spin', 'gcc'].filter(
    (tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).error !== undefined,
  );
  return missing.length === 0
    ? null
    : `${missing.join(' and ')}: not installed (Debian: apt-get install ${missing.join(' ')})`;
}

/** Verifies the protocol; a search that takes more CPU time than `cap` seconds is cut. Throws when SPIN fails. */
export function verify({ design, devices }: Protocol, cap: number): Verified {
  const folder = mkdtempSync(join(tmpdir(), 'yardstick-'));
  try {
    const define = design === 'count' ? '-DCOUNT' : '';
    const made = shell(folder, `spin ${define} -DN=${devices} -a ${MODEL} && gcc -O2 -DSAFETY -o pan pan.c`);
    if (made.status !== 0) throw new Error(`SPIN does not take its model: ${made.output}`);
    // -c0: all violations, so that the whole space is searched.
    const whole = shell(folder, `ulimit -t ${Math.ceil(cap)}; ./pan -c0 ${LIMITS}`);
    const first = shell(folder, `ulimit -t ${Math.ceil(cap)}; ./pan ${LIMITS}`);
    const errors = numberOf(whole.output, /errors: (\d+)/);
    return {
      verdict: errors === null ? 'unknown' : errors > 0 ? 'violated' : 'holds',
      states: numberOf(whole.output, /(\d+) states, stored/) ?? 0,
      ms: whole.ms,
      firstMs: (numberOf(first.output, /errors: (\d+)/) ?? 0) > 0 ? first.ms : null,
      compileMs: made.ms,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Ran {
  readonly status: number | null;
  readonly output: string;
  /** CPU time of the commands: other work on the machine does not count. */
  readonly ms: number;
}

function shell(cwd: string, commands: string): Ran {
  // The second line of `times` is what the commands used: minutes and seconds, user and system.
  const script = `{ ${commands}; } 2>&1; status=$?; times; exit $status`;
  const { status, stdout } = spawnSync('sh', ['-c', script], { cwd, encoding: 'utf8' });
  const used = [...(stdout.trimEnd().split('\n').at(-1) ?? '').matchAll(/(\d+)m([\d.]+)s/g)];
  const ms = used.reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1000,
    0,
  );
  return { status, output: stdout, ms };
}

function numberOf(output: string, pattern: RegExp): number | null {
  const found = pattern.exec(output)?.[1];
  return found === undefined ? null : Number(found);
}
