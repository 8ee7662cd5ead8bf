// SPDX-License-Identifier: GPL-2.0-only

/** A case run once and judged: by its own verdict, then against its golden. */
import { isUtf8 } from 'node:buffer';
import { readFileSync, statSync } from 'node:fs';
import type { Case } from '../case/case.ts';
import { MAX_BYTES } from '../case/jsonc.ts';
import { loadCase } from '../case/load.ts';
import { CaseError } from '../case/place.ts';
import { type Run, runCase } from '../case/run.ts';
import type { Scheduled } from '../case/schedule.ts';
import { storyOf } from '../case/story.ts';
import { type Verdict, verdictOf } from '../case/verdict.ts';
import { goldenPath, readGolden } from '../golden/store.ts';
import type { Trace } from '../sim/trace.ts';
import type { Selected } from './project.ts';
import { oracle } from './unusable.ts';

/** Loads a case file. Throws CaseError, Unusable. */
export function load({ name, path, shown }: Selected): Case {
  const unusable = (message: string): CaseError =>
    new CaseError(shown, '', [{ offset: 0, length: 1, message }]);
  let bytes: Buffer;
  try {
    const { size } = statSync(path);
    if (size > MAX_BYTES) throw unusable(`the file has ${size} bytes: no case is larger than ${MAX_BYTES}`);
    bytes = readFileSync(path);
  } catch (e) {
    if (e instanceof Error && 'code' in e) throw unusable(`the file cannot be read: ${String(e.code)}`);
    throw e;
  }
  if (!isUtf8(bytes)) throw unusable('the file is not text in UTF-8');
  return loadCase(name, shown, bytes.toString('utf8').replace(/^\uFEFF/, ''));
}

export interface Outcome {
  readonly selected: Selected;
  readonly name: string;
  readonly status: Verdict['status'];
  /** Why it did not pass; the golden last. */
  readonly reasons: readonly string[];
  readonly undecided: readonly string[];
  /** Whether its own verdict holds, whatever the golden says. */
  readonly isAsExpected: boolean;
  /** What its golden should be; null where nothing is known for sure. */
  readonly story: string | null;
  /** What its golden is; null: there is none, or none is looked at. */
  readonly golden: string | null;
}

export interface EvaluateOptions {
  /** Another schedule than the case's own: its golden says nothing then. */
  readonly schedule?: Scheduled;
  readonly trace?: Trace;
  /** Told of the run while its trace is there. */
  onRun?(run: Run): void;
}

export function evaluate(selected: Selected, it: Case, options: EvaluateOptions = {}): Outcome {
  const run = runCase(it, options);
  options.onRun?.(run);
  const { status, reasons, undecided } = verdictOf(run);
  const base = { selected, name: selected.name, undecided, isAsExpected: status === 'passed' };
  const { root } = selected;
  if (run.unsupported !== null || root === null || options.schedule !== undefined) {
    return { ...base, status, reasons, story: null, golden: null };
  }
  const story = storyOf(run);
  const golden = readGolden(root, selected.name);
  const complaint = golden === null ? missing(selected.name) : golden === story ? null : stale(selected.name);
  if (complaint === null || status === 'incomplete') return { ...base, status, reasons, story, golden };
  return { ...base, status: 'failed', reasons: [...reasons, complaint], story, golden };
}

const missing = (name: string): string => `there is no ${goldenPath(name)}: ${mend(name)} makes it`;
const stale = (name: string): string =>
  `the trace differs from ${goldenPath(name)}: ${mend(name)} accepts that`;

/** What is wrong with a golden that no case stands behind. */
export const orphaned = (name: string): string => `${goldenPath(name)} has no case: ${mend(name)} removes it`;

const mend = (name: string): string => `${oracle()} run --update ${name}`;
