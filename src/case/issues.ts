// SPDX-License-Identifier: GPL-2.0-only

/** What the validator found, in our words and at its place. */
import type { Node } from 'jsonc-parser';
import * as z from 'zod';
import { keyAt, nodeAt, type Path, span } from './jsonc.ts';
import { MOST_PROBLEMS, type Problem } from './place.ts';
import { didYouMean, nearest } from './suggest.ts';

type Issue = z.core.$ZodIssue;

/** Where a value was checked: in the tree at `base`, against `schema`. */
export interface Checked {
  readonly root: Node;
  readonly base: Path;
  readonly schema: z.ZodType;
}

/** The problems behind a failed parse. */
export function problemsOf(issues: readonly Issue[], checked: Checked): Problem[] {
  const flat = issues.slice(0, MOST_PROBLEMS).flatMap((issue) => narrow(issue, []));
  const unknown = new Map(
    flat.flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys
            .slice(0, MOST_PROBLEMS)
            .map((key) => [`${where(issue)}\0${nearest(key, keysAt(checked, pathOf(issue)))}`, key])
        : [],
    ),
  );
  return flat.flatMap((issue) => {
    // A key that is missing because it is misspelt is told once, at the misspelling.
    const parent = issue.path.slice(0, -1).join('\0');
    if (isMissing(issue, checked) && unknown.has(`${parent}\0${String(issue.path.at(-1))}`)) return [];
    return problemOf(issue, checked);
  });
}

const where = (issue: Issue): string => issue.path.join('\0');
const pathOf = (issue: Issue): Path => issue.path.map((key) => (typeof key === 'number' ? key : String(key)));

/** Of a union, the one alternative that was meant, where the shape of the value says which. */
function narrow(issue: Issue, prefix: readonly PropertyKey[]): Issue[] {
  const full: Issue = { ...issue, path: [...prefix, ...issue.path] };
  if (issue.code !== 'invalid_union') return [full];
  const meant = issue.errors.filter(
    (branch) => !branch.some((each) => each.path.length === 0 && RULED_OUT.has(each.code)),
  );
  const only = meant.length === 1 ? meant[0] : undefined;
  return only === undefined ? [full] : only.flatMap((each) => narrow(each, full.path));
}

const RULED_OUT: ReadonlySet<string> = new Set(['invalid_type', 'invalid_value']);

function isMissing(issue: Issue, { root, base }: Checked): boolean {
  const path = [...base, ...pathOf(issue)];
  const last = path.at(-1);
  const object = nodeAt(root, path.slice(0, -1));
  return (
    last !== undefined &&
    object.type === 'object' &&
    issue.code !== 'unrecognized_keys' &&
    !(object.children ?? []).some((property) => property.children?.[0]?.value === last)
  );
}

function problemOf(issue: Issue, checked: Checked): Problem[] {
  const { root, base } = checked;
  const path = [...base, ...pathOf(issue)];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.slice(0, MOST_PROBLEMS).map((key) => {
      const hint = didYouMean(key, keysAt(checked, pathOf(issue)));
      return problem(span(keyAt(root, [...path, key])), `unknown key '${key}'`, hint);
    });
  }
  if (issue.code === 'invalid_key') {
    return [problem(span(keyAt(root, path)), issue.issues[0]?.message ?? issue.message)];
  }
  const about = descriptionAt(checked, pathOf(issue));
  if (isMissing(issue, checked)) {
    const object = nodeAt(root, path.slice(0, -1));
    return [problem(span(object), `the key '${String(path.at(-1))}' is missing`, about)];
  }
  const node = nodeAt(root, path);
  const [message, hint] = sentence(issue, node);
  return [problem(span(node), message, hint ?? about)];
}

function problem(at: { offset: number; length: number }, message: string, hint?: string): Problem {
  return hint === undefined ? { ...at, message } : { ...at, message, hint };
}

const STANDARD = /^(Invalid|Too )/;

