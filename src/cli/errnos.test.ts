// SPDX-License-Identifier: GPL-2.0-only

// docs/errnos.md against the goldens: what it says a case shows is there, and what a case shows it says.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { caseNames } from './project.ts';

const root = join(import.meta.dirname, '../..');
const read = (...path: readonly string[]): string => readFileSync(join(root, ...path), 'utf8');

interface Row {
  /** The calls that it is about, by their names in traces; null: any. */
  readonly calls: readonly string[] | null;
  readonly errnos: readonly string[];
  /** None: it says why there is no case. */
  readonly cases: readonly string[];
  readonly text: string;
}

/** What calls are called that the page does not call by the name that traces have for them. */
const CALLS: Readonly<Record<string, readonly string[] | null>> = {
  'any other': null,
  'attach, replace (by test ops)': [
    'IOMMU_TEST_OP_MOCK_DOMAIN',
    'IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS',
    'IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE',
  ],
  'read of a fault queue': ['read'],
  'write to a fault queue': ['write'],
  'VFIO_IOMMU_DIRTY_PAGES, others': null,
};

function callsOf(cell: string, section: string): readonly string[] | null {
  const known = CALLS[cell];
  if (known !== undefined) return known;
  if (section !== 'Test ops') return [cell.replace(/,.*/, '')];
  return cell.split(', ').map((op) => `IOMMU_TEST_OP_${op}`);
}

const errnosIn = (text: string): string[] => text.replace(/\(.*?\)/g, '').match(/\bE[A-Z0-9]{2,}\b/g) ?? [];

function rows(): Row[] {
  const found: Row[] = [];
  let section = '';
  let calls: readonly string[] | null = null;
  for (const line of read('docs/errnos.md').split('\n')) {
    if (line.startsWith('## ')) [section, calls] = [line.slice(3), null];
    const cells = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    if (cells.length === 0 || cells.some((cell) => /^(ioctl|op|call|errno|case|-+)$/.test(cell))) continue;
    const [shown = '', errnos = '', call = ''] = cells.toReversed();
    if (call !== '') calls = callsOf(call, section);
    const cases = shown.startsWith('–') ? [] : (shown.match(/[a-z-]+\/[a-z0-9-]+/g) ?? []);
    found.push({ calls, errnos: errnosIn(errnos), cases, text: line });
  }
  return found;
}

/** The calls of a golden that failed: `NAME ERRNO`. */
function failures(name: string): Set<string> {
  const found = new Set<string>();
  const pending = new Map<string, string>();
  for (const line of read('golden', `${name}.trace`).split('\n')) {
    const [, task = '', rest = ''] = /^([\w-]+): (\S.*)$/.exec(line) ?? [];
    const call = /^(?:ioctl\([^,]*, )?(\w+)/.exec(rest)?.[1];
    const errno = /^= -(E\w+)/.exec(rest)?.[1];
    if (errno !== undefined) found.add(`${pending.get(task)} ${errno}`);
    else if (call !== undefined) pending.set(task, call);
  }
  return found;
}

/** What a step of an explored case can end with; of which call is not in there. */
function outcomes(name: string): Set<string> {
  if (!existsSync(join(root, 'golden', `${name}.outcomes`))) return new Set();
  return new Set(
    [...read('golden', `${name}.outcomes`).matchAll(/ = -(E\w+)/g)].map(([, errno = '']) => errno),
  );
}

const PAGE = rows();

test.each(PAGE.filter(({ cases }) => cases.length > 0))('$text', ({ calls, errnos, cases }) => {
  const seen = cases.flatMap((name) => [...failures(name)].map((failure) => ({ name, failure })));
  const shows = (name: string, errno: string): boolean =>
    seen.some(
      (it) =>
        it.name === name &&
        (calls === null
          ? it.failure.endsWith(` ${errno}`)
          : calls.some((call) => it.failure === `${call} ${errno}`)),
    ) || outcomes(name).has(errno);
  expect(errnos.filter((errno) => !cases.some((name) => shows(name, errno)))).toEqual([]);
  expect(cases.filter((name) => !errnos.some((errno) => shows(name, errno)))).toEqual([]);
});

/** What no call answers by itself. */
const BEFORE_THE_CALL: ReadonlySet<string> = new Set(['EBADF', 'ENOTTY']);

test('what a golden shows is on the page', () => {
  const isSaid = (name: string, call: string, errno: string): boolean =>
    BEFORE_THE_CALL.has(errno) ||
    PAGE.some(
      ({ calls, errnos, cases }) =>
        cases.length > 0 && errnos.includes(errno) && (calls?.includes(call) ?? cases.includes(name)),
    );
  const unsaid = caseNames(root)
    .filter((name) => existsSync(join(root, 'golden', `${name}.trace`)))
    .flatMap((name) => [...failures(name)].map((failure) => ({ name, failure })))
    .filter(({ failure }) => /^(IOMMU|VFIO)_/.test(failure))

    .filter(({ name, failure }) => !isSaid(name, failure.split(' ')[0] ?? '', failure.split(' ')[1] ?? ''));
  expect(unsaid).toEqual([]);
});
