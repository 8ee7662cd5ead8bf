// SPDX-License-Identifier: GPL-2.0-only
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { BadRecording } from '../recording/decode.ts';
import { readRecording } from '../recording/files.ts';
import { CannotImport, type Imported, importRecording } from '../recording/import/import.ts';
import { findRoot, shownPath } from './project.ts';
import { EXIT, oracle, Unusable } from './unusable.ts';

interface Options {
  readonly from?: number;
  readonly to?: number;
  readonly output?: string;
  readonly overwrite?: true;
}

export function register(program: Command): void {
  program
    .command('import')
    .summary('make a case of a recording of a real kernel, or of a span of it')
    .argument('<recording>', 'a recording (.jsonl, .jsonl.gz)')
    .addOption(new Option('--from <line>', 'the line of its first call').argParser(line))
    .addOption(new Option('--to <line>', 'the line of its last call').argParser(line))
    .option('-o, --output <file>', 'write the case there; without it, to standard output')
    .option('--overwrite', 'even if there is such a file already')
    .addHelpText(
      'after',
      `
Descriptors, ids and addresses get names, and what the kernel answered becomes what the steps expect. Of the calls
before --from those are kept without which the span would go another way; calls that repeat the one before, memory
that nothing depends on, and pipes and files of the program's own are left out. A child that is forked is a task; its
steps and its parent's wait for each other, so that they come in the recorded order.

Exit code: 0; 1 when the model answers otherwise than was recorded: the case is written all the same, and fails;
2 what was given is no recording, or holds what cases have no words for.

Examples:
  ${oracle()} import golden/recordings/selftest/iommufd.cmd_fail.jsonl.gz
  ${oracle()} import bug.jsonl --from 40 --to 52 -o cases/iommufd/bug.jsonc
  ${oracle()} run --update iommufd/bug           makes its golden`,
    )
    .action((path: string, options: Options) => {
      process.exitCode = run(path, options);
    });
}

function line(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 2) throw new InvalidArgumentError('a line of the recording, from 2 on.');
  return n;
}

function run(path: string, { from, to, output, overwrite }: Options): number {
  if (output !== undefined) checkOutput(output, overwrite === true);
  if (output === undefined && overwrite) throw new Unusable('--overwrite without --output', 'add -o FILE');
  let imported: Imported;
  try {
    imported = importRecording(readRecording(path), { from, to }, schemaOf(output));
  } catch (e) {
    if (e instanceof BadRecording || e instanceof CannotImport) throw new Unusable(e.message);
    throw e;
  }
  if (output === undefined) process.stdout.write(imported.text);
  else {
    mkdirSync(dirname(output), { recursive: true });
    writeFileSync(output, imported.text, { flag: overwrite ? 'w' : 'wx' });
    console.log(`wrote ${shownPath(resolve(output))}`);
  }
  if (imported.reasons.length === 0) return EXIT.ok;
  console.error('the model answers otherwise than was recorded, so that this case fails:');
  for (const reason of imported.reasons) console.error(`  ${reason}`);
  return EXIT.failed;
}

/** Before the work, not after it. */
function checkOutput(output: string, overwrite: boolean): void {
  if (!output.endsWith('.jsonc')) {
    throw new Unusable(`${output} is no name for a case`, 'case files end with .jsonc');
  }
  if (existsSync(output) && !overwrite) {
    throw new Unusable(`${output} is there already`, 'choose another name, or say --overwrite');
  }
}

/** Where the schema is, for the editor: seen from the case, if it is in a project that has one. */
function schemaOf(output: string | undefined): string {
  if (output === undefined) return '';
  const root = findRoot(dirname(resolve(output)));
  const schema = root === null ? undefined : join(root, 'case.schema.json');
  if (schema === undefined || !existsSync(schema)) return '';
  return relative(dirname(resolve(output)), schema).replaceAll('\\', '/');
}
