// SPDX-License-Identifier: GPL-2.0-only

/**
 * How a task suspends in the middle of nested calls and goes on there, at a cost that does not grow with the
 * depth of the calls and without an object a level.
 *
 * `yield* f()` in model code meets one of two iterators, shared by all. `finished` hands over a value that
 * is there already. `suspended` yields while the task is leaving; each model function on the way out puts
 * its generator on the task's stack. Later the *innermost* generator is resumed, not the outermost: when it
 * ends, its caller is resumed in turn and `suspended` hands it the value. Native delegation would walk the
 * whole chain at every resumption (99 ns at depth 8, against 15).
 */
import { context } from './context.ts';
import type { Observed } from './observed.ts';
import type { Co, Gen, Task } from './task.ts';
import { DONE } from './trace.ts';

type Shared = Iterator<void, unknown, void> & Iterable<void, unknown, void>;

const result: IteratorReturnResult<unknown> = { done: true, value: undefined };
const pause: IteratorYieldResult<void> = { done: false, value: undefined };

const finished: Shared = {
  next: () => result,
  [Symbol.iterator]: () => finished,
};

const suspended: Shared = {
  next() {
    const task = context.current;
    if (task === null || task.leaving) return pause;
    const effect = task.effect;
    if (effect === null) {
      result.value = task.value;
    } else {
      task.effect = null;
      // Taken now: at a racing access others may come in between, and then it announces another.
      const { op, object } = task;
      result.value = effect(object, task.operand);
      if (op.opaque) context.trace.push(DONE, object.$id, 0, 0);
      if (context.watch?.result !== undefined) context.watch.result(result.value);
    }
    return result;
  },
  [Symbol.iterator]: () => suspended,
};

/** What a function with nothing to wait for returns where a Co is expected. Must be `yield*`ed at once. */
export function done<T>(value: T): Co<T> {
  result.value = value;
  // cast: the value was stored just now and yield* takes it before anything else runs
  return finished as Co<T>;
}

/** The running task is leaving; `effect` is what its announced operation does once it goes on. */
export function suspendBefore<O extends Observed, T>(
  task: Task,
  effect: (object: O, operand: number) => T,
): Co<T> {
  // cast: run with the object that was announced together with it
  task.effect = effect as (object: Observed, operand: number) => unknown;
  // cast: yields, then hands over what the effect returns
  return suspended as Co<T>;
}

/** The running task is leaving out of the model function whose generator this is. */
export function suspendIn<T>(generator: Gen<T>): Co<T> {
  context.current?.left.push(generator);
  // cast: yields, then hands over what the generator returns
  return suspended as Co<T>;
}

/**
 * Runs a task from where it stands until it suspends again. True when it is over. `onExit` is told of each
 * model function that ends on the way, with what it returns.
 */
export function resume(task: Task, onExit: (functionId: number, value: unknown) => void): boolean {
  const { stack, left } = task;
  task.leaving = false;
  for (;;) {
    const generator = stack[stack.length - 1];
    if (generator === undefined) throw new Error(`${task.name} is over and cannot go on`);
    const step = generator.next();
    if (step.done !== true) {
      for (let callee = left.pop(); callee !== undefined; callee = left.pop()) stack.push(callee);
      return false;
    }
    stack.pop();
    if (stack.length === 0) return true;
    const functionId = task.frames[task.depth - 1];
    if (functionId !== undefined) onExit(functionId, step.value);
    task.value = step.value;
  }
}
