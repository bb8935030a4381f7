/** What the backend `redis` says to a user who may not do all that the state needs, and that nothing is begun then. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { RedisSettings } from '../../runner/state/redis/connection.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import type { StateStore } from '../../runner/state/store.ts';
import { RedisCluster, RedisServer, until } from '../servers/redis.ts';
import { keys, RIGHTS, settingsFor } from './redis-open.ts';
import { here, TTL_MS } from './redis-scene.ts';

let server: RedisServer;
const stores: StateStore[] = [];
let warnings: string[] = [];
beforeAll(async () => {
  server = await RedisServer.start();
}, 120_000);
afterAll(() => server[Symbol.asyncDispose]());
const allow = (node: RedisServer, ...more: string[]): Promise<string> =>
  node.cli('acl', 'setuser', 'oxi', 'reset', 'on', '>hunter2', ...RIGHTS, ...more);
beforeEach(() => allow(server));
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  warnings = [];
  await server.cli('flushall');
});

const open = (url = server.url, more: Partial<RedisSettings> = {}): StateStore => {
  const store = openRedisStore(settingsFor(url.replace('//', '//oxi:hunter2@'), more), {
    warn: (text) => warnings.push(text),
  });
  stores.push(store);
  return store;
};
const take = (store: StateStore) => store.acquire('rides', 'split-0', here(), TTL_MS);
const denied = (what: string) => ({ code: 'PERMISSION_DENIED', exitCode: 126, message: expect.stringContaining(what) });

/** They are called by scripts: without a look before, one would end in the middle. */
const CALLED = RIGHTS.filter((right) => right.startsWith('+'))
  .map((right) => right.slice(1))
  .filter((name) => !['eval', 'evalsha', 'select', 'publish', 'subscribe', 'wait'].includes(name));

test('a command that is missing is named before anything is written', async () => {
  expect(CALLED.length).toBeGreaterThan(20);
  for (const name of CALLED) {
    await allow(server, `-${name}`);
    await expect(take(open())).rejects.toMatchObject(denied(`(the command ${name})`));
    expect(await server.cli('dbsize'), name).toBe('0');
  }
  await allow(server);
  expect(await take(open())).toMatchObject({ acquired: true });
});

test('keys that he may not touch are said to be the reason', async () => {
  await allow(server, 'resetkeys', '~other*');
  await expect(take(open())).rejects.toMatchObject(denied('(its keys)'));
  await allow(server, '-select');
  await expect(take(open(`${server.url}/1`))).rejects.toMatchObject(denied('(the command select)'));
});

test('who may not listen is told so once, and goes on; he asks no more', async () => {
  await allow(server, '-subscribe');
  const store = open();
  await using _listening = await store.subscribe?.('rides', () => undefined);
  await until('the warning', async () => warnings.length > 0);
  expect(warnings).toEqual([expect.stringMatching(/seen late.*\(the command subscribe\)/)]);
  await until('no connection', async () => !/user=oxi/.test(await server.cli('client', 'list')));
  await allow(server, 'resetchannels');
  const other = open();
  await using _also = await other.subscribe?.('rides', () => undefined);
  await until('the warning', async () => warnings.length > 1);
  expect(warnings[1]).toContain('(its channels)');
  await other.request('rides', { kind: 'stop', at: '2026-03-01T10:00:00Z', from: 'dispatcher' });
  expect(await store.requests('rides')).toHaveLength(1);
});

test('a server whose people have taken INFO and WAIT away is served', async () => {
  const names = ['INFO', 'WAIT'].flatMap((name) => ['--rename-command', name, '']);
  await using renamed = await RedisServer.start({ args: names });
  await allow(renamed, '+@all');
  const store = open(renamed.url);
  const result = await take(store);
  if (!result.acquired) throw new Error('held');
  const { token } = result.lease;
  expect(await store.write('rides', 'run', { expected: 0, token, body: { ride: 1 }, grade: 'hard' })).toMatchObject({
    written: true,
  });
});

test('in a cluster the command for its slots is named', { timeout: 60_000 }, async () => {
  await using cluster = await RedisCluster.start();
  for (const node of cluster.nodes) await allow(node);
  await expect(take(open(cluster.url, { clusterMode: true }))).rejects.toMatchObject(
    denied('(the command cluster|slots)'),
  );
  for (const node of cluster.nodes) await allow(node, '+cluster|slots');
  expect(await take(open(cluster.url, { clusterMode: true }))).toMatchObject({ acquired: true });
  expect(await (await cluster.masterOf(keys.run('rides'))).cli('exists', keys.run('rides'))).toBe('1');
});
