import { afterAll, beforeAll } from 'vitest';
import { describeStore } from '../contract/store-suite.ts';
import { RedisServer } from '../servers/redis.ts';
import { redisBench } from './redis-bench.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
}, 120_000);
afterAll(() => server[Symbol.asyncDispose]());

describeStore(
  'redis',
  async () =>
    redisBench(
      server.url,
      false,
      async () => server,
      () => server.cli('flushall'),
    ),
  { clock: 'server' },
);
