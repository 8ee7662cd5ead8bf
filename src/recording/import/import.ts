// SPDX-License-Identifier: GPL-2.0-only

import type { Case } from '../../case/case.ts';
/**
 * Makes a case of a recording, or of a span of it. Of the calls before the span, those are kept without which
 * the calls of the span would be answered otherwise, or run through other functions of the IOMMU code: that is
 * found by running the case without them. In the same way memory goes that nothing depends on.
 */
import { loadCase } from '../../case/load.ts';
import { CaseError } from '../../case/place.ts';
import { type Run, runCase, type StepResult } from '../../case/run.ts';
import { verdictOf } from '../../case/verdict.ts';
import { functionInfo } from '../../sim/fn.ts';
import { ENTER, ERRNO, KIND_MASK, STRIDE, Trace } from '../../sim/trace.ts';
import type { Event, Recording } from '../event.ts';
import { END, type Item, type Name, type StepDraft, usesOf } from './draft.ts';
import { caseText, type Head, type Line } from './page.ts';
import { reduce } from './reduce.ts';
import { type Drafted, draft } from './steps.ts';
import { spellingOf, type Written, writeSteps } from './text.ts';
import { number } from './words.ts';

/** Lines of the recording, of which the first is its header; undefined: from its first call, to its last. */
export interface Span {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

interface Lines {
  readonly from: number;
  readonly to: number;
}

export interface Imported {
  readonly text: string;
  /** Why the model's answers are not the recorded ones; empty where they are. */
  readonly reasons: readonly string[];
}

/** A recording that cannot be made a case. The message has the place. */
export class CannotImport extends Error {
  override name = 'CannotImport';
}

/** Throws CannotImport and BadRecording. */
export function importRecording(recording: Recording, span: Span, schema: string): Imported {
  const { source } = recording;
  if (recording.header.platform !== 'mock') {
    throw new CannotImport(`${source}: platform ${recording.header.platform} is not modelled, only mock`);
  }
  const events = [...recording.events];
  const last = events.at(-1)?.line ?? 1;
  const { from = 2, to = last } = span;
  if (from > to || to > last || from < 2) {
    throw new CannotImport(`${source}: lines ${from} to ${to}: it has events on lines 2 to ${last}`);
  }
  return new Import(recording, events, { from, to }, schema).make();
}

class Import {
  readonly #recording: Recording;
  readonly #span: Lines;
  /** It is not the whole recording. */
  readonly #isPart: boolean;
  readonly #schema: string;
  readonly #items: readonly Item[];
  readonly #makers = new Map<Name, Item>();
  readonly #trace = new Trace();

  constructor(recording: Recording, events: readonly Event[], span: Lines, schema: string) {
    this.#recording = recording;
    this.#span = span;
    this.#isPart = span.from > 2 || span.to < (events.at(-1)?.line ?? 0);
    this.#schema = schema;
    const drafted = draft(events.filter(({ line }) => line <= span.to));
    const items = this.#worded(drafted);
    this.#items =
      items.length > MANY ? items.filter((item) => item.line >= span.from || !isProbe(item)) : items;
    for (const item of this.#items) for (const { name } of item.makes) this.#makers.set(name, item);
  }

  /** The items that can be said. Throws CannotImport where the span has one that cannot. */
  #worded(drafted: readonly Drafted[]): readonly Item[] {
    return drafted.flatMap((each) => {
      if (!('problem' in each)) return [each];
      if (each.line >= this.#span.from || each.isCall) {
        const remedy = each.line > 2 ? `; up to line ${each.line - 1} it can be imported` : '';
        throw new CannotImport(
          `${this.#recording.source}:${each.line}: ${each.problem}: cases have no words for that${remedy}`,
        );
      }
      return [];
    });
  }

