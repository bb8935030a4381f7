/** The table of splits is lost, and positions of the old cut are left: a run that is cut otherwise must not go on from them. */
import { readdirSync, rmSync, truncateSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, describe, expect, test } from 'vitest';
import { keysOf } from '../../runner/state/redis/keys.ts';
import { RedisServer } from '../servers/redis.ts';
import { Depot, KEY, Parcels, type SharedBackend } from './depot.ts';
import { SEED } from './random.ts';

const parcels = new Parcels(SEED + 23, 900_000);
let server: Promise<RedisServer> | undefined;
afterAll(async () => (await server)?.[Symbol.asyncDispose]());

async function openDepot(backend: SharedBackend): Promise<Depot> {
  if (backend !== 'redis') return Depot.open(parcels, { backend, pace: 0.02 });
  server ??= RedisServer.start();
  return Depot.open(parcels, { backend, redisUrl: (await server).url, pace: 0.02 });
}

/** All versions of the run's document, as it lies there. */
async function lose(depot: Depot, backend: SharedBackend, how: 'damaged' | 'deleted'): Promise<void> {
  if (backend === 'sqlite') {
    using database = new DatabaseSync(join(depot.root, '.oxiflow/state.db'));
    database.exec("UPDATE documents SET body = '{}' WHERE part = 'run'");
    if (how === 'deleted')
      database.exec("DELETE FROM documents WHERE part = 'run'; DELETE FROM parts WHERE part = 'run'");
  } else if (backend === 'file') {
    const runs = join(depot.root, '.oxiflow/state/runs');
    for (const name of readdirSync(runs, { recursive: true, encoding: 'utf8' })) {
      if (!/\/run\.\d+\.json$/.test(name)) continue;
      if (how === 'deleted') rmSync(join(runs, name));
      else truncateSync(join(runs, name), 9);
    }
  } else {
    const key = keysOf(`test:${basename(depot.root)}`).documents(KEY, 'run');
    await (await server)?.cli('del', key);
    await (await server)?.cli('xadd', key, '1-1', 'nonce 0', 'x');
  }
}

describe('the table of a shared run is lost in the middle of it; the next one is cut otherwise and does all of it once', () => {
  test.each([
    ['sqlite', 'damaged'],
    ['file', 'damaged'],
    ['redis', 'damaged'],
    ['file', 'deleted'],
  ] as const)(
    'state in %s, %s',
    async (backend, how) => {
      const depot = await openDepot(backend);
      const first = [0, 1].map(() => depot.worker());
      await depot.untilRun('some of it is done', ({ shared }) => {
        const done = shared?.groups.filter((group) => group.done !== undefined).length ?? 0;
        return done >= 2;
      });
      for (const worker of first) worker.kill();
      await Promise.all(first.map(({ ended }) => ended));
      expect((await depot.left()).length).toBeGreaterThan(0);
      await lose(depot, backend, how);
      if (how === 'damaged') {
        expect((await depot.worker().ended).code).toBe(74);
        const { code, stderr } = await depot.ask('state', 'repair', '--run-key', KEY);
        expect(code, stderr).toBe(0);
        expect(stderr).toContain(`run "${KEY}" itself is gone: its next start begins from zero`);
      }
      depot.quicken();
      // Whoever has noted that the run was there wants to hear that it may begin anew.
      const fresh = backend === 'redis' ? ['--fresh'] : [];
      const next = [0, 1].map(() => depot.worker(['--splits', '5', ...fresh]));
      for (const { code, stderr } of await Promise.all(next.map(({ ended }) => ended))) expect(code, stderr).toBe(0);
      expect((await depot.run())?.shared?.groups.length).toBeLessThanOrEqual(5);
      // Nor is anything left of what the first ones had made: neither in place nor staged.
      await depot.expectDone(`${backend}, ${how}`);
      depot.remove();
    },
    60_000,
  );
});
