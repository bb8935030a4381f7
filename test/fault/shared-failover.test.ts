/** Workers of a shared run on a cluster of three masters and three replicas: the master that holds the run dies under them. */
import { basename } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { keysOf } from '../../runner/state/redis/keys.ts';
import { RedisCluster } from '../servers/redis.ts';
import { Depot, KEY, Parcels } from './depot.ts';
import { SEED } from './random.ts';

const parcels = new Parcels(SEED + 29, 1_200_000);
let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await RedisCluster.start({ replicas: 1 });
}, 120_000);
afterAll(() => cluster[Symbol.asyncDispose]());

test('a master that dies under three workers costs nothing', async () => {
  const depot = await Depot.open(parcels, {
    backend: 'redis',
    redisUrl: cluster.url,
    cluster: true,
    timeoutMs: 500,
    pace: 0.05,
    lockTimeout: '30s',
  });
  const workers = [0, 1, 2].map(() => depot.worker([], { longestMs: 100_000 }));
  await Promise.all(
    workers.map((worker) => worker.until('it works', ({ events }) => events.some(({ type }) => type === 'checkpoint'))),
  );
  const master = await cluster.masterOf(keysOf(`test:${basename(depot.root)}`).run(KEY));
  await master.kill();
  depot.quicken();
  for (const { code, stderr } of await Promise.all(workers.map(({ ended }) => ended))) expect(code, stderr).toBe(0);
  await depot.expectDone('failed over');
  const now = await cluster.masterOf(keysOf(`test:${basename(depot.root)}`).run(KEY));
  expect(now.port).not.toBe(master.port);
  depot.remove();
}, 120_000);
