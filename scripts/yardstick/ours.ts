// SPDX-License-Identifier: GPL-2.0-only

/** Our own engine on the protocol: all traces, all states, samples. */
import { exploreStates } from '../../src/explore/states.ts';
import {
  type ExecuteWatched,
  type Exploration,
  exploreTraces,
  type Limits,
  type Progress,
} from '../../src/explore/traces.ts';
import type { Policy } from '../../src/sim/choice.ts';
import { Pct } from '../../src/sim/policies/pct.ts';
import { SeededRandom } from '../../src/sim/policies/random.ts';
import type { Verdict } from './pan.ts';
import { devicesAlike, ownership, type Protocol } from './protocol.ts';

export interface Explored {
  readonly verdict: Verdict;
  /** Whole runs, those that would have repeated another left out; and states. */
  readonly traces: number;
  readonly states: number;
  /** CPU time, in all and until the first violation. */
  readonly ms: number;
  readonly firstMs: number | null;
  /** Why the devices are not interchangeable. */
  readonly asymmetry: string | null;
}

type Explore = (execute: ExecuteWatched, limits: Limits) => Exploration;

const nothing = (): void => {};

/** CPU time of this process, ms. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** All traces of the protocol, for at most `cap` seconds. */
export const traces = (protocol: Protocol, cap: number): Explored =>
  explored(protocol, cap, (execute, limits) => exploreTraces((policy) => execute(policy), nothing, limits));

/** All its states. */
export const states = (protocol: Protocol, cap: number): Explored =>
  explored(protocol, cap, (execute, limits) => exploreStates(execute, nothing, limits));

/** All its states but for which device is which. */
export const orbits = (protocol: Protocol, cap: number): Explored =>
  explored(protocol, cap, (execute, limits) =>
    exploreStates(execute, nothing, { ...limits, symmetry: devicesAlike(protocol) }),
  );

function explored(protocol: Protocol, cap: number, explore: Explore): Explored {
  const start = cpu();
  let firstMs: number | null = null;
  const execute = ownership(protocol, () => {
    firstMs ??= cpu() - start;
  });
  // The clock takes as long as a short run.
  const stop = ({ executions }: Progress): boolean => executions % 64 === 0 && cpu() - start > cap * 1000;
  const done = explore(execute, { executions: Number.POSITIVE_INFINITY, stop });
  return {
    verdict: firstMs !== null ? 'violated' : done.complete ? 'holds' : 'unknown',
    traces: done.executions - done.redundant,
    states: done.states ?? 0,
    ms: cpu() - start,
    firstMs,
    asymmetry: done.asymmetry ?? null,
  };
}

export interface Sampled {
  readonly runs: number;
  readonly ms: number;
  /** The run, from 1, that first violated the protocol. */
  readonly firstRun: number | null;
}

export const random = (protocol: Protocol, cap: number): Sampled =>
  sampled(protocol, cap, (seed) => new SeededRandom(seed));

/** The violation needs four events in order; a run has some ten steps a task. */
export const pct = (protocol: Protocol, cap: number): Sampled =>
  sampled(protocol, cap, (seed) => new Pct(seed, 4, 10 * protocol.devices));

function sampled(protocol: Protocol, cap: number, policyOf: (seed: number) => Policy): Sampled {
  const start = cpu();
  let runs = 0;
  let firstRun: number | null = null;
  const execute = ownership(protocol, () => {
    firstRun ??= runs + 1;
  });
  while (cpu() - start < cap * 1000) execute(policyOf(runs++));
  return { runs, ms: cpu() - start, firstRun };
}
