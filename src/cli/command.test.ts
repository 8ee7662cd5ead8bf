// SPDX-License-Identifier: GPL-2.0-only

// The command as a user has it: the bundle, in a folder of his own.
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { caseTemplate } from './template.ts';

const project = join(import.meta.dirname, '../..');
const bundle = join(project, 'dist/oracle.js');

let home: string;

beforeAll(() => {
  spawnSync('sh', ['scripts/build.sh', '--if-stale'], { cwd: project });
}, 30_000);
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'oracle-'));
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

interface Said {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

function oracle(args: readonly string[], env: Readonly<Record<string, string>> = {}): Said {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bundle, ...args], {
    cwd: home,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ...env },
  });
  return { status, out: stdout, err: stderr };
}

const write = (path: string, text: string): void => {
  mkdirSync(dirname(join(home, path)), { recursive: true });
  writeFileSync(join(home, path), text);
};
const read = (path: string): string => readFileSync(join(home, path), 'utf8');
/** Every file with its text. */
const everything = (): Map<string, string> =>
  new Map(
    readdirSync(home, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [path, readFileSync(path, 'utf8')]),
  );

const GOOD = caseTemplate('a/good', 'x');
const WRONG = GOOD.replace('"errno": "ENOENT"', '"errno": "EBUSY"');
const UNKNOWN = '{ "title": "t", "platform": { "iommu": "vt-d" }, "tasks": {} }';
const ENDLESS = '{ "title": "t", "limits": { "steps": 1 }, "tasks": { "a": [{ "open": "/dev/iommu" }] } }';

describe('in an empty folder', () => {
  test('new, run, --update, run, check, explain, list', () => {
    expect(oracle(['run'])).toMatchObject({ status: 2, err: expect.stringContaining('new iommufd/first') });
    expect(oracle(['new', 'iommufd/mine'])).toMatchObject({
      status: 0,
      out: expect.stringContaining('run --update iommufd/mine'),
    });
    const [, schema = ''] = /"\$schema": "([^"]+)"/.exec(read('cases/iommufd/mine.jsonc')) ?? [];
    expect(existsSync(resolve(home, 'cases/iommufd', schema))).toBe(true);
    expect(oracle(['run'])).toMatchObject({
      status: 1,
      out: expect.stringContaining('run --update iommufd/mine makes it'),
    });
    expect(oracle(['run', '--update'])).toMatchObject({
      status: 0,
      out: expect.stringContaining('new     golden/iommufd/mine.trace'),
    });
    expect(oracle(['run'])).toEqual({ status: 0, out: '1 passed, 0 failed\n', err: '' });
    expect(oracle(['check'])).toEqual({ status: 0, out: '1 of 1 cases can be used\n', err: '' });
    expect(oracle(['explain', 'mine', '4']).out).toContain(
      '-ENOENT: no object has that id (iommufd_object_remove)',
    );
    expect(oracle(['list', '--ioctl', 'IOMMU_DESTROY']).out).toContain('iommufd/mine');
    expect(oracle(['new', 'iommufd/mine']).status).toBe(2);
  });

  test('new keeps inside cases/', () => {
    for (const name of ['../evil', '/tmp/evil', 'a//b', '.hidden', ''])
      expect(oracle(['new', name]).status).toBe(2);
    expect(everything().size).toBe(0);
  });
});

