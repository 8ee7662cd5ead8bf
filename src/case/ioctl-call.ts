// SPDX-License-Identifier: GPL-2.0-only

import { sys_ioctl } from '../kernel/fs/syscalls.ts';
import { user_load, user_store } from '../kernel/mm/mm.ts';
/** An ioctl of a step: its struct from fields by name, what the trace says of it, and what came back. */
import { fail } from '../sim/errno.ts';
import type { Gen } from '../sim/task.ts';
import { EFAULT } from '../uapi/errno.ts';
import { type Ioctl, ioctlByName } from '../uapi/ioctls.ts';
import { type AnyLayout, type Field, getRaw } from '../uapi/layout.ts';
import { calling_mm, encode, ioctl_struct, scratch } from '../user/ioctl.ts';
import { compareBytes, hexOf } from './bytes.ts';
import { nameOfErrno } from './constants.ts';
import type { Path } from './jsonc.ts';
import { type IoctlMaking, ioctlMakes, objectsCalled } from './makings.ts';
import type { Operand } from './operand.ts';
import type { Owner, StepScope } from './scope.ts';
import type { Answer, Making, Prepared } from './step.ts';
import { didYouMean } from './suggest.ts';
import { type Flags, parseNumber, show } from './words.ts';

/** A value and where it stands in the step. */
export type Placed = readonly [path: Path, value: Flags];

export interface IoctlCall {
  readonly ioctl: string | number;
  readonly on: string | number;
  /** Where in the step it is said; absent: under `on`. */
  readonly onPath?: Path;
  readonly with?: Readonly<Record<string, Placed>>;
  readonly tail?: Uint8Array | undefined;
  readonly arg?: string | number | undefined;
  readonly buffer?: Buffer | undefined;
}

/** Memory that a field of the struct points to, in the thread's own memory beside the struct. */
export interface Buffer {
  /** The pointer. */
  readonly field: string;
  /** Where in the step the bytes are said. */
  readonly path: Path;
  /** What is there before the call. */
  readonly bytes: Uint8Array;
  /** What must be there after it; absent: it is not looked at. */
  readonly expected?: Uint8Array | undefined;
}

/** The room that a thread has for arguments. */
const MAX_ARGUMENT = 4096;
/** Where in that room the struct ends at the latest, if a buffer follows it. */
const BUFFER_AT = 1024;

/** What an ioctl makes. `id`: what stands in the field of that name. */
export function makesOf(
  ioctl: string | number,
  on: Owner,
  id: (field: string) => Flags | undefined,
): Making[] {
  return (ioctlMakes[ioctl] ?? []).map((making) => ({ ...making, on: descriptor(making, id) ?? on }));
}

/** The descriptor whose id is made, if it is not the one of the ioctl. */
function descriptor(
  { idOf }: IoctlMaking,
  value: (field: string) => Flags | undefined,
): string | number | undefined {
  const found = idOf === undefined ? undefined : value(idOf);
  return typeof found === 'object' ? undefined : found;
}

