// SPDX-License-Identifier: GPL-2.0-only

/** The command. Each verb is a file beside this one, loaded when it is asked for. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { report } from './report.ts';
import { EXIT } from './unusable.ts';

/** In the order of the help. */
const verbs: Readonly<Record<string, () => Promise<{ register(program: Command): void }>>> = {
  run: () => import('./run.ts'),
  check: () => import('./check.ts'),
  list: () => import('./list.ts'),
  new: () => import('./new.ts'),
  explain: () => import('./explain.ts'),
  explore: () => import('./explore.ts'),
  variants: () => import('./variants.ts'),
  compare: () => import('./compare.ts'),
  schema: () => import('./schema.ts'),
  replay: () => import('./replay.ts'),
  import: () => import('./import.ts'),
};

const program = new Command('vfio-oracle')
  .description(
    'A deterministic oracle for Linux VFIO and iommufd: runs cases and records every state transition.',
  )
  .showHelpAfterError('(--help says more)')
  .exitOverride();

// Whoever reads us may have seen enough: `| head`.
process.stdout.on('error', (e) => {
  if (!('code' in e) || e.code !== 'EPIPE') throw e;
  process.exit();
});

async function main(): Promise<void> {
  const wanted = verbs[process.argv[2] ?? ''];
  if (wanted === undefined) program.version(version(), '--version');
  for (const load of wanted === undefined ? Object.values(verbs) : [wanted]) (await load()).register(program);
  for (const command of program.commands) command.exitOverride();

  try {
    await program.parseAsync();
  } catch (e) {
    // What commander has told already: bad usage, or help that was asked for.
    if (e instanceof Error && 'exitCode' in e) process.exitCode = e.exitCode === 0 ? EXIT.ok : EXIT.unusable;
    else process.exitCode = report(e);
  }
}

function version(): string {
  return JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')).version;
}

void main();
