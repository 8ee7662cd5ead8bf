// SPDX-License-Identifier: GPL-2.0-only

import type { Node } from 'jsonc-parser';
/**
 * What a verb of the case language is. A verb is one entry in verbs/: its keys with a sentence each, and what
 * they come to. Schema, documentation, checks and the table follow from that.
 */
import * as z from 'zod';
import type { Fault } from '../hw/iommu.ts';
import type { Gen } from '../sim/task.ts';
import { nameOfErrno } from './constants.ts';
import { problemsOf } from './issues.ts';
import type { Path } from './jsonc.ts';
import { once } from './once.ts';
import type { Names, Operand } from './operand.ts';
import type { MadeKind, Owner, Scope, StepScope } from './scope.ts';
import { didYouMean } from './suggest.ts';
import { fault, name, operand, result } from './words.ts';

/** What a call of user space gave, or what became of what a device did. */
export interface Answer {
  /** What the kernel returned: a value, or a negative errno. Of a device: how many bytes it moved. */
  readonly ret: bigint;
  /** Why the IOMMU stopped the device. */
  readonly fault?: Fault;
  /** The bytes that came. */
  readonly data?: Uint8Array;
  /** Fields of the struct as they are afterwards. */
  readonly out?: ReadonlyMap<string, bigint>;
  /** Those that the kernel changed, or that are there to tell something. */
  readonly told?: readonly string[];
  /** The descriptor that ids in the struct belong to. */
  readonly on?: string;
  /** What is told of the answer beside `ret` and `out`. */
  readonly text?: string;
  /** Why the answer is not what the step says; the verb's own expectations. */
  readonly mismatch?: string;
}

/** How a step ended, in the word by which cases speak of it: `0`, the name of an errno or of a fault. */
export const endOf = ({ ret, fault }: Answer): string =>
  fault ?? (ret < 0n ? nameOfErrno(Number(-ret)) : '0');

/** Something that a step makes, which `as` gives a name to. */
export interface Making {
  /** `ret`, or the field of the struct that tells it. */
  readonly from: string;
  readonly kind: MadeKind;
  /** For an id: the descriptor that it is an id of; for a descriptor: the one that it was got by. */
  readonly on?: Owner | undefined;
  /** For memory of the program: its length, so that addresses within it are shown by its name. */
  readonly length?: bigint;
  /** It is a device, which can do something by itself. */
  readonly isDevice?: true;
}

/** A step that was found to be well-formed. */
export interface Prepared {
  /** The call as the trace shows it: `ioctl(iommufd, IOMMU_IOAS_ALLOC)`. */
  readonly text: string;
  call(names: Names): Gen<Answer>;
  /** What the kernel's objects will be called that stand for what is named: roles and names, in order. */
  objects?(as: ReadonlyMap<string, string>): readonly (readonly [role: string, name: string])[];
  /** The field of that name, for `out` to speak of; absent: there is no struct. */
  field?(name: string): string | undefined;
  /** All fields, for a hint. */
  readonly fields?: readonly string[];
  /** The ioctl that it makes, for `list --ioctl`. */
  readonly ioctl?: string;
  /** The task that it begins. */
  readonly forks?: string;
}

interface Spec<S extends z.ZodRawShape> {
  readonly verb: string;
  /** One or two sentences: what it does. */
  readonly about: string;
  /** A step that shows it. */
  readonly example: string;
  /** Nothing can come after it. */
  readonly isLast?: true;
  /** Its keys, the verb itself first. Called once, when the first step with this verb is met. */
  shape(): S;
  makes?(step: z.infer<z.ZodObject<S>>): readonly Making[];
  prepare(step: z.infer<z.ZodObject<S>>, scope: StepScope): Prepared;
}

/** What a step expects of its answer. */
export interface Expectation {
  /** Ends that are fine. Null: any. */
  readonly ends: ReadonlySet<string> | null;
  readonly ret: Operand | null;
  readonly out: ReadonlyMap<string, Operand>;
}

/** A step once its keys are read. */
export interface ReadStep {
  readonly label: string | undefined;
  /** Labels of the steps that it comes after. */
  readonly after: readonly string[];
  /** What it makes, and the name of each that `as` names. */
  readonly makes: readonly (Making & { readonly name: string; readonly path: Path })[];
  prepare(scope: StepScope): Prepared;
  expectation(scope: StepScope, prepared: Prepared): Expectation;
}

export interface Verb {
  readonly verb: string;
  readonly about: string;
  readonly example: string;
  readonly canMake: boolean;
  readonly isLast: boolean;
  schema(): z.ZodObject;
  /** Reads a step; null after telling what is wrong with it. */
  read(value: unknown, root: Node, path: Path, scope: Scope): ReadStep | null;
}

/** The keys that every step can have, whoever's. */
const common = once(() => ({
  label: name()
    .optional()
    .describe('A name for this step, for `explain`, schedules, "after", and conditions on its result.'),
  after: z
    .union([name(), z.array(name()).min(1).max(64)], 'expected the label of a step, or a list of them')
    .optional()
    .describe('Steps of other tasks, by label, that must have ended before this one begins.'),
  any: z.literal(true).optional().describe('Whatever comes of it is fine.'),
}));

