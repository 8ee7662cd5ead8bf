// SPDX-License-Identifier: GPL-2.0-only

/**
 * Declares a kind of observed object, as a C struct:
 *
 *     export class iommufd_ioas extends struct('iommufd_ioas', iommufd_object, {
 *       iopt: embed(io_pagetable),
 *       mutex: embed(mutex),
 *       hwpt_list: list<iommufd_hwpt_paging>({ guardedBy: 'mutex' }),
 *     }) {}
 *
 * Assigning a field records the transition; nobody calls a log. A struct whose first member is another
 * struct (`struct iommufd_object obj`) is declared as deriving from it, which is what container_of() means.
 *
 * The accessors are compiled from source, one class a struct: closures over a key cost 11 ns an assignment,
 * Proxies 39, generated classes 2.
 */
import { type AccessWatch, type Context, context } from './context.ts';
import type { AnyField, Encoding, Member, Scalar } from './field.ts';
import { Observed } from './observed.ts';
import { KIND_BITS, WRITE } from './trace.ts';

type Constructor<T> = abstract new (...args: never[]) => T;
type Concrete<T> = new (creator: Observed['$creator'], role?: string, embedded?: boolean) => T;

/** What the fields of a declaration look like on the object: scalars writable, members readonly. */
type Instance<F> = {
  -readonly [K in keyof F as F[K] extends Scalar<unknown> ? K : never]: F[K] extends Scalar<infer T>
    ? T
    : never;
} & {
  readonly [K in keyof F as F[K] extends Member<unknown> ? K : never]: F[K] extends Member<infer T>
    ? T
    : never;
};

/** A declared field, found by the id that trace records carry. */
export interface FieldInfo {
  readonly id: number;
  readonly struct: string;
  readonly name: string;
  readonly field: Scalar<unknown>;
}

const fields: FieldInfo[] = [];

/** The field behind a trace record's field id. */
export function fieldInfo(id: number): FieldInfo {
  const info = fields[id];
  if (info === undefined) throw new Error(`no field has id ${id}`);
  return info;
}

/** What a class declared with `struct` is called and made of, for checkers and tables. */
export interface StructInfo {
  readonly name: string;
  readonly fields: Readonly<Record<string, AnyField>>;
}

const structs = new Map<string, StructInfo>();

/** Every struct declared so far, in order of declaration. */
export function declaredStructs(): readonly StructInfo[] {
  return [...structs.values()];
}

function encoded(encoding: Encoding, expression: string): string {
  switch (encoding) {
    case 'int':
      return expression;
    case 'u32':
      return `${expression} | 0`;
    case 'bool':
      return `+${expression}`;
    case 'ref':
      return `${expression} === null ? -1 : ${expression}.$id`;
    case 'value':
      return `t.values.push(${expression}) - 1`;
  }
}

function source(name: string, entries: readonly (readonly [string, AnyField, number])[]): string {
  const made = entries.map(([key, field], i) =>
    field.member ? `this.${key} = f[${i}].make(this, "${key}", f[${i}]);` : `this._${key} = ${field.zero};`,
  );
  const seen = entries.map(([key, field]) => (field.member ? '' : `see(this._${key});`));
  const accessors = entries.flatMap(([key, field, id]) =>
    field.member
      ? []
      : [
          `get ${key}() { if (c.watch !== null) c.watch.read(this, ${id}, this._${key}); return this._${key}; }
set ${key}(v) {
  if (c.watch !== null) c.watch.write(this, ${id});
  const t = c.trace, o = this._${key};
  t.push(${WRITE | (id << KIND_BITS)}, this.$id, ${encoded(field.encoding, 'o')}, ${encoded(field.encoding, 'v')});
  this._${key} = v;
}`,
        ],
  );
  return `return class ${name} extends Base {
constructor(creator, role = "${name}", embedded = false) { super(creator, role, embedded); ${made.join(' ')} }
$state(see) { super.$state(see); ${seen.join(' ')} }
${accessors.join('\n')}
}`;
}

const IDENTIFIER = /^[A-Za-z_]\w*$/;

/**
 * Makes the base class of a struct named `name` (as in Linux), deriving from `base` (Observed, or the struct
 * that is its first member). Instances are made with their creator and a role: `new iopt_area(iopt, 'area')`.
 * Throws (a bug of ours) when a name is declared twice or is no identifier.
 */
export function struct<B extends Observed, F extends Readonly<Record<string, AnyField>>>(
  name: string,
  base: Constructor<B>,
  declaration: F,
): Concrete<B & Instance<F>> {
  if (structs.has(name)) throw new Error(`struct ${name} is declared twice`);
  structs.set(name, { name, fields: declaration });
  const entries = Object.entries(declaration).map(([key, field]) => {
    if (!IDENTIFIER.test(key)) throw new Error(`struct ${name}: '${key}' is no identifier`);
    const id = fields.length;
    if (!field.member) fields.push({ id, struct: name, name: key, field });
    return [key, field, id] as const;
  });
  type Build = (
    Base: Constructor<B>,
    c: Context & { watch: AccessWatch | null },
    f: readonly AnyField[],
  ) => Concrete<B & Instance<F>>;
  // cast: the generated class has exactly the accessors and members that Instance<F> lists
  const build = new Function('Base', 'c', 'f', source(name, entries)) as Build;
  return build(
    base,
    context,
    entries.map(([, field]) => field),
  );
}

/** A struct with no other struct as its first member. */
export const root = Observed;
