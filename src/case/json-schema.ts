// SPDX-License-Identifier: GPL-2.0-only

/** `case.schema.json`: the case language for editors, out of the definition that validates. */
import * as z from 'zod';
import { caseSchema } from './schema.ts';
import type { Verb } from './step.ts';
import { deviceVerbs, taskVerbs } from './verbs/index.ts';

const anyOf = (verbs: readonly Verb[]): z.ZodType =>
  verbs.length === 0
    ? z.never()
    : z.union(verbs.map((verb) => verb.schema().meta({ id: `step-${verb.verb}` })));

/** The JSON Schema of a case file, as text. */
export function jsonSchemaText(): string {
  const schema = z.toJSONSchema(caseSchema(anyOf(taskVerbs), anyOf(deviceVerbs)), {
    target: 'draft-7', // what editors know best
    io: 'input',
    unrepresentable: 'any',
  });
  return `${JSON.stringify({ title: 'A case of vfio-oracle', ...schema }, null, 2)}\n`;
}
