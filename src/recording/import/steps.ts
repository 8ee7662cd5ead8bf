// SPDX-License-Identifier: GPL-2.0-only

/** From the events of a recording to the steps of a case, one event after the other. */
import { errnoName } from '../../uapi/errno.ts';
import { type Ioctl, ioctlByName } from '../../uapi/ioctls.ts';
import { iommu_hwpt_page_response, iommu_hwpt_pgfault } from '../../uapi/iommufd.ts';
import { type AnyLayout, getRaw } from '../../uapi/layout.ts';
import type { ComparedCall, Event, IoctlCall, StructArgument } from '../event.ts';
import { areasOf } from './areas.ts';
import { passed } from './buffer.ts';
import { END, type Item, type Made, Name, Ref, type StepDraft, type Value } from './draft.ts';
import {
  argumentWords,
  FAULT_KINDS,
  type FieldKind,
  type IoctlWords,
  ioctlWords,
  RESPONSE_CODES,
} from './ioctls.ts';
import { isArea, Numbers } from './numbers.ts';
import { bits, bytes, choice, hex, length, number } from './words.ts';

const PROT = ['PROT_READ', 'PROT_WRITE', 'PROT_EXEC'];
const MAP = ['MAP_SHARED', 'MAP_PRIVATE', 'MAP_ANONYMOUS', 'MAP_POPULATE', 'MAP_NORESERVE', 'MAP_HUGETLB'];
const MAP_FIXED = 0x10;
/** PROT_READ | PROT_WRITE; MAP_PRIVATE | MAP_ANONYMOUS: what `mmap` does by itself. */
const READ_WRITE = 3;
const PRIVATE = 0x22;
const O_CLOEXEC = 0x80000;

/** Bytes of a store that are looked at together when it is asked which matter. */
const PIECE = 64;

/** An event that cases have no words for. */
export interface Wordless {
  readonly line: number;
  readonly isCall: boolean;
  readonly problem: string;
}

export type Drafted = Item | Wordless;

export function draft(events: readonly Event[]): Drafted[] {
  const drafter = new Drafter(events);
  return [...drafter.areas, ...events.flatMap((event) => drafter.event(event)), ...drafter.end()];
}

/** What the answer must be, for a step. */
const answer = ({ ret, errno }: ComparedCall, isCounted: boolean): StepDraft => ({
  ...(ret === -1 && errno !== 0 ? { errno: errnoName(errno) ?? errno } : {}),
  ...(isCounted || ret > 0 ? { ret } : {}),
});

/** A process of the recording. */
interface Actor {
  readonly task: Name | null;
  readonly numbers: Numbers;
}

class Drafter {
  readonly areas: readonly Item[];
  readonly #first: Actor = { task: null, numbers: new Numbers() };
  readonly #actors = new Map([[1, this.#first]]);
  /** Of the process that acts. */
  #numbers = this.#first.numbers;

  constructor(events: readonly Event[]) {
    this.areas = areasOf(events).map(({ word, start, length: size }): Item => {
      const name = new Name(word);
      this.#numbers.mapped(name, start, size);
      return { ...item(1, { mmap: length(size) }, [{ from: 'ret', name }]), isCall: false };
    });
  }

  /** The program ends, as every one does after its last recorded call: what is open then is closed. */
  end(): Item[] {
    return this.#first.numbers.isOpen ? [item(END, { exit: 0 })] : [];
  }

  event(event: Event): Drafted[] {
    const actor = this.#actors.get(event.pid);
    if (actor === undefined) {
      return [{ line: event.line, isCall: true, problem: `process ${event.pid}, which nobody has forked` }];
    }
    const { task, numbers } = actor;
    this.#numbers = numbers;
    if ('fd' in event && event.call !== 'mmap' && numbers.fileKind(event.fd) === 'apart') {
      if (event.call === 'close') numbers.closed(event.fd);
      return [];
    }
    return this.#drafted(event).map((each) => ('problem' in each ? each : { ...each, task }));
  }

