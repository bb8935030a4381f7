import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url));

function start(role: string, fds: 3 | 4): ChildProcess {
  const stdio: 'pipe'[] = Array.from({ length: fds }, () => 'pipe');
  return spawn(process.execPath, [CHILD, role], { stdio });
}

it('events to a descriptor that the launcher passed arrive before the process ends', async () => {
  const child = start('events', 4);
  const ended = once(child, 'exit');
  const lines = (await text(child.stdio[3] as Readable)).trimEnd().split('\n');
  expect(await ended).toEqual([0, null]);
  expect(lines.map((line) => JSON.parse(line).type)).toEqual([
    'checkpoint',
    'checkpoint',
    'checkpoint',
    'run.finished',
  ]);
});

it('a run whose stderr nobody reads any more goes on', async () => {
  const child = start('stderr', 3);
  const ended = once(child, 'exit');
  child.stderr?.destroy();
  child.stdin?.end();
  expect(await text(child.stdout as Readable)).toBe('went on');
  expect(await ended).toEqual([0, null]);
});
