import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { sayIfSlow } from '../../runner/engine/slow.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('work that is done within two seconds says nothing', async () => {
  const said: string[] = [];
  const { promise, resolve } = Promise.withResolvers<string>();
  const slow = sayIfSlow((text) => said.push(text), 'publishing the outputs', promise);
  await vi.advanceTimersByTimeAsync(1900);
  resolve('done');
  expect(await slow).toBe('done');
  await vi.advanceTimersByTimeAsync(100_000);
  expect(said).toEqual([]);
});

test('longer work says what it is at, again every half minute, and never after its end', async () => {
  const said: string[] = [];
  const { promise, reject } = Promise.withResolvers<string>();
  const slow = sayIfSlow((text) => said.push(text), 'publishing the outputs', promise);
  slow.catch(() => undefined);
  await vi.advanceTimersByTimeAsync(63_000);
  expect(said).toEqual([
    'publishing the outputs ...',
    'publishing the outputs: 32 s by now',
    'publishing the outputs: 62 s by now',
  ]);
  reject(new Error('the disk is gone'));
  await expect(slow).rejects.toThrow('the disk is gone');
  await vi.advanceTimersByTimeAsync(100_000);
  expect(said).toHaveLength(3);
  expect(vi.getTimerCount()).toBe(0);
});
