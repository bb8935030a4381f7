import { describe, expect, test, vi } from 'vitest';
import { type ErrorCode, OxiError } from '../../runner/engine/errors.ts';
import { type RetryOptions, withRetry, withTimeout } from '../../runner/engine/retry.ts';

const NEVER = new AbortController().signal;

/** Fails so often with this code, then gives what it was asked for. */
function failing(times: number, code: ErrorCode): { work: () => Promise<string>; calls: () => number } {
  let calls = 0;
  return {
    calls: () => calls,
    work: async () => {
      if (calls++ < times) throw new OxiError(code, `no ${calls}`);
      return 'written';
    },
  };
}

function options(more: Partial<RetryOptions> = {}): RetryOptions & { waits: number[] } {
  const waits: number[] = [];
  const sleep = async (ms: number): Promise<void> => {
    waits.push(ms);
  };
  return { attempts: 5, delayMs: 1000, signal: NEVER, random: () => 0.5, sleep, waits, ...more };
}

describe('a unit of work that failed', () => {
  test('is tried again, after waits that double, of which a random part is waited', async () => {
    const o = options();
    const { work, calls } = failing(4, 'IO_FAILED');
    expect(await withRetry(work, o)).toBe('written');
    expect(calls()).toBe(5);
    expect(o.waits).toEqual([500, 1000, 2000, 4000]);
  });

  test('fails with its last error when the attempts are used up', async () => {
    const o = options({ attempts: 2 });
    const told: number[] = [];
    const { work, calls } = failing(9, 'DISK_FULL');
    const retry = withRetry(work, { ...o, onRetry: ({ attempt, of }) => told.push(attempt, of) });
    await expect(retry).rejects.toMatchObject({ code: 'DISK_FULL', message: 'no 3' });
    expect(calls()).toBe(3);
    expect(told).toEqual([1, 2, 2, 2]);
  });

  test('waits five minutes at most, or as long as the first wait was to be', async () => {
    for (const [delayMs, longest] of [
      [1000, 300_000],
      [3_600_000, 3_600_000],
    ]) {
      const o = options({ attempts: 40, delayMs: delayMs ?? 0, random: () => 1 });
      await withRetry(failing(40, 'TIMED_OUT').work, o);
      expect(Math.max(...o.waits)).toBe(longest);
    }
  });

  test.each([
    'CONFIG_INVALID',
    'RECORD_INVALID',
    'PERMISSION_DENIED',
    'LEASE_LOST',
    'OUTPUT_EXISTS',
    'THREAD_DIED',
  ] as const)('is not tried again where that can mend nothing: %s', async (code) => {
    const { work, calls } = failing(1, code);
    await expect(withRetry(work, options())).rejects.toMatchObject({ code });
    expect(calls()).toBe(1);
  });

  test('a bug is no system error', async () => {
    const work = vi.fn(async () => {
      throw new TypeError('not a function');
    });
    await expect(withRetry(work, options())).rejects.toThrow(TypeError);
    expect(work).toHaveBeenCalledTimes(1);
  });

  test('gives up waiting when the run ends', async () => {
    const end = new AbortController();
    const { sleep: _, ...real } = options({ signal: end.signal, delayMs: 3_600_000 });
    const waiting = withRetry(failing(1, 'IO_FAILED').work, {
      ...real,
      onRetry: () => queueMicrotask(() => end.abort(new Error('stopped'))),
    });
    await expect(waiting).rejects.toThrow('stopped');
  });
});

describe('a unit of work that takes too long', () => {
  const timeout = { ms: 20, what: 'step "price"', field: 'timeout_seconds', step: 'price' };

  test('is told to end, and fails whether or not it does', async () => {
    let told: AbortSignal | undefined;
    const work = withTimeout(
      (signal) => {
        told = signal;
        return new Promise<never>(() => undefined);
      },
      timeout,
      NEVER,
    );
    await expect(work).rejects.toMatchObject({
      code: 'TIMED_OUT',
      exitCode: 1,
      message: 'step "price" took longer than 20 ms (timeout_seconds)',
      place: { step: 'price', field: 'timeout_seconds' },
    });
    expect(told?.aborted).toBe(true);
  });

  test('one that is done in time is not disturbed', async () => {
    let told: AbortSignal | undefined;
    const done = await withTimeout(
      async (signal) => {
        told = signal;
        return 7;
      },
      { ...timeout, ms: 10_000 },
      NEVER,
    );
    expect(done).toBe(7);
    expect(told?.aborted).toBe(false);
  });

  test('without a limit it may take as long as it takes, and sees the end of the run', async () => {
    const end = new AbortController();
    const seen = await withTimeout(async (signal) => signal, undefined, end.signal);
    expect(seen).toBe(end.signal);
  });
});
