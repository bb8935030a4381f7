/** Files of standard output that nobody empties. */
import { appendFileSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { limitOutput } from '../../runner/observe/output-limit.ts';

let folder: string;
let path: string;
let fd: number;

beforeEach(() => {
  vi.useFakeTimers();
  folder = mkdtempSync(join(tmpdir(), 'oxiflow-output-'));
  path = join(folder, 'output.log');
  fd = openSync(path, 'a');
});
afterEach(() => {
  vi.useRealTimers();
  closeSync(fd);
  rmSync(folder, { recursive: true, force: true });
});

it('a file that has grown beyond its limit begins anew, whoever has written there', () => {
  using _ = limitOutput(100, [0, fd]);
  appendFileSync(fd, 'x'.repeat(100));
  vi.advanceTimersByTime(1000);
  expect(statSync(path).size).toBe(100);
  appendFileSync(path, 'more');
  vi.advanceTimersByTime(1000);
  appendFileSync(fd, 'last words');
  vi.advanceTimersByTime(1000);
  expect(readFileSync(path, 'utf8')).toBe('last words');
});

it('is over with the run', () => {
  limitOutput(100, [fd])[Symbol.dispose]();
  appendFileSync(fd, 'x'.repeat(200));
  vi.advanceTimersByTime(1000);
  expect(statSync(path).size).toBe(200);
});

it('without a file there is nothing to limit', () => {
  const pipe = 987_654;
  expect(() => limitOutput(100, [pipe])).toThrow('leave --output-limit out');
});

it.runIf(process.platform === 'linux')(
  'a file that is written to at a place of its own is refused: it would get holes',
  () => {
    const placed = openSync(join(folder, 'placed.log'), 'w');
    expect(() => limitOutput(100, [placed])).toThrow('write >> FILE, not > FILE');
    closeSync(placed);
  },
);
