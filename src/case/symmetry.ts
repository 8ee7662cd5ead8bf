// SPDX-License-Identifier: GPL-2.0-only

/**
 * Which threads of a case are interchangeable: those whose steps are the same but for names that they themselves give,
 * if the whole case is the same with these names exchanged. Numbers count as they are: who maps elsewhere does
 * something else. What user space has of its own in each thread, the memory for arguments, is exchanged with them.
 */
import { PAGE_SIZE } from '../hw/memory.ts';
import { vma_lookup } from '../kernel/mm/mm_types.ts';
import { ABANDON, type Choice } from '../sim/choice.ts';
import { type AccessWatch, context } from '../sim/context.ts';
import { type Range, Symmetry } from '../sim/symmetry.ts';
import { ARGUMENT_BYTES, Thread } from '../user/process.ts';
import type { Case, CaseTask } from './case.ts';
import { stepMark } from './handover.ts';
import { runCase } from './run.ts';
import type { Condition, Outline } from './schema.ts';

export interface Alike {
  /** Null: they are not interchangeable, since the case claims of one what it does not claim of another. */
  readonly symmetry: Symmetry | null;
  readonly unlike: string | null;
  /** The names of the tasks, by orbit. */
  readonly tasks: readonly (readonly string[])[];
  /** Whether it says the same whoever of the tasks is who. */
  isSame(condition: Condition): boolean;
}

/** Names, each with the one in its place; both ways. */
type Exchange = ReadonlyMap<string, string>;

/** Null: no two are. Throws Unsupported, as runCase does. */
export function interchangeable(it: Case): Alike | null {
  const { outline } = it;
  const classes: { readonly first: CaseTask; readonly others: CaseTask[]; readonly exchanges: Exchange[] }[] =
    [];
  for (const task of it.tasks) {
    if (task.isDevice || task.steps.length === 0) continue;
    const found = classes.some(({ first, others, exchanges }) => {
      const exchange = exchangeOf(outline, first, task);
      if (exchange === null) return false;
      others.push(task);
      exchanges.push(exchange);
      return true;
    });
    if (!found) classes.push({ first: task, others: [], exchanges: [] });
  }
  const orbits = classes.filter(({ others }) => others.length > 0);
  if (orbits.length === 0) return null;
  const exchanges = orbits.flatMap((orbit) => orbit.exchanges);
  const members = orbits.map(({ first, others, exchanges: its }) => {
    const names = namesOf(outline, first);
    return [first, ...others].map((task, i) => ({
      task,
      names: names.map((name) => (i === 0 ? name : (its[i - 1]?.get(name) ?? name))),
    }));
  });
  const own = argumentsOf(it);
  const all = members.flat().map(({ task }) => own.get(task.name));
  const places = all.map((each) => each?.at);
  if (places.includes(undefined)) return null;
  const isApart = new Set(places).size === places.length;
  if (!isApart && new Set(places).size > 1) return null;
  const symmetry = new Symmetry(
    members.map((orbit) =>
      orbit.map(({ task, names }) => [
        ...names.flatMap((name) => [name, stepMark(name)]),
        own.get(task.name)?.vma ?? '',
      ]),
    ),
    isApart ? all.map((each): Range[] => rangesOf(each?.at ?? 0)) : [],
  );
  const { always = [], sometimes = [], never = [], end = [] } = outline.expect ?? {};
  const claims = [always, sometimes, never, [end].flat()];
  const unlike = claims.flatMap((list) => {
    const texts = new Set(list.map((claim) => canonical(claim)));
    return list.filter((claim) =>
      exchanges.some((exchange) => !texts.has(canonical(renamed(claim, exchange, true)))),
    );
  });
  return {
    symmetry: unlike.length === 0 ? symmetry : null,
    unlike: unlike[0] === undefined ? null : `of others the case does not claim ${JSON.stringify(unlike[0])}`,
    tasks: members.map((orbit) => orbit.map(({ task }) => task.name)),
    isSame: (condition) =>
      exchanges.every((exchange) => canonical(renamed(condition, exchange, true)) === canonical(condition)),
  };
}

/** Numbers by which memory is spoken of: its addresses, and the page. */
const rangesOf = (at: number): Range[] => [
  { from: at, length: Number(ARGUMENT_BYTES) },
  { from: at / PAGE_SIZE, length: 1 },
];

