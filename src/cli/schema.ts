// SPDX-License-Identifier: GPL-2.0-only
import type { Command } from 'commander';
import { jsonSchemaText } from '../case/json-schema.ts';
import { languagePage } from '../case/language.ts';
import { EXIT, oracle } from './unusable.ts';

export function register(program: Command): void {
  program
    .command('schema')
    .summary('print the case language: as JSON Schema for editors, or as a page to read')
    .option('--page', 'the page, in Markdown')
    .addHelpText(
      'after',
      `
Example:
  ${oracle()} schema > case.schema.json    and a case's "$schema" names that file`,
    )
    .action(({ page }: { page?: true }) => {
      process.stdout.write(page ? languagePage() : jsonSchemaText());
      process.exitCode = EXIT.ok;
    });
}
