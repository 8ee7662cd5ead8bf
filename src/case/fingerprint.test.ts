// SPDX-License-Identifier: GPL-2.0-only

// A fingerprint that keeps up with a run is the same as one that is worked out anew, in every state of every
// small case: nothing changes without being noticed.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { globSync } from 'glob';
import { expect, test } from 'vitest';
import type { Choice, Policy } from '../sim/choice.ts';
import { context } from '../sim/context.ts';
import { Fingerprint } from '../sim/fingerprint.ts';
import { SeededRandom } from '../sim/policies/random.ts';
import { loadCase } from './load.ts';
import { runCase } from './run.ts';

const root = join(import.meta.dirname, '../..');
const names = globSync('**/race-*.jsonc', { cwd: join(root, 'cases') }).sort();

/** Looks at each state, by way of what changed and from scratch. */
class Compare implements Policy {
  readonly everyStep = true;
  readonly keeping = new Fingerprint();
  looks = 0;
  readonly #policy: Policy;
  #begun = false;

  constructor(seed: number) {
    this.#policy = new SeededRandom(seed);
  }

  choose(choice: Choice): number {
    const { machine, watch } = context;
    if (watch === this.keeping && machine !== null) {
      if (!this.#begun) this.keeping.begin(machine);
      this.#begun = true;
      this.keeping.look([]);
      const anew = new Fingerprint();
      anew.begin(machine);
      anew.look([]);
      expect([this.keeping.a, this.keeping.b]).toEqual([anew.a, anew.b]);
      this.looks++;
    }
    return this.#policy.choose(choice);
  }
}

test.each(names)('%s', (name) => {
  const path = join(root, 'cases', name);
  const it = loadCase(name, path, readFileSync(path, 'utf8'));
  for (let seed = 0; seed < 3; seed++) {
    const policy = new Compare(seed);
    const run = runCase(it, { schedule: { policy, misfit: () => null }, watch: policy.keeping });
    // A warning is no state: who looks only now does not know of it.
    if (run.findings.every(({ kind }) => kind !== 'warn')) expect(policy.looks).toBeGreaterThan(10);
  }
});