describe('run', () => {
  test('exit codes and --json', () => {
    write('cases/a/good.jsonc', GOOD);
    expect(oracle(['run', '-u']).status).toBe(0);
    expect(JSON.parse(oracle(['run', '--json']).out)).toEqual({
      cases: 1,
      passed: 1,
      failed: 0,
      incomplete: 0,
      results: [{ case: 'a/good', status: 'passed' }],
    });

    write('cases/a/unknown.jsonc', UNKNOWN);
    write('cases/a/endless.jsonc', ENDLESS);
    const third = oracle(['run', '--json']);
    expect(third.status).toBe(3);
    expect(JSON.parse(third.out)).toEqual({
      cases: 3,
      passed: 1,
      failed: 0,
      incomplete: 2,
      results: [
        { case: 'a/endless', status: 'incomplete', reason: 'given up after 1 steps, the limit of the case' },
        { case: 'a/good', status: 'passed' },
        { case: 'a/unknown', status: 'unsupported', reason: 'platform vt-d is not modelled' },
      ],
    });

    write('cases/a/wrong.jsonc', WRONG);
    expect(oracle(['run'])).toMatchObject({
      status: 1,
      out: expect.stringContaining('expected EBUSY, got ENOENT'),
    });

    write('cases/a/bad.jsonc', '{');
    const fifth = oracle(['run', '--json']);
    expect(fifth.status).toBe(2);
    expect(fifth.err).toContain("cases/a/bad.jsonc:1:2: error: expected '}'");
    expect(JSON.parse(fifth.out)).toMatchObject({ cases: 5, passed: 0, failed: 1, incomplete: 4 });
  });

  test('cases by name, area, pattern, file; what names none is told with the nearest', () => {
    write('cases/a/good.jsonc', GOOD);
    write('cases/b/other.jsonc', GOOD);
    const ran = (...patterns: string[]): string[] =>
      JSON.parse(oracle(['run', '--json', ...patterns]).out).results.map(
        (result: { case: string }) => result.case,
      );
    expect(ran('a/good')).toEqual(['a/good']);
    expect(ran('a')).toEqual(['a/good']);
    expect(ran('other')).toEqual(['b/other']);
    expect(ran('*/o*', 'cases/a/good.jsonc', 'a/good')).toEqual(['b/other', 'a/good']);
    expect(oracle(['run', 'b/othr']).err).toContain("did you mean 'b/other'?");
    expect(oracle(['run', '../../etc/passwd']).status).toBe(2);
  });

  test('what fails in one interleaving becomes a case that fails by itself; nothing is overwritten', () => {
    const race = `{
  // Two ioctls at once.
  "title": "a race",
  "tasks": {
    "a": [{ "open": "/dev/iommu", "as": "fd" }, { "ioas_alloc": "fd", "as": "ioas1" }, { "destroy": "ioas1", "label": "destroy", "any": true }],
    "b": [{ "option": "IOMMU_OPTION_HUGE_PAGES", "of": "ioas1", "set": 0, "any": true }],
  },
  "expect": { "never": [{ "results": { "destroy": "EBUSY" } }] }, // so the manual says
}
`;
    write('cases/a/race.jsonc', race);
    const save = ['explore', 'a/race', '--save-witness', 'cases/a/witness.jsonc'];
    expect(oracle(save)).toMatchObject({
      status: 1,
      out: expect.stringContaining('2 departures from run-to-block'),
    });
    const witness = read('cases/a/witness.jsonc');
    const [before = '', after = ''] = race.split(' }, //');
    expect(
      witness.startsWith(`${before} },\n  "schedule": [\n    { "run": "a", "until": "step destroy" },\n`),
    ).toBe(true);
    expect(witness.endsWith(`    { "run": "a" },\n  ], //${after}`)).toBe(true);
    expect(oracle(['run', 'a/witness'])).toMatchObject({
      status: 1,
      out: expect.stringContaining('it holds at the end of this run'),
    });
    expect(oracle(save)).toMatchObject({ status: 2, err: expect.stringContaining('is there already') });
    expect(read('cases/a/witness.jsonc')).toBe(witness);
  });

  test('for other tools: KTAP and JUnit', () => {
    write('cases/a/good.jsonc', GOOD);
    write('cases/a/unknown.jsonc', UNKNOWN);
    write('cases/a/wrong.jsonc', WRONG);
    expect(oracle(['run', '-u']).status).toBe(1);
    const ktap = oracle(['run', '--format', 'ktap']);
    expect(ktap.out).toMatch(
      /^KTAP version 1\n1\.\.3\nok 1 a\/good\nok 2 a\/unknown # SKIP platform vt-d is not modelled\n# cases\/a\/wrong\.jsonc:2\d: .*\n# there is no .*\nnot ok 3 a\/wrong\n$/,
    );
    expect(ktap.status).toBe(1);
    const junit = oracle(['run', '--format', 'junit']).out;
    expect(junit).toContain('<testsuite name="vfio-oracle" tests="3" failures="1" errors="0" skipped="1">');
    expect(junit).toContain('<testcase classname="a" name="good"/>');
  });

  test('another schedule, a trace, a level', () => {
    write('cases/a/good.jsonc', GOOD);
    oracle(['run', '-u']);
    expect(oracle(['run', '-s', 'random:3'])).toMatchObject({ status: 0, out: '1 passed, 0 failed\n' });
    expect(oracle(['run', '-s', 'sideways'])).toMatchObject({
      status: 2,
      err: expect.stringContaining('random:SEED'),
    });
    write('s.json', '[{ "run": "vmm", "unti": "x" }]');
    expect(oracle(['run', '-s', 's.json'])).toMatchObject({
      status: 2,
      err: expect.stringContaining('s.json:1:'),
    });
    expect(oracle(['run', '-t', '-l', 'sync']).out).toContain(
      'vmm:           spin_lock iommufd.objects.xa_lock',
    );
    expect(oracle(['run', '-t', '-l', 'api']).out).not.toContain('new ioas1');
  });

  test('output that is piped has no colour and may be cut short', () => {
    write('cases/a/good.jsonc', WRONG);
    expect(oracle(['run', '-t']).out).not.toContain('\u001b');
    const cut = spawnSync('sh', ['-c', `"${process.execPath}" "${bundle}" run -t -l sync | head -n 1`], {
      cwd: home,
      encoding: 'utf8',
    });
    expect(cut).toMatchObject({ status: 0, stderr: '', stdout: expect.stringMatching(/^# a\/good/) });
  });

  test('misuse is told of, with exit code 2', () => {
    write('cases/a/good.jsonc', GOOD);
    for (const args of [
      ['rnu'],
      ['run', '--jsn'],
      ['run', '--level', 'all'],
      ['run', '--level', 'api'],
      ['run', '--json', '--format', 'ktap'],
      ['run', '-u', '--json'],
      ['run', '--review'],
      ['explain'],
      ['list', '--by', 'colour'],
      [],
    ]) {
      expect({ args, status: oracle(args).status }).toEqual({ args, status: 2 });
    }
    expect(oracle(['rnu']).err).toContain('run');
    expect(oracle(['--help']).status).toBe(0);
  });
});

describe('update', () => {
  test('is refused in CI, and writes nothing', () => {
    write('cases/a/good.jsonc', GOOD);
    expect(oracle(['run', '-u'], { CI: 'true' })).toMatchObject({
      status: 2,
      err: expect.stringContaining('not updated in CI'),
    });
    expect(existsSync(join(home, 'golden'))).toBe(false);
  });

  test('is refused where a verdict fails, and nowhere else', () => {
    write('cases/a/good.jsonc', GOOD);
    write('cases/a/wrong.jsonc', WRONG);
    write('cases/a/unknown.jsonc', UNKNOWN);
    const { status, out } = oracle(['run', '-u']);
    expect(status).toBe(1);
    expect(out).toContain('refused golden/a/wrong.trace: the case is failed');
    expect(out).toContain('1 written, 0 as they were, 2 refused');
    expect(readdirSync(join(home, 'golden/a'))).toEqual(['good.trace']);
  });

  test('touches only goldens, and only those that are named', () => {
    write('cases/a/good.jsonc', GOOD);
    write('cases/b/other.jsonc', GOOD);
    const before = everything();
    oracle(['run', '-u', 'a/*']);
    const after = everything();
    expect([...after.keys()].filter((path) => !before.has(path))).toEqual([
      join(home, 'golden/a/good.trace'),
    ]);
    for (const [path, text] of before) expect(after.get(path)).toBe(text);
  });

  test('stale, missing and orphaned goldens fail with the command that mends them', () => {
    write('cases/a/good.jsonc', GOOD);
    write('golden/a/gone.trace', 'x\n');
    expect(oracle(['run']).out).toContain(
      'golden/a/gone.trace has no case: vfio-oracle run --update a/gone removes it',
    );
    expect(oracle(['run', '--update', 'a/gone']).out).toContain('removed golden/a/gone.trace');
    oracle(['run', '--update', 'a/good']);
    writeFileSync(
      join(home, 'golden/a/good.trace'),
      read('golden/a/good.trace').replace('= -ENOENT', '= -EBUSY'),
    );
    const { status, out } = oracle(['run']);
    expect(status).toBe(1);
    expect(out).toContain(
      'the trace differs from golden/a/good.trace: vfio-oracle run --update a/good accepts that',
    );
    expect(out).toContain(
      '=> in vmm: ioctl(iommufd, IOMMU_DESTROY, {id=ioas1}): the answer is -ENOENT, was -EBUSY',
    );
  });

  test('equal changes of many cases are shown once', () => {
    for (let i = 0; i < 20; i++) write(`cases/a/c${i}.jsonc`, GOOD);
    oracle(['run', '-u']);
    for (let i = 0; i < 20; i++) {
      const path = `golden/a/c${i}.trace`;
      write(
        path,
        read(path).replace('disable_large_pages', 'no_large_pages').replace('= -ENOENT', '= -EBUSY'),
      );
    }
    const { out } = oracle(['run']);
    expect(out).toContain('20 cases changed the same way: a/c0, a/c1');
    expect(out.match(/^@@/gm)?.length).toBeLessThan(4);
  });

  test('one that is killed leaves whole files', async () => {
    const whole = `${GOOD}`;
    for (let i = 0; i < 150; i++) write(`cases/a/c${i}.jsonc`, whole);
    oracle(['run', '-u']);
    const now = read('golden/a/c0.trace');
    for (const delay of [120, 180, 240, 300, 360]) {
      for (let i = 0; i < 150; i++) write(`golden/a/c${i}.trace`, 'old\n');
      const child = spawn(process.execPath, [bundle, 'run', '-u'], {
        cwd: home,
        env: { PATH: process.env['PATH'] },
        stdio: 'ignore',
      });
      const ended = new Promise((done) => child.once('exit', done));
      await setTimeout(delay);
      child.kill('SIGKILL');
      await ended;
      for (let i = 0; i < 150; i++) expect(['old\n', now]).toContain(read(`golden/a/c${i}.trace`));
    }
    expect(oracle(['run', '-u']).status).toBe(0);
    expect(oracle(['run']).status).toBe(0);
  });

  test('with case files that cannot be used writes nothing, whatever is wrong with them', () => {
    cpSync(join(project, 'cases/iommufd'), join(home, 'cases/iommufd'), { recursive: true });
    const garbage = fc.sample(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 200 }),
        fc.json(),
        fc
          .tuple(fc.nat(GOOD.length), fc.string({ maxLength: 3 }))
          .map(([at, text]) => GOOD.slice(0, at) + text),
      ),
      { numRuns: 400, seed: 1 },
    );
    for (const [i, text] of garbage.entries()) write(`cases/bad/c${i}.jsonc`, text);
    writeFileSync(join(home, 'cases/bad/bytes.jsonc'), Uint8Array.of(0xff, 0xfe, 0x00));
    mkdirSync(join(home, 'cases/bad/folder.jsonc'));
    const before = everything();
    for (const args of [['run', '-u'], ['check'], ['run', '--json']]) expect(oracle(args).status).toBe(2);
    expect(everything()).toEqual(before);
  });
});

