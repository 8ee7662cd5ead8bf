// SPDX-License-Identifier: GPL-2.0-only

/** Turns the lines of a recording into events, or says in which line and field it is none. */
import type { Event, Header, HexFields, IoctlArgument, Recording } from './event.ts';

/** A file that is no recording. The message has place and cause. */
export class BadRecording extends Error {
  override name = 'BadRecording';
}

/** No program in a recording stores more at once; a larger claim would only exhaust our memory. */
const MAX_BYTES = 1 << 28;

type JsonObject = { readonly [name: string]: unknown };

const isObject = (v: unknown): v is JsonObject => typeof v === 'object' && v !== null && !Array.isArray(v);

/** One line's object, read field by field. */
class Fields {
  readonly #object: JsonObject;
  readonly #source: string;
  readonly #line: number;

  constructor(object: JsonObject, source: string, line: number) {
    this.#object = object;
    this.#source = source;
    this.#line = line;
  }

  fail(message: string): never {
    throw new BadRecording(`${this.#source}:${this.#line}: ${message}`);
  }

  has(name: string): boolean {
    return this.#object[name] !== undefined;
  }

  #expected(name: string, what: string): never {
    const got = this.#object[name];
    this.fail(
      got === undefined
        ? `field '${name}' is missing`
        : `field '${name}' is ${JSON.stringify(got).slice(0, 40)}, not ${what}`,
    );
  }

  string(name: string): string {
    const v = this.#object[name];
    return typeof v === 'string' ? v : this.#expected(name, 'a string');
  }

  int(name: string, otherwise?: number): number {
    const v = this.#object[name];
    if (v === undefined && otherwise !== undefined) return otherwise;
    return typeof v === 'number' && Number.isSafeInteger(v) ? v : this.#expected(name, 'a whole number');
  }

  hex(name: string): bigint {
    return toHex(this.#object[name]) ?? this.#expected(name, 'a hex string such as "0x1000"');
  }

  /** A hex string that fits a double. */
  smallHex(name: string): number {
    const v = this.hex(name);
    return v <= 0xffff_ffffn ? Number(v) : this.#expected(name, 'a number of 32 bits');
  }

  bytes(name: string): Uint8Array {
    return toBytes(this.#object[name]) ?? this.#expected(name, 'bytes in hex');
  }

  optionalBytes(name: string): Uint8Array | null {
    return this.has(name) ? this.bytes(name) : null;
  }

  /** An object whose every value is a hex string. */
  hexFields(name: string): HexFields {
    const v = this.#object[name];
    if (!isObject(v)) this.#expected(name, 'an object of hex strings');
    return areHex(v) ? v : this.#notHex(name, v);
  }

  #notHex(name: string, v: JsonObject): never {
    const wrong = Object.keys(v).find((key) => toHex(v[key]) === null);
    this.fail(`field '${name}.${wrong}' is no hex string such as "0x1000"`);
  }

  ints(name: string): number[] {
    const v = this.#object[name];
    if (!Array.isArray(v)) this.#expected(name, 'a list of numbers');
    return v.map((x: unknown) =>
      typeof x === 'number' && Number.isSafeInteger(x) ? x : this.#expected(name, 'a list of whole numbers'),
    );
  }
}

const HEX = /^0x[0-9a-f]{1,16}$/i;

const isHex = (v: unknown): v is string => typeof v === 'string' && HEX.test(v);

const toHex = (v: unknown): bigint | null => (isHex(v) ? BigInt(v) : null);

function areHex(v: JsonObject): v is HexFields {
  for (const key in v) if (!isHex(v[key])) return false;
  return true;
}

function toBytes(v: unknown): Uint8Array | null {
  if (typeof v !== 'string' || v.length > 2 * MAX_BYTES) return null;
  const bytes = Buffer.from(v, 'hex');
  // It stops, and says nothing, at the first thing that is no hex.
  return 2 * bytes.length === v.length ? bytes : null;
}

function parseLine(text: string, source: string, line: number): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new BadRecording(`${source}:${line}: this line is no JSON`);
  }
  if (!isObject(value)) throw new BadRecording(`${source}:${line}: this line is no JSON object`);
  return new Fields(value, source, line);
}

/** A call that a replay compares (see isCompared), without decoding its line: a quote within text is escaped. */
const COMPARED = /"call"\s*:\s*"(?:ioctl|open|close|read|write)"/;