/** Checks an ioctl and makes it ready. */
export function prepareIoctl(call: IoctlCall, scope: StepScope): Prepared {
  const known = typeof call.ioctl === 'string' ? ioctlByName.get(call.ioctl) : undefined;
  const cmd = known?.cmd ?? commandWord(call.ioctl, scope);
  const on = scope.operand(call.onPath ?? ['on'], call.on, 'fd');
  const layout = known?.layout ?? null;
  const fields = fieldsOf(call, known, layout, scope);
  const arg = call.arg === undefined ? null : scope.operand(['arg'], call.arg);
  const tail = call.tail ?? null;
  const { buffer } = call;
  const [making] = ioctlMakes[call.ioctl] ?? [];
  const owner = (making && descriptor(making, (field) => call.with?.[field]?.[1])) ?? call.on;
  const takesStruct = layout !== null || tail !== null;
  const hasStruct = takesStruct && (arg === null || call.with !== undefined || tail !== null);
  const argument = [
    ...(arg === null ? [] : [arg.text]),
    ...(call.with === undefined || fields.shown.length === 0 ? [] : [`{${fields.shown.join(', ')}}`]),
    ...(tail === null ? [] : [`+ ${hexOf(tail)}`]),
  ].join(' ');
  if (arg === null && (layout?.size ?? 0) + (tail?.length ?? 0) > MAX_ARGUMENT) {
    scope.problem(['tail'], `more than ${MAX_ARGUMENT} bytes: say by "arg" in which buffer they are`);
  }
  const name = known?.name ?? show(BigInt(cmd));
  const outputs =
    layout === null ? undefined : Object.keys(layout.fields).filter((field) => narrow(layout.fields[field]));
  const prepared: Prepared = {
    text: `ioctl(${[on.text, name, ...(argument === '' ? [] : [argument])].join(', ')})`,
    ioctl: name,
    *call(names) {
      const fd = Number(BigInt.asIntN(32, on.of(names)));
      if (!hasStruct)
        return { ret: BigInt(yield* sys_ioctl(fd, cmd, BigInt.asUintN(64, arg?.of(names) ?? 0n))) };
      const values = fields.values.map(
        ([field, value]) => [field, truncated(layout?.fields[field], value.of(names))] as const,
      );
      const bytes = layout === null ? (tail ?? new Uint8Array()) : encode(layout, values, tail);
      if (buffer !== undefined) user_store(calling_mm(), bufferAddress(), buffer.bytes);
      const { ret, after } = yield* place(
        fd,
        cmd,
        bytes,
        arg === null ? null : BigInt.asUintN(64, arg.of(names)),
      );
      const answer = { ...answerOf(ret, layout, bytes, after), ...bufferAfter(buffer) };
      return typeof owner === 'string' ? { ...answer, on: owner } : answer;
    },
    objects: (as) =>
      (ioctlMakes[call.ioctl] ?? []).flatMap(({ from, roles }) => {
        const name = as.get(from);
        return name === undefined ? [] : objectsCalled(name, roles);
      }),
  };
  if (layout === null || outputs === undefined) return prepared;
  return {
    ...prepared,
    fields: outputs,
    field: (field) => {
      const found = fieldCalled(field, layout);
      return found !== undefined && outputs.includes(found) ? found : undefined;
    },
  };
}

const bufferAddress = (): bigint => scratch().at + BigInt(BUFFER_AT);

/** What the call has left in its buffer: told where it changed, compared with what the step says. */
function bufferAfter(buffer: Buffer | undefined): Pick<Answer, 'text' | 'mismatch'> {
  if (buffer === undefined) return {};
  const { bytes, expected } = buffer;
  const found = user_load(calling_mm(), bufferAddress(), bytes.length) ?? bytes;
  const changed = compareBytes(found, bytes).mismatch !== undefined;
  return {
    ...(changed ? { text: `[${hexOf(found)}]` } : {}),
    ...(expected === undefined ? {} : compareBytes(found, expected)),
  };
}

/** What C makes of a number that is assigned to the field. */
const truncated = (field: Field | undefined, value: bigint): bigint =>
  BigInt.asUintN(8 * Math.min(field?.width ?? 8, 8), value);

const narrow = (field: Field | undefined): boolean => field !== undefined && field.width <= 8;

function commandWord(ioctl: string | number, scope: StepScope): number {
  const value = typeof ioctl === 'number' ? BigInt(ioctl) : parseNumber(ioctl);
  if (value === null) {
    scope.problem(['ioctl'], `no such ioctl: '${ioctl}'`, didYouMean(String(ioctl), ioctlByName.keys()));
    return 0;
  }
  if (value < 0n || value > 0xffffffffn)
    scope.problem(['ioctl'], 'the number is out of range: expected 0 to 0xffffffff');
  return Number(BigInt.asUintN(32, value));
}

interface Fields {
  readonly values: readonly (readonly [string, Operand])[];
  readonly shown: readonly string[];
}

