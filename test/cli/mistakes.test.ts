/** The mistakes that everybody makes once: one sentence each, with the place and what to do, and the page that shows them. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attempt, projectOf, withoutTimes } from './attempt.ts';
import { diskFull, mistakes, mistakesPage } from './cases/mistakes.ts';
import { folder, oxiflow, pipelineOf, REPOSITORY } from './program.ts';

test.concurrent.each(mistakes)('$name: $title gives one sentence with its place and a remedy', async (it) => {
  const root = projectOf(it);
  const { code, stdout, stderr } = await attempt(it, root);
  const [sentence] = withoutTimes(stderr, root).split('\n');
  expect({ code, stdout, sentence }).toEqual({ code: it.code, stdout: '', sentence: it.message });
  // A warning stands before the summary of the run, an error alone.
  if (it.code !== 0) expect(withoutTimes(stderr, root)).toBe(it.message);
});

test('the page of mistakes is what the tests have seen (npm run mistakes writes it anew)', () => {
  expect(readFileSync(join(REPOSITORY, 'runner/cli/MISTAKES.md'), 'utf8')).toBe(mistakesPage());
});

const canMount = ((): boolean => {
  const probe = folder({});
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', probe]).status !== 0) return false;
  return spawnSync('umount', [probe]).status === 0;
})();

// Only root may mount.
describe.runIf(canMount)('a disk', () => {
  let disk = '';
  beforeAll(() => {
    disk = folder({});
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk]);
  });
  afterAll(() => spawnSync('umount', [disk]));

  test('that is full gives one sentence with its place and a remedy', async () => {
    const cwd = folder({
      'oxiflow.yaml': 'project: { name: city }\n',
      'rides.ndjson': '{"ride":1,"from":"Harbour","to":"Hill"}\n'.repeat(20_000),
      'pipelines/rides.yaml': pipelineOf([
        ['read_file', { path: 'rides.ndjson' }],
        ['parse_json'],
        ['write_file', { path: join(disk, 'rides.ndjson') }],
      ]),
    });
    const { code, stderr } = await oxiflow(['run', 'rides', '-q'], { cwd });
    expect({ code, message: withoutTimes(stderr.replaceAll(disk, 'DISK'), cwd) }).toEqual({
      code: diskFull.code,
      message: diskFull.message,
    });
  });
});
