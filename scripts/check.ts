// SPDX-License-Identifier: GPL-2.0-only

// Everything that is checked besides the tests. Quiet where all is well; a failed step shows what it was and all it said.
import { spawnSync } from 'node:child_process';

const steps = {
  types: 'tsc',
  'lint and format (npm run fmt repairs most)': 'biome check --diagnostic-level=warn --error-on-warnings',
  'model rules': 'tsx scripts/lint-model.ts',
  'import directions': 'depcruise src',
  'dead code': 'knip --no-progress',
  bundle: 'sh scripts/build.sh && node --check dist/program.js',
};

let failed = 0;
for (const [name, command] of Object.entries(steps)) {
  const { status, stdout, stderr } = spawnSync(command, { shell: true, encoding: 'utf8' });
  if (status !== 0) {
    failed += 1;
    console.log(`FAILED ${name}: ${command}\n${stdout}${stderr}`);
  }
}
console.log(`${Object.keys(steps).length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
