// SPDX-License-Identifier: GPL-2.0-only
import { CaseError } from '../case/place.ts';
import { paint } from './paint.ts';
import { EXIT, Unusable } from './unusable.ts';

/** Tells of an error on standard error; returns the exit code. */
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
  // The file system refused: a disk that is full, a folder that may not be written.
  if (e instanceof Error && 'syscall' in e) {
    console.error(`${paint(process.stderr).red('error:')} ${e.message}`);
    return EXIT.unusable;
  }
  console.error('This is a bug of vfio-oracle, not of yours:');
  console.error(e);
  return EXIT.bug;
}
