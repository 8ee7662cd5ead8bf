// SPDX-License-Identifier: GPL-2.0-only

/** What the names in a case stand for, while it is loaded: who makes them, who uses them, and what is wrong. */
import type { Node } from 'jsonc-parser';
import { constants } from './constants.ts';
import { keyAt, nodeAt, type Path, span } from './jsonc.ts';
import type { Names, Operand } from './operand.ts';
import { MOST_PROBLEMS, type Problem } from './place.ts';
import { didYouMean } from './suggest.ts';
import { parseNumber, show } from './words.ts';

export type MadeKind = 'fd' | 'id' | 'address';

const KIND_WORDS: Readonly<Record<MadeKind, string>> = {
  fd: 'a file descriptor',
  id: 'an id',
  address: 'an address',
};

/** A name that a step makes. */
export interface Maker {
  readonly name: string;
  /** Null: its step cannot be read, so nobody knows. */
  readonly kind: MadeKind | null;
  readonly task: string;
  /** Index of the step in its task. */
  readonly step: number;
  readonly path: Path;
  /** For an id: the descriptor that it is an id of; for a descriptor: the one that it was got by. */
  readonly on: Owner | undefined;
  /** It is a device, which can do something by itself. */
  readonly isDevice?: boolean;
}

/** A descriptor, or the one of what is named. */
export type Owner = string | number | SameAs;
export interface SameAs {
  readonly sameAs: string;
}

/** A name that a step uses. */
export interface Use {
  readonly maker: Maker;
  readonly task: string;
  readonly step: number;
  readonly path: Path;
}

/** What a step says that the platform has. */
interface Present {
  readonly what: 'device' | 'group';
  readonly name: string;
  readonly path: Path;
}

/** The names and the problems of a whole case. */
export class Scope {
  readonly problems: Problem[] = [];
  readonly makers = new Map<string, Maker>();
  readonly uses: Use[] = [];
  /** Steps by their labels. */
  readonly steps = new Map<string, Maker>();
  /** Devices and groups of the platform that steps speak of. */
  readonly present: Present[] = [];
  /** Names of what steps make in the kernel, which nobody else has to wait for. */
  readonly made = new Set<string>();
  /** Tasks that steps begin. */
  readonly forks: { readonly child: string; readonly by: string; readonly path: Path }[] = [];
  readonly #root: Node;

  constructor(root: Node) {
    this.#root = root;
  }

  problem(path: Path, message: string, hint?: string): void {
    if (this.isFull) return;
    this.#add(nodeAt(this.#root, path), message, hint);
  }

  /** There are more problems than anybody reads: looking for others is idle. */
  get isFull(): boolean {
    return this.problems.length >= MOST_PROBLEMS;
  }

  /** As problem, but it is the key that is wrong, not its value. */
  keyProblem(path: Path, message: string, hint?: string): void {
    if (this.isFull) return;
    this.#add(keyAt(this.#root, path), message, hint);
  }

  #add(node: Node, message: string, hint: string | undefined): void {
    const at = span(node);
    if (this.problems.some((each) => each.offset === at.offset && each.message === message)) return;
    this.problems.push(hint === undefined ? { ...at, message } : { ...at, message, hint });
  }

  /** The descriptor itself; undefined when no step says. */
  owner(of: Owner | undefined): string | number | undefined {
    const seen = new Set<string>();
    let at = of;
    while (typeof at === 'object') {
      const { sameAs } = at;
      at = seen.has(sameAs) ? undefined : this.makers.get(sameAs)?.on;
      seen.add(sameAs);
    }
    return at;
  }

  make(maker: Maker): void {
    const first = this.makers.get(maker.name);
    if (first === undefined) this.makers.set(maker.name, maker);
    else this.problem(maker.path, `the name '${maker.name}' is taken: ${placeOf(first)} makes it already`);
  }
}

export const placeOf = ({ task, step }: { task: string; step: number }): string => `${task}[${step}]`;

const SUM = /^([A-Za-z_][A-Za-z0-9_-]*?)(?:([+])(.+))?$/;

/** The scope as one step sees it. Paths are from the step on. */
export class StepScope {
  readonly uses: Use[] = [];
  readonly #scope: Scope;
  readonly #base: Path;
  readonly #task: string;
  readonly #step: number;

  constructor(scope: Scope, base: Path, task: string, step: number) {
    this.#scope = scope;
    this.#base = base;
    this.#task = task;
    this.#step = step;
  }

  problem(path: Path, message: string, hint?: string): void {
    this.#scope.problem([...this.#base, ...path], message, hint);
  }

  keyProblem(path: Path, message: string, hint?: string): void {
    this.#scope.keyProblem([...this.#base, ...path], message, hint);
  }

  /** A device or a group that the platform must have. */
  present(what: Present['what'], path: Path, name: string): void {
    this.#scope.present.push({ what, name, path: [...this.#base, ...path] });
  }

