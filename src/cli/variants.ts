// SPDX-License-Identifier: GPL-2.0-only
import { type Command, Option } from 'commander';
import { variantsJson, variantsPage, variantsText } from '../case/variants.ts';
import { paint } from './paint.ts';
import { EXIT, oracle } from './unusable.ts';

export function register(program: Command): void {
  program
    .command('variants')
    .summary('list the designs that a case can be run on, and the historical bugs that it can put back')
    .option('--json', 'print one JSON document')
    .addOption(new Option('--page', 'print docs/variants.md').conflicts('json'))
    .addHelpText(
      'after',
      `
Examples:
  ${oracle()} variants
  ${oracle()} run iommufd --variant attach-handle=after-driver    cases on another design
  ${oracle()} run iommufd --bug E1                                which cases notice the bug?`,
    )
    .action(({ json, page }: { json?: true; page?: true }) => {
      if (json) console.log(JSON.stringify(variantsJson(), null, 2));
      else if (page) process.stdout.write(variantsPage());
      else console.log(variantsText(paint(process.stdout).bold));
      process.exitCode = EXIT.ok;
    });
}
