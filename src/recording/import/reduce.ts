// SPDX-License-Identifier: GPL-2.0-only

/** What of a list can be left out, by trying: delta debugging (Zeller and Hildebrandt, 2002). */

/** Runs that a reduction may cost; what is then not tried is kept. */
const MOST_TRIES = 3000;

/**
 * A part of `all` of which nothing more can be left out without `isFine` saying no, as far as single elements go.
 * `isFine(all)` holds. `close` adds what a part needs besides. The order stays. `guesses`: parts that may do, to be
 * tried first, as a try costs what it runs.
 */
export function reduce<T>(
  all: readonly T[],
  close: (part: ReadonlySet<T>) => ReadonlySet<T>,
  isFine: (part: ReadonlySet<T>) => boolean,
  guesses: readonly (readonly T[])[] = [],
): ReadonlySet<T> {
  let tries = 0;
  let kept: ReadonlySet<T> = new Set(all);
  const attempt = (part: ReadonlySet<T>): boolean => {
    const closed = close(part);
    if (closed.size >= kept.size || tries >= MOST_TRIES) return false;
    tries += 1;
    if (!isFine(closed)) return false;
    kept = closed;
    return true;
  };
  if (kept.size === 0 || attempt(new Set())) return kept;
  guesses.some((guess) => attempt(new Set(guess)));
  for (let size = Math.ceil(kept.size / 2); ; size = Math.ceil(size / 2)) {
    let isSmaller = false;
    // From the end: what came last is needed least by others.
    const elements = [...kept].reverse();
    for (let at = 0; at < elements.length; at += size) {
      const chunk = new Set(elements.slice(at, at + size));
      if (![...chunk].some((each) => kept.has(each))) continue;
      if (attempt(new Set([...kept].filter((each) => !chunk.has(each))))) isSmaller = true;
    }
    if (size === 1 && (!isSmaller || tries >= MOST_TRIES)) return kept;
  }
}
