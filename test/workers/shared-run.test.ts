/** Who waits for the document of a shared run, for how long, and what ends the wait. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StopRequest } from '../../runner/engine/stop.ts';
import { openFileStore } from '../../runner/state/file.ts';
import { thisHolder } from '../../runner/state/host.ts';
import type { Lease, StateStore } from '../../runner/state/store.ts';
import { SharedRun } from '../../runner/workers/shared-run.ts';

const KEY = 'orders';
const TTL_MS = 1900;

let folder: string;
let store: StateStore;
let said: string[];
let kill: AbortController;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'oxiflow-shared-run-'));
  store = await openFileStore(folder);
  said = [];
  kill = new AbortController();
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

function runOf(workerId: string): SharedRun {
  return new SharedRun({
    store,
    runKey: KEY,
    holder: thisHolder(workerId),
    ttlMs: TTL_MS,
    kill: kill.signal,
    keep: (lease) => {
      const renewing = setInterval(() => void store.renew(lease), TTL_MS / 10);
      return { [Symbol.asyncDispose]: async () => clearInterval(renewing) };
    },
    say: (message) => said.push(message),
  });
}

/** One worker is at work alone until `end`; resolves once it holds the lease. */
async function atWork(): Promise<{ lease: Lease; end(): Promise<void> }> {
  const done = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<Lease>();
  const working = runOf('first').alone(async ({ lease }) => {
    begun.resolve(lease);
    await done.promise;
  });
  const lease = await begun.promise;
  return {
    lease,
    end: async () => {
      done.resolve();
      await working;
    },
  };
}

test('a worker waits for one that cuts or merges for as long as that lives, and says for whom', async () => {
  const first = await atWork();
  const second = runOf('second').alone(async ({ lease }) => lease.token);
  // It is said after two seconds: a lease that nobody renews is over by then.
  await expect.poll(() => said, { timeout: 10_000 }).not.toHaveLength(0);
  expect(said[0]).toMatch(
    /^waiting for worker first \(process \d+ on .+\), which cuts the input or puts outputs together: 2 s/,
  );
  await first.end();
  expect(await second).toBeGreaterThan(first.lease.token);
});

test.each(['kill', 'until'] as const)('"%s" ends the wait, and whoever is at work is left alone', async (which) => {
  const first = await atWork();
  const until = new AbortController();
  const second = runOf('second').alone(async () => 'never', { until: until.signal });
  const stop = new StopRequest('SIGTERM');
  (which === 'kill' ? kill : until).abort(stop);
  await expect(second).rejects.toBe(stop);
  expect(await store.renew(first.lease)).toBe(true);
  await first.end();
});

test('a worker that is to end at once does not wait at all', async () => {
  const first = await atWork();
  kill.abort(new StopRequest('SIGTERM'));
  await expect(runOf('second').alone(async () => 'never')).rejects.toBe(kill.signal.reason);
  await first.end();
});
