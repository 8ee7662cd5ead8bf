// SPDX-License-Identifier: GPL-2.0-only

// How goldens are compared, grouped and written.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compare, type Mismatch } from './compare.ts';
import { group } from './group.ts';
import { showGroup, showMismatch } from './show.ts';
import { goldenNames, readGolden, writeGoldens } from './store.ts';

const same = (text: string): string => text;
const plain = { red: same, green: same, cyan: same };

const story = (...lines: string[]): string => `${lines.join('\n')}\n`;

const GOLDEN = story(
  '# t',
  'a: ioctl(iommufd, IOMMU_DESTROY, {id=ioas1})',
  'a:   iommufd_fops_ioctl',
  'a:     iommufd_destroy',
  'b: close(iommufd)',
  'a:       iommufd_object_remove',
  'a:         ioas1.users: 1 -> 0',
  'a:         free ioas1',
  'a: = 0',
  'b: = 0',
);

function mismatch(from: string, to: string): Mismatch {
  const found = compare(from, to);
  if (found === null) throw new Error('they are the same');
  return found;
}

describe('compare', () => {
  test('the same is no mismatch', () => {
    expect(compare(GOLDEN, GOLDEN)).toBeNull();
  });

  test('a unified diff under the enclosing calls of the task, then words', () => {
    const now = GOLDEN.replace('users: 1 -> 0', 'users: 2 -> 1')
      .replace('a:         free ioas1\n', '')
      .replace('b: = 0', 'b: = 1');
    const at =
      'a: ioctl(iommufd, IOMMU_DESTROY, {id=ioas1}) > iommufd_fops_ioctl > iommufd_destroy > iommufd_object_remove';
    expect(showMismatch(mismatch(GOLDEN, now), plain)).toBe(
      [
        `@@ -4,6 +4,5 @@ ${at}`,
        ' a:     iommufd_destroy',
        ' b: close(iommufd)',
        ' a:       iommufd_object_remove',
        '-a:         ioas1.users: 1 -> 0',
        '-a:         free ioas1',
        '+a:         ioas1.users: 2 -> 1',
        ' a: = 0',
        '@@ -10,1 +9,1 @@ b: close(iommufd)',
        '-b: = 0',
        '+b: = 1',
        `=> in ${at}: ioas1.users goes from 2 to 1, was from 1 to 0; no longer 'free ioas1'`,
        '=> in b: close(iommufd): the answer is 1, was 0',
      ].join('\n'),
    );
  });

  test('an answer stands under its call', () => {
    const [hunk] = mismatch(GOLDEN, GOLDEN.replace('a: = 0', 'a: = -ENOENT')).hunks;
    expect(hunk?.calls).toEqual(['ioctl(iommufd, IOMMU_DESTROY, {id=ioas1})']);
  });

  test('a title, and a change outside of any call', () => {
    const changed = mismatch(GOLDEN, GOLDEN.replace('# t', '# other'));
    expect(changed.hunks).toMatchObject([{ task: '', calls: [], words: "'other', was 't'" }]);
  });
});

describe('group', () => {
  test('each change is there once, wherever it is, with its cases; those of most cases first', () => {
    const refused = (text: string): string => text.replace('a: = 0', 'a: = -EBUSY');
    const shifted = GOLDEN.replace('# t\n', '# t\nb: open("/dev/iommu")\nb: = iommufd\n');
    const both = refused(GOLDEN).replace('b: = 0', 'b: = 1');
    const groups = group(
      new Map([
        ['x/both', mismatch(GOLDEN, both)],
        ['x/one', mismatch(GOLDEN, refused(GOLDEN))],
        ['x/two', mismatch(shifted, refused(shifted))],
      ]),
    );
    // The two changes of x/both are neighbours, and so one.
    expect(groups.map(({ cases }) => [...cases])).toEqual([['x/one', 'x/two'], ['x/both']]);
    const [first] = groups;
    expect(first === undefined ? '' : showGroup(first, plain)).toMatch(
      /^2 cases changed the same way: x\/one, x\/two\nin x\/one:\n@@/,
    );
  });

  test('a case with several changes is in several groups', () => {
    const users = (text: string): string => text.replace('users: 1 -> 0', 'users: 2 -> 1');
    const answer = (text: string): string => text.replace('b: = 0', 'b: = 1');
    const groups = group(
      new Map([
        ['x/both', mismatch(GOLDEN, users(answer(GOLDEN)))],
        ['x/users', mismatch(GOLDEN, users(GOLDEN))],
        ['x/answer', mismatch(GOLDEN, answer(GOLDEN))],
      ]),
    );
    expect(groups.map(({ cases }) => [...cases])).toEqual([
      ['x/both', 'x/users'],
      ['x/both', 'x/answer'],
    ]);
  });
});

describe('write', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'golden-'));
    mkdirSync(join(root, 'golden/a'), { recursive: true });
    writeFileSync(join(root, 'golden/a/old.trace'), 'old\n');
  });
  afterEach(() => {
    rmSync(root, { recursive: true, force: true });
  });

  test('what changed is written, what has no case is removed, nothing else is there afterwards', () => {
    writeFileSync(join(root, 'golden/note.txt'), 'not ours\n');
    writeGoldens(root, [
      { name: 'a/old', text: null },
      { name: 'b/c/new', text: 'new\n' },
    ]);
    expect(goldenNames(root)).toEqual(['b/c/new']);
    expect(readGolden(root, 'b/c/new')).toBe('new\n');
    expect(readGolden(root, 'a/old')).toBeNull();
    expect(readFileSync(join(root, 'golden/note.txt'), 'utf8')).toBe('not ours\n');
    expect(readdirSync(join(root, 'golden'))).not.toContainEqual(expect.stringMatching(/^\.update/));
  });

  test('what an update that was killed has left is no golden, and goes with the next one', () => {
    mkdirSync(join(root, 'golden/.update-1'));
    writeFileSync(join(root, 'golden/.update-1/0.trace'), 'half');
    expect(goldenNames(root)).toEqual(['a/old']);
    writeGoldens(root, [{ name: 'a/old', text: 'new\n' }]);
    expect(existsSync(join(root, 'golden/.update-1'))).toBe(false);
  });

  test('an error while writing leaves every golden as it was', () => {
    const impossible = `a/${'x'.repeat(300)}`;
    const changes = [
      { name: impossible, text: 'new\n' },
      { name: 'a/old', text: 'new\n' },
    ];
    expect(() => writeGoldens(root, changes)).toThrow();
    expect(readGolden(root, 'a/old')).toBe('old\n');
    expect(goldenNames(root)).toEqual(['a/old']);
  });
});
