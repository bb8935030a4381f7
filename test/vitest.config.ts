/** How the tests run: one process a file, a build of `dist/` before the first, no process left behind after the last. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Where .ci/run wants the counts. */
const report = process.env.OXIFLOW_TEST_REPORT;

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/project/build-first.ts', 'test/project/no-orphans.ts'],
    // Tests start programs, handle signals and change the environment: a process of their own, not a thread.
    pool: 'forks',
    // Most of them wait: for programs, servers, leases.
    maxWorkers: 2,
    // A fault test sets its own.
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 10_000,
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
  },
});
