// SPDX-License-Identifier: GPL-2.0-only

// The import directions hold as long as the rules that guard them fire: each rule against a small forbidden tree.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import * as z from 'zod';

const root = join(import.meta.dirname, '..');
const config = '.dependency-cruiser.cjs';

const ruleNames = z
  .object({ forbidden: z.array(z.object({ name: z.string() })) })
  .transform(({ forbidden }) => forbidden.map((rule) => rule.name))
  .parse(createRequire(import.meta.url)(join(root, config)));

const report = z.object({
  summary: z.object({
    violations: z.array(z.object({ from: z.string(), to: z.string(), rule: z.object({ name: z.string() }) })),
  }),
});

/** What the project's own rules say to a tree of files, one line a violation. */
function cruise(files: Record<string, string>): string[] {
  const dir = mkdtempSync(join(tmpdir(), 'architecture-'));
  try {
    symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
    for (const file of [config, 'tsconfig.json', 'package.json']) {
      copyFileSync(join(root, file), join(dir, file));
    }
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(join(dir, dirname(file)), { recursive: true });
      writeFileSync(join(dir, file), text);
    }
    const depcruise = join(root, 'node_modules/.bin/depcruise');
    const { stdout, stderr } = spawnSync(depcruise, ['src', '--output-type', 'json'], {
      cwd: dir,
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    const { violations } = report.parse(JSON.parse(stdout)).summary;
    return violations.map(
      ({ rule, from, to }) => `${rule.name}: ${from} ${to.replace(/.*node_modules\/([^/]+).*/, '$1')}`,
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test('the rules fire on what is forbidden, and on nothing else', () => {
  const found = cruise({
    // Forbidden.
    'src/uapi/errno.ts': `import '../sim/run.ts';`,
    'src/sim/run.ts': `import type { d } from '../kernel/device.ts'; import 'node:fs'; import './run.test.ts';`,
    'src/sim/run.test.ts': `import '../hw/iommu.ts';`,
    'src/hw/iommu.ts': `import '../kernel/device.ts'; import 'vitest'; import './absent.ts'; import '../sim/good.testing.ts';`,
    'src/kernel/device.ts': `import '../user/process.ts'; export const d = 1;`,
    'src/kernel/alone.ts': '',
    'src/kernel/iommufd/ioas.ts': `import '../iommu/group.ts';`,
    'src/kernel/iommu/group.ts': `import '../iommufd/ioas.ts';`,
    'src/user/process.ts': `import '../case/load.ts';`,
    'src/case/load.ts': `import '../golden/compare.ts';`,
    'src/golden/compare.ts': `import '../explore/explore.ts';`,
    'src/explore/explore.ts': `import '../uapi/errno.ts';`,
    'src/recording/read.ts': `import '../golden/compare.ts';`,
    'src/cli/main.ts': `import '../../scripts/bench.ts';`,
    'src/util/misc.ts': `import '../sim/run.ts';`,
    'scripts/bench.ts': '',

    // Allowed: the arrows themselves, cycles of types or within a directory, what tests use.
    'src/cli/run.ts': `import '../recording/import.ts'; import '../explore/good.ts'; import '../golden/good.ts'; import 'commander';`,
    'src/recording/import.ts': `import '../case/good.ts';`,
    'src/case/good.ts': `import '../user/good.ts'; import 'zod'; import 'node:fs';`,
    'src/golden/good.ts': `import '../user/good.ts'; import 'diff';`,
    'src/explore/good.ts': `import '../sim/good.ts';`,
    'src/user/good.ts': `import '../kernel/vfio/main.ts';`,
    'src/kernel/vfio/main.ts': `import './group.ts'; import type { p } from '../pci/pci.ts'; export const m = 1;`,
    'src/kernel/vfio/group.ts': `import './main.ts';`,
    'src/kernel/pci/pci.ts': `import '../vfio/main.ts'; import '../../hw/good.ts'; export const p = 1;`,
    'src/hw/good.ts': `import '../sim/good.ts'; import '../uapi/ioctl.ts';`,
    'src/sim/good.ts': '',
    'src/sim/good.test.ts': `import './good.ts'; import './good.testing.ts'; import 'vitest'; import 'node:fs';`,
    'src/sim/good.testing.ts': `import 'vitest';`,
    'src/uapi/ioctl.ts': '',
  });
  const cycles = found.filter((line) => line.startsWith('no-cycles-across-directories'));
  expect(found.filter((line) => !cycles.includes(line)).sort()).toEqual([
    'case-imports: src/case/load.ts src/golden/compare.ts',
    'cli-imports: src/cli/main.ts scripts/bench.ts',
    'explore-imports: src/explore/explore.ts src/uapi/errno.ts',
    'golden-imports: src/golden/compare.ts src/explore/explore.ts',
    'hw-imports: src/hw/iommu.ts src/kernel/device.ts',
    'kernel-imports: src/kernel/device.ts src/user/process.ts',
    'no-node-in-the-model: src/sim/run.ts fs',
    'no-orphans: src/kernel/alone.ts src/kernel/alone.ts',
    'recording-imports: src/recording/read.ts src/golden/compare.ts',
    'resolvable: src/hw/iommu.ts ./absent.ts',
    'runtime-libraries-only: src/hw/iommu.ts vitest',
    'sim-imports: src/sim/run.test.ts src/hw/iommu.ts',
    'sim-imports: src/sim/run.ts src/kernel/device.ts',
    'tests-are-leaves: src/sim/run.ts src/sim/run.test.ts',
    'uapi-imports: src/uapi/errno.ts src/sim/run.ts',
    'unknown-directory: src/util/misc.ts src/sim/run.ts',
    'user-imports: src/user/process.ts src/case/load.ts',
    'what-tests-share-does-not-ship: src/hw/iommu.ts src/sim/good.testing.ts',
  ]);
  expect(cycles).toContain(
    'no-cycles-across-directories: src/kernel/iommu/group.ts src/kernel/iommufd/ioas.ts',
  );
  expect(cycles.filter((line) => /pci|vfio/.test(line))).toEqual([]);
  expect(new Set(found.map((line) => line.split(':')[0]))).toEqual(new Set(ruleNames));
});
