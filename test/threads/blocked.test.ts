import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';

vi.setConfig({ testTimeout: 60_000 });

const CHILD = fileURLToPath(new URL('./blocked-child.ts', import.meta.url));

interface Ended {
  code: number | null;
  signal: string | null;
  stderr: string;
}

function start(how: string, stuckAfterMs: number): { child: ChildProcessWithoutNullStreams; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [CHILD, how, String(stuckAfterMs)]);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve) => child.on('close', (code, signal) => resolve({ code, signal, stderr })));
  return { child, ended };
}

const run = (how: string, stuckAfterMs: number): Promise<Ended> => start(how, stuckAfterMs).ended;

test.each([
  ['a loop', 'loop', 'in priceOfRide < '],
  ['a pattern that never ends', 'pattern', ''],
])('a main thread that is lost in %s is ended with code 1, and says where it was', async (_name, how, where) => {
  const { code, stderr } = await run(how, 600);
  expect(code, stderr).toBe(1);
  expect(stderr.split('\n')).toHaveLength(2);
  expect(stderr).toContain('error: the main thread has been busy for 0.6 s without a pause');
  expect(stderr).toContain(where);
  expect(stderr).toContain('step "price" (works) moved last');
});

test('one that is in a call of the system is killed: it can neither answer nor end by itself', async () => {
  const { signal, stderr } = await run('call', 600);
  expect(signal, stderr).toBe('SIGKILL');
  expect(stderr).toContain('step "price" (works) moved last');
});

test('one that is only busy is left alone', async () => {
  expect(await run('busy', 900)).toEqual({ code: 0, signal: null, stderr: '' });
});

test('one that was stopped for longer than that, as by a machine that slept, is left alone', async () => {
  const { child, ended } = start('rest', 600);
  await once(child.stdout, 'data');
  child.kill('SIGSTOP');
  await sleep(1300);
  child.kill('SIGCONT');
  child.stdin.end();
  expect(await ended).toEqual({ code: 0, signal: null, stderr: '' });
});
