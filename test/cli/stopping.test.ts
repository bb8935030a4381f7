/** Runs that are asked to end: they save a checkpoint, say so, and the next one goes on. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ridesProject, startBlocked } from './blocked.ts';
import { NODE, oxiflow, REPOSITORY } from './program.ts';

/** Runs to the end and returns what it wrote to stdout; the file has to be whole. */
async function resumed(root: string, rides: string): Promise<string> {
  const run = startBlocked(root);
  const { code, stdout, stderr, events } = await run.read();
  expect({ code, status: events.at(-1)?.status }).toEqual({ code: 0, status: 'succeeded' });
  expect(stderr).toMatch(/going on from checkpoint \d+: \d+ records are done/);
  expect(events[0]?.resumed_from).toMatchObject({ grade: 'hard' });
  expect(readFileSync(join(root, 'output/rides.ndjson'), 'utf8') === rides).toBe(true);
  expect(readdirSync(join(root, 'output'))).toEqual(['rides.ndjson']);
  return stdout;
}

test.concurrent('a cancelled run ends with 143, is "cancelled", and the next one goes on from there', async () => {
  const { root, rides } = ridesProject();
  const run = startBlocked(root);
  await run.working();
  const live = await oxiflow(['status', '--run-key', 'rides', '--json'], { cwd: root });
  expect(JSON.parse(live.stdout)).toMatchObject({ status: 'running', cancel_requested: false });
  const cancel = await oxiflow(['cancel', '--run-key', 'rides'], { cwd: root });
  expect({ code: cancel.code, stderr: cancel.stderr }).toEqual({
    code: 0,
    stderr: 'asked run "rides" to end; it saves a checkpoint first\n',
  });
  await run.said('cancelled by ');
  const { code, stdout, events } = await run.read();
  expect({ code, end: events.at(-1) }).toMatchObject({ code: 143, end: { status: 'cancelled', exit_code: 143 } });
  expect(stdout.length).toBeLessThan(rides.length);
  const after = await oxiflow(['status', '--run-key', 'rides', '--json'], { cwd: root });
  expect(JSON.parse(after.stdout)).toMatchObject({ status: 'interrupted', cancel_requested: false });
  expect(stdout + (await resumed(root, rides)) === rides).toBe(true);
});

test.concurrent.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
  ['SIGHUP', 143],
] as const)('%s drains: exit code %i, and not a record is lost or repeated', async (signal, exit) => {
  const { root, rides } = ridesProject();
  const run = startBlocked(root);
  await run.working();
  run.kill(signal);
  await run.said('finishing what was read and saving a checkpoint, 10 s at most; a second time stops at once');
  const { code, stdout, stderr, events } = await run.read();
  expect({ code, status: events.at(-1)?.status }).toEqual({ code: exit, status: 'interrupted' });
  expect(stderr).toContain('rides: interrupted, ');
  expect(stdout.length).toBeLessThan(rides.length);
  expect(stdout + (await resumed(root, rides)) === rides).toBe(true);
});

test.concurrent('a second signal stops at once, whatever hangs', async () => {
  const { root } = ridesProject();
  const run = startBlocked(root);
  await run.working();
  run.kill('SIGTERM');
  await run.said('finishing what was read');
  run.kill('SIGTERM');
  await run.said('SIGTERM again: stopping at once');
  const { code, events } = await run.read();
  expect({ code, last: events.at(-1)?.type === 'run.finished' }).toEqual({ code: 143, last: false });
});

test.concurrent('a drain that takes longer than --drain-timeout is cut off', async () => {
  const { root } = ridesProject();
  const run = startBlocked(root, ['--drain-timeout', '200ms']);
  await run.working();
  run.kill('SIGTERM');
  await run.event('run.finished');
  const { code, events } = await run.read();
  expect({ code, end: events.at(-1) }).toMatchObject({ code: 143, end: { status: 'interrupted', exit_code: 143 } });
});

test('a run that was stopped ends, whatever keeps its process alive', () => {
  const script = `
    import { StopRequest } from './runner/engine/stop.ts';
    import { Stopping } from './runner/cli/stopping.ts';
    const stopping = new Stopping({ drainMs: 10_000, parentFd: undefined, onOrphan: 'auto', say() {} });
    setInterval(() => undefined, 1000);
    stopping.request(new StopRequest('SIGTERM'));
    process.exitCode = 143;
    stopping[Symbol.dispose]();`;
  const { status, signal, stderr } = spawnSync(NODE, ['--input-type=module', '--eval', script], {
    cwd: REPOSITORY,
    timeout: 30_000,
    encoding: 'utf8',
  });
  expect({ status, signal, stderr }).toEqual({ status: 143, signal: null, stderr: '' });
});
