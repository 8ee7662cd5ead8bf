// SPDX-License-Identifier: GPL-2.0-only
import { CaseError } from '../case/place.ts';
import { paint } from './paint.ts';
import { EXIT, Unusable } from './unusable.ts';

/** Tells of an error of the user's on standard error; returns the exit code. Throws what is a bug of ours. */
export function report(e: unknown): number {
  if (e instanceof CaseError) {
    console.error(e.report(paint(process.stderr)));
    return EXIT.unusable;
  }
  if (e instanceof Unusable) {
    console.error(`${paint(process.stderr).red('error:')} ${e.message}`);
    if (e.remedy !== undefined) console.error(`  ${e.remedy}`);
    return EXIT.unusable;
  }
  throw e;
}
