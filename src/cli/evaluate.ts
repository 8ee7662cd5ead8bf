// SPDX-License-Identifier: GPL-2.0-only

/** A case run once and judged: by its own verdict, then against its golden. */
import { isUtf8 } from 'node:buffer';
import { readFileSync, statSync } from 'node:fs';
import type { Case } from '../case/case.ts';
import { onDesign, onDesigns } from '../case/designs.ts';
import { MAX_BYTES } from '../case/jsonc.ts';
import { loadCase } from '../case/load.ts';
import { CaseError } from '../case/place.ts';
import { type Run, runCase } from '../case/run.ts';
import type { Scheduled } from '../case/schedule.ts';
import { storyOf } from '../case/story.ts';
import { type Verdict, verdictOf } from '../case/verdict.ts';
import { goldenPath, readGolden } from '../golden/store.ts';
import type { Trace } from '../sim/trace.ts';
import type { Design } from '../sim/variant.ts';
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
  readonly schedule?: () => Scheduled;
  /** Another design than the case's own, and nothing about its golden either. */
  readonly design?: Design;
  readonly trace?: Trace;
  /** Told of the run while its trace is there. */
  onRun?(run: Run): void;
}

export function evaluate(selected: Selected, it: Case, options: EvaluateOptions = {}): Outcome {
  const { design } = options;
  const parts = (design === undefined ? onDesigns(it) : [onDesign(it, design)]).map((each) =>
    part(each, options),
  );
  const status = WORST_FIRST.find((each) => parts.some((one) => one.status === each)) ?? 'passed';
  const reasons = parts.flatMap((each) => each.reasons);
  const undecided = parts.flatMap((each) => each.undecided);
  const base = { selected, name: selected.name, undecided, isAsExpected: status === 'passed' };
  const { root } = selected;
  const story = storyOfAll(parts);
  if (story === null || root === null || options.schedule !== undefined || design !== undefined) {
    return { ...base, status, reasons, story: null, golden: null };
  }
  const golden = readGolden(root, selected.name);
  const complaint = golden === null ? missing(selected.name) : golden === story ? null : stale(selected.name);
  if (complaint === null || status === 'incomplete') return { ...base, status, reasons, story, golden };
  return { ...base, status: 'failed', reasons: [...reasons, complaint], story, golden };
}

const WORST_FIRST: readonly Verdict['status'][] = ['failed', 'unsupported', 'incomplete', 'passed'];

interface Part extends Verdict {
  readonly story: string | null;
}

/** The case on one design. */
function part(it: Case, { schedule, trace, onRun }: EvaluateOptions): Part {
  const run = runCase(it, {
    ...(schedule === undefined ? {} : { schedule: schedule() }),
    ...(trace === undefined ? {} : { trace }),
  });
  onRun?.(run);
  const { status, reasons, undecided } = verdictOf(run);
  const on = it.design === null ? '' : `on ${it.design}: `;
  return {
    status,
    reasons: reasons.map((reason) => `${on}${reason}`),
    undecided: undecided.map((claim) => `${on}${claim}`),
    story: run.unsupported === null ? storyOf(run) : null,
  };
}

/** One after the other, the title once; null when one is not known. */
function storyOfAll(parts: readonly Part[]): string | null {
  const stories = parts.map(({ story }, i) =>
    i === 0 ? story : (story?.slice(story.indexOf('\n') + 1) ?? null),
  );
  return stories.includes(null) ? null : stories.join('');
}

const missing = (name: string): string => `there is no ${goldenPath(name)}: ${mend(name)} makes it`;
const stale = (name: string): string =>
  `the trace differs from ${goldenPath(name)}: ${mend(name)} accepts that`;

/** What is wrong with a golden that no case stands behind. */
export const orphaned = (name: string): string => `${goldenPath(name)} has no case: ${mend(name)} removes it`;

const mend = (name: string): string => `${oracle()} run --update ${name}`;