  #drafted(event: Event): Drafted[] {
    const { line } = event;
    switch (event.call) {
      case 'open': {
        const isIommufd = event.path === '/dev/iommu';
        if (!event.path.startsWith('/dev/') && event.ret >= 0) {
          this.#numbers.opened(event.ret, new Name('file'), 'apart');
          return [];
        }
        const name = new Name(isIommufd ? 'iommufd' : 'file');
        if (event.ret >= 0) this.#numbers.opened(event.ret, name, isIommufd ? 'iommufd' : 'other');
        return [
          item(line, { open: event.path, ...answer({ ...event, ret: Math.min(event.ret, 0) }, false) }, [
            { from: 'ret', name, value: BigInt(event.ret) },
          ]),
        ];
      }
      case 'close': {
        const close = this.#fd(event.fd);
        if (event.ret === 0) this.#numbers.closed(event.fd);
        return [item(line, { close, ...answer(event, false) })];
      }
      case 'read':
      case 'write':
        return [item(line, event.call === 'read' ? this.#read(event) : this.#write(event))];
      case 'ioctl':
        return this.#ioctl(event, line);
      case 'mmap':
        return this.#mmap(event, line);
      case 'munmap':
        return [setup(line, { munmap: this.#numbers.address(event.addr), length: length(event.len) })];
      case 'store':
        return this.#stores(line, event.addr, event.data);
      case 'eventfd': {
        const name = new Name('ev');
        this.#numbers.opened(event.fd, name, 'other');
        const flags = event.flags & ~O_CLOEXEC;
        return [setup(line, { eventfd: event.initval, ...(flags === 0 ? {} : { flags }) }, name)];
      }
      case 'pipe2':
        for (const fd of event.fds) this.#numbers.opened(fd, new Name('pipe'), 'apart');
        return [];
      case 'fork': {
        const child = new Name('child');
        this.#actors.set(event.child, { task: child, numbers: this.#numbers.forked() });
        return [
          { ...item(line, { fork: new Ref(child) }), isCall: false, makes: [{ from: 'task', name: child }] },
        ];
      }
      case 'waitpid':
        return [];
      case 'exit':
        return [item(line, { exit: event.status })];
    }
  }

  #fd(fd: number): Ref | number {
    return this.#numbers.fd(BigInt(fd));
  }

  #mmap(event: Event & { call: 'mmap' }, line: number): Drafted[] {
    // A file that no case has: what is in it does not matter where it is copied before it is written.
    const MAP_SHARED = 1;
    if (event.fd >= 0 && (event.flags & MAP_SHARED) !== 0)
      return [{ line, isCall: false, problem: 'memory that is a file' }];
    const name = new Name(event.prot === 1 ? 'readonly' : 'buf');
    this.#numbers.mapped(name, event.at, event.len);
    const flags = event.flags & ~MAP_FIXED;
    const step = {
      mmap: length(event.len),
      ...(event.addr === 0n ? {} : { at: hex(event.at) }),
      ...(event.prot === READ_WRITE ? {} : { prot: bits(BigInt(event.prot), PROT) }),
      ...(flags === PRIVATE ? {} : { flags: bits(BigInt(flags), MAP) }),
    };
    return [setup(line, step, name)];
  }

  #stores(line: number, addr: bigint, data: Uint8Array): Item[] {
    return piecesOf(data).map(({ start, end }): Item => {
      const at = this.#numbers.address(addr + BigInt(start));
      const part = data.subarray(start, end);
      const it = setup(line, { store: at, data: bytes(part) });
      return at instanceof Ref && part.length <= PIECE ? { ...it, store: { at, bytes: part } } : it;
    });
  }

  #read(event: Event & { call: 'read' | 'write' }): StepDraft {
    const { fd, len, ret, data } = event;
    const { size } = iommu_hwpt_pgfault;
    if (this.#numbers.fileKind(fd) !== 'fault' || len % size !== 0) {
      return {
        read: this.#fd(fd),
        length: len,
        ...answer(event, ret >= 0),
        ...(ret > 0 ? { data: bytes(data) } : {}),
      };
    }
    const faults = Array.from({ length: Math.max(0, Math.floor(ret / size)) }, (_, i) =>
      this.#fault(fd, data.subarray(i * size, (i + 1) * size)),
    );
    return {
      read_faults: this.#fd(fd),
      room: len / size,
      ...(ret < 0 ? {} : { faults }),
      ...answer({ ...event, ret: Math.min(ret, 0) }, false),
      ...(ret > 0 && ret !== faults.length * size ? { ret } : {}),
    };
  }

