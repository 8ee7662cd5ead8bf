// SPDX-License-Identifier: GPL-2.0-only

import { describe, expect, test } from 'vitest';
import { lintModel } from './lint-model.ts';

/** The findings without their remedies: `line:column: what`. */
function found(path: string, ...lines: string[]): string[] {
  return lintModel(path, lines.join('\n')).map((finding) =>
    finding.slice(path.length + 1).replace(/[.:] (?:Narrow|Remove|nothing).*/, ''),
  );
}

describe('type assertions', () => {
  test('are reported everywhere in src', () => {
    for (const path of ['src/kernel/a.ts', 'src/cli/a.ts', 'src/case/a.test.ts', 'src/simulated/a.ts']) {
      expect(found(path, 'const a = b as number;', 'const c = <string>d;')).toEqual([
        '1:11: type assertion',
        '2:11: type assertion',
      ]);
    }
  });

  test('in src/sim are reported unless a comment there gives the reason', () => {
    const lines = [
      'const a = b as number;',
      '',
      'const c = b as number; // cast: the caller checked',
      '',
      '// cast: the caller checked',
      'const d = b as number;',
      '',
      '// cast:',
      'const e = b as number;',
    ];
    expect(found('src/sim/a.ts', ...lines)).toEqual([
      '1:11: type assertion without a reason',
      '9:11: type assertion without a reason',
    ]);
    expect(found('src/hw/a.ts', ...lines)).toHaveLength(4);
  });

  test('are not `as const`, `satisfies` or a renaming import', () => {
    const lines = [
      "import { a as b } from './b.ts';",
      'const c = 1 as const;',
      'const d = b satisfies number;',
    ];
    expect(found('src/kernel/a.ts', ...lines)).toEqual([]);
  });
});

describe('raw collections', () => {
  const kernel = (...lines: string[]) => found('src/kernel/iommufd/a.ts', ...lines);

  test.each([
    ['class A { pins = []; }', '1:18: raw collection in field pins'],
    ['class A { static all = new Map(); }', '1:24: raw collection in field all'],
    ['class A { readonly pins: Page[] = []; }', '1:35: raw collection in field pins'],
    ['class A { constructor(private pins = [1]) {} }', '1:38: raw collection in field pins'],
    ['class A { f() { this.pins ??= new Set(); } }', '1:31: raw collection in property pins'],
    ['class A { bytes = big ? undefined : new Uint8Array(8); }', '1:37: raw collection in field bytes'],
    ['class A { bytes = Uint8Array.from(given); }', '1:19: raw collection in field bytes'],
    ['class A { queue = Array(8); }', '1:19: raw collection in field queue'],
    ['const cache = new WeakMap();', '1:15: raw collection in module variable cache'],
    ['export let list: X[] | undefined = (a ?? []);', '1:42: raw collection in module variable list'],
    ['function f() { return { pins: [] }; }', '1:31: raw collection in property pins'],
    ['const ops = { table: [f, g] };', '1:22: raw collection in property table'],
  ])('%s', (line, finding) => {
    expect(kernel(line)).toEqual([finding]);
    expect(found('src/hw/a.ts', line)).toEqual([finding]);
  });

  test.each([
    'function f() { const seen = new Set(); let todo = []; todo = [1]; return todo; }',
    'const f = () => { const seen = new Map(); };',
    'const f = (...args) => g([1, 2], new Map());',
    'const names = ["a", "b"] as const;',
    'const ops = { table: [f, g], more: { deep: [1] } } as const;',
    'const names: readonly string[] = ["a", "b"];',
    'const names: ReadonlyMap<string, number> = new Map([["a", 1]]);',
    'class A { static readonly names: readonly string[] = ["a"]; }',
    'const [a, b] = [1, 2];',
    'class A { pins = list("pins", ["a"]); }',
  ])('not %s', (line) => {
    expect(kernel(line)).toEqual([]);
  });

  test('are fine outside the model and in tests', () => {
    for (const path of ['src/sim/a.ts', 'src/case/a.ts', 'src/uapi/a.ts', 'src/kernel/a.test.ts']) {
      expect(found(path, 'const cache = new Map();')).toEqual([]);
    }
  });
});

describe('decision points', () => {
  const kernel = (...lines: string[]) => found('src/kernel/iommufd/a.ts', ...lines);

  test.each([
    [["const a = variant('a', {});", 'function f() { return a(); }'], []],
    [["const a = bug('A1', {});", 'const f = fn("f", () => { if (a()) g(); });'], []],
    [
      ["export const a = bug('A1', {});", 'function f() { return a(); }'],
      ['1:14: a is exported. Decide here, and export what was decided.'],
    ],
    [
      ["const a = bug('A1', {});", 'function f() { return a() || a(); }'],
      ['1:7: a is used in 2 places. Call it in one function, where it is decided.'],
    ],
    [
      ["const a = bug('A1', {});", 'const is = a();'],
      ['1:7: a is used in 1 places. Call it in one function, where it is decided.'],
    ],
    [
      ["const a = bug('A1', {});", 'function f() { g(a); }', 'export { a };'],
      ['1:7: a is used in 2 places. Call it in one function, where it is decided.'],
    ],
    [
      ["function f() { return variant('a', {})(); }"],
      ["1:23: the decision point 'a' is declared inside of something. Declare a const of the module."],
    ],
  ])('%j', (lines, findings) => {
    expect(kernel(...lines)).toEqual(findings);
  });
});
