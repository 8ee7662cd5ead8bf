// SPDX-License-Identifier: GPL-2.0-only
import leven, { closestMatch } from 'leven';

/** The known word that was probably meant; undefined when none is near. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  const candidates = [...known];
  if (word.length > 80) return undefined;
  const lower = word.toLowerCase();
  const sameButCase = candidates.find((each) => each.toLowerCase() === lower);
  if (sameButCase !== undefined) return sameButCase;
  const best = closestMatch(word, candidates);
  if (best !== undefined && leven(word, best) <= tolerance(Math.min(word.length, best.length))) return best;
  // A constant without its prefix: HUGE_PAGES for IOMMU_OPTION_HUGE_PAGES.
  const tails = word.length < 4 ? [] : candidates.filter((each) => each.toLowerCase().endsWith(lower));
  return tails.length === 1 ? tails[0] : undefined;
}

/** Two letters changed places count as two changes. */
const tolerance = (length: number): number =>
  length < 2 ? 0 : length < 4 ? 1 : Math.max(2, Math.floor(length / 3));

/** `did you mean 'x'?`, or the known words when they are few, or nothing. */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  const candidates = [...known];
  const near = nearest(word, candidates);
  if (near !== undefined) return `did you mean '${near}'?`;
  if (candidates.length === 0 || candidates.length > 24) return undefined;
  return `known: ${candidates.join(', ')}`;
}
