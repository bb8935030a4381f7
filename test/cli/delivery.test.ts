/** The last words of a run: where they don't get out, a retry repeats nothing, and no verb ends with a stack. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { GOOD_PROJECT, ORDERS, parse, read } from './cases/case.ts';
import { folder, oxiflow, pipelineOf, shell, start } from './program.ts';

const APPEND = pipelineOf([read, parse, ['write_file', { path: 'all.ndjson', append: true }]]);
const PROJECT = { ...GOOD_PROJECT, 'pipelines/orders.yaml': APPEND };
const EARLIER = '{"order":0}\n';

/** A device of our own that is always full; undefined where only root could make it. */
function fullDevice(root: string): string | undefined {
  const path = join(root, 'full');
  if (spawnSync('mknod', ['-m', '666', path, 'c', '1', '7']).status !== 0) return undefined;
  const probe = spawnSync('bash', ['-c', 'echo probe > "$1"', 'bash', path]);
  return probe.stderr.toString().includes('No space left') ? path : undefined;
}

function appended(root: string): string {
  return readFileSync(join(root, 'all.ndjson'), 'utf8');
}

// A device that is always full has to be made, which only root may; without one, these promises can't be put to the test.
const hasDevice = fullDevice(folder({})) !== undefined;

describe('a success whose summary is not delivered', () => {
  test.runIf(hasDevice)('is delivered by a retry, and what it appended stands there once', async () => {
    const root = folder({ ...PROJECT, 'all.ndjson': EARLIER });
    const device = fullDevice(root) ?? '';
    for (const attempt of [1, 2]) {
      const { code, stderr } = await oxiflow(['run', 'orders', '--summary', device], { cwd: root });
      expect({ attempt, code, stderr }).toEqual({
        attempt,
        code: 1,
        stderr: expect.stringContaining(`--summary ${device}: no space left`),
      });
      expect(appended(root)).toBe(EARLIER + ORDERS);
    }
    const { code } = await oxiflow(['run', 'orders', '--summary', 'good.json'], { cwd: root });
    expect(code).toBe(0);
    expect(appended(root)).toBe(EARLIER + ORDERS);
    expect(JSON.parse(readFileSync(join(root, 'good.json'), 'utf8'))).toMatchObject({
      status: 'succeeded',
      attempt: 3,
    });
    // And now the run is finished: the next one is another.
    await oxiflow(['run', 'orders'], { cwd: root });
    expect(appended(root)).toBe(EARLIER + ORDERS + ORDERS);
  });

  test.runIf(hasDevice)('goes for standard output, too', async () => {
    const root = folder({ ...PROJECT, 'all.ndjson': EARLIER });
    const line = `oxiflow run orders --json > '${fullDevice(root)}'`;
    for (const attempt of [1, 2]) {
      const { code, stderr } = await shell(line, { cwd: root });
      expect({ attempt, code, stderr }).toEqual({
        attempt,
        code: 1,
        stderr: expect.stringContaining('standard output: no space left'),
      });
    }
    const { code, stdout } = await oxiflow(['run', 'orders', '--json'], { cwd: root });
    expect({ code, status: JSON.parse(stdout).status }).toEqual({ code: 0, status: 'succeeded' });
    expect(appended(root)).toBe(EARLIER + ORDERS);
  });
});

describe('standard output that takes nothing', () => {
  const verbs = ['schema pipeline', 'pipeline list', 'pipeline info orders --json', 'version', 'run --help'];

  test.concurrent.each(verbs)('ends "%s" with one sentence when its reader is gone', async (verb) => {
    const { child, ended } = start(verb.split(' '), { cwd: folder(PROJECT), ownStdout: true });
    child.stdout?.destroy();
    const { code, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'standard output was closed by its reader\n' });
  });

  test.runIf(hasDevice).concurrent.each(verbs)('ends "%s" with one sentence when its device is full', async (verb) => {
    const root = folder(PROJECT);
    const { code, stderr } = await shell(`oxiflow ${verb} > '${fullDevice(root)}'`, { cwd: root });
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'standard output: no space left where it goes (ENOSPC)\n' });
  });
});
