// SPDX-License-Identifier: GPL-2.0-only

// What the hot paths cost, beside the targets; bundled, as it ships. Figures move from machine to machine: compare ratios, and runs
// of before and after on one machine.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embed, int, ref, u32 } from '../src/sim/field.ts';
import { sourceFile } from '../src/sim/fn.ts';
import { Machine } from '../src/sim/machine.ts';
import { SeededRandom } from '../src/sim/policies/random.ts';
import { runToBlock } from '../src/sim/policies/run-to-block.ts';
import { root, struct } from '../src/sim/struct.ts';
import { mutex, mutex_lock, mutex_unlock } from '../src/sim/sync/mutex.ts';
import { refcount_dec, refcount_inc, refcount_init, refcount_t } from '../src/sim/sync/refcount.ts';
import type { Gen } from '../src/sim/task.ts';
import { STRIDE, Trace } from '../src/sim/trace.ts';
import { callsOnAreas, treeOfAreas } from './bench/areas.ts';

const ROUNDS = 5;

class bench_object extends struct('bench_object', root, {
  lock: embed(mutex),
  users: embed(refcount_t),
  a: int(),
  b: u32(),
  next: ref<bench_object>(),
}) {}

const fn = sourceFile('scripts/bench.ts');
const inner = fn('inner', function* (it: bench_object): Gen<number> {
  yield* mutex_lock(it.lock);
  it.a += 1;
  it.b = it.a;
  yield* mutex_unlock(it.lock);
  return it.a;
});
const middle = fn('middle', function* (it: bench_object): Gen<number> {
  yield* refcount_inc(it.users);
  const result = yield* inner(it);
  yield* refcount_dec(it.users);
  return result;
});
const assign = fn('assign', (it: bench_object): void => {
  it.a = 1;
  it.b = 2;
  it.next = it;
});
const outer = fn('outer', function* (it: bench_object): Gen<number> {
  assign(it);
  return yield* middle(it);
});

function* nested(it: bench_object, times: number): Gen<void> {
  for (let i = 0; i < times; i++) yield* outer(it);
}

function* flat(it: bench_object, times: number): Gen<void> {
  for (let i = 0; i < times; i++) {
    yield* mutex_lock(it.lock);
    it.a += 1;
    yield* mutex_unlock(it.lock);
  }
}

/** A trace that keeps nothing: what recording costs is the difference. */
class NoTrace extends Trace {
  override push(): void {}
}

interface Cost {
  readonly records: number;
  readonly steps: number;
}

function runMachine(machine: Machine, tasks: number, body: (it: bench_object) => Gen<void>): Cost {
  machine.powerOn();
  const it = new bench_object(machine.root, 'it');
  refcount_init(it.users, 1);
  for (let i = 0; i < tasks; i++) machine.spawn(`t${i}`, body(it));
  const { status } = machine.run();
  if (status !== 'finished') throw new Error(`the benchmark's run ended with ${status}`);
  return { records: machine.trace.len / STRIDE, steps: machine.scheduler.steps };
}

/** Best of some rounds, per second. `work` returns how much it did. */
function rate(work: () => number): number {
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    const amount = work();
    best = Math.max(best, (amount / (performance.now() - start)) * 1000);
  }
  return best;
}

function repeated(times: number, once: (i: number) => number): () => number {
  return () => {
    let sum = 0;
    for (let i = 0; i < times; i++) sum += once(i);
    return sum;
  };
}

const unlimited = { stepLimit: Number.POSITIVE_INFINITY };

function transitions(trace: Trace, body: (it: bench_object) => Gen<void>): number {
  return rate(repeated(100, () => runMachine(new Machine(runToBlock, unlimited, trace), 1, body).records));
}

function steps(trace: Trace): number {
  return rate(
    repeated(
      100,
      () => runMachine(new Machine(runToBlock, unlimited, trace), 1, (it) => nested(it, 500)).steps,
    ),
  );
}

function assignments(): number {
  const machine = new Machine(runToBlock, unlimited).powerOn();
  const it = new bench_object(machine.root, 'it');
  return rate(() => {
    for (let i = 0; i < 4_000_000; i++) {
      it.a = i;
      if (machine.trace.len > 1 << 20) machine.trace.clear();
    }
    return 4_000_000;
  });
}