  /** The step makes something in the kernel, which conditions can speak of. */
  made(name: string): void {
    this.#scope.made.add(name);
  }

  /** The step begins another task. */
  forks(path: Path, child: string): void {
    this.#scope.forks.push({ child, by: this.#task, path: [...this.#base, ...path] });
  }

  /** The task, or the device, whose step it is. */
  get task(): string {
    return this.#task;
  }

  /** The device whose step it is, which another step makes before this one can begin. */
  device(): void {
    const maker = this.#scope.makers.get(this.#task);
    if (maker === undefined) return;
    const use: Use = { maker, task: this.#task, step: this.#step, path: this.#base };
    this.uses.push(use);
    this.#scope.uses.push(use);
  }

  /** The step of that label, which this one comes after; null after telling a problem. */
  after(path: Path, label: string): Use | null {
    const maker = this.#scope.steps.get(label);
    if (maker === undefined) {
      const hint = didYouMean(label, this.#scope.steps.keys()) ?? 'a step has a label by "label": "name"';
      this.problem(path, `no step has the label '${label}'`, hint);
      return null;
    }
    const use: Use = { maker, task: this.#task, step: this.#step, path: [...this.#base, ...path] };
    this.#scope.uses.push(use);
    return use;
  }

  /** What a number or a name stands for. `kind`: what it must be, where a name is given. */
  operand(path: Path, input: string | number, kind?: MadeKind): Operand {
    if (typeof input === 'number') return literal(BigInt(input));
    const value = parseNumber(input);
    if (value !== null) return literal(value);
    const constant = constants().get(input);
    if (constant !== undefined) return { text: input, constant, of: () => constant };
    const [, word = input, sign, offset] = SUM.exec(input) ?? [];
    const maker = this.#find(path, input, word, kind);
    if (maker === null) return literal(0n);
    if (sign === undefined || offset === undefined) {
      return { text: word, of: (names) => names.value(word) };
    }
    const distance = parseNumber(offset);
    if (distance === null) {
      this.problem(path, `expected a number after '${word}+', such as 0x1000; found '${offset}'`);
      return literal(0n);
    }
    if (maker.kind !== null && maker.kind !== 'address') {
      this.problem(path, `'${word}' is ${KIND_WORDS[maker.kind]}: only addresses can be added to`);
    }
    return { text: `${word}+${show(distance)}`, of: (names) => names.value(word) + distance };
  }

  /** As operand; a list is or-ed together. */
  flags(path: Path, input: string | number | readonly (string | number)[]): Operand {
    if (typeof input === 'string' || typeof input === 'number') return this.operand(path, input);
    const parts = input.map((each, i) => this.operand([...path, i], each));
    const text = parts.length === 0 ? '0' : parts.map((part) => part.text).join('|');
    const of = (names: Names): bigint => parts.reduce((sum, part) => sum | part.of(names), 0n);
    const known = parts.every((part) => part.constant !== undefined);
    return known
      ? { text, of, constant: parts.reduce((sum, part) => sum | (part.constant ?? 0n), 0n) }
      : { text, of };
  }

  /** The descriptor that an id belongs to, as the step that makes the id says; null after telling a problem. */
  ownerOf(path: Path, id: string | number): string | number | null {
    const maker = typeof id === 'string' ? this.#scope.makers.get(id) : undefined;
    const owner = this.#scope.owner(maker?.on);
    if (owner !== undefined) return owner;
    if (maker?.kind === null) return null;
    if (maker === undefined && typeof id === 'string' && parseNumber(id) === null) {
      this.#find(path, id, id);
      return null;
    }
    this.keyProblem(
      path,
      `say whose id this is: "on" is missing, the descriptor that ${JSON.stringify(id)} is an id of`,
    );
    return null;
  }

  #find(path: Path, input: string, word: string, kind?: MadeKind): Maker | null {
    const maker = this.#scope.makers.get(word);
    if (maker === undefined) {
      if (/^[A-Z][A-Z0-9]*_[A-Za-z0-9_]+$/.test(word)) {
        this.problem(path, `no such constant: '${input}'`, didYouMean(word, constants().keys()));
      } else {
        const known = [...this.#scope.makers.keys()];
        const none =
          known.length === 0
            ? 'a name is given by "as", in the step that makes what it stands for'
            : undefined;
        this.problem(path, `no step makes '${word}'`, didYouMean(word, known) ?? none);
      }
      return null;
    }
    if (kind !== undefined && maker.kind !== null && maker.kind !== kind) {
      const is = `'${word}' is ${KIND_WORDS[maker.kind]}, made by ${placeOf(maker)}`;
      this.problem(path, `expected ${KIND_WORDS[kind]}: ${is}`);
    }
    const use: Use = { maker, task: this.#task, step: this.#step, path: [...this.#base, ...path] };
    this.uses.push(use);
    this.#scope.uses.push(use);
    return maker;
  }
}

const literal = (value: bigint): Operand => ({ text: show(value), constant: value, of: () => value });
