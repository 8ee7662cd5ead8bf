// SPDX-License-Identifier: GPL-2.0-only

// Our engine beside SPIN and fast-check, on a protocol of DMA ownership in two designs (yardstick/): what each says, and how long
// it takes. It gates nothing but that they agree. Figures move from machine to machine: compare ratios and growth.
import { parseArgs } from 'node:util';
import { fastCheck } from './yardstick/fast-check.ts';
import { type Explored, orbits, pct, random, type Sampled, states, traces } from './yardstick/ours.ts';
import { missingTools, type Verified, verify } from './yardstick/pan.ts';
import type { Protocol } from './yardstick/protocol.ts';

const USAGE = `npm run yardstick -- [--from N] [--to N] [--cap SECONDS]
  --from, --to   devices, default 2 to 7
  --cap          seconds that each search may take, default 60; what takes longer is cut, and shown with a +`;

const NAMES = { count: 'A', walk: 'B' } as const;

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: '2' },
    to: { type: 'string', default: '7' },
    cap: { type: 'string', default: '60' },
    help: { type: 'boolean', default: false },
  },
});
const [from, to, cap] = [values.from, values.to, values.cap].map(Number);
if (
  values.help ||
  from === undefined ||
  to === undefined ||
  cap === undefined ||
  !(from >= 1 && to >= from && cap > 0)
) {
  console.log(USAGE);
  process.exit(values.help ? 0 : 2);
}

const missing = missingTools();
if (missing !== null) console.log(`${missing}; our own figures alone follow\n`);

const time = (ms: number | null): string =>
  ms === null ? '-' : ms < 10_000 ? `${ms.toFixed(ms < 100 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`;
const cells = (...parts: readonly string[]): string => parts.map((part) => part.padStart(12)).join('');

console.log(`CPU times. Every search is given ${cap} s (+: cut there). states*: every access a step, as in SPIN's model; in the others
what a lock protects is one step. orbits: states that differ in more than which device is which; -: the devices are not
interchangeable. first: until the first violation is found. SPIN: -O2 -DSAFETY, partial-order reduction on.
`);
console.log(
  `   N${cells('pan states', 'time', 'first', 'compile')} |${cells('states', 'time', 'first', 'states*', 'time', 'orbits', 'time')} |${cells('traces', 'time', 'first')} | verdicts`,
);
let disagreements = 0;
for (const design of ['count', 'walk'] as const) {
  for (let devices = from; devices <= to; devices++) {
    const protocol: Protocol = { design, devices, everyAccess: false };
    const theirs = missing === null ? verify(protocol, cap) : null;
    const byStates = states(protocol, cap);
    const byAccesses = states({ ...protocol, everyAccess: true }, cap);
    const byOrbits = orbits(protocol, cap);
    const byTraces = traces(protocol, cap);
    const verdicts = new Set(
      [theirs, byStates, byAccesses, byOrbits, byTraces].flatMap((each) =>
        each === null || each.verdict === 'unknown' ? [] : [each.verdict],
      ),
    );
    if (verdicts.size > 1) disagreements++;
    const verdict = verdicts.size > 1 ? 'DISAGREE' : ([...verdicts][0] ?? 'unknown');
    console.log(
      `${NAMES[design]}  ${devices}${pan(theirs)} |${ours(byStates, byStates.states)}${cells(
        amount(byAccesses, byAccesses.states),
        time(byAccesses.ms),
        byOrbits.asymmetry === null ? amount(byOrbits, byOrbits.states) : '-',
        time(byOrbits.asymmetry === null ? byOrbits.ms : null),
      )} |${ours(byTraces, byTraces.traces)} | ${verdict}`,
    );
  }
}

const SAMPLING = Math.min(cap, 10);
console.log(`\nSampling, ${SAMPLING} s each: it finds, and never exhausts.\n`);
console.log(
  `   N${cells('fast-check', 'found in')} |${cells('random', 'found in')} |${cells('PCT', 'found in')}`,
);
for (const design of ['count', 'walk'] as const) {
  const protocol: Protocol = { design, devices: 3, everyAccess: false };
  const sampled = (s: Sampled): string =>
    cells(`${((s.runs / s.ms) * 1000).toFixed(0)}/s`, s.firstRun === null ? 'no run' : `run ${s.firstRun}`);
  console.log(
    `${NAMES[design]}  3${sampled(await fastCheck(protocol, SAMPLING))} |${sampled(
      random(protocol, SAMPLING),
    )} |${sampled(pct(protocol, SAMPLING))}`,
  );
}
if (disagreements > 0)
  console.log(`\n${disagreements} rows disagree: one of the engines, or of the models, is wrong`);
process.exitCode = disagreements > 0 ? 1 : 0;

function pan(it: Verified | null): string {
  if (it === null) return cells('-', '-', '-', '-');
  const cut = it.verdict === 'unknown' ? '+' : '';
  return cells(`${it.states}${cut}`, time(it.ms), time(it.firstMs), time(it.compileMs));
}

function amount({ ms }: Explored, n: number): string {
  return `${n}${ms > (cap ?? 0) * 1000 ? '+' : ''}`;
}

function ours(it: Explored, n: number): string {
  return cells(amount(it, n), time(it.ms), time(it.firstMs));
}
