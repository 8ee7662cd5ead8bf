// SPDX-License-Identifier: GPL-2.0-only

/** What `run` says to other tools: JSON, KTAP (the kernel's test protocol), JUnit XML. */
import type { CaseError } from '../case/place.ts';
import { type Outcome, orphaned } from './evaluate.ts';
import type { Orphan, Selected } from './project.ts';

export type Format = 'json' | 'ktap' | 'junit';

interface Result {
  readonly case: string;
  readonly status: Outcome['status'] | 'unusable';
  readonly reason?: string;
}

export function print(outcomes: readonly Outcome[], orphans: readonly Orphan[], format: Format): void {
  const results = outcomes.map(
    ({ name, status, reasons }): Result => ({
      case: name,
      status,
      ...(reasons.length === 0 ? {} : { reason: reasons.join('\n') }),
    }),
  );
  for (const { name } of orphans) results.push({ case: name, status: 'failed', reason: orphaned(name) });
  printers[format](results);
}

/** Nothing was run, because these case files cannot be used. */
export function printUnusable(
  all: readonly Selected[],
  errors: ReadonlyMap<string, CaseError>,
  format: Format,
): void {
  const results = all.map(({ name, path }): Result => {
    const error = errors.get(path);
    return error === undefined
      ? { case: name, status: 'incomplete', reason: 'not run: other cases cannot be used' }
      : { case: name, status: 'unusable', reason: error.message };
  });
  printers[format](results);
}

const printers: Readonly<Record<Format, (results: readonly Result[]) => void>> = { json, ktap, junit };

function json(results: readonly Result[]): void {
  const count = (...wanted: Result['status'][]): number =>
    results.filter(({ status }) => wanted.includes(status)).length;
  const summary = {
    cases: results.length,
    passed: count('passed'),
    failed: count('failed', 'unusable'),
    incomplete: count('incomplete', 'unsupported'),
  };
  console.log(JSON.stringify({ ...summary, results }, null, 2));
}

/** https://docs.kernel.org/dev-tools/ktap.html */
function ktap(results: readonly Result[]): void {
  const lines = ['KTAP version 1', `1..${results.length}`];
  for (const [i, { case: name, status, reason = '' }] of results.entries()) {
    const [first = '', ...rest] = reason.split('\n');
    const directive = DIRECTIVES[status];
    const ok = status === 'passed' || status === 'unsupported' ? 'ok' : 'not ok';
    if (directive === '')
      lines.push(...(reason === '' ? [] : [`# ${first}`]), ...rest.map((line) => `# ${line}`));
    lines.push(
      `${ok} ${i + 1} ${name.replaceAll('#', '_')}${directive === '' ? '' : ` # ${directive} ${first}`}`,
    );
  }
  console.log(lines.join('\n'));
}

const DIRECTIVES: Readonly<Record<Result['status'], string>> = {
  passed: '',
  failed: '',
  incomplete: 'TIMEOUT',
  unsupported: 'SKIP',
  unusable: 'ERROR',
};

function junit(results: readonly Result[]): void {
  const count = (wanted: string): number =>
    results.filter(({ status }) => ELEMENTS[status] === wanted).length;
  const cases = results.map(({ case: name, status, reason = '' }) => {
    const slash = name.lastIndexOf('/');
    const head = `  <testcase classname="${xml(name.slice(0, Math.max(slash, 0)))}" name="${xml(name.slice(slash + 1))}"`;
    const element = ELEMENTS[status];
    if (element === '') return `${head}/>`;
    return `${head}>\n    <${element} message="${xml(reason.split('\n')[0] ?? '')}">${xml(reason)}</${element}>\n  </testcase>`;
  });
  console.log(
    [
      '<?xml version="1.0" encoding="UTF-8"?>',
      `<testsuite name="vfio-oracle" tests="${results.length}" failures="${count('failure')}" errors="${count('error')}" skipped="${count('skipped')}">`,
      ...cases,
      '</testsuite>',
    ].join('\n'),
  );
}

const ELEMENTS: Readonly<Record<Result['status'], string>> = {
  passed: '',
  failed: 'failure',
  incomplete: 'error',
  unsupported: 'skipped',
  unusable: 'error',
};

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};
/** XML cannot hold control characters at all. */
const xml = (text: string): string =>
  text.replace(/[^\P{Cc}\t\n]/gu, '?').replace(/[&<>"']/g, (c) => ENTITIES[c] ?? c);