  #fault(fd: number, record: Uint8Array): StepDraft {
    const of = this.#numbers.fileName(fd)?.on ?? null;
    return Object.fromEntries(
      Object.entries(iommu_hwpt_pgfault.fields)
        .filter(([field]) => field !== '__reserved')
        .map(([field, at]) => [field, this.#value(FAULT_KINDS[field], getRaw(at, record), of, {})]),
    );
  }

  #write(event: Event & { call: 'read' | 'write' }): StepDraft {
    const { fd, len, ret, data } = event;
    const { size, fields } = iommu_hwpt_page_response;
    if (this.#numbers.fileKind(fd) !== 'fault' || len === 0 || len % size !== 0 || data.length !== len) {
      return { write: this.#fd(fd), data: bytes(data), ...answer(event, ret >= 0) };
    }
    const responses = Array.from({ length: len / size }, (_, i) => {
      const record = data.subarray(i * size, (i + 1) * size);
      return {
        cookie: number(getRaw(fields.cookie, record)),
        code: choice(getRaw(fields.code, record), RESPONSE_CODES),
      };
    });
    return { respond: this.#fd(fd), responses, ...answer(event, ret >= 0) };
  }

  #ioctl(event: IoctlCall, line: number): Drafted[] {
    const { arg, fd, cmd } = event;
    const known = ioctlByName.get(cmd);
    const ioctl = known === undefined ? number(BigInt(event.request ?? 0)) : cmd;
    const on = this.#fd(fd);
    if (known === undefined && event.request === null)
      return [{ line, isCall: true, problem: `the ioctl ${cmd}` }];
    if (arg.kind === 'value') {
      const names = argumentWords[cmd];
      const ignored = known?.dir === 'none';
      const shown = names === undefined ? this.#numbers.address(arg.value) : choice(arg.value, names);
      return [item(line, { ioctl, on, ...(ignored ? {} : { arg: shown }), ...answer(event, false) })];
    }
    if (
      arg.kind !== 'struct' ||
      known?.layout === undefined ||
      known.layout === null ||
      arg.rawOut !== null
    ) {
      return [{ line, isCall: true, problem: `${cmd} with an argument of this kind` }];
    }
    return this.#struct(event, line, known, known.layout, arg);
  }

  #struct(event: IoctlCall, line: number, known: Ioctl, layout: AnyLayout, arg: StructArgument): Item[] {
    const words = ioctlWords[known.name] ?? {};
    const of = this.#numbers.fileName(event.fd);
    const before = fieldsOf(arg);
    const after = new Map([
      ...before,
      ...Object.entries(arg.out ?? {}).map(([k, v]) => [k, BigInt(v)] as const),
    ]);
    const buffer = passed(event, known, words, arg, (address) => this.#numbers.isMapped(address));
    const short = this.#short(event, words, layout, before, buffer.covers, arg.tail);
    const call =
      short === null ? this.#long(event, known, layout, before, arg.tail) : { ...short, ...buffer.keys };
    const makes = event.ret < 0 ? [] : this.#makes(words, of, before, after);
    const told = Object.entries(arg.out ?? {}).filter(([field]) => !makes.some(({ from }) => from === field));
    const out = Object.fromEntries(
      told.map(([field, value]) => [
        field.replace(/^\w+\./, ''),
        this.#value(
          words.fields?.[field] ?? (field.endsWith('_id') ? { is: 'id' } : undefined),
          BigInt(value),
          of,
          arg.in,
        ),
      ]),
    );
    if (event.ret >= 0) this.#happened(known.name, of, before, after, makes);
    const step = { ...call, ...answer(event, false), ...(told.length === 0 ? {} : { out }) };
    const isExplicit = short === null || buffer.keys === null;
    const { stores, checks } = isExplicit
      ? this.#around(line, known, words, arg)
      : { stores: [], checks: [] };
    return [...stores, { ...item(line, step, makes), steps: [step, ...checks] }];
  }

