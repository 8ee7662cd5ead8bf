// SPDX-License-Identifier: GPL-2.0-only

/** The events of a recording, decoded. Numbers that may not fit a double are bigint. */

export interface Header {
  readonly suite: string;
  readonly name: string;
  readonly platform: string;
  /** Which kernel; '' where the recording does not say. */
  readonly kernel: string;
}

export interface Recording {
  /** Where it was read from, for messages. */
  readonly source: string;
  readonly header: Header;
  /** How many of the events are calls that a replay compares. */
  readonly calls: number;
  /** To be gone through once. */
  readonly events: Iterable<Event>;
}

/** What the kernel answered: a value, or -1 with an errno (else 0). */
interface Answered {
  readonly ret: number;
  readonly errno: number;
}

export type IoctlArgument =
  | StructArgument
  /** A number, or an address that could not be read. */
  | { readonly kind: 'value'; readonly value: bigint }
  /** A string behind a pointer. */
  | { readonly kind: 'name'; readonly name: string }
  /** A descriptor behind a pointer. */
  | { readonly kind: 'descriptor'; readonly fd: number };

/** Fields of a struct by name, as the recording has them: `0x` and up to 16 hex digits. */
export interface HexFields {
  readonly [field: string]: string;
}

export interface StructArgument {
  readonly kind: 'struct';
  readonly in: HexFields;
  /** Only the fields that the kernel changed; null: none. */
  readonly out: HexFields | null;
  /** Bytes after the struct. */
  readonly tail: Uint8Array | null;
  /** What the struct's pointer pointed to. */
  readonly bufIn: Uint8Array | null;
  /** The same after the call; null: unchanged. */
  readonly bufOut: Uint8Array | null;
  /** The struct's pointer could not be read. */
  readonly bufFault: boolean;
  /** The whole returned struct with what follows it. */
  readonly rawOut: Uint8Array | null;
}

export interface IoctlCall extends Answered {
  readonly call: 'ioctl';
  readonly fd: number;
  /** The uAPI's name; `?` where it has none. */
  readonly cmd: string;
  /** The command word, where the name does not give it. */
  readonly request: number | null;
  readonly arg: IoctlArgument;
}

export interface OpenCall extends Answered {
  readonly call: 'open';
  readonly path: string;
  readonly flags: number;
}

export interface CloseCall extends Answered {
  readonly call: 'close';
  readonly fd: number;
}

export interface ReadOrWriteCall extends Answered {
  readonly call: 'read' | 'write';
  readonly fd: number;
  readonly len: number;
  /** What was read, or what was to be written. */
  readonly data: Uint8Array;
}

/** A call whose answer a replay compares. */
export type ComparedCall = IoctlCall | OpenCall | CloseCall | ReadOrWriteCall;

/** The program's own memory and descriptors. */
export type MemoryEvent =
  | {
      readonly call: 'mmap';
      readonly addr: bigint;
      readonly len: bigint;
      readonly prot: number;
      readonly flags: number;
      readonly fd: number;
      /** Where the mapping went. */
      readonly at: bigint;
    }
  | { readonly call: 'munmap'; readonly addr: bigint; readonly len: bigint }
  | { readonly call: 'store'; readonly addr: bigint; readonly data: Uint8Array }
  | { readonly call: 'pipe2'; readonly fds: readonly number[]; readonly flags: number }
  | { readonly call: 'eventfd'; readonly initval: number; readonly flags: number; readonly fd: number };

/** Processes that come and go. */
export type ProcessEvent =
  | { readonly call: 'fork'; readonly child: number }
  | { readonly call: 'exit'; readonly status: number }
  | { readonly call: 'waitpid'; readonly child: number };

export type Event = (ComparedCall | MemoryEvent | ProcessEvent) & {
  /** The process that acts; 1 is the first. */
  readonly pid: number;
  /** Line of the recording, from 1. */
  readonly line: number;
};

/** Whether a replay compares the event's answer. */
export function isCompared(event: Event): event is Event & ComparedCall {
  switch (event.call) {
    case 'ioctl':
    case 'open':
    case 'close':
    case 'read':
    case 'write':
      return true;
    default:
      return false;
  }
}