/** How two tasks take each other's place; null: then the case is another. */
function exchangeOf(outline: Outline, a: CaseTask, b: CaseTask): Exchange | null {
  const exchange = new Map<string, string>();
  const pair = (one: string, other: string): boolean => {
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      if ((exchange.get(from) ?? to) !== to) return false;
      exchange.set(from, to);
    }
    return true;
  };
  const [its, others] = [new Set(madeBy(a)), new Set(madeBy(b))];
  const isNamed = (one: string, other: string): boolean =>
    its.has(one) && others.has(other) && pair(one, other);
  if (!align(outline.tasks[a.name], outline.tasks[b.name], isNamed) || !pair(a.name, b.name)) return null;
  const [mine, yours] = [processOf(outline, a), processOf(outline, b)];
  if (mine !== yours && (mine === null || yours === null || !pair(mine, yours))) return null;
  const { platform, variant, bugs, processes, tasks, hardware, inject } = outline;
  const whole = { platform, variant, bugs, inject, processes, tasks: {}, hardware: {} };
  const steps = { ...tasks, ...hardware };
  const exchanged = Object.fromEntries(
    Object.entries(steps).map(([name, list]) => [exchange.get(name) ?? name, renamed(list, exchange, false)]),
  );
  const isSame =
    canonical(exchanged) === canonical(steps) &&
    canonical(renamed(whole, exchange, true)) === canonical(whole);
  return isSame ? exchange : null;
}

/** What a task's steps name. */
const madeBy = ({ steps }: CaseTask): string[] =>
  steps.flatMap(({ makes, label }) => [
    ...makes.map(({ name }) => name),
    ...(label === undefined ? [] : [label]),
  ]);

/** All that stands for a task: itself, what it names, and a process of its own. */
function namesOf(outline: Outline, task: CaseTask): string[] {
  const process = processOf(outline, task);
  const isOwn = process !== null && outline.processes?.[process]?.threads.length === 1;
  const names = [task.name, ...madeBy(task), ...(isOwn ? [process] : [])];
  return [...new Set(names)];
}

function processOf({ processes = {} }: Outline, task: CaseTask): string | null {
  return Object.keys(processes).find((name) => processes[name]?.threads.includes(task.name)) ?? null;
}

const WORD = /([A-Za-z_][\w-]*)/;

/** Whether two steps, or parts of them, are the same but for words that `isNamed` takes for each other. */
function align(x: unknown, y: unknown, isNamed: (one: string, other: string) => boolean): boolean {
  if (typeof x === 'string' && typeof y === 'string') {
    const [these, those] = [x.split(WORD), y.split(WORD)];
    return (
      these.length === those.length &&
      these.every((part, i) => {
        const other = those[i] ?? '';
        return part === other || (i % 2 === 1 && isNamed(part, other));
      })
    );
  }
  if (!isObject(x) || !isObject(y)) return x === y;
  const keys = Object.keys(x);
  return (
    Array.isArray(x) === Array.isArray(y) &&
    keys.length === Object.keys(y).length &&
    keys.every((key) => Object.hasOwn(y, key) && align(x[key], y[key], isNamed))
  );
}

/** With names exchanged in text; in keys too, where those are names. */
function renamed(x: unknown, exchange: Exchange, keys: boolean): unknown {
  const rename = (s: string): string =>
    s
      .split(WORD)
      .map((part) => exchange.get(part) ?? part)
      .join('');
  if (typeof x === 'string') return rename(x);
  if (Array.isArray(x)) return x.map((part) => renamed(part, exchange, keys));
  if (!isObject(x)) return x;
  return Object.fromEntries(
    Object.entries(x).map(([key, part]) => [keys ? rename(key) : key, renamed(part, exchange, keys)]),
  );
}

/** Lists whose order means nothing. */
const UNORDERED: ReadonlySet<string> = new Set(['threads', 'any', 'all']);

/** The same text for what means the same. */
function canonical(x: unknown, at = ''): string {
  if (Array.isArray(x)) {
    const parts = x.map((part) => canonical(part));
    return `[${(UNORDERED.has(at) ? parts.sort() : parts).join()}]`;
  }
  if (!isObject(x)) return JSON.stringify(x) ?? 'null';
  const entries = Object.entries(x).filter(([, part]) => part !== undefined);
  return `{${entries
    .map(([key, part]) => `${JSON.stringify(key)}:${canonical(part, key)}`)
    .sort()
    .join()}}`;
}

const isObject = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null;

/** By thread: where its arguments are, and what the mapping is called. */
function argumentsOf(it: Case): Map<string, { readonly at: number; readonly vma: string }> {
  const watch: AccessWatch = { read: () => {}, write: () => {} };
  const choose = ({ fallback }: Choice): number => (context.watch === watch ? ABANDON : fallback);
  const { machine } = runCase(it, {
    schedule: { policy: { choose, everyStep: true }, misfit: () => null },
    watch,
  });
  const found = new Map<string, { readonly at: number; readonly vma: string }>();
  for (const thread of machine.objects) {
    if (!(thread instanceof Thread) || thread.process.mm === null) continue;
    const at = Number(thread.arguments);
    const vma = vma_lookup(thread.process.mm, at / PAGE_SIZE);
    if (vma !== null) found.set(thread.name, { at, vma: vma.name });
  }
  return found;
}
