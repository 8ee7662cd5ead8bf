// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../sim/machine.ts';
/** Whether a condition holds in the state that a run has come to. */
import { Observed } from '../sim/observed.ts';
import { declaredStructs } from '../sim/struct.ts';
import { Task } from '../sim/task.ts';
import { hexOf } from './bytes.ts';
import { Mark } from './handover.ts';
import type { Run } from './run.ts';
import type { Comparison, Condition, PlainValue } from './schema.ts';
import { type Answer, endOf } from './step.ts';
import { didYouMean } from './suggest.ts';
import { bytesOf, parseNumber } from './words.ts';

/** Whether it holds; with what was found instead, or why that cannot be said. */
export type Judgement =
  | { readonly holds: true }
  | { readonly holds: false; readonly found: string }
  | { readonly holds: null; readonly why: string };

const YES: Judgement = { holds: true };
const OWN_KEYS: ReadonlySet<string> = new Set(['at', 'results', 'data', 'all', 'any', 'not']);

/** Judges a condition in the state that the run is in. */
export function judge(condition: Condition, run: Run): Judgement {
  const parts: Judgement[] = [
    ...Object.entries(condition.results ?? {}).map(([label, wanted]) =>
      judgeResult(label, [wanted].flat(), run),
    ),
    ...Object.entries(condition.data ?? {}).map(([label, wanted]) => judgeData(label, bytesOf(wanted), run)),
    ...(condition.all ?? []).map((each) => judge(each, run)),
    ...(condition.any === undefined ? [] : [judgeAny(condition.any, run)]),
    ...(condition.not === undefined ? [] : [negate(judge(condition.not, run))]),
    ...Object.entries(condition).flatMap(([path, wanted]) =>
      OWN_KEYS.has(path) || !isComparison(wanted) ? [] : [judgePath(path, wanted, run.machine)],
    ),
  ];
  return parts.find((part) => part.holds === null) ?? parts.find((part) => part.holds === false) ?? YES;
}

/** What stands at a path, by the type of the catch-all of a condition. */
const isComparison = (value: unknown): value is Comparison => value !== undefined && !Array.isArray(value);

function judgeAny(conditions: readonly Condition[], run: Run): Judgement {
  const parts = conditions.map((each) => judge(each, run));
  if (parts.some((part) => part.holds === true)) return YES;
  return parts.find((part) => part.holds === null) ?? parts[0] ?? YES;
}

function negate(judgement: Judgement): Judgement {
  if (judgement.holds === null) return judgement;
  return judgement.holds ? { holds: false, found: 'it holds' } : YES;
}

const answerOf = (label: string, { results }: Run): Answer | null =>
  results.find(({ step }) => step.label === label)?.answer ?? null;

function judgeResult(label: string, wanted: readonly (string | 0)[], run: Run): Judgement {
  const answer = answerOf(label, run);
  if (answer === null) return { holds: false, found: `step ${label} was not run` };
  const end = endOf(answer);
  if (wanted.some((each) => String(each) === end)) return YES;
  return { holds: false, found: `step ${label} ended with ${end === '0' ? 'success' : end}` };
}

function judgeData(label: string, wanted: Uint8Array, run: Run): Judgement {
  const answer = answerOf(label, run);
  if (answer === null) return { holds: false, found: `step ${label} was not run` };
  const { data } = answer;
  if (data === undefined) return { holds: false, found: `step ${label} got no bytes` };
  const isSame = data.length === wanted.length && data.every((byte, i) => byte === wanted[i]);
  return isSame ? YES : { holds: false, found: `step ${label} got ${hexOf(data)}` };
}