/**
 * Decodes the text of a recording; `source` names it in messages. Throws BadRecording. Events are decoded as
 * they are asked for, and throw it too: what a replay does not reach costs nothing.
 */
export function decode(text: string, source: string): Recording {
  const lines = text.split('\n');
  const header = decodeHeader(parseLine(lines[0] ?? '', source, 1));
  const calls = lines.reduce((n, line) => n + Number(COMPARED.test(line)), 0);
  return { source, header, calls, events: decodeEvents(lines, source) };
}

function* decodeEvents(lines: readonly string[], source: string): Generator<Event, void> {
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i];
    if (line !== undefined && line !== '') yield decodeEvent(parseLine(line, source, i + 1), i + 1);
  }
}

function decodeHeader(it: Fields): Header {
  if (!it.has('recording'))
    it.fail('the first line of a recording says {"recording":1,…}; this one does not');
  const version = it.int('recording');
  if (version !== 1) it.fail(`recordings of version ${version} are not known, only version 1`);
  const kernel = it.has('kernel') ? it.string('kernel') : '';
  return { suite: it.string('suite'), name: it.string('name'), platform: it.string('platform'), kernel };
}

function decodeEvent(it: Fields, line: number): Event {
  const call = it.string('call');
  const pid = it.int('pid', 1);
  switch (call) {
    case 'open': {
      const [path, flags] = [it.string('path'), it.smallHex('flags')];
      return { pid, line, call, ret: it.int('ret'), errno: it.int('errno', 0), path, flags };
    }
    case 'close':
      return { pid, line, call, ret: it.int('ret'), errno: it.int('errno', 0), fd: it.int('fd') };
    case 'read':
    case 'write': {
      const len = it.int('len');
      if (len < 0 || len > MAX_BYTES) it.fail(`field 'len' is ${len}`);
      const [fd, data] = [it.int('fd'), it.bytes('data')];
      return { pid, line, call, ret: it.int('ret'), errno: it.int('errno', 0), fd, len, data };
    }
    case 'ioctl': {
      const request = it.has('req') ? it.smallHex('req') : null;
      const [fd, cmd, arg] = [it.int('fd'), it.string('cmd'), decodeArgument(it)];
      return { pid, line, call, ret: it.int('ret'), errno: it.int('errno', 0), fd, cmd, request, arg };
    }
    case 'mmap':
      return {
        pid,
        line,
        call,
        addr: it.hex('addr'),
        len: it.hex('len'),
        prot: it.int('prot'),
        flags: it.smallHex('flags'),
        fd: it.int('fd'),
        at: it.hex('ret'),
      };
    case 'munmap':
      return { pid, line, call, addr: it.hex('addr'), len: it.hex('len') };
    case 'store': {
      const data = it.has('data') ? it.bytes('data') : decodeFill(it);
      return { pid, line, call, addr: it.hex('addr'), data };
    }
    case 'pipe2':
      return { pid, line, call, fds: it.ints('fds'), flags: it.smallHex('flags') };
    case 'eventfd':
      return { pid, line, call, initval: it.int('initval'), flags: it.smallHex('flags'), fd: it.int('ret') };
    case 'fork':
    case 'waitpid':
      return { pid, line, call, child: it.int('child') };
    case 'exit':
      return { pid, line, call, status: it.int('status') };
    default:
      return it.fail(`'${call}' is no call of recordings of version 1`);
  }
}

function decodeFill(it: Fields): Uint8Array {
  const length = it.smallHex('len');
  if (length > MAX_BYTES) it.fail(`field 'len' is ${length}`);
  return new Uint8Array(length).fill(it.smallHex('fill'));
}

function decodeArgument(it: Fields): IoctlArgument {
  if (it.has('in')) {
    return {
      kind: 'struct',
      in: it.hexFields('in'),
      out: it.has('out') ? it.hexFields('out') : null,
      tail: it.optionalBytes('tail'),
      bufIn: it.optionalBytes('buf_in'),
      bufOut: it.optionalBytes('buf_out'),
      bufFault: it.has('buf_fault'),
      rawOut: it.optionalBytes('raw_out'),
    };
  }
  if (it.has('name')) return { kind: 'name', name: it.string('name') };
  if (it.has('container_fd')) return { kind: 'descriptor', fd: it.int('container_fd') };
  return { kind: 'value', value: it.hex('arg') };
}
