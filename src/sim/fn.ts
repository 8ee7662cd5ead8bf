// SPDX-License-Identifier: GPL-2.0-only

/**
 * The one wrapper through which model functions are declared:
 *
 *     const fn = sourceFile('drivers/iommu/iommufd/main.c');
 *     export const iommufd_destroy = fn('iommufd_destroy', function* (ucmd: iommufd_ucmd): Gen<Rc> { … });
 *
 * It gives every event its call depth, every report its stack, every run its call tree, and `explain` the
 * source. A generator function's call runs at once, up to the first point at which another task goes on: a
 * call that nobody interrupts costs one generator and no delegation (see coroutine.ts for the others).
 */
import { context } from './context.ts';
import { done, suspendIn } from './coroutine.ts';
import type { Co, Gen } from './task.ts';
import { ENTER, EXIT } from './trace.ts';

export interface FunctionInfo {
  readonly id: number;
  readonly name: string;
  /** The file of the Linux source that it follows. */
  readonly file: string;
}

const functions: FunctionInfo[] = [];

/** The function behind a trace record's function id. */
export function functionInfo(id: number): FunctionInfo {
  const info = functions[id];
  if (info === undefined) throw new Error(`no function has id ${id}`);
  return info;
}

/** Every model function declared so far. */
export function declaredFunctions(): readonly FunctionInfo[] {
  return functions;
}

function enter(id: number, args: readonly unknown[]): void {
  const task = context.current;
  if (task !== null) task.frames[task.depth++] = id;
  context.trace.push(ENTER, id, 0, 0);
  if (context.watch?.enter !== undefined) context.watch.enter(args);
}

/** Leaves the function that the running task is in, with what it returns. */
export function exit(id: number, value: unknown): void {
  const task = context.current;
  if (task !== null) task.depth--;
  context.trace.push(EXIT, id, 0, 0);
  if (context.watch?.exit !== undefined) context.watch.exit(value);
}

interface Declare {
  <A extends unknown[], R>(name: string, body: (...args: A) => Gen<R>): (...args: A) => Co<R>;
  <A extends unknown[], R>(name: string, body: (...args: A) => R): (...args: A) => R;
}

const GeneratorFunction = Object.getPrototypeOf(function* () {}).constructor;

/** The wrapper for the functions of one file of the Linux source. */
export function sourceFile(file: string): Declare {
  function declare<A extends unknown[], R>(name: string, body: (...args: A) => R): (...args: A) => unknown {
    const id = functions.push({ id: functions.length, name, file }) - 1;
    if (!(body instanceof GeneratorFunction)) {
      return (...args) => {
        enter(id, args);
        const value = body(...args);
        exit(id, value);
        return value;
      };
    }
    // cast: just found to be a generator function
    const generator = body as unknown as (...args: A) => Gen<unknown>;
    return (...args) => {
      enter(id, args);
      const it = generator(...args);
      const first = it.next();
      if (first.done !== true) return suspendIn(it);
      exit(id, first.value);
      return done(first.value);
    };
  }
  // cast: both overloads of Declare are served above, told apart by the kind of function
  return declare as Declare;
}

/** The names of the model functions that a task is inside of, innermost first. */
export function stackOf(task: { readonly frames: readonly number[]; readonly depth: number }): string[] {
  return task.frames
    .slice(0, task.depth)
    .map((id) => functionInfo(id).name)
    .reverse();
}
