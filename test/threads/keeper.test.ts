/** The thread that keeps leases: each of them by itself, and requests whatever becomes of a lease. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { thisHolder } from '../../runner/state/host.ts';
import { openStore } from '../../runner/state/open.ts';
import type { Lease, RunRequest } from '../../runner/state/store.ts';
import { startKeeper } from '../../runner/threads/keeper.ts';
import { damageFile } from '../state/file-bench.ts';

const TTL_MS = 3000;

test('a lease that is lost, or whose part is damaged, holds up neither the others nor what is asked of the run', async () => {
  const root = mkdtempSync(join(tmpdir(), 'oxiflow-keeper-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const location = join(root, 'state');
  const settings = {
    backend: 'file' as const,
    projectRoot: root,
    file: { basePath: location },
    nfs: { mountPath: undefined },
    sqlite: { path: undefined },
    database: { type: undefined },
  };
  await using store = await openStore(settings);
  const holder = thisHolder('keeper');
  const taken = async (part: 'run' | 'split-1'): Promise<Lease> => {
    const got = await store.acquire('rides', part, holder, TTL_MS);
    if (!got.acquired) throw new Error(`${part} is held`);
    const { token } = got.lease;
    await store.write('rides', part, { expected: 0, token, body: { status: 'running' }, grade: 'hard' });
    return got.lease;
  };
  const run = await taken('run');
  const damaged = await taken('split-1');
  await damageFile(location, 'rides', 'split-1', 'wrong shape');

  const lost: string[] = [];
  const trouble: string[] = [];
  let requests: readonly RunRequest[] = [];
  await using keeper = startKeeper(
    { settings, runKey: 'rides', holder, ttlMs: TTL_MS, renewMs: 200, pollMs: 50, watch: undefined },
    {
      requests: (now) => {
        requests = now;
      },
      trouble: (message) => trouble.push(message),
    },
    0,
  );
  keeper.keep(damaged, () => lost.push('split-1'));
  // Nobody has it; by chance its number is that of the run's.
  keeper.keep({ ...run, part: 'split-7' }, () => lost.push('split-7'));
  keeper.keep(run, () => lost.push('run'));
  await expect.poll(() => lost, { timeout: 20_000 }).toContain('split-7');
  await store.request('rides', { kind: 'pause', at: new Date(0).toISOString(), from: 'somebody' });
  await expect.poll(() => requests.map(({ kind }) => kind), { timeout: 20_000 }).toEqual(['pause']);
  // Its time is over unless somebody has renewed it.
  const began = performance.now();
  await expect.poll(() => performance.now() - began, { timeout: 20_000 }).toBeGreaterThan(1.5 * TTL_MS);
  expect(await store.standing('rides', 'run')).toMatchObject({ over: false });
  expect(lost).not.toContain('run');
}, 60_000);