  /** The step by the ioctl's short word; null: it cannot say all that the struct says. */
  #short(
    event: IoctlCall,
    words: IoctlWords,
    layout: AnyLayout,
    fields: Fields,
    covered: ReadonlySet<string>,
    tail: Uint8Array | null,
  ): StepDraft | null {
    const { verb, keys = {}, always = [] } = words;
    const of = this.#numbers.fileName(event.fd);
    if (verb === undefined || tail !== null || fields.get('size') !== BigInt(layout.size)) return null;
    const said = saidShort(verb, fields);
    const isTestOp = event.cmd.startsWith('IOMMU_TEST_OP_');
    if (said === null) return null;
    const step: Record<string, Value> =
      words.descriptor === undefined ? {} : { [words.descriptor]: this.#fd(event.fd) };
    for (const [field, value] of fields) {
      if (
        field === 'size' ||
        (field === 'op' && isTestOp) ||
        said.drop.has(field) ||
        covered.has(field) ||
        isOutput(field)
      )
        continue;
      const key = keys[field];
      if (key === undefined && value === 0n) continue;
      if (key === undefined) return null;
      const isNeeded =
        key === verb || always.includes(field) || said.keep.has(field) || NEEDED.has(`${verb}.${key}`);
      if (value !== 0n || isNeeded)
        step[key] = this.#value(
          words.fields?.[field],
          said.set.get(field) ?? value,
          of,
          Object.fromEntries(fields),
        );
    }
    const ordered = inOrder(step, verb, keys);
    const owner = words.owner === undefined ? undefined : keys[words.owner];
    const by = owner === undefined ? undefined : step[owner];
    const isOwn = by instanceof Ref && by.name.on === of && of !== null;
    const needsOn = words.needsOn === true || (words.owner !== undefined && !isOwn);
    return needsOn ? { ...ordered, on: this.#fd(event.fd) } : ordered;
  }

  /** The step by the ioctl's own name. */
  #long(
    event: IoctlCall,
    known: Ioctl,
    layout: AnyLayout,
    fields: Fields,
    tail: Uint8Array | null,
  ): StepDraft {
    const words = ioctlWords[known.name] ?? {};
    const of = this.#numbers.fileName(event.fd);
    const size = BigInt(layout.size + (tail?.length ?? 0));
    const sizeField = 'argsz' in layout.fields ? 'argsz' : 'size';
    const said = [...fields].filter(([field, value]) => {
      if (field === sizeField) return value !== size;
      if (isOutput(field)) return false;
      if (field === 'op' && known.op !== undefined) return false;
      return value !== 0n || words.always?.includes(field) === true;
    });
    const struct = Object.fromEntries(
      said.map(([field, value]) => [
        field,
        this.#value(words.fields?.[field], value, of, Object.fromEntries(fields)),
      ]),
    );
    return {
      ioctl: known.name,
      on: this.#fd(event.fd),
      ...(said.length === 0 ? {} : { with: struct }),
      ...(tail === null ? {} : { tail: bytes(tail) }),
    };
  }

  #value(
    kind: FieldKind | undefined,
    value: bigint,
    of: Name | null,
    fields: Readonly<Record<string, string | bigint>>,
  ): Value {
    const ioas = (field: string | undefined): Name | null =>
      field === undefined ? null : this.#numbers.idName(of, BigInt(fields[field] ?? 0));
    switch (kind?.is) {
      case 'hex':
        return value === 0n ? 0 : hex(value);
      case 'length':
        return length(value);
      case 'fd':
        return this.#numbers.fd(value);
      case 'id':
        return this.#numbers.id(of, value);
      case 'address':
        return this.#numbers.address(value);
      case 'item':
        return this.#numbers.id(this.#numbers.fileName(Number(fields[kind.of] ?? -1)), value);
      case 'iova':
        return this.#numbers.iova(value, ioas(kind.of));
      case 'bits':
        return bits(value, kind.names);
      case 'choice':
        return choice(value, kind.names);
      default:
        return number(value);
    }
  }

  #makes({ makes = [] }: IoctlWords, of: Name | null, before: Fields, after: Fields): Made[] {
    const made: Made[] = [];
    for (const { field, word, is } of makes) {
      const value = after.get(field) ?? 0n;
      if (is === 'iova') {
        if (((before.get('flags') ?? 0n) & 1n) !== 0n) continue;
        const name = new Name(word, of);
        const space = this.#numbers.idName(of, before.get('ioas_id') ?? before.get('dst_ioas_id') ?? 0n);
        this.#numbers.chosen(name, value, before.get('length') ?? 0n, space);
        made.push({ from: field, name, value });
      } else if (is === 'fd') {
        const name = new Name(word, of);
        this.#numbers.opened(Number(value), name, word === 'access' ? 'access' : 'fault');
        made.push({ from: field, name, value });
      } else if (is === 'item') {
        const access = this.#numbers.fileName(Number(before.get('id') ?? -1n));
        if (access === null) continue;
        const name = new Name(word, access);
        this.#numbers.gotId(access, value, name);
        made.push({ from: field, name, value });
      } else if (of !== null) {
        const isThere = word === 'hwpt' && this.#numbers.livingPageTable(of, value) !== null;
        if (isThere) continue;
        const name = new Name(word, of);
        this.#numbers.gotId(of, value, name);
        made.push({ from: field, name, value });
      }
    }
    return made;
  }

  /** What a call that succeeded changes in what numbers stand for. */
  #happened(ioctl: string, of: Name | null, before: Fields, after: Fields, makes: readonly Made[]): void {
    if (of === null) return;
    const named = (field: string): Name | null => this.#numbers.idName(of, after.get(field) ?? 0n);
    if (ioctl === 'IOMMU_DESTROY') {
      const gone = named('id');
      if (gone !== null) this.#numbers.destroyed(gone);
      return;
    }
    const arm = /^IOMMU_TEST_OP_(MOCK_DOMAIN(?:_FLAGS|_REPLACE)?)$/.exec(ioctl)?.[1]?.toLowerCase();
    if (arm === undefined) return;
    const isReplace = arm === 'mock_domain_replace';
    const device = isReplace ? named('id') : named(`${arm}.out_stdev_id`);
    const hwpt = named(isReplace ? `${arm}.pt_id` : `${arm}.out_hwpt_id`);
    if (device === null || hwpt === null) return;
    const asked = this.#numbers.idName(of, before.get(isReplace ? `${arm}.pt_id` : 'id') ?? 0n);
    if (asked !== hwpt && makes.some(({ name }) => name === hwpt)) this.#numbers.automatic(hwpt);
    this.#numbers.attached(device, hwpt);
  }

  /** What is in a buffer of the program before the call, where no store says so, and must be there afterwards. */
  #around(
    line: number,
    { buffer }: Ioctl,
    { inline }: IoctlWords,
    { in: fields, bufIn, bufOut }: StructArgument,
  ): { stores: Item[]; checks: StepDraft[] } {
    const pointer = buffer === undefined ? undefined : fields[buffer];
    if (pointer === undefined || bufIn === null) return { stores: [], checks: [] };
    const at = this.#numbers.address(BigInt(pointer));
    if (!(at instanceof Ref)) return { stores: [], checks: [] };
    const stores = isArea(at.name) ? [setup(line, { store: at, data: bytes(bufIn) })] : [];
    // That no page is dirty is an answer too.
    if (bufOut === null && inline === 'bitmap' && isArea(at.name)) {
      return { stores, checks: [{ load: at, data: bytes(bufIn) }] };
    }
    const changed = bufOut === null ? null : difference(bufIn, bufOut);
    if (changed === null || bufOut === null) return { stores, checks: [] };
    const load = new Ref(at.name, at.offset + BigInt(changed.start));
    return { stores, checks: [{ load, data: bytes(bufOut.subarray(changed.start, changed.end)) }] };
  }
}

