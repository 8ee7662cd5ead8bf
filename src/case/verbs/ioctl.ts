// SPDX-License-Identifier: GPL-2.0-only
import * as z from 'zod';
import { ioctlByName } from '../../uapi/ioctls.ts';
import { type Buffer, type IoctlCall, makesOf, type Placed, prepareIoctl } from '../ioctl-call.ts';
import type { Path } from '../jsonc.ts';
import type { SameAs } from '../scope.ts';
import { type Making, type Verb, verb } from '../step.ts';
import { data, flags, operand } from '../words.ts';

export const ioctl = verb({
  verb: 'ioctl',
  about:
    'ioctl(2) with the names of the user API itself. The struct lies in the memory of the program; its size field ' +
    '(size or argsz) is filled in unless it is given.',
  example:
    '{ "ioctl": "IOMMU_OPTION", "on": "iommufd", "with": { "option_id": "IOMMU_OPTION_RLIMIT_MODE" }, "errno": "EPERM" }',
  shape: () => ({
    ioctl: z
      .union(
        [z.enum([...ioctlByName.keys()]), z.string().max(60), z.int()],
        'expected the name of an ioctl, or a number',
      )
      .describe('The name of the ioctl, or the number of one that does not exist.'),
    on: operand().describe('The descriptor.'),
    with: z
      .record(z.string(), flags())
      .optional()
      .describe(
        'Fields of the struct: a number, a name, a constant, or a list of flags each. The others are 0.',
      ),
    tail: data()
      .optional()
      .describe('Bytes that follow the struct, for an argument longer than the kernel knows.'),
    arg: operand()
      .optional()
      .describe('The argument itself: an address at which the struct is put, or any number without "with".'),
  }),
  makes: (step) => makesOf(step.ioctl, step.on, (field) => step.with?.[field]),
  prepare: ({ with: fields, ...step }, scope) => {
    if (fields === undefined) return prepareIoctl(step, scope);
    const placed = Object.entries(fields).map(([field, value]): [string, Placed] => [
      field,
      [['with', field], value],
    ]);
    return prepareIoctl({ ...step, with: Object.fromEntries(placed) }, scope);
  },
});

interface Owners<O> {
  /** The descriptor that an id belongs to, as far as is known yet. */
  ownerOf(path: Path, id: string | number): O;
}

interface Sugar<S extends z.ZodRawShape> {
  readonly verb: string;
  readonly about: string;
  readonly example: string;
  /** The ioctl that it stands for. */
  readonly ioctl: string;
  shape(): S;
  /** The descriptor. */
  on<O>(step: z.infer<z.ZodObject<S>>, scope: Owners<O>): string | number | O;
  /** The fields of the struct, each with its place in the step. */
  with(step: z.infer<z.ZodObject<S>>): Readonly<Record<string, Placed>>;
  /** Bytes of the step that a field points to. */
  buffer?(step: z.infer<z.ZodObject<S>>): Buffer | undefined;
}

/** Declares a short word for an ioctl. What it makes, its trace and its checks are the ioctl's. */
export function short<S extends z.ZodRawShape>(sugar: Sugar<S>): Verb {
  const canMake = makesOf(sugar.ioctl, 0, () => undefined).length > 0;
  const later = { ownerOf: (_: Path, id: string | number): SameAs => ({ sameAs: String(id) }) };
  const makes = (step: z.infer<z.ZodObject<S>>): Making[] =>
    makesOf(sugar.ioctl, sugar.on(step, later), (field) => sugar.with(step)[field]?.[1]);
  return verb<S>({
    verb: sugar.verb,
    about: `${sugar.about} (\`${sugar.ioctl}\`)`,
    example: sugar.example,
    shape: () => sugar.shape(),
    ...(canMake ? { makes } : {}),
    prepare: (step, scope) => {
      const on = sugar.on(step, scope) ?? 0;
      const [key = 'on'] = Object.entries(step).find(([, value]) => value === on) ?? [];
      const call: IoctlCall = {
        ioctl: sugar.ioctl,
        on,
        onPath: [key],
        with: sugar.with(step),
        buffer: sugar.buffer?.(step),
      };
      return prepareIoctl(call, scope);
    },
  });
}
