// SPDX-License-Identifier: GPL-2.0-only

/** The text of a case from the steps that are kept. */
import { type Item, type Made, type Name, namesIn, Ref, type StepDraft, type Value } from './draft.ts';
import { bytes, hex } from './words.ts';

/** Spells names: `ioas1`, `ioas2` in the order in which they are met; a word that there is once has no number. */
export class Spelling {
  readonly #spelled = new Map<Name, string>();

  constructor(names: Iterable<Name>) {
    const byWord = new Map<string, Name[]>();
    for (const name of new Set(names)) byWord.set(name.word, [...(byWord.get(name.word) ?? []), name]);
    for (const [word, all] of byWord) {
      const isNumbered = all.length > 1 || NUMBERED.has(word);
      for (const [i, name] of all.entries()) this.#spelled.set(name, isNumbered ? `${word}${i + 1}` : word);
    }
  }

  of(name: Name): string {
    const found = this.#spelled.get(name);
    if (found === undefined) throw new Error(`nothing makes a ${name.word} that is used`);
    return found;
  }
}

/** Words that have a number even where there is one: kernel people read `ioas1`. */
const NUMBERED: ReadonlySet<string> = new Set([
  'ioas',
  'stdev',
  'hwpt',
  'idev',
  'fault',
  'access',
  'iova',
  'pin',
]);

/** A step of the case, and which of them. */
export interface Written {
  readonly text: string;
  readonly item: Item;
  /** It is the call whose answer was recorded. */
  readonly isCall: boolean;
}

/**
 * The steps of items, a line each. `all`: spell names as among these, and name everything; without it, a name that
 * nobody uses is left out where another one is there.
 */
export function writeSteps(items: readonly Item[], all?: readonly Item[]): Written[] {
  const joined = joinStores(items);
  const used = new Set(joined.flatMap(({ steps }) => steps.flatMap((step) => [...namesIn(step)])));
  const madeBy = (item: Item): readonly Made[] =>
    all === undefined ? item.makes.filter(({ name }, i) => i === 0 || used.has(name)) : item.makes;
  const spelling = spellingOf(all ?? joined, madeBy);
  return joined.flatMap((item) =>
    item.steps.map((step, i) => ({
      text: writeValue(i === item.at ? withNames(step, madeBy(item), spelling) : step, spelling),
      item,
      isCall: item.isCall && i === item.at,
    })),
  );
}

/** How names are spelled when all of these are there, and everything has its name. */
export const spellingOf = (
  items: readonly Item[],
  madeBy: (item: Item) => readonly Made[] = (item) => item.makes,
): Spelling => new Spelling(items.flatMap((item) => madeBy(item).map(({ name }) => name)));

/** `as` comes before what is expected. */
const EXPECTED: ReadonlySet<string> = new Set(['errno', 'ret', 'out']);

function withNames(step: StepDraft, makes: readonly Made[], spelling: Spelling): StepDraft {
  const [first, ...others] = makes;
  if (first === undefined) return step;
  const isFailed = 'errno' in step;
  if (isFailed) return step;
  const as =
    others.length === 0
      ? spelling.of(first.name)
      : Object.fromEntries(makes.map(({ from, name }) => [from.replace(/^\w+\./, ''), spelling.of(name)]));
  const entries = Object.entries(step);
  const at = entries.findIndex(([key]) => EXPECTED.has(key));
  const split = at < 0 ? entries.length : at;
  return Object.fromEntries([...entries.slice(0, split), ['as', as], ...entries.slice(split)]);
}

function writeValue(value: Value, spelling: Spelling): string {
  if (value instanceof Ref) {
    const name = spelling.of(value.name);
    return JSON.stringify(value.offset === 0n ? name : `${name}+${hex(value.offset)}`);
  }
  if (Array.isArray(value)) return `[${value.map((each: Value) => writeValue(each, spelling)).join(', ')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  const entries = Object.entries(value);
  if (entries.length === 0) return '{}';
  return `{ ${entries.map(([key, each]) => `${JSON.stringify(key)}: ${writeValue(each, spelling)}`).join(', ')} }`;
}

/** Pieces of one store that lie side by side become one store again. */
function joinStores(items: readonly Item[]): Item[] {
  const joined: Item[] = [];
  for (const item of items) {
    const last = joined.at(-1);
    const [a, b] = [last?.store, item.store];
    const isNext =
      last !== undefined &&
      a !== undefined &&
      b !== undefined &&
      last.line === item.line &&
      a.at.name === b.at.name &&
      a.at.offset + BigInt(a.bytes.length) === b.at.offset;
    if (!isNext) {
      joined.push(item);
      continue;
    }
    const whole = Uint8Array.from([...a.bytes, ...b.bytes]);
    joined[joined.length - 1] = {
      ...last,
      store: { at: a.at, bytes: whole },
      steps: [{ store: a.at, data: bytes(whole) }],
    };
  }
  return joined;
}