/** What was there before the kernel wrote it is nobody's concern. */
const isOutput = (field: string): boolean => /(^|\.)out_/.test(field);

type Fields = ReadonlyMap<string, bigint>;

const fieldsOf = (arg: StructArgument): Fields =>
  new Map(Object.entries(arg.in).map(([field, value]) => [field, BigInt(value)]));

/** Keys that a verb cannot do without, beside its own. */
const NEEDED: ReadonlySet<string> = new Set([
  'map.length',
  'map.into',
  'copy.length',
  'copy.from',
  'copy.into',
  'unmap.length',
  'unmap.from',
  'hwpt_alloc.pt',
  'dirty_bitmap.iova',
  'dirty_bitmap.length',
  'dirty_bitmap.page_size',
  'mock_dirty.iova',
  'mock_dirty.length',
  'mock_dirty.page_size',
  'add_reserved.length',
  'add_reserved.in',
  'mock_domain_replace.pt',
  'check_map.length',
  'check_map.iova',
  'check_map.in',
  'check_refs.length',
  'check_refs.refs',
  'check_iotlb.id',
  'check_iotlb.iotlb',
  'destroy_access_pages.of',
  'access_pages.iova',
  'access_pages.length',
  'access_rw.iova',
  'access_rw.length',
  'access_replace_ioas.to',
]);

