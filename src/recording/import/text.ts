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

/** The thread of the first process. */
const FIRST_TASK = 'vmm';

/** A step of the case, and which of them. */
export interface Written {
  readonly text: string;
  readonly task: string;
  /** The task that begins with this step. */
  readonly forks: string | null;
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
  return inTurn(
    joined.flatMap((item) =>
      item.steps.map((step, i) => ({
        item,
        step: i === item.at ? withNames(step, madeBy(item), spelling) : step,
        i,
      })),
    ),
  ).map(({ item, step, i }) => ({
    text: writeValue(step, spelling),
    task: item.task === null ? FIRST_TASK : spelling.of(item.task),
    forks: step['fork'] instanceof Ref ? spelling.of(step['fork'].name) : null,
    item,
    isCall: item.isCall && i === item.at,
  }));
}

interface Placed {
  readonly item: Item;
  readonly step: StepDraft;
  /** Which of the item's steps. */
  readonly i: number;
}

/** Where the steps go over to another task, it waits for the last one of the task before. */
function inTurn(placed: readonly Placed[]): Placed[] {
  const steps = placed.map(({ step }) => step);
  let turns = 0;
  for (const [at, { item }] of placed.entries()) {
    const before = placed[at - 1];
    const [last, first] = [steps[at - 1], steps[at]];
    if (before === undefined || last === undefined || first === undefined || before.item.task === item.task)
      continue;
    if (last['fork'] instanceof Ref && last['fork'].name === item.task) continue;
    turns += 1;
    steps[at - 1] = { ...last, label: `turn${turns}` };
    steps[at] = { ...first, after: `turn${turns}` };
  }
  return placed.map((each, at) => ({ ...each, step: steps[at] ?? each.step }));
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
  if (first === undefined || first.from === 'task') return step;
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
  const runs: Item[][] = [];
  for (const item of items) {
    const last = runs.at(-1)?.at(-1);
    if (last !== undefined && isNext(last, item)) runs.at(-1)?.push(item);
    else runs.push([item]);
  }
  return runs.flatMap((run) => {
    const [first] = run;
    if (first?.store === undefined || run.length === 1) return run;
    const { at } = first.store;
    const whole = Uint8Array.from(run.flatMap(({ store }) => [...(store?.bytes ?? [])]));
    return [{ ...first, store: { at, bytes: whole }, steps: [{ store: at, data: bytes(whole) }] }];
  });
}

function isNext({ line, store: before }: Item, { line: nextLine, store: after }: Item): boolean {
  return (
    before !== undefined &&
    after !== undefined &&
    line === nextLine &&
    before.at.name === after.at.name &&
    before.at.offset + BigInt(before.bytes.length) === after.at.offset
  );
}
