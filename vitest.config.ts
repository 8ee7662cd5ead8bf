// SPDX-License-Identifier: GPL-2.0-only

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'scripts/**/*.test.ts'],
    // One shared module graph a thread: a fresh one for each of hundreds of files would take a minute.
    pool: 'threads',
    isolate: false,
    // By default one core is left free: of two that would be half.
    maxWorkers: '100%',
    // No test judges time: this only ends what hangs.
    testTimeout: 120_000,
    reporters: ['default'],
  },
});
