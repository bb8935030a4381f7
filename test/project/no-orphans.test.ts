import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { leftBehind } from './no-orphans.ts';

// The mark is read from /proc, which only Linux has.
test.runIf(process.platform === 'linux')('a process that a test left behind is found by its mark', async () => {
  const mark = randomUUID();
  // Its parent ends at once, so that it belongs to nobody.
  const parent = spawn('sh', ['-c', 'sleep 600 & echo $!'], {
    env: { PATH: process.env.PATH, LEFT: mark },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [line] = await once(parent.stdout, 'data');
  const pid = Number(String(line));
  try {
    await once(parent, 'exit');
    expect(leftBehind(mark, 'LEFT')).toEqual([{ pid, command: 'sleep 600' }]);
  } finally {
    process.kill(pid, 'SIGKILL');
  }
  await expect.poll(() => leftBehind(mark, 'LEFT')).toEqual([]);
});
