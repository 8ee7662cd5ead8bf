// SPDX-License-Identifier: GPL-2.0-only

/** docs/case-language.md: the case language to read, out of the definition that validates. */
import * as z from 'zod';
import { FAULTS } from '../hw/iommu.ts';
import { FINDINGS, isFinding, REPORTED } from './findings.ts';
import { caseSchema, condition } from './schema.ts';
import { deviceKeys, taskKeys, type Verb } from './step.ts';
import { deviceVerbs, taskVerbs } from './verbs/index.ts';

interface Node {
  readonly type?: string | undefined;
  readonly description?: string | undefined;
  readonly properties?: Readonly<Record<string, Node>> | undefined;
  readonly required?: readonly string[] | undefined;
  readonly items?: Node | undefined;
  readonly additionalProperties?: Node | boolean | undefined;
  readonly anyOf?: readonly Node[] | undefined;
  readonly allOf?: readonly Node[] | undefined;
  readonly enum?: readonly unknown[] | undefined;
  readonly const?: unknown;
  readonly $ref?: string | undefined;
  readonly $defs?: Readonly<Record<string, Node>> | undefined;
}

const node: z.ZodType<Node> = z.lazy(() =>
  z.object({
    type: z.string().optional(),
    description: z.string().optional(),
    properties: z.record(z.string(), node).optional(),
    required: z.array(z.string()).optional(),
    items: node.optional(),
    additionalProperties: z.union([z.boolean(), node]).optional(),
    anyOf: z.array(node).optional(),
    allOf: z.array(node).optional(),
    enum: z.array(z.unknown()).optional(),
    const: z.unknown().optional(),
    $ref: z.string().optional(),
    $defs: z.record(z.string(), node).optional(),
  }),
);

function read(schema: z.ZodType): Node {
  const root = node.parse(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
  return root.$defs?.[root.$ref?.replace('#/$defs/', '') ?? ''] ?? root;
}

/** The whole page. */
export function languagePage(): string {
  const whole = read(caseSchema(z.unknown(), z.unknown()));
  return `${[
    '# The case language',
    'Generated from its definition by `vfio-oracle schema --page`; do not edit. An editor that knows JSON Schema',
    'completes and explains all of this in a file whose `"$schema"` names `case.schema.json`.',
    '',
    'A case is JSON with comments and trailing commas. `vfio-oracle new area/name` writes one to start from.',
    '',
    '- **Names.** What a call makes has the name that `"as"` gives it; other steps use it, whichever task they are of.',
    '  A step that uses what another task makes waits until it is made. `buf+0x1000` is an address within a buffer.',
    '- **Numbers.** `4096`, `"0x1000"`, `"4K"` are the same. Constants of the user API stand by name; flags are a list.',
    '- **Results.** A step must succeed unless it says otherwise.',
    '',
    '## A case',
    ...keysOf(whole),
    ...sections(whole, '###', ''),
    '',
    '## Conditions',
    read(condition).description ?? '',
    '',
    ...keysOf(read(condition)),
    '',
    'What must be there can also be said by an object:',
    '',
    ...objectsOf(additional(read(condition))).flatMap(keysOf),
    '',
    '## Steps of tasks',
    'The verb is the first key. Besides its own keys every step can have these:',
    '',
    ...keysOf(read(z.object(taskKeys()))),
    ...taskVerbs.flatMap((verb) => verbSection(verb, taskKeys())),
    ...(deviceVerbs.length === 0
      ? []
      : [
          '',
          '## Steps of devices',
          'What a device of `hardware` does by itself. Besides its own keys every step can have these:',
          '',
          ...keysOf(read(z.object(deviceKeys()))),
          '',
          'The IOMMU refuses an access at the first byte that it does not let through, by a fault:',
          '',
          ...Object.entries(FAULTS).map(([word, why]) => `- \`${word}\`: ${why}.`),
          ...deviceVerbs.flatMap((verb) => verbSection(verb, deviceKeys())),
        ]),
    '',
    '## What checkers find',
    'Words for `never`, `always` and `sometimes`. What is found and not announced by `always` or `sometimes` fails the',
    'case. Those marked * are accepted, and not looked for yet.',
    '',
    ...Object.entries(FINDINGS).map(
      ([word, what]) => `- \`${word}\`${isFinding(word) && REPORTED.has(word) ? '' : ' *'}: ${what}`,
    ),
  ].join('\n')}\n`;
}

function verbSection(verb: Verb, common: object): string[] {
  const schema = read(verb.schema());
  const own = Object.fromEntries(
    Object.entries(schema.properties ?? {}).filter(([key]) => !(key in common) && key !== 'as'),
  );
  return [
    '',
    `### ${verb.verb}`,
    `${verb.about}${verb.canMake ? ' Takes `as`.' : ''}`,
    '```jsonc',
    verb.example,
    '```',
    ...keysOf({ properties: own, ...(schema.required === undefined ? {} : { required: schema.required }) }),
  ];
}

/** A line a key. */
function keysOf({ properties = {}, required = [] }: Node): string[] {
  return Object.entries(properties).map(([key, value]) => {
    const kind = kindOf(value);
    const must = required.includes(key) ? ', required' : '';
    return `- \`${key}\`${kind === '' ? must.slice(2) && ` (${must.slice(2)})` : ` (${kind}${must})`}: ${value.description ?? ''}`;
  });
}

/** The parts that have keys of their own, and their parts. */
function sections(whole: Node, mark: string, path: string): string[] {
  return Object.entries(whole.properties ?? {}).flatMap(([key, value]) => {
    const objects = objectsOf(value);
    if (objects.length === 0) return [];
    const at = path === '' ? key : `${path}.${key}`;
    const inner = objects.flatMap((each) => sections(each, '####', at));
    return ['', `${mark} ${at}`, value.description ?? '', '', ...objects.flatMap(keysOf), ...inner];
  });
}

const additional = ({ additionalProperties }: Node): Node =>
  typeof additionalProperties === 'object' ? additionalProperties : {};

/** The objects with keys in a value, however it is wrapped. */
function objectsOf(value: Node): Node[] {
  if (value.properties !== undefined) return [value];
  const parts = [
    ...(value.anyOf ?? []),
    ...(value.allOf ?? []),
    ...(value.items === undefined ? [] : [value.items]),
  ];
  if (typeof value.additionalProperties === 'object') parts.push(value.additionalProperties);
  return parts.flatMap(objectsOf);
}

const FEW = 9;

const REFS: Readonly<Record<string, string>> = {
  result: 'errno or 0',
  fault: 'fault or 0',
  ending: 'errno, fault or 0',
};

function kindOf(value: Node): string {
  if (value.enum !== undefined)
    return value.enum.length > FEW ? 'one word' : value.enum.map((each) => `\`${String(each)}\``).join(', ');
  if (value.const !== undefined) return `\`${String(value.const)}\``;
  if (value.items !== undefined) return `list of ${kindOf(value.items) || 'values'}`;
  const parts = [...(value.anyOf ?? []), ...(value.allOf ?? [])];
  if (parts.length > 0) return [...new Set(parts.map(kindOf).filter((each) => each !== ''))].join(' or ');
  if (value.$ref !== undefined) {
    const word = value.$ref.replace(/^.*\//, '');
    return REFS[word] ?? word;
  }
  if (value.type === 'object') return 'object';
  return (
    { string: 'text', integer: 'number', boolean: 'true or false', null: 'null' }[value.type ?? ''] ?? ''
  );
}