describe('import', () => {
  const RECORDING = [
    '{"recording":1,"suite":"s","name":"bug","platform":"mock","kernel":"Linux 6.12.117"}',
    '{"call":"open","path":"/dev/iommu","flags":"0x2","ret":3}',
    '{"call":"ioctl","fd":3,"cmd":"IOMMU_DESTROY","in":{"size":"0x8","id":"0x9"},"ret":-1,"errno":2}',
    '{"call":"close","fd":3,"ret":0}',
  ].join('\n');

  test('a recording becomes a case that runs; nothing is overwritten unasked', () => {
    write('bug.jsonl', RECORDING);
    const printed = oracle(['import', 'bug.jsonl']);
    expect(printed).toMatchObject({ status: 0, err: '' });
    expect(printed.out).toContain('{ "destroy": 9, "on": "iommufd", "errno": "ENOENT" }');
    const into = ['import', 'bug.jsonl', '--from', '3', '--to', '3', '-o', 'cases/a/bug.jsonc'];
    expect(oracle(into)).toMatchObject({ status: 0, out: 'wrote cases/a/bug.jsonc\n' });
    expect(oracle(['run', '--update', 'a/bug'])).toMatchObject({ status: 0 });
    const before = everything();
    expect(oracle(into)).toMatchObject({ status: 2, err: expect.stringContaining('is there already') });
    expect(everything()).toEqual(before);
    expect(oracle([...into, '--overwrite'])).toMatchObject({ status: 0 });
  });

  test('what the model answers otherwise is said, and fails', () => {
    write('bug.jsonl', RECORDING.replace('"errno":2', '"errno":16'));
    const { status, out, err } = oracle(['import', 'bug.jsonl']);
    expect(status).toBe(1);
    expect(out).toContain('"errno": "EBUSY"');
    expect(err).toContain('expected EBUSY, got ENOENT');
  });

  test.each([
    [['bug.txt'], 'bug.txt: cannot be read'],
    [['bad.jsonl'], 'bad.jsonl:1: this line is no JSON'],
    [['bug.jsonl', '--from', '1'], 'a line of the recording, from 2 on'],
    [['bug.jsonl', '--from', '9'], 'it has events on lines 2 to 4'],
    [['bug.jsonl', '-o', 'bug.json'], 'case files end with .jsonc'],
    [['bug.jsonl', '--overwrite'], 'add -o FILE'],
  ])('import %j', (args, message) => {
    write('bug.jsonl', RECORDING);
    write('bad.jsonl', 'x');
    expect(oracle(['import', ...args])).toMatchObject({ status: 2, err: expect.stringContaining(message) });
  });
});