interface Said {
  /** Fields that follow from others, or that nobody reads. */
  readonly drop: ReadonlySet<string>;
  /** Fields that are said even if they are 0. */
  readonly keep: ReadonlySet<string>;
  /** Fields that are said with another value. */
  readonly set: ReadonlyMap<string, bigint>;
}

const IOMMU_IOAS_MAP_FIXED_IOVA = 1n;
const READ_AND_WRITE = 6n;
const IOMMU_HWPT_FAULT_ID_VALID = 4n;

/** Where a short word sets flags by itself. Null: it cannot say this. */
function saidShort(verb: string, fields: Fields): Said | null {
  const flags = fields.get('flags') ?? 0n;
  const [drop, keep, set] = [new Set<string>(), new Set<string>(), new Map<string, bigint>()];
  if (verb === 'map' || verb === 'copy') {
    const iova = verb === 'map' ? 'iova' : 'dst_iova';
    if ((flags & IOMMU_IOAS_MAP_FIXED_IOVA) === 0n) drop.add(iova);
    else keep.add(iova);
    const rest = flags & ~IOMMU_IOAS_MAP_FIXED_IOVA;
    if (rest === READ_AND_WRITE) drop.add('flags');
    else keep.add('flags');
    set.set('flags', rest);
  }
  if (verb === 'hwpt_alloc') {
    const isValid = (flags & IOMMU_HWPT_FAULT_ID_VALID) !== 0n;
    if (!isValid && (fields.get('fault_id') ?? 0n) !== 0n) return null;
    if (isValid) {
      keep.add('fault_id');
      const rest = flags & ~IOMMU_HWPT_FAULT_ID_VALID;
      if (rest === 0n) drop.add('flags');
      set.set('flags', rest);
    }
  }
  return { drop, keep, set };
}

/** The verb first, the other keys in the order in which the verb has them. */
function inOrder(step: StepDraft, verb: string, keys: Readonly<Record<string, string>>): StepDraft {
  const order = [verb, ...Object.values(keys)];
  const entries = Object.entries(step).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  return Object.fromEntries(entries);
}

const item = (line: number, step: StepDraft, makes: readonly Made[] = []): Item => ({
  line,
  task: null,
  isCall: true,
  steps: [step],
  makes,
  at: 0,
});

const setup = (line: number, step: StepDraft, name?: Name): Item => ({
  ...item(line, step, name === undefined ? [] : [{ from: 'ret', name }]),
  isCall: false,
});

/** A store in pieces; what is one byte many times is one piece. */
function piecesOf(data: Uint8Array): { start: number; end: number }[] {
  const pieces: { start: number; end: number }[] = [];
  for (let start = 0; start < data.length; ) {
    const byte = data[start];
    let end = start;
    while (end < data.length && data[end] === byte) end++;
    // Not worth a piece of its own: what follows comes with it.
    if (end - start < PIECE) end = Math.min(start + PIECE, data.length);
    pieces.push({ start, end });
    start = end;
  }
  return pieces;
}

/** Where two pieces of memory differ, from the first byte to the last; null: nowhere. */
function difference(before: Uint8Array, after: Uint8Array): { start: number; end: number } | null {
  const start = after.findIndex((byte, i) => byte !== before[i]);
  if (start < 0) return null;
  let end = after.length;
  while (after[end - 1] === before[end - 1]) end--;
  return { start, end };
}
