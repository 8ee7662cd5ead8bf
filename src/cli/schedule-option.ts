// SPDX-License-Identifier: GPL-2.0-only

/** `--schedule`: another schedule than the case's own. */
import { readFileSync } from 'node:fs';
import { problemsOf } from '../case/issues.ts';
import { parse } from '../case/jsonc.ts';
import { CaseError } from '../case/place.ts';
import { type Scheduled, scheduled } from '../case/schedule.ts';
import { type Schedule, schedule } from '../case/schema.ts';
import { Unusable } from './unusable.ts';

/** What makes the schedule anew for each case. Throws Unusable, CaseError. */
export function schedulesOf(option: string): () => Scheduled {
  const parsed = scheduleOf(option);
  return () => scheduled(parsed);
}

function scheduleOf(option: string): Schedule {
  const random = /^random:(\d{1,10})$/.exec(option);
  if (/^\s*[[{]/.test(option)) return read(option, '--schedule');
  const named = schedule().safeParse(random === null ? option : { random: Number(random[1]) });
  if (named.success) return named.data;
  let text: string;
  try {
    text = readFileSync(option, 'utf8');
  } catch {
    throw new Unusable(
      `--schedule ${option}: no such schedule, and no such file`,
      'expected run-to-block, round-robin, random:SEED, a file that holds what a case has under "schedule", or that text',
    );
  }
  return read(text, option);
}

/** What a case has under "schedule"; or the labels alone, as --json of explore prints them. */
function read(text: string, name: string): Schedule {
  const { document, problems } = parse(text);
  if (document === null) throw new CaseError(name, text, problems);
  const { value } = document;
  if (Array.isArray(value) && value.length > 0 && value.every((label) => typeof label === 'string'))
    return { replay: value };
  const parsed = schedule().safeParse(value);
  if (parsed.success) return parsed.data;
  throw new CaseError(
    name,
    text,
    problemsOf(parsed.error.issues, { root: document.root, base: [], schema: schedule() }),
  );
}