function sentence(issue: Issue, node: Node): [message: string, hint?: string | undefined] {
  // Said by the schema itself, where a standard phrase would not do.
  if (!STANDARD.test(issue.message)) return [issue.message];
  switch (issue.code) {
    case 'invalid_type':
      return [`expected ${KINDS[issue.expected] ?? issue.expected}, found ${found(node)}`];
    case 'invalid_value': {
      const words = issue.values.map(String);
      const hint = typeof node.value === 'string' ? didYouMean(node.value, words) : undefined;
      return [`expected ${listed(words)}, found ${found(node)}`, hint];
    }
    case 'too_big':
      return [`${found(node)} is ${TOO_MUCH[issue.origin] ?? 'too much'}: expected at most ${issue.maximum}`];
    case 'too_small':
      return [
        `${found(node)} is ${TOO_LITTLE[issue.origin] ?? 'too little'}: expected at least ${issue.minimum}`,
      ];
    case 'invalid_union': {
      const wanted = new Set(issue.errors.flat().flatMap(expectations));
      const words = [...wanted];
      const hint = typeof node.value === 'string' ? didYouMean(node.value, words) : undefined;
      return [
        words.length > 12
          ? `${found(node)} is none of the known words`
          : `expected ${listed(words)}, found ${found(node)}`,
        hint,
      ];
    }
    default:
      return [issue.message];
  }
}

/** What one alternative of a union would have taken. */
function expectations(issue: Issue): string[] {
  if (issue.path.length > 0) return [];
  if (issue.code === 'invalid_type') return [KINDS[issue.expected] ?? issue.expected];
  if (issue.code === 'invalid_value') return issue.values.map(String);
  return issue.code === 'invalid_union' ? issue.errors.flat().flatMap(expectations) : [];
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list [ … ]',
  object: 'an object { … }',
  record: 'an object { … }',
  null: 'null',
};

const TOO_MUCH: Readonly<Record<string, string>> = {
  string: 'too long',
  array: 'too many',
  number: 'out of range',
  int: 'out of range',
};
const TOO_LITTLE: Readonly<Record<string, string>> = {
  string: 'too short',
  array: 'too few',
  number: 'out of range',
  int: 'out of range',
};

function found(node: Node): string {
  if (node.type === 'object') return 'an object';
  if (node.type === 'array') return `a list of ${node.children?.length ?? 0}`;
  const text = JSON.stringify(node.value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function listed(words: readonly string[]): string {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** The JSON Schema nodes that describe a path: several where a union leaves it open. */
function schemasAt({ schema }: Checked, path: Path): JsonSchema[] {
  const root = jsonSchemaOf(schema);
  let at = alternatives(root, root);
  for (const step of path) {
    at = at.flatMap((each) => child(each, step)).flatMap((each) => alternatives(each, root));
  }
  return at;
}

const jsonSchemas = new WeakMap<z.ZodType, JsonSchema>();

function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const known = jsonSchemas.get(schema);
  if (known !== undefined) return known;
  const made = jsonSchema.parse(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
  jsonSchemas.set(schema, made);
  return made;
}

function child(schema: JsonSchema, step: string | number): JsonSchema[] {
  if (typeof step === 'number') return schema.items === undefined ? [] : [schema.items];
  const named = schema.properties?.[step];
  if (named !== undefined) return [named];
  return typeof schema.additionalProperties === 'object' ? [schema.additionalProperties] : [];
}

interface JsonSchema {
  readonly description?: string | undefined;
  readonly properties?: Readonly<Record<string, JsonSchema>> | undefined;
  readonly items?: JsonSchema | undefined;
  readonly additionalProperties?: JsonSchema | boolean | undefined;
  readonly anyOf?: readonly JsonSchema[] | undefined;
  readonly allOf?: readonly JsonSchema[] | undefined;
  readonly $ref?: string | undefined;
  readonly $defs?: Readonly<Record<string, JsonSchema>> | undefined;
}

const jsonSchema: z.ZodType<JsonSchema> = z.lazy(() =>
  z.object({
    description: z.string().optional(),
    properties: z.record(z.string(), jsonSchema).optional(),
    items: jsonSchema.optional(),
    additionalProperties: z.union([z.boolean(), jsonSchema]).optional(),
    anyOf: z.array(jsonSchema).optional(),
    allOf: z.array(jsonSchema).optional(),
    $ref: z.string().optional(),
    $defs: z.record(z.string(), jsonSchema).optional(),
  }),
);

function alternatives(schema: JsonSchema, root: JsonSchema): JsonSchema[] {
  const meant = schema.$ref === undefined ? undefined : root.$defs?.[schema.$ref.replace('#/$defs/', '')];
  const parts = [...(schema.anyOf ?? []), ...(schema.allOf ?? []), ...(meant === undefined ? [] : [meant])];
  return [schema, ...parts.flatMap((each) => alternatives(each, root))];
}

const keysAt = (checked: Checked, path: Path): string[] =>
  schemasAt(checked, path).flatMap((each) => Object.keys(each.properties ?? {}));

const descriptionAt = (checked: Checked, path: Path): string | undefined =>
  schemasAt(checked, path).find((each) => each.description !== undefined)?.description;
