import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

const RUNNER = resolve('dist/oxiflow.mjs');
const projects = readdirSync('examples', { withFileTypes: true }).filter((entry) => entry.isDirectory());

// They run in memory and write nothing, so the projects themselves are used.
test.each(projects.map(({ name }) => name))('the pipelines of %s have tests of their own, and pass', (project) => {
  const args = [RUNNER, 'pipeline', 'test', '--project', resolve('examples', project), '--json'];
  const report = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }));
  expect(report.exit_code).toBe(0);
  expect(report.pipelines.length).toBeGreaterThan(0);
  for (const { pipeline, tests } of report.pipelines) expect(tests.length, pipeline).toBeGreaterThan(0);
});
