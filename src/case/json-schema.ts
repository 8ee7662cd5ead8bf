// SPDX-License-Identifier: GPL-2.0-only

/** `case.schema.json`: the case language for editors, out of the definition that validates. */
import * as z from 'zod';
import { caseSchema } from './schema.ts';
import type { Verb } from './step.ts';
import { deviceVerbs, taskVerbs } from './verbs/index.ts';

const verbOf = new WeakMap<object, Verb>();

function anyOf(verbs: readonly Verb[]): z.ZodType {
  const schemas = verbs.map((verb) => {
    const schema = verb.schema().meta({ id: `step-${verb.verb}` });
    verbOf.set(schema, verb);
    return schema;
  });
  return schemas.length === 0 ? z.never() : z.union(schemas);
}

/** The JSON Schema of a case file, as text. */
export function jsonSchemaText(): string {
  const schema = z.toJSONSchema(caseSchema(anyOf(taskVerbs), anyOf(deviceVerbs)), {
    target: 'draft-7', // what editors know best
    io: 'input',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      const verb = verbOf.get(zodSchema);
      const key = verb === undefined ? undefined : jsonSchema.properties?.[verb.verb];
      // Who completes or hovers over a verb wants to know what it does.
      if (verb !== undefined && typeof key === 'object')
        key.description = `${verb.about} ${key.description ?? ''}`;
    },
  });
  return `${JSON.stringify({ title: 'A case of vfio-oracle', ...schema }, null, 2)}\n`;
}