function judgePath(path: string, wanted: Comparison, machine: Machine): Judgement {
  const got = valueAt(path, machine);
  if ('why' in got) return { holds: null, why: got.why };
  const { value, text } = got;
  const is = (plain: PlainValue): boolean => same(plain, value, text);
  const found = { holds: false, found: `${path} is ${text}` } as const;
  if (typeof wanted !== 'object' || wanted === null) return is(wanted) ? YES : found;
  const number = typeof value === 'bigint' || typeof value === 'number' ? value : null;
  const compare = (
    limit: number | undefined,
    test: (n: number | bigint, limit: number) => boolean,
  ): boolean => limit === undefined || (number !== null && test(number, limit));
  const holds =
    (wanted.not === undefined || !is(wanted.not)) &&
    (wanted.in === undefined || wanted.in.some(is)) &&
    compare(wanted.lt, (n, limit) => n < limit) &&
    compare(wanted.le, (n, limit) => n <= limit) &&
    compare(wanted.gt, (n, limit) => n > limit) &&
    compare(wanted.ge, (n, limit) => n >= limit);
  return holds ? YES : found;
}

function same(wanted: PlainValue, value: unknown, text: string): boolean {
  if (wanted === null) return value === null;
  if (typeof wanted === 'boolean') return value === wanted;
  const number = typeof wanted === 'number' ? BigInt(wanted) : parseNumber(wanted);
  if (number !== null) {
    return typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))
      ? BigInt(value) === number
      : false;
  }
  return text === wanted;
}

type Found = { readonly value: unknown; readonly text: string } | { readonly why: string };

const ELEMENT = /^([A-Za-z_$][\w-]*)?((?:\[[^\]]*\])*)$/;

/** What stands at the end of a path; null, the value, for an object that was freed or never made. */
function valueAt(path: string, machine: Machine): Found {
  const [first = '', ...rest] = path.split('.');
  let at: unknown = living(first, machine);
  let text = at instanceof Observed ? at.name : 'null';
  let walked = first;
  for (const element of rest) {
    if (!(at instanceof Observed)) {
      return { why: `${path}: ${walked} is ${text}, which has no fields` };
    }
    const key = ELEMENT.exec(element)?.[1];
    const fields = fieldsOf(at);
    const field = key === undefined ? undefined : fields.get(key);
    if (key === undefined || field === undefined) {
      const hint = didYouMean(element, fields.keys());
      return { why: `${path}: ${walked} has no field '${element}'${hint === undefined ? '' : `; ${hint}`}` };
    }
    at = field.value;
    text = field.text;
    walked += `.${element}`;
  }
  // A counter is all there is to its object: the object stands for the count.
  if (at instanceof Observed) {
    const itself = [...fieldsOf(at).values()].find((field) => field.itself);
    if (itself !== undefined) return itself;
  }
  return { value: at, text };
}

/** What the case itself has beside the machine: its waits, and what its devices do, go by names of others. */
const isOfCase = (object: Observed): boolean => object instanceof Mark || object.constructor === Task;

function living(name: string, { objects }: Machine): Observed | null {
  const found = objects.findLast((object) => object.name === name && !isOfCase(object));
  return found === undefined || found.$allocation.$freed ? null : found;
}

interface FieldValue {
  readonly value: unknown;
  readonly text: string;
  readonly itself: boolean;
}

/** The declared fields of an object, those of its base structs included. */
function fieldsOf(object: Observed): Map<string, FieldValue> {
  const fields = new Map<string, FieldValue>();
  const classes = new Set<string>();
  for (
    let at: unknown = object.constructor;
    typeof at === 'function' && at !== Observed;
    at = Object.getPrototypeOf(at)
  ) {
    classes.add(at.name);
  }
  const values = new Map<string, unknown>();
  for (const { name, fields: declared } of declaredStructs()) {
    if (!classes.has(name)) continue;
    for (const [key, field] of Object.entries(declared)) {
      if (!values.has(key)) values.set(key, Reflect.get(object, key));
      const value = values.get(key);
      const text = field.member ? (value instanceof Observed ? value.name : key) : field.show(value);
      fields.set(key, { value, text, itself: !field.member && field.itself === true });
    }
  }
  return fields;
}
