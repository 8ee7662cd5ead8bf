// SPDX-License-Identifier: GPL-2.0-only
import type { Command } from 'commander';
import { CaseError } from '../case/place.ts';
import { goldenPath, readGolden } from '../golden/store.ts';
import { load, orphaned } from './evaluate.ts';
import { select } from './project.ts';
import { report } from './report.ts';
import { EXIT, oracle } from './unusable.ts';

export function register(program: Command): void {
  program
    .command('check')
    .summary('look for mistakes in case files, without running them')
    .argument('[case...]', 'names, areas, patterns or files; all when none is given')
    .option('--root <folder>', 'the folder that holds cases/ and golden/ (default: the nearest one upwards)')
    .addHelpText(
      'after',
      `
All mistakes of all files are told at once, each with its place. Goldens without a case, and cases without a
golden, are told too.

Exit code: 0 nothing to complain of; 1 goldens are missing or orphaned; 2 a case cannot be used.

Example:
  ${oracle()} check iommufd`,
    )
    .action(async (patterns: readonly string[], { root }: { root?: string }) => {
      process.exitCode = await check(patterns, root);
    });
}

async function check(patterns: readonly string[], root: string | undefined): Promise<number> {
  const { cases, orphans } = await select(patterns, root);
  let unusable = 0;
  const missing: string[] = [];
  for (const each of cases) {
    try {
      load(each);
      if (each.root !== null && readGolden(each.root, each.name) === null) missing.push(each.name);
    } catch (e) {
      if (!(e instanceof CaseError)) throw e;
      report(e);
      unusable++;
    }
  }
  for (const name of missing)
    console.log(`there is no ${goldenPath(name)}: ${oracle()} run --update ${name} makes it`);
  for (const { name } of orphans) console.log(orphaned(name));
  console.log(
    [
      `${cases.length - unusable} of ${cases.length} cases can be used`,
      ...(missing.length > 0 ? [`${missing.length} goldens missing`] : []),
      ...(orphans.length > 0 ? [`${orphans.length} goldens orphaned`] : []),
    ].join(', '),
  );
  if (unusable > 0) return EXIT.unusable;
  return missing.length + orphans.length > 0 ? EXIT.failed : EXIT.ok;
}