/** The keys that every step of a task can have. */
export const taskKeys = once(() => ({
  ...common(),
  errno: z
    .union([result(), z.array(result()).min(1)])
    .optional()
    .describe(
      'The error that the call must end with; 0 is success, which is also what is expected when nothing is said. ' +
        'A list when several are fine: ["EBUSY", 0].',
    ),
  ret: operand().optional().describe('What the call must return: a number or a name.'),
  out: z
    .record(z.string(), operand())
    .optional()
    .describe(
      'What fields of the struct must be afterwards: a number, a name or a constant each. Where an error is fine as ' +
        'well as success: after a success.',
    ),
}));

/** The keys that every step of a device can have. */
export const deviceKeys = once(() => ({
  ...common(),
  fault: z
    .union([fault(), z.array(fault()).min(1)])
    .optional()
    .describe(
      'Why the IOMMU must refuse it; 0 is that it does not, which is also what is expected when nothing is said. A ' +
        'list when several are fine: ["not-mapped", 0].',
    ),
}));

const making = once(() => ({
  as: z
    .union(
      [name(), z.record(z.string(), name())],
      'expected a name, or an object that gives a name for each field',
    )
    .optional()
    .describe(
      'The name of what the call makes (a descriptor, an id, a buffer), for other steps and for the trace. Where a ' +
        'call makes several things: { "out_fault_id": "fault1", "out_fault_fd": "fd1" }.',
    ),
}));

const sharedByTasks = once(() => z.object({ ...taskKeys(), ...making() }));
const sharedByDevices = once(() => z.object({ ...deviceKeys(), ...making() }));
type Shared = Partial<
  z.infer<ReturnType<typeof sharedByTasks>> & z.infer<ReturnType<typeof sharedByDevices>>
>;

const hasOnly = (value: unknown, keys: object): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).every((key) => Object.hasOwn(keys, key));

/** Declares a verb of tasks. */
export const verb = <S extends z.ZodRawShape>(spec: Spec<S>): Verb => declare(spec, taskKeys, sharedByTasks);

/** Declares a verb of devices. */
export const deviceVerb = <S extends z.ZodRawShape>(spec: Spec<S>): Verb =>
  declare(spec, deviceKeys, sharedByDevices);

function declare<S extends z.ZodRawShape>(
  spec: Spec<S>,
  common: () => z.ZodRawShape,
  shared: () => z.ZodType<Shared>,
): Verb {
  const own = once(() => z.object(spec.shape()));
  const schema = once(() =>
    z
      .strictObject({ ...own().shape, ...(spec.makes === undefined ? {} : making()), ...common() })
      .describe(spec.about),
  );
  return {
    verb: spec.verb,
    about: spec.about,
    example: spec.example,
    canMake: spec.makes !== undefined,
    isLast: spec.isLast === true,
    schema,
    read(value, root, path, scope) {
      const mine = own().safeParse(value);
      const common = shared().safeParse(value);
      if (!mine.success || !common.success || !hasOnly(value, schema().shape)) {
        const { error } = schema().safeParse(value);
        scope.problems.push(...problemsOf(error?.issues ?? [], { root, base: path, schema: schema() }));
        return null;
      }
      const step = mine.data;
      const rest = common.data;
      return {
        label: rest.label,
        after: [rest.after ?? []].flat(),
        makes: namesOf(spec.makes?.(step) ?? [], rest.as, path, scope),
        prepare: (stepScope) => spec.prepare(step, stepScope),
        expectation: (stepScope, prepared) => expectationOf(rest, stepScope, prepared),
      };
    },
  };
}

function namesOf(
  makes: readonly Making[],
  as: Shared['as'],
  path: Path,
  scope: Scope,
): (Making & { name: string; path: Path })[] {
  if (as === undefined) return [];
  if (typeof as === 'string') {
    const [first] = makes;
    if (first !== undefined) return [{ ...first, name: as, path: [...path, 'as'] }];
    scope.keyProblem([...path, 'as'], 'this call makes nothing that could have a name');
    return [];
  }
  return Object.entries(as).flatMap(([from, each]) => {
    const at = [...path, 'as', from];
    // A field that we know nothing of: a number that later steps can use all the same.
    const made = makes.find((making) => making.from === from || making.from.endsWith(`.${from}`));
    return [{ ...(made ?? { from, kind: 'id' }), name: each, path: at }];
  });
}

function expectationOf(step: Shared, scope: StepScope, prepared: Prepared): Expectation {
  const out = new Map<string, Operand>();
  for (const [field, value] of Object.entries(step.out ?? {})) {
    const known = prepared.field?.(field);
    if (prepared.field === undefined) scope.keyProblem(['out'], 'this call has no struct to look at');
    else if (known === undefined) {
      scope.keyProblem(['out', field], `no such field: '${field}'`, didYouMean(field, prepared.fields ?? []));
    } else out.set(known, scope.operand(['out', field], value));
  }
  if (step.any === true && step.errno !== undefined) {
    scope.keyProblem(['any'], 'either "any" or "errno": any answer is fine, or only these');
  }
  if (step.any === true && step.fault !== undefined) {
    scope.keyProblem(['any'], 'either "any" or "fault": any end is fine, or only these');
  }
  return {
    ends: step.any === true ? null : new Set([step.errno ?? step.fault ?? 0].flat().map(String)),
    ret: step.ret === undefined ? null : scope.operand(['ret'], step.ret),
    out,
  };
}
