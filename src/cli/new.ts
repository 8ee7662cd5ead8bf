// SPDX-License-Identifier: GPL-2.0-only
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import type { Command } from 'commander';
import { casePath, findRoot, shownPath } from './project.ts';
import { caseTemplate } from './template.ts';
import { EXIT, oracle, Unusable } from './unusable.ts';

export function register(program: Command): void {
  program
    .command('new')
    .summary('write a new case: a commented template that runs')
    .argument('<name>', 'area and name, such as iommufd/my-bug')
    .option(
      '--root <folder>',
      'the folder that holds cases/, or will (default: the nearest one upwards, else here)',
    )
    .addHelpText(
      'after',
      `
Example:
  ${oracle()} new iommufd/my-bug          writes cases/iommufd/my-bug.jsonc
  ${oracle()} run --update iommufd/my-bug makes its golden`,
    )
    .action((name: string, { root }: { root?: string }) => {
      create(name, root ?? findRoot(process.cwd()) ?? process.cwd());
      process.exitCode = EXIT.ok;
    });
}

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/;

function create(given: string, root: string): void {
  const name = given.replace(/^cases\//, '').replace(/\.jsonc$/, '');
  if (!NAME.test(name) || name.length > 120) {
    throw new Unusable(
      `'${given}' is no name for a case`,
      'expected area/name of letters, digits, _, - and .; such as iommufd/my-bug',
    );
  }
  if (!existsSync(root)) throw new Unusable(`there is no folder ${root}`);
  const path = casePath(root, name);
  mkdirSync(dirname(path), { recursive: true });
  const schema = schemaPath(root);
  const text = caseTemplate(name, relative(dirname(path), schema).replaceAll('\\', '/'));
  try {
    writeFileSync(path, text, { flag: 'wx' });
  } catch (e) {
    if (!(e instanceof Error && 'code' in e && e.code === 'EEXIST')) throw e;
    throw new Unusable(`${shownPath(path)} is there already`, 'choose another name');
  }
  console.log(`wrote ${shownPath(path)}`);
  console.log(`next: ${oracle()} run --update ${name}`);
}

/**
 * The schema that the editor is pointed at: the project's own, that of the package in its node_modules, or a
 * copy that is put beside cases/.
 */
function schemaPath(root: string): string {
  const own = join(root, 'case.schema.json');
  const installed = join(root, 'node_modules/vfio-oracle/case.schema.json');
  if (existsSync(own)) return own;
  if (existsSync(installed)) return installed;
  writeFileSync(own, readFileSync(join(import.meta.dirname, '../case.schema.json')));
  console.log(`wrote ${shownPath(own)}, for the completion of editors`);
  return own;
}