  make(): Imported {
    const { from, to } = this.#span;
    const calls = this.#items.filter((item) => item.isCall && item.line >= from);
    if (calls.every((item) => item.line === END)) {
      throw new CannotImport(
        `${this.#recording.source}: lines ${from} to ${to}: there is no call among them`,
      );
    }
    const repeats = this.#repeats(calls);
    const asked = new Set(calls.filter((item) => !repeats.has(item)));
    const others = this.#items.filter((item) => !asked.has(item));
    const whole = this.#try(this.#items, this.#items);
    const wanted = this.#fingerprints(whole, asked);
    const isFine = (items: readonly Item[]): boolean =>
      same(wanted, this.#fingerprints(this.#try(items, this.#items), asked));
    const kept = reduce(
      others,
      (part) => this.#closure(part, asked),
      (part) => isFine(this.#ordered(part, asked)),
      guessesOf(others),
    );
    const items = this.#ordered(kept, asked);
    const unplaced = items.map(anywhere);
    const numbered = this.#numbered(whole, asked);
    return this.#write(
      (isFine(unplaced) ? unplaced : items).map((item) => numbered.get(item) ?? item),
      repeats,
    );
  }

  /**
   * Calls that made something under another number than the model with the same calls before it. A case has ids
   * and descriptors by name: with the recorded number in it, it fails there.
   */
  #numbered({ run }: Trial, asked: ReadonlySet<Item>): ReadonlyMap<Item, Item> {
    const spelling = spellingOf(this.#items);
    const numbered = new Map<Item, Item>();
    for (const item of asked) {
      for (const { from, name, value } of item.makes) {
        const word = spelling.of(name);
        if (value === undefined || !run.names.has(word) || run.names.value(word) === value) continue;
        numbered.set(item, withNumber(numbered.get(item) ?? item, from, value));
      }
    }
    return numbered;
  }

  #ordered(part: ReadonlySet<Item>, asked: ReadonlySet<Item>): Item[] {
    return this.#items.filter((item) => part.has(item) || asked.has(item));
  }

  /** Calls that repeat the one before, make nothing and are answered alike; and which call they repeat. */
  #repeats(calls: readonly Item[]): ReadonlyMap<Item, Item> {
    const texts = new Map(
      writeSteps(calls, this.#items).map(({ item, text, isCall }) => [item, isCall ? text : null]),
    );
    const repeats = new Map<Item, Item>();
    for (const [i, item] of calls.entries()) {
      const before = calls[i - 1];
      const text = texts.get(item) ?? null;
      if (before === undefined || text === null || text !== texts.get(before) || item.makes.length > 0)
        continue;
      repeats.set(item, repeats.get(before) ?? before);
    }
    return repeats;
  }

  /** What a part and the asked calls need, without the latter. */
  #closure(part: ReadonlySet<Item>, asked: ReadonlySet<Item>): ReadonlySet<Item> {
    const all = new Set<Item>();
    const left = [...part, ...asked];
    for (let item = left.pop(); item !== undefined; item = left.pop()) {
      if (all.has(item)) continue;
      all.add(item);
      for (const name of usesOf(item)) {
        const maker = this.#makers.get(name);
        if (maker === undefined) throw new Error(`nothing makes the ${name.word} of line ${item.line}`);
        left.push(maker);
      }
    }
    for (const item of asked) all.delete(item);
    return all;
  }

  /** Runs a case of some of the items, their names spelled as among all. */
  #try(items: readonly Item[], all: readonly Item[]): Trial {
    const written = writeSteps(items, all);
    const it = this.#load(caseText(written), MOST_BYTES);
    return { written, run: runCase(it, { trace: this.#trace }) };
  }

  #load(text: string, most?: number): Case {
    try {
      return loadCase('imported', 'imported', text, most);
    } catch (e) {
      if (!(e instanceof CaseError)) throw e;
      throw new CannotImport(
        `${this.#recording.source}: this is more than a case can hold (${e.problems[0]?.message ?? ''}): ` +
          'name a span by --from and --to, nearer to its beginning',
      );
    }
  }

  /** How each of the asked calls went: its answer, where an error came from, the IOMMU's functions that ran. */
  #fingerprints({ written, run }: Trial, asked: ReadonlySet<Item>): ReadonlyMap<Item, string> {
    const found = new Map<Item, string>();
    for (const [i, { item, isCall }] of written.entries()) {
      const result = run.results[i];
      // What the end closes is not what was asked for.
      if (!asked.has(item) || item.line === END || result === undefined) continue;
      const before = found.get(item) ?? '';
      const answer = `${result.text} ${result.answer?.mismatch ?? ''}`;
      found.set(item, `${before}${answer}${isCall ? ` ${goneThrough(run, result)}` : ''}\n`);
    }
    return found;
  }

