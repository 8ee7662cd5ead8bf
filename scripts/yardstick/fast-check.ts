// SPDX-License-Identifier: GPL-2.0-only

/** fast-check's scheduler on the protocol: asynchronous functions that give way before every access. */
import fc, { type Scheduler } from 'fast-check';
import type { Sampled } from './ours.ts';
import type { Protocol } from './protocol.ts';

type Owner = 'none' | 'dma-api' | 'vfio';

/** Samples schedules for `cap` seconds. */
export async function fastCheck(protocol: Protocol, cap: number): Promise<Sampled> {
  const start = performance.now();
  let runs = 0;
  let firstRun: number | null = null;
  const property = fc.asyncProperty(fc.scheduler(), async (s) => {
    runs++;
    if (await run(s, protocol)) firstRun ??= runs;
  });
  await fc.assert(property, {
    numRuns: Number.MAX_SAFE_INTEGER,
    seed: 1,
    interruptAfterTimeLimit: cap * 1000,
    skipAllAfterTimeLimit: cap * 1000,
  });
  return { runs, ms: performance.now() - start, firstRun };
}

/** One schedule. True when it violated the protocol. */
async function run(s: Scheduler, { design, devices }: Protocol): Promise<boolean> {
  const driver = Array.from({ length: devices }, () => false);
  const counts = design === 'count';
  let owner: Owner = 'none';
  let ownerCnt = 0;
  let claimed = false;
  let violated = false;
  let locked = false;
  const waiting: (() => void)[] = [];

  const step = (label: string): Promise<void> => s.schedule(Promise.resolve(), label);
  async function lock(): Promise<void> {
    for (;;) {
      await step('lock');
      if (!locked) break;
      await new Promise<void>((wake) => waiting.push(wake));
    }
    locked = true;
  }
  async function unlock(): Promise<void> {
    await step('unlock');
    locked = false;
    for (const wake of waiting.splice(0)) wake();
  }
  async function remove(dev: number): Promise<void> {
    await lock();
    if (counts) {
      if (--ownerCnt === 0) owner = 'none';
    } else {
      let used = false;
      for (let other = 0; other < devices; other++) {
        if (other === dev) continue;
        await step('read driver');
        if (driver[other]) used = true;
      }
      if (!used) owner = 'none';
    }
    await unlock();
  }
  async function device(dev: number): Promise<void> {
    await step('write driver');
    driver[dev] = true;
    await lock();
    const taken = counts ? ownerCnt === 0 || owner === 'dma-api' : owner !== 'vfio';
    if (taken) {
      owner = 'dma-api';
      ownerCnt++;
      violated ||= claimed;
    }
    await unlock();
    await step('clear driver');
    driver[dev] = false;
    if (taken) await remove(dev);
  }
  async function claimer(): Promise<void> {
    await lock();
    const free = counts ? ownerCnt === 0 : owner === 'none';
    if (free) {
      owner = 'vfio';
      ownerCnt = 1;
      claimed = true;
    }
    await unlock();
    if (!free) return;
    await lock();
    owner = 'none';
    ownerCnt = 0;
    claimed = false;
    await unlock();
  }
  await s.waitFor(Promise.all([claimer(), ...driver.map((_, dev) => device(dev))]));
  return violated;
}
