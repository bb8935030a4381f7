import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import {
  isProvenDead,
  isTagProvenDead,
  monotonicMs,
  parseProcStat,
  processTag,
  thisHolder,
  thisMachine,
} from '../../runner/state/host.ts';

const FIRST_PID_SPACE = '4026531836';

async function ended(child: ChildProcess): Promise<number> {
  const pid = child.pid ?? 0;
  await once(child, 'exit');
  return pid;
}

describe('a holder', () => {
  test('this process is not dead, nor is its parent', () => {
    expect(isProvenDead(thisHolder('rides'))).toBe(false);
    expect(isTagProvenDead(processTag())).toBe(false);
  });

  test('a process that ended is proven dead', async () => {
    const pid = await ended(spawn(process.execPath, ['-e', '0']));
    expect(isProvenDead({ ...thisHolder('rides'), pid })).toBe(true);
    expect(isTagProvenDead(processTag().replace(`-${process.pid}-`, `-${pid}-`))).toBe(true);
  });

  test('a process that has taken over the number of a dead one is not taken for it', () => {
    expect(isProvenDead({ ...thisHolder('rides'), startedAt: '12' })).toBe(true);
  });

  test('a process on another host, or in another container, is never proven dead', async () => {
    const pid = await ended(spawn(process.execPath, ['-e', '0']));
    const gone = { ...thisHolder('rides'), pid };
    expect(isProvenDead({ ...gone, host: 'harbour' })).toBe(false);
    expect(isProvenDead({ ...gone, host: 'harbour', bootId: 'earlier' })).toBe(false);
    expect(isProvenDead({ ...gone, pidSpace: '7' })).toBe(false);
  });

  test('an earlier boot of this host proves a death, but not inside a container, where a host name may have moved', () => {
    const holder = { ...thisHolder('rides'), bootId: 'earlier', pidSpace: FIRST_PID_SPACE };
    const here = { ...thisMachine(), pidSpace: FIRST_PID_SPACE };
    expect(isProvenDead(holder, here)).toBe(true);
    expect(isProvenDead({ ...holder, pidSpace: '7' }, { ...here, pidSpace: '7' })).toBe(false);
    expect(isProvenDead({ ...holder, bootId: '' }, here)).toBe(false);
    expect(isProvenDead(holder, { ...here, bootId: '' })).toBe(false);
  });

  // Whether a process is a zombie is read from /proc, which only Linux has.
  test.runIf(process.platform === 'linux')('a zombie is proven dead', async () => {
    // The shell becomes `sleep`, which never asks how its child ended.
    const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      const [line] = (await once(createInterface(parent.stdout), 'line')) as [string];
      const pid = Number(line);
      let stat = parseProcStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
      const holder = { ...thisHolder('rides'), pid, startedAt: stat?.startedAt ?? '' };
      process.kill(pid, 'SIGKILL');
      while (stat?.zombie !== true) {
        await new Promise(setImmediate);
        stat = parseProcStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
      }
      expect(isProvenDead(holder)).toBe(true);
    } finally {
      parent.kill('SIGKILL');
      await once(parent, 'exit');
    }
  });
});

test('the start of a process is found behind a name that holds blanks and parentheses', () => {
  const fields = Array.from({ length: 40 }, (_, i) => String(i + 4)).join(' ');
  expect(parseProcStat(`77 (a) R 1 (b) S ${fields}`)).toEqual({ startedAt: '22', zombie: false });
  expect(parseProcStat(`77 (x) Z ${fields}`)).toEqual({ startedAt: '22', zombie: true });
  expect(parseProcStat('77 (x) Z')).toBeUndefined();
});

test('the clock of the boot is the same for two processes', async () => {
  const before = monotonicMs();
  const child = spawn(process.execPath, ['-p', 'Number(process.hrtime.bigint()) / 1e6']);
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  expect(Number(line)).toBeGreaterThan(before);
  expect(Number(line)).toBeLessThan(monotonicMs());
});