function fieldsOf(
  call: IoctlCall,
  known: Ioctl | undefined,
  layout: AnyLayout | null,
  scope: StepScope,
): Fields {
  const given = Object.entries(call.with ?? {});
  if (layout === null) {
    if (given.length > 0)
      scope.keyProblem(['with'], `${call.ioctl} takes no struct that has fields`, 'give "arg"');
    return { values: [], shown: [] };
  }
  const values = new Map<string, Operand>();
  const shown: string[] = [];
  for (const [asked, [path, value]] of given) {
    const field = fieldCalled(asked, layout);
    const at = field === undefined ? undefined : layout.fields[field];
    if (field === undefined || at === undefined) {
      const fields = Object.keys(layout.fields);
      scope.keyProblem(path, `struct ${layout.name} has no field '${asked}'`, didYouMean(asked, fields));
      continue;
    }
    const operand = scope.flags(path, value);
    if (operand.constant !== undefined) checkRange(field, at, operand.constant, path, scope);
    values.set(field, operand);
    shown.push(`${field}=${operand.text}`);
  }
  if (call.buffer !== undefined) {
    const { field, path, bytes } = call.buffer;
    if (values.has(field)) scope.keyProblem(path, `either these bytes or ${field}, a buffer of the program`);
    if (bytes.length > MAX_ARGUMENT - BUFFER_AT) {
      scope.problem(
        path,
        `more than ${MAX_ARGUMENT - BUFFER_AT} bytes: put them into a buffer, and say by ${field} which`,
      );
    }
    values.set(field, { text: '', of: bufferAddress });
    shown.push(`${field}=[${hexOf(bytes)}]`);
  }
  const length = BigInt(layout.size + (call.tail?.length ?? 0));
  // Where there is an argsz, `size` is something else: VFIO_IOMMU_MAP_DMA.
  const sizeField = 'argsz' in layout.fields ? 'argsz' : 'size';
  if (layout.fields[sizeField] !== undefined && !values.has(sizeField)) values.set(sizeField, fixed(length));
  if (known?.op !== undefined && !values.has('op')) values.set('op', fixed(BigInt(known.op)));
  return { values: [...values], shown };
}

/** The field of that name; in a union's arm, `flags` for `create_access.flags`. */
function fieldCalled(name: string, layout: AnyLayout): string | undefined {
  const fields = Object.keys(layout.fields);
  if (fields.includes(name)) return name;
  const inner = fields.filter((field) => field.endsWith(`.${name}`));
  return inner.length === 1 ? inner[0] : undefined;
}

const fixed = (value: bigint): Operand => ({ text: show(value), constant: value, of: () => value });

function checkRange(name: string, { width }: Field, value: bigint, path: Path, scope: StepScope): void {
  if (width > 8) scope.problem(path, `${name} is ${width} bytes: such fields cannot be given yet`);
  else if (BigInt.asUintN(8 * width, value) !== value && BigInt.asIntN(8 * width, value) !== value) {
    const most = (1n << BigInt(8 * width)) - 1n;
    scope.problem(path, `the number is out of range: ${name} has ${8 * width} bits, 0 to ${show(most)}`);
  }
}

/** Makes the call with a struct in the program's memory: where `at` says, or where its thread keeps arguments. */
function* place(
  fd: number,
  cmd: number,
  bytes: Uint8Array,
  at: bigint | null,
): Gen<{ ret: number; after: Uint8Array }> {
  if (at === null) {
    const { ret, bytes: after } = yield* ioctl_struct(fd, cmd, bytes);
    return { ret, after };
  }
  const mm = calling_mm();
  if (!user_store(mm, at, bytes)) {
    return { ret: fail(EFAULT, 'the program itself may not write the struct there'), after: bytes };
  }
  const ret = yield* sys_ioctl(fd, cmd, at);
  return { ret, after: user_load(mm, at, bytes.length) ?? bytes };
}

/** What came back: fields that the kernel changed, and those that are there to tell something. */
function answerOf(ret: number, layout: AnyLayout | null, before: Uint8Array, after: Uint8Array): Answer {
  if (layout === null) return { ret: BigInt(ret) };
  const out = new Map<string, bigint>();
  const told: string[] = [];
  for (const [name, field] of Object.entries(layout.fields)) {
    if (field.width > 8) continue;
    const value = getRaw(field, after);
    out.set(name, value);
    if (value !== getRaw(field, before) || (ret >= 0 && /(^|\.)out_/.test(name))) told.push(name);
  }
  return { ret: BigInt(ret), out, told };
}

/** A negative answer as the trace shows it: `-EBUSY`. */
export const showErrno = (ret: bigint): string => `-${nameOfErrno(Number(-ret))}`;
