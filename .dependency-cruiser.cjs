// SPDX-License-Identifier: GPL-2.0-only

// The house's import directions. Each directory of src/, and the directories it may import besides itself.
const model = ['kernel', 'hw', 'sim', 'uapi'];
const mayImport = {
  uapi: [],
  sim: [],
  hw: ['sim', 'uapi'],
  kernel: ['hw', 'sim', 'uapi'],
  user: model,
  case: ['user', ...model],
  golden: ['user', ...model],
  recording: ['case', 'user', ...model],
  explore: ['sim'], // it knows only a run that takes choices
  cli: ['case', 'golden', 'explore', 'recording', 'user', ...model],
};

// Everything bundled into dist/; all else in package.json is tooling.
const runtimeLibraries = [
  'commander',
  'diff',
  'glob',
  'jsonc-parser',
  'leven',
  'picocolors',
  'yocto-spinner',
  'zod',
];

const directories = (names) => `^src/(${names.join('|')})/`;
const test = '\\.test\\.ts$';
const testing = '\\.testing\\.ts$'; // what tests share

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...Object.entries(mayImport).map(([directory, others]) => ({
      name: `${directory}-imports`,
      comment: `src/${directory} may import of our own: ${[directory, ...others].join(', ')}.`,
      severity: 'error',
      from: { path: directories([directory]) },
      to: { path: '^(src|scripts)/', pathNot: directories([directory, ...others]) },
    })),
    {
      name: 'unknown-directory',
      comment: 'A new directory of src/ needs its line in .dependency-cruiser.cjs.',
      severity: 'error',
      from: { path: '^src/', pathNot: [directories(Object.keys(mayImport)), test] },
      to: {},
    },
    {
      name: 'runtime-libraries-only',
      comment: `Code that ships may use only ${runtimeLibraries.join(', ')}.`,
      severity: 'error',
      from: { path: '^src/', pathNot: [test, testing] },
      to: { path: 'node_modules/', pathNot: `node_modules/(${runtimeLibraries.join('|')})/` },
    },
    {
      name: 'no-node-in-the-model',
      comment: 'A run is a function of its case: files and clocks belong to the callers of the model.',
      severity: 'error',
      from: { path: directories(['sim', 'hw', 'uapi', 'kernel', 'user', 'explore']), pathNot: test },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'tests-are-leaves',
      comment: 'Nothing imports a test; share a helper through a file of its own.',
      severity: 'error',
      from: {},
      to: { path: test },
    },
    {
      name: 'what-tests-share-does-not-ship',
      comment: 'Only tests, and what they share, may import it.',
      severity: 'error',
      from: { path: '^src/', pathNot: [test, testing] },
      to: { path: testing },
    },
    {
      name: 'no-cycles-across-directories',
      comment:
        'Files of one directory may call each other, as in Linux; directories may not. Types do not count.',
      severity: 'error',
      from: { path: '^(src/.+)/[^/]+$' },
      to: {
        circular: true,
        via: { pathNot: '^$1/[^/]+$' },
        viaOnly: { dependencyTypesNot: ['type-only'] },
      },
    },
    {
      name: 'no-orphans',
      comment: 'Nobody imports it and it imports nothing: use it or delete it.',
      severity: 'error',
      from: { orphan: true, pathNot: [test, '^src/cli/(main|start)\\.ts$'] },
      to: {},
    },
    {
      name: 'resolvable',
      comment: 'No such file or package.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true, // type-only imports follow the directions too
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
    skipAnalysisNotInRules: true,
  },
};
