// SPDX-License-Identifier: GPL-2.0-only

/** Bytes that an ioctl was given or gave by a pointer, said in the step itself where they fit there. */
import { EMSGSIZE } from '../../uapi/errno.ts';
import type { Ioctl } from '../../uapi/ioctls.ts';
import { iommu_iova_range } from '../../uapi/iommufd.ts';
import { getRaw } from '../../uapi/layout.ts';
import type { IoctlCall, StructArgument } from '../event.ts';
import type { StepDraft, Value } from './draft.ts';
import type { IoctlWords } from './ioctls.ts';
import { bytes, hex } from './words.ts';

export interface Passed {
  /** The keys that say the bytes; null: they are in a buffer of the program. */
  readonly keys: StepDraft | null;
  /** Fields that follow from them. */
  readonly covers: ReadonlySet<string>;
}

const EXPLICIT: Passed = { keys: null, covers: new Set() };
/** More is not readable in a step. */
const MOST = 512;

const isZero = (data: Uint8Array): boolean => data.every((byte) => byte === 0);

/** How the bytes behind a struct's pointer are said. `isMapped`: whether the program has a buffer at an address. */
export function passed(
  event: IoctlCall,
  { buffer }: Ioctl,
  { inline }: IoctlWords,
  arg: StructArgument,
  isMapped: (address: bigint) => boolean,
): Passed {
  const { bufIn, bufOut, in: given } = arg;
  const pointer = buffer === undefined ? undefined : given[buffer];
  if (inline === undefined || buffer === undefined || pointer === undefined || bufIn === null)
    return EXPLICIT;
  if (bufIn.length === 0 || bufIn.length > MOST) return EXPLICIT;
  if (isMapped(BigInt(pointer))) return EXPLICIT;
  const value = (field: string): bigint => BigInt(given[field] ?? 0);
  const size = BigInt(bufIn.length);
  const say: Say = (keys, ...covers) => ({ keys, covers: new Set([buffer, ...covers]) });
  const after = bufOut ?? bufIn;
  /** What must be there, where nothing was before. */
  const comes = (key: string, isWhole: boolean, ...covers: string[]): Passed => {
    if (isWhole || isZero(bufIn)) return say({ [key]: bytes(after) }, ...covers);
    return bufOut === null ? say({ [key]: bytes(new Uint8Array(bufIn.length)) }, ...covers) : EXPLICIT;
  };
  switch (inline) {
    case 'data':
      return bufOut === null && value('data_len') === size
        ? say({ data: bytes(bufIn) }, 'data_len')
        : EXPLICIT;
    case 'comes':
      return value('data_len') === size ? comes('data', event.ret === 0, 'data_len') : EXPLICIT;
    case 'bitmap':
      return isZero(bufIn) ? say({ bits: bytes(after) }) : EXPLICIT;
    case 'dirty':
      return bufOut === null ? say({ bits: bytes(bufIn) }) : EXPLICIT;
    case 'rw': {
      if (value('access_rw.length') !== size) return EXPLICIT;
      const isWrite = (value('access_rw.flags') & 1n) !== 0n;
      if (isWrite) return bufOut === null ? say({ data: bytes(bufIn) }) : EXPLICIT;
      return comes('data', event.ret === 0);
    }
    case 'allow':
      return bufOut === null && value('num_iovas') * BigInt(iommu_iova_range.size) === size
        ? say({ ranges: rangesOf(bufIn) }, 'num_iovas')
        : EXPLICIT;
    case 'ranges':
      return ranges(event, arg, say);
    case 'entries': {
      const [width, count] = [value('entry_len'), value('entry_num')];
      if (bufOut !== null || width === 0n || width * count !== size) return EXPLICIT;
      const entries = Array.from({ length: Number(count) }, (_, i) =>
        bytes(bufIn.subarray(i * Number(width), (i + 1) * Number(width))),
      );
      return say({ entries }, 'entry_len', 'entry_num');
    }
  }
}

type Say = (keys: StepDraft, ...covers: string[]) => Passed;

/** The ranges that IOVA_RANGES has written: as many as there are, or as there is room for. */
function ranges(
  { ret, errno }: IoctlCall,
  { in: given, out, bufIn, bufOut }: StructArgument,
  say: Say,
): Passed {
  if (bufIn === null) return EXPLICIT;
  const room = Number(given['num_iovas'] ?? 0);
  if (room * iommu_iova_range.size !== bufIn.length) return EXPLICIT;
  const there = Number(out?.['num_iovas'] ?? room);
  const isWritten = ret === 0 || errno === EMSGSIZE;
  if (!isWritten && bufOut !== null) return EXPLICIT;
  const written = isWritten ? Math.min(there, room) : 0;
  const shown = rangesOf((bufOut ?? bufIn).subarray(0, written * iommu_iova_range.size));
  return say({ room, ranges: shown }, 'num_iovas');
}

function rangesOf(data: Uint8Array): Value[] {
  const { size, fields } = iommu_iova_range;
  return Array.from({ length: data.length / size }, (_, i) => {
    const range = data.subarray(i * size, (i + 1) * size);
    return [getRaw(fields.start, range), getRaw(fields.last, range)].map((bound) =>
      bound === 0n ? 0 : hex(bound),
    );
  });
}
