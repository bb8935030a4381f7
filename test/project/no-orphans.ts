/**
 * Fails the test run if a process that a test started is still there at its end. Every process inherits a mark in its
 * environment and Linux tells it in /proc; elsewhere nothing is checked (macOS does not tell another's environment).
 */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const MARK = 'OXIFLOW_TESTS';
/** What a process that was told to end may need on a busy machine. */
const GRACE_MS = 5000;

interface Left {
  pid: number;
  command: string;
}

export default function setup(): (() => Promise<void>) | undefined {
  if (process.platform !== 'linux') return undefined;
  const mark = randomUUID();
  process.env[MARK] = mark;
  // Vitest's own helpers (esbuild, workers) are its children and end with it.
  return async () => {
    const end = performance.now() + GRACE_MS;
    let left = leftBehind(mark);
    while (left.length > 0 && performance.now() < end) {
      await sleep(50);
      left = leftBehind(mark);
    }
    if (left.length === 0) return;
    for (const { pid } of left) kill(pid);
    const list = left.map(({ pid, command }) => `  ${pid} ${command}`).join('\n');
    // Vitest only prints an error that is thrown here; this is what fails the run.
    process.exitCode = 1;
    process.stderr.write(`FAILED: tests left processes behind (they are killed now):\n${list}\n`);
  };
}

export function leftBehind(mark: string, env: string = MARK): Left[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${env}=${mark}`)) return [];
      const status = readFileSync(`/proc/${pid}/status`, 'latin1');
      if (/^State:\s+[ZX]/m.test(status) || isOwnHelper(pid, status)) return [];
      const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
      return [{ pid, command }];
    } catch {
      // Gone between two looks, or not ours to read.
      return [];
    }
  });
}

/** Vitest's workers: children of this process that run the same program. */
function isOwnHelper(pid: number, status: string): boolean {
  const parent = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]);
  return (
    parent === process.pid &&
    (readlinkSync(`/proc/${pid}/exe`) === process.execPath || /esbuild/.test(readlinkSync(`/proc/${pid}/exe`)))
  );
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}