  #write(items: readonly Item[], repeats: ReadonlyMap<Item, Item>): Imported {
    const written = writeSteps(items);
    const again = new Map<Item, number>();
    for (const [repeat, first] of repeats) {
      if (!items.includes(repeat)) again.set(first, (again.get(first) ?? 0) + 1);
    }
    const steps = written.flatMap((line): Line[] => {
      const times = line.isCall ? (again.get(line.item) ?? 0) : 0;
      const text = `// and again, with the same answer: ${times} more`;
      return times === 0 ? [line] : [line, { ...line, text, forks: null }];
    });
    const head = this.#head(items, written);
    const run = runCase(this.#load(caseText(steps, head)), { trace: this.#trace });
    const found = [...new Set(run.findings.map(({ kind }) => kind))].sort();
    const text = caseText(steps, { ...head, found });
    return { text, reasons: verdictOf(found.length === 0 ? run : runCase(this.#load(text))).reasons };
  }

  #head(items: readonly Item[], written: readonly Written[]): Head {
    const { header } = this.#recording;
    const { from, to } = this.#span;
    const place = this.#isPart ? `, ${from === to ? `line ${from}` : `lines ${from} to ${to}`}` : '';
    const verbs = [
      ...new Set(
        written.flatMap(({ text, item, isCall }) =>
          isCall && item.line >= from && item.line !== END ? [verbOf(text)] : [],
        ),
      ),
    ];
    const shown = verbs.slice(0, FEW).join(', ') + (verbs.length > FEW ? ' …' : '');
    return {
      schema: this.#schema,
      comment: [
        `Imported from the recording ${header.suite}/${header.name}${place}.`,
        `What is expected is what a real kernel answered${header.kernel === '' ? '' : `: ${header.kernel}`}.`,
        ...(this.#isPart && items.some((item) => item.line < from)
          ? [
              `Of what came before line ${from} only that is here without which those calls would go another way.`,
            ]
          : []),
      ],
      title: `recorded: ${shown} (${header.name}${place})`.slice(0, LONGEST_TITLE),
      hugePages: items.some(({ steps }) =>
        steps.some((step) => JSON.stringify(step['flags'] ?? '').includes('MAP_HUGETLB')),
      ),
    };
  }
}

/** The last few, and the last few calls with all of the memory. */
function guessesOf(items: readonly Item[]): readonly (readonly Item[])[] {
  const calls = items.filter(({ isCall }) => isCall);
  return [16, 64, 256, 1024].flatMap((n) => {
    const last = new Set(calls.slice(-n));
    return calls.length <= n ? [] : [items.slice(-n), items.filter((item) => !item.isCall || last.has(item))];
  });
}

/** The call is expected to tell that number. */
function withNumber(item: Item, from: string, value: bigint): Item {
  const steps = item.steps.map((step, i): StepDraft => {
    if (i !== item.at) return step;
    if (from === 'ret') return { ...step, ret: number(value) };
    const { out } = step;
    const others = typeof out === 'object' && !Array.isArray(out) ? out : {};
    return { ...step, out: { ...others, [from.replace(/^\w+\./, '')]: number(value) } };
  });
  return { ...item, steps };
}

/** What is tried may be more than what is written, bytes. */
const MOST_BYTES = 64 << 20;

interface Trial {
  readonly written: readonly Written[];
  readonly run: Run;
}

/** With more items, those before the span that only look are left out without a try. */
const MANY = 2000;

/** Verbs that change nothing but the memory of the thread. */
const PROBES: ReadonlySet<string> = new Set([
  'check_map',
  'check_refs',
  'check_iotlb',
  'hw_info',
  'iova_ranges',
]);

function isProbe({ steps: [step] }: Item): boolean {
  if (step === undefined) return false;
  const [verb = ''] = Object.keys(step);
  const isWrite = [step['flags'] ?? []].flat().includes('MOCK_ACCESS_RW_WRITE');
  return PROBES.has(verb) || (verb === 'access_rw' && 'data' in step && !isWrite);
}

const FEW = 3;
const LONGEST_TITLE = 120;

const verbOf = (text: string): string => {
  const [, verb = '', value = ''] = /^\{ "(\w+)": (?:"(\w+)")?/.exec(text) ?? [];
  return verb === 'ioctl' ? value : verb;
};

function same(a: ReadonlyMap<Item, string>, b: ReadonlyMap<Item, string>): boolean {
  return a.size === b.size && [...a].every(([item, text]) => b.get(item) === text);
}

/** A mapping wherever the kernel puts it. */
function anywhere(item: Item): Item {
  const [step, ...rest] = item.steps;
  if (step === undefined || !('mmap' in step) || rest.length > 0) return item;
  const { at: _, ...free } = step;
  return { ...item, steps: [free] };
}

/** The functions of the IOMMU code that a step ran through, and where its error came from. */
function goneThrough({ machine }: Run, { from, to }: StepResult): string {
  const { buf } = machine.trace;
  const names = new Set<string>();
  for (let at = from; at < to; at += STRIDE) {
    const kind = (buf[at] ?? 0) & KIND_MASK;
    if (kind === ERRNO) names.add(`error: ${machine.trace.values[buf[at + 2] ?? 0]}`);
    if (kind !== ENTER) continue;
    const { name, file } = functionInfo(buf[at + 1] ?? 0);
    if (file.startsWith('drivers/')) names.add(name);
  }
  return [...names].sort().join(' ');
}
