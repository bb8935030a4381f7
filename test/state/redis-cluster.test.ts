import { afterAll, beforeAll } from 'vitest';
import { describeStore } from '../contract/store-suite.ts';
import { RedisCluster } from '../servers/redis.ts';
import { redisBench } from './redis-bench.ts';
import { keys } from './redis-open.ts';

let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await RedisCluster.start();
}, 120_000);
afterAll(() => cluster[Symbol.asyncDispose]());

describeStore(
  'redis cluster',
  async () =>
    redisBench(
      cluster.url,
      true,
      (runKey) => cluster.masterOf(keys.run(runKey)),
      () => cluster.flush(),
    ),
  { clock: 'server' },
);
