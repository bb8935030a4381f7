/** A run in which nothing moves, from the outside: it ends, says where, and leaves nobody behind. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { folder, jsonLines, oxiflow, pipelineOf, snapshot, start } from '../cli/program.ts';

const RIDES = Array.from({ length: 50 }, (_, ride) => `{"ride":${ride}}\n`).join('');

/** Looks until there is something in the file. */
async function there(path: string): Promise<void> {
  while (!existsSync(path) || statSync(path).size === 0) await sleep(10);
}

/** Looks until the process is gone, or dead. */
async function gone(pid: number): Promise<void> {
  const isDead = (): boolean => {
    try {
      return /^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch {
      return true;
    }
  };
  while (!isDead()) await sleep(10);
}

function project(command: string[], settings: object = {}): string {
  return folder({
    'oxiflow.yaml': JSON.stringify({ project: { name: 'city' }, settings }),
    'input/rides.ndjson': RIDES,
    'pipelines/rides.yaml': pipelineOf([
      ['read_file', { path: 'input/rides.ndjson' }],
      ['parse_json'],
      ['exec', { command }, { id: 'price' }],
      ['write_file', { path: 'output/rides.ndjson' }],
    ]),
  });
}

test('a step that waits for ever ends the run with exit code 1: what every node did is on stderr, its program is gone', async () => {
  const root = project(['sh', '-c', 'echo $$ > pid; exec sleep 300'], { stuck_after: '1s' });
  const { code, stderr } = await oxiflow(['run', 'rides', '--events', 'events.ndjson'], { cwd: root });
  expect(code, stderr).toBe(1);
  expect(stderr).toMatch(/nothing moves:\n {2}step +does +for +waiting before it\n/);
  expect(stderr).toMatch(/\n {2}price +works +1 s {2}/);
  expect(stderr).toMatch(/nothing has moved for 1 s: step "price" works without an end/);
  const last = jsonLines(readFileSync(join(root, 'events.ndjson'), 'utf8')).at(-1);
  expect(last).toMatchObject({ type: 'run.finished', status: 'failed', error: { code: 'STUCK' } });
  expect(Object.keys(snapshot(root))).not.toContain('output/rides.ndjson');
  await gone(Number(readFileSync(join(root, 'pid'), 'utf8')));
});

test('a program that works is started, fed and ended: the output is what it made of the records', async () => {
  const root = project(['sed', '-u', 's/ride/trip/']);
  const { code, stderr } = await oxiflow(['run', 'rides'], { cwd: root });
  expect(code, stderr).toBe(0);
  expect(snapshot(root)['output/rides.ndjson']).toBe(RIDES.replaceAll('ride', 'trip'));
});

test('a runner that is killed takes its program along: its input ends', async () => {
  const root = project(['sh', '-c', 'echo $$ > pid; cat > /dev/null; echo bye > left']);
  const { child, ended } = start(['run', 'rides'], { cwd: root });
  await there(join(root, 'pid'));
  child.kill('SIGKILL');
  expect((await ended).signal).toBe('SIGKILL');
  await there(join(root, 'left'));
});

test('a runner that is told to stop at once ends its program with all that it started', async () => {
  const root = project(['sh', '-c', 'trap "" TERM; sleep 300 & echo "$$ $!" > pid; wait']);
  const { child, ended } = start(['run', 'rides', '--drain-timeout', '100ms'], { cwd: root });
  await there(join(root, 'pid'));
  child.kill('SIGTERM');
  expect((await ended).code).toBe(143);
  for (const pid of readFileSync(join(root, 'pid'), 'utf8').split(' ')) await gone(Number(pid));
});
