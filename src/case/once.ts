// SPDX-License-Identifier: GPL-2.0-only

/** Makes something when it is first asked for: start-up is most of what a short run costs. */
export function once<T>(make: () => T): () => T {
  let made: { readonly it: T } | undefined;
  return () => {
    made ??= { it: make() };
    return made.it;
  };
}