function schedules(body: (it: bench_object) => Gen<void>): { readonly rate: number; readonly steps: number } {
  const trace = new Trace();
  let steps = 0;
  const perSecond = rate(
    repeated(20_000, (seed) => {
      steps = runMachine(new Machine(new SeededRandom(seed), unlimited, trace), 4, body).steps;
      return 1;
    }),
  );
  return { rate: perSecond, steps };
}

/** Wall time of a whole process, ms. */
function processTime(...args: string[]): number {
  const start = performance.now();
  const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
  if (status === null) throw new Error(`node ${args.join(' ')} was killed`);
  return performance.now() - start;
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

/**
 * The median of some rounds of each process, ms, after one to warm up. They take turns: what else the machine does
 * hits all alike.
 */
function processTimes(...commands: string[][]): number[] {
  const rounds = Array.from({ length: ROUNDS + 1 }, () => commands.map((args) => processTime(...args)));
  return commands.map((_, i) => median(rounds.slice(1).map((round) => round[i] ?? 0)));
}

/** Puts many copies of a case, with their goldens, into a project of their own. */
function manyCases(root: string, name: string, copies: number): void {
  for (const [folder, ending] of [
    ['cases', 'jsonc'],
    ['golden', 'trace'],
  ] as const) {
    const text = readFileSync(`${folder}/${name}.${ending}`, 'utf8');
    mkdirSync(join(root, folder, 'many'), { recursive: true });
    for (let i = 0; i < copies; i++) {
      writeFileSync(join(root, folder, 'many', `${i}.${ending}`), text.replaceAll(name, `many/${i}`));
    }
  }
}

/** What `node` alone takes where the targets were set, ms. */
const ANCHOR = 47;

const millions = (perSecond: number): string => `${(perSecond / 1e6).toFixed(1)} M/s`;
const thousands = (perSecond: number): string => `${(perSecond / 1e3).toFixed(0)} k/s`;
const ms = (time: number): string => `${time.toFixed(0)} ms`;

function row(what: string, measured: string, target: string): void {
  console.log(`${what.padEnd(54)} ${measured.padStart(20)}   target ${target}`);
}

const trace = new Trace();
row(
  'records of a trace, nested model code, checkers off',
  millions(transitions(trace, (it) => nested(it, 500))),
  '8 M/s',
);
row('records of a trace, assignments only', millions(assignments()), '20 M/s');
const costs = Array.from({ length: 3 }, () => steps(new NoTrace()) / steps(trace));
row('recording on, against off (time)', median(costs).toFixed(2), '<= 1.2');
const nestedRate = schedules((it) => nested(it, 2));
const flatRate = schedules((it) => flat(it, 4));
row(`random schedules of 4 tasks, ${flatRate.steps} steps, flat`, thousands(flatRate.rate), '300 k/s');
row(`random schedules of 4 tasks, ${nestedRate.steps} steps, nested`, thousands(nestedRate.rate), '200 k/s');
const [fewAreas, manyAreas] = [10_000, 1_000_000];
const calls = { few: callsOnAreas(fewAreas), many: callsOnAreas(manyAreas) };
const tree = { few: treeOfAreas(fewAreas), many: treeOfAreas(manyAreas) };
const ratio = (few: number, many: number): string => `${(many / few).toFixed(1)} (${many.toFixed(1)} us)`;
for (const call of ['unmap', 'map', 'read'] as const)
  row(`IOAS of 1 M areas against 10 k: ${call} one`, ratio(calls.few[call], calls.many[call]), '<= 2');
for (const call of ['change', 'find', 'look'] as const)
  row(`… its tree alone: ${call} one`, ratio(tree.few[call], tree.many[call]), '-');
const many = mkdtempSync(join(tmpdir(), 'oracle-bench-'));
const one = 'iommufd/lowest-free-id';
manyCases(many, one, 2000);
const [alone = 0, cold = 0, all = 0, recordings = 0] = processTimes(
  ['--eval', '0'],
  ['dist/oracle.js', 'run', one],
  ['dist/oracle.js', 'run', '--root', many],
  ['dist/oracle.js', 'replay', 'golden/recordings'],
);
rmSync(many, { recursive: true });
console.log(
  `\nnode alone takes ${ms(alone)}; in brackets, what the rest would be where it takes ${ANCHOR} ms`,
);
const scaled = (time: number): string => `${ms(time)} (${ms((time * ANCHOR) / alone)})`;
row('all recordings, whole process', scaled(recordings), '2000 ms');
row('one case, cold start to verdict', scaled(cold), '80 ms');
row('2000 small golden cases, what they add to one', scaled(all - cold), '700 ms');
