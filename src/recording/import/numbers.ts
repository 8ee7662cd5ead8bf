// SPDX-License-Identifier: GPL-2.0-only

/** What the numbers of a recording stand for at each moment: descriptors, ids, addresses, by what made them. */
import { type Name, Ref } from './draft.ts';
import { hex, number } from './words.ts';

/** IOVA that the kernel chose, or memory of the program. */
interface Range {
  readonly name: Name;
  readonly start: bigint;
  readonly length: bigint;
  /** The IOAS. */
  readonly space: Name | null;
}

/** A fault queue's or an access's descriptor beside others. `apart`: of a file that no case has. */
export type FileKind = 'iommufd' | 'fault' | 'access' | 'other' | 'apart';

/** What the numbers of one process stand for. */
export class Numbers {
  /** By descriptor: what was opened there last, whether or not it was closed since. */
  #files = new Map<number, { readonly name: Name; readonly kind: FileKind }>();
  #open = new Set<number>();
  #memory: Range[] = [];
  /** By the descriptor's name, by id: what had the id last. */
  #ids = new Map<Name, Map<bigint, Name>>();
  #gone = new Set<Name>();
  #iova: Range[] = [];
  /** Page tables that go with the last device, and what each device is attached to. */
  #automatic = new Set<Name>();
  #attached = new Map<Name, Name>();

  /** Of a child: descriptors and memory as they are now, the same objects behind them. */
  forked(): Numbers {
    const child = new Numbers();
    child.#files = new Map(this.#files);
    child.#open = new Set(this.#open);
    child.#memory = [...this.#memory];
    child.#ids = this.#ids;
    child.#gone = this.#gone;
    child.#iova = this.#iova;
    child.#automatic = this.#automatic;
    child.#attached = this.#attached;
    return child;
  }

  /** Whether the program has something open. */
  get isOpen(): boolean {
    return this.#open.size > 0;
  }

  opened(fd: number, name: Name, kind: FileKind): void {
    this.#files.set(fd, { name, kind });
    this.#open.add(fd);
  }

  closed(fd: number): void {
    this.#open.delete(fd);
  }

  fileName(fd: number): Name | null {
    return this.#files.get(fd)?.name ?? null;
  }

  fileKind(fd: number): FileKind {
    return (this.#open.has(fd) ? this.#files.get(fd)?.kind : undefined) ?? 'other';
  }

  /** The descriptor by name; a number that never was one stays one. */
  fd(value: bigint): Ref | number {
    const fd = Number(BigInt.asIntN(32, value));
    const found = this.#files.get(fd);
    return found === undefined ? fd : new Ref(found.name);
  }

  /** An id of an iommufd, or whatever a descriptor counts. */
  gotId(of: Name, id: bigint, name: Name): void {
    const ids = this.#ids.get(of) ?? new Map<bigint, Name>();
    this.#ids.set(of, ids.set(id, name));
  }

  id(of: Name | null, id: bigint): Ref | string | number {
    const found = this.idName(of, id);
    return found === null ? number(id) : new Ref(found);
  }

  idName(of: Name | null, id: bigint): Name | null {
    return of === null ? null : (this.#ids.get(of)?.get(id) ?? null);
  }

  /** The page table with that id, if it is there still. */
  livingPageTable(of: Name, id: bigint): Name | null {
    const found = this.idName(of, id);
    return found === null || found.word !== 'hwpt' || this.#gone.has(found) ? null : found;
  }

  destroyed(name: Name): void {
    this.#gone.add(name);
    this.#leave(name);
  }

  automatic(hwpt: Name): void {
    this.#automatic.add(hwpt);
  }

  attached(device: Name, hwpt: Name): void {
    const before = this.#attached.get(device);
    this.#attached.set(device, hwpt);
    if (before !== undefined && before !== hwpt) this.#abandon(before);
  }

  #leave(device: Name): void {
    const hwpt = this.#attached.get(device);
    this.#attached.delete(device);
    if (hwpt !== undefined) this.#abandon(hwpt);
  }

  #abandon(hwpt: Name): void {
    const isUsed = [...this.#attached.values()].includes(hwpt);
    if (this.#automatic.has(hwpt) && !isUsed) this.#gone.add(hwpt);
  }

  mapped(name: Name, start: bigint, length: bigint): void {
    this.#memory.push({ name, start, length, space: null });
  }

  /** Whether an address lies in memory of which the mapping was recorded. */
  isMapped(address: bigint): boolean {
    const found = within(this.#memory, address, 0n);
    return found !== undefined && !isArea(found.name);
  }

  /** An address in the memory of the program, or just behind it, by name. */
  address(value: bigint): Ref | string | number {
    const found = within(this.#memory, value, 0n) ?? within(this.#memory, value, 1n);
    return found === undefined ? number(value) : new Ref(found.name, value - found.start);
  }

  chosen(name: Name, start: bigint, length: bigint, space: Name | null): void {
    this.#iova.push({ name, start, length, space });
  }

  /** An IOVA by name, where the kernel chose it; `space`: the IOAS, where that is known. */
  iova(value: bigint, space: Name | null): Ref | string {
    const own = this.#iova.filter((range) => range.space === space);
    const found = within(own, value, 0n) ?? (space === null ? within(this.#iova, value, 0n) : undefined);
    return found === undefined ? hex(value) : new Ref(found.name, value - found.start);
  }
}

/** Whether it is memory of which no mapping was recorded. */
export const isArea = ({ word }: Name): boolean => word === 'stack' || word === 'heap';

/** The last of the ranges that holds an address; `more`: how many bytes behind it count as well. */
const within = (ranges: readonly Range[], address: bigint, more: bigint): Range | undefined =>
  ranges.findLast(({ start, length }) => address >= start && address < start + length + more);
