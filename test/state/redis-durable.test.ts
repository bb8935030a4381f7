/** What a hard write waits for on the backend `redis`: the log of the server, and a replica. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { RedisSettings } from '../../runner/state/redis/connection.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import type { Grade, StateStore } from '../../runner/state/store.ts';
import { RedisCluster, RedisServer, until } from '../servers/redis.ts';
import { keys, RIGHTS, settingsFor } from './redis-open.ts';
import { here, leaseOf, TTL_MS } from './redis-scene.ts';

const LOG = ['--appendonly', 'yes'];
const stores: StateStore[] = [];
let warnings: string[] = [];
let project: string;
beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'oxiflow-redis-durable-'));
});
afterAll(() => rm(project, { recursive: true }));
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  warnings = [];
});

/** As a run opens it. */
const open = (url: string, more: Partial<RedisSettings> = {}): StateStore => {
  const store = openRedisStore(settingsFor(url, { projectRoot: project, ...more }), {
    warn: (text) => warnings.push(text),
    notes: true,
  });
  stores.push(store);
  return store;
};

/** Rides, one after the other, each as hard as told. */
async function rider(store: StateStore): Promise<(grade: Grade) => Promise<number>> {
  const { token } = leaseOf(await store.acquire('rides', 'split-0', here(), TTL_MS));
  let version = 0;
  return async (grade) => {
    const document = { expected: version, token, body: { ride: version }, grade };
    expect(await store.write('rides', 'split-0', document)).toEqual({ written: true, version: ++version });
    return version;
  };
}

const calls = async (server: RedisServer, command: string): Promise<number> =>
  Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await server.cli('info', 'commandstats'))?.[1] ?? 0);

async function replicaOf(master: RedisServer, args: readonly string[] = []): Promise<RedisServer> {
  const replica = await RedisServer.start({ args: ['--replicaof', `127.0.0.1 ${master.port}`, ...args] });
  // It gets nothing before its first word, which it gives once a second.
  await master.cli('set', 'tram', '8');
  await until('a replica in step', async () => (await replica.cli('get', 'tram')) === '8');
  return replica;
}

test('a server of 7.2 or later with a log says when a hard write is on its disk, and is not asked for soft ones', {
  timeout: 120_000,
}, async () => {
  await using server = await RedisServer.start({ recent: true, args: LOG });
  await server.cli('acl', 'setuser', 'oxi', 'on', '>hunter2', ...RIGHTS, '+info', '+waitaof');
  const ride = await rider(open(`redis://oxi:hunter2@127.0.0.1:${server.port}`));
  for (let n = 0; n < 5; n++) await ride('soft');
  expect(await calls(server, 'waitaof')).toBe(0);
  await ride('hard');
  await ride('soft');
  expect(await calls(server, 'waitaof')).toBe(1);
  expect(await calls(server, 'wait')).toBe(0);
  expect(warnings).toEqual([]);
});

test('a replica has a hard write when that is done', { timeout: 60_000 }, async () => {
  await using master = await RedisServer.start({ args: [...LOG, '--repl-diskless-sync-delay', '0'] });
  await using replica = await replicaOf(master);
  await master.cli('acl', 'setuser', 'oxi', 'on', '>hunter2', ...RIGHTS, '+info');
  const ride = await rider(open(`redis://oxi:hunter2@127.0.0.1:${master.port}`));
  const before = await calls(master, 'wait');
  for (let n = 0; n < 20; n++) {
    const version = await ride('hard');
    expect(warnings).toEqual([]);
    const newest = await replica.cli('xrevrange', keys.documents('rides', 'split-0'), '+', '-', 'count', '1');
    expect(newest.split('\n')[0]).toMatch(new RegExp(`-${version}$`));
  }
  expect((await calls(master, 'wait')) - before).toBe(20);
});

test('a replica that stands still delays it by a bounded time, and is told of once', { timeout: 60_000 }, async () => {
  await using master = await RedisServer.start({ args: [...LOG, '--repl-diskless-sync-delay', '0'] });
  await using replica = await replicaOf(master);
  const ride = await rider(open(master.url, { timeoutMs: 400 }));
  process.kill(replica.pid, 'SIGSTOP');
  try {
    const began = performance.now();
    await ride('hard');
    expect(performance.now() - began).toBeLessThan(5000);
    await ride('hard');
    expect(warnings).toEqual([expect.stringContaining('a checkpoint was not confirmed by a replica within 100 ms')]);
  } finally {
    process.kill(replica.pid, 'SIGCONT');
  }
});

test('a user who may not wait is told so once, and his run goes on', { timeout: 60_000 }, async () => {
  await using master = await RedisServer.start({ args: [...LOG, '--repl-diskless-sync-delay', '0'] });
  await using _replica = await replicaOf(master);
  await master.cli('acl', 'setuser', 'oxi', 'on', '>hunter2', '~*', '&*', '+@all', '-wait');
  const ride = await rider(open(`redis://oxi:hunter2@127.0.0.1:${master.port}`));
  await ride('hard');
  await ride('hard');
  expect(warnings).toEqual([expect.stringMatching(/no checkpoint can be confirmed \(.*the command wait\)/)]);
});

test('a server that keeps nothing when it ends is told of once, at the first hard write', {
  timeout: 60_000,
}, async () => {
  await using server = await RedisServer.start({ args: ['--repl-diskless-sync-delay', '0'] });
  const ride = await rider(open(server.url));
  await ride('soft');
  expect(warnings).toEqual([]);
  for (let n = 0; n < 2; n++) await ride('hard');
  expect(warnings).toEqual([expect.stringContaining('set appendonly to yes')]);
  // A log is enough, and so is a replica.
  const later = async (): Promise<void> => {
    const store = open(server.url);
    const { token } = leaseOf(await store.acquire('trams', 'run', here(), TTL_MS));
    const version = (await store.read('trams', 'run'))?.version ?? 0;
    await store.write('trams', 'run', { expected: version, token, body: { tram: 8 }, grade: 'hard' });
    await store.release({ runKey: 'trams', part: 'run', token, ttlMs: TTL_MS, holder: here() });
  };
  await server.cli('config', 'set', 'appendonly', 'yes');
  await later();
  await server.cli('config', 'set', 'appendonly', 'no');
  await using _replica = await replicaOf(server);
  await later();
  expect(warnings).toHaveLength(1);
});

test('in a cluster the master of the run is asked, also after another one took over', {
  timeout: 120_000,
}, async () => {
  await using cluster = await RedisCluster.start({ replicas: 1, args: LOG });
  const ride = await rider(open(cluster.url, { clusterMode: true }));
  const first = await cluster.masterOf(keys.run('rides'));
  await ride('hard');
  expect(await calls(first, 'wait')).toBe(1);
  await first.kill();
  const second = await until('another master', async () => {
    const found = await cluster.masterOf(keys.run('rides'));
    return found !== first && found;
  });
  // It has no replica now: nobody can confirm anything, and nobody is waited for.
  const version = await ride('hard');
  expect(await second.cli('xrevrange', keys.documents('rides', 'split-0'), '+', '-', 'count', '1')).toContain(
    `-${version}`,
  );
  expect(await calls(second, 'wait')).toBe(0);
  expect(warnings).toEqual([]);
});
