/** How the backend `redis` gets to its server: addresses, TLS, users and their rights, and what it says where it does not. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { thisHolder } from '../../runner/state/host.ts';
import { parseAddress } from '../../runner/state/redis/address.ts';
import type { RedisSettings } from '../../runner/state/redis/connection.ts';
import { keysOf } from '../../runner/state/redis/keys.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import type { StateStore } from '../../runner/state/store.ts';
import { CuttingProxy } from '../servers/proxy.ts';
import { freePort, RedisCluster, RedisServer, until } from '../servers/redis.ts';
import { RIGHTS, settingsFor } from './redis-open.ts';

const stores: StateStore[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
});
const open = (url: string, more: Partial<RedisSettings> = {}, warn?: (text: string) => void): StateStore => {
  const store = openRedisStore(settingsFor(url, { timeoutMs: 1000, ...more }), warn === undefined ? {} : { warn });
  stores.push(store);
  return store;
};
const take = (store: StateStore) => store.acquire('rides', 'split-0', thisHolder('rides-1'), 30_000);

describe('an address', () => {
  const of = (text: string) => parseAddress(text, '/project');

  test.each([
    ['redis://cache', 'redis://cache:6379', [{ host: 'cache', port: 6379 }]],
    ['redis://cache:7000/3', 'redis://cache:7000/3', [{ host: 'cache', port: 7000 }]],
    ['REDIS://oxi:s%40c@cache?db=2', 'redis://cache:6379/2', [{ host: 'cache', port: 6379 }]],
    ['redis://:p@ss@[::1]:7000', 'redis://[::1]:7000', [{ host: '::1', port: 7000 }]],
    [
      'redis://a:1,b:2,c/',
      'redis://a:1,b:2,c:6379',
      [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
        { host: 'c', port: 6379 },
      ],
    ],
    ['unix:///run/redis.sock?db=1', 'unix:///run/redis.sock?db=1', []],
  ])('%s', (text, location, nodes) => {
    expect(of(text)).toMatchObject({ location, nodes });
  });

  test('user and password are decoded and in nothing that is shown', () => {
    expect(of('redis://oxi:hunter%2F2%3A@cache')).toMatchObject({
      username: 'oxi',
      password: 'hunter/2:',
      location: 'redis://cache:6379',
    });
    expect(of('redis://:hunter2@cache')).toMatchObject({ username: undefined, password: 'hunter2' });
  });

  test.each([
    'http://oxi:hunter2@cache',
    'redis://oxi:hunter2@cache:0',
    'redis://oxi:hunter2@cache:99999',
    'redis://oxi:hunter2@cache/x',
    'redis://oxi:hunter2@cache?timeout=hunter2',
    'redis://oxi:hunter2%@cache',
    'redis://oxi:hunter2@a b',
    'unix://oxi:hunter2@host/sock',
    'rediss://oxi:hunter2@cache?db=hunter2',
  ])('%s is refused without telling it', (text) => {
    expect(() => of(text)).toThrow('state_manager.redis.connection_url');
    expect(() => of(text)).not.toThrow('hunter2');
    expect(() => of(text)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', exitCode: 2 }));
  });

  test('a certificate that is not there is named', () => {
    expect(() => of('rediss://cache?ca=missing.pem')).toThrow('ca: missing.pem: no such file');
  });

  test('a key prefix that would tear runs apart is refused', () => {
    expect(() => keysOf('a{}b')).toThrow('key_prefix');
    expect(keysOf('a').run('rides')).toMatch(/^a:\{rides-[0-9a-f]{20}\}:run$/);
  });
});

describe('a server', { timeout: 60_000 }, () => {
  test('with TLS is trusted by its authority, and not without', async () => {
    await using server = await RedisServer.start({ tls: true });
    const ca = join(server.folder, 'ca-cert.pem');
    expect(await take(open(`${server.url}?ca=${ca}`))).toMatchObject({ acquired: true });
    const files = `ca=${ca}&cert=${join(server.folder, 'cert.pem')}&key=${join(server.folder, 'key.pem')}`;
    expect(await take(open(`${server.url}?${files}`))).toMatchObject({ acquired: false });
    const strange = take(open(server.url));
    await expect(strange).rejects.toMatchObject({ code: 'CONFIG_INVALID', exitCode: 2 });
  });

  test('on a socket is reached by its path', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'oxiflow-redis-socket-'));
    try {
      const socket = join(folder, 'redis.sock');
      await using _server = await RedisServer.start({ args: ['--unixsocket', socket] });
      const store = open(`unix://${socket}?db=3`);
      expect(store.location).toBe(`unix://${socket}?db=3 (oxiflow:state)`);
      expect(await take(store)).toMatchObject({ acquired: true });
      expect(await take(open(`unix://${socket}`))).toMatchObject({ acquired: true });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('serves a user with no more rights than the README names', async () => {
    await using server = await RedisServer.start();
    await server.cli('acl', 'setuser', 'oxi', 'on', '>hunter2', ...RIGHTS);
    const warnings: string[] = [];
    const store = open(`redis://oxi:hunter2@127.0.0.1:${server.port}`, {}, (text) => warnings.push(text));
    let woken = 0;
    await using _listening = await store.subscribe?.('rides', () => {
      woken++;
    });
    await until('the first look', async () => woken > 0);
    const result = await take(store);
    if (!result.acquired) throw new Error('not acquired');
    const { lease } = result;
    const body = { status: 'finished', finished_at: '2026-01-01T00:00:00Z' };
    await store.write('rides', 'run', { expected: 0, token: lease.token, body, grade: 'hard' });
    for (const expected of [0, 1, 2])
      expect(
        await store.write('rides', 'split-0', { expected, token: lease.token, body: { ride: 1 }, grade: 'soft' }),
      ).toEqual({ written: true, version: expected + 1 });
    await store.claim('rides', ['group-0'], thisHolder('rides-1'), 1000);
    await store.parts('rides');
    await store.standing('rides', 'split-0');
    await store.request('rides', { kind: 'stop', at: '2026-01-01T00:00:00Z', from: 'x' });
    await until('the wake', async () => woken > 1);
    await store.clearRequests('rides');
    await store.appendHistory({
      runKey: 'rides',
      runId: 'x',
      pipeline: 'x',
      attempt: 1,
      status: 'finished',
      finishedAt: '2026-01-01T00:00:00Z',
      summary: {},
    });
    expect(await store.history()).toHaveLength(1);
    expect(await store.list()).toHaveLength(1);
    expect(await store.repair('rides')).toMatchObject({ quarantined: [] });
    expect(await store.renew(lease)).toBe(true);
    await store.remove(lease);
    await store.release(lease);
    expect(await store.prune(0)).toMatchObject({ history: 1 });
    expect(warnings).toEqual([]);
    await server.cli('acl', 'setuser', 'oxi', '-hset');
    await expect(take(open(`redis://oxi:hunter2@127.0.0.1:${server.port}`))).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      exitCode: 126,
    });
  });

  test('that refuses the password, or asks for one, is said in one sentence without it', async () => {
    await using server = await RedisServer.start({ args: ['--requirepass', 'letmein'] });
    for (const who of ['oxi:hunter2@', ':hunter2@', '']) {
      const error = await take(open(`redis://${who}127.0.0.1:${server.port}`)).catch((failure: unknown) => failure);
      expect(error).toMatchObject({
        code: 'PERMISSION_DENIED',
        exitCode: 126,
        message: expect.stringContaining(`127.0.0.1:${server.port}`),
      });
      expect(`${error}${JSON.stringify(error)}`).not.toContain('hunter2');
    }
    expect(await take(open(`redis://:letmein@127.0.0.1:${server.port}`))).toMatchObject({ acquired: true });
  });

  test('that has no such database, or lets nobody choose it, is refused before anything is written, also later', async () => {
    await using server = await RedisServer.start();
    await server.cli('acl', 'setuser', 'oxi', 'on', '>hunter2', ...RIGHTS);
    const chosen = `redis://oxi:hunter2@127.0.0.1:${server.port}/3`;
    const store = open(chosen);
    expect(await take(store)).toMatchObject({ acquired: true });
    await expect(take(open(`${server.url}/99`))).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('has no database of that number'),
    });
    await server.cli('acl', 'setuser', 'oxi', '-select');
    await server.cli('client', 'kill', 'type', 'normal');
    for (const one of [store, open(chosen)])
      await expect(one.acquire('rides', 'run', thisHolder('rides-1'), 1000)).rejects.toMatchObject({
        exitCode: 126,
        message: expect.stringContaining('(the command select)'),
      });
    expect(await server.cli('dbsize')).toBe('0');
    expect(() => open(chosen, { clusterMode: true })).toThrow('only the database 0');
  });

  test('that asks for no password is told of once, on no console', async () => {
    await using server = await RedisServer.start();
    const onConsole = vi.spyOn(console, 'warn');
    const warnings: string[] = [];
    const store = open(`redis://:hunter2@127.0.0.1:${server.port}`, { poolSize: 4 }, (text) => warnings.push(text));
    await Promise.all(Array.from({ length: 9 }, (_, n) => store.read(`rides-${n}`, 'run')));
    expect(warnings).toEqual([expect.stringContaining('asks for no password')]);
    expect(onConsole).not.toHaveBeenCalled();
  });

  test('without TLS is not waited for in vain by who asks for it', async () => {
    await using server = await RedisServer.start();
    await expect(take(open(server.url.replace('redis:', 'rediss:')))).rejects.toThrow('a port that speaks TLS');
  });

  test('that is not there is waited for, ten seconds, and then named', async () => {
    const port = await freePort();
    const began = performance.now();
    const error = await take(open(`redis://oxi:hunter2@127.0.0.1:${port}`)).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code: 'STATE_UNREACHABLE', exitCode: 69 });
    expect(`${error}`).toContain(`redis://127.0.0.1:${port} (oxiflow:state) is out of reach: ECONNREFUSED`);
    expect(performance.now() - began).toBeGreaterThan(9000);
    expect(performance.now() - began).toBeLessThan(15_000);
  });

  test('that comes while it is waited for is served', async () => {
    const port = await freePort();
    const asked = take(open(`redis://127.0.0.1:${port}`));
    await using _server = await RedisServer.start({ port });
    expect(await asked).toMatchObject({ acquired: true });
  });

  test('that takes connections and never answers is out of reach', async () => {
    const silent = createServer((socket) => void socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = silent.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const store = open(`redis://127.0.0.1:${port}`, { timeoutMs: 300 });
    await expect(take(store)).rejects.toMatchObject({
      code: 'STATE_UNREACHABLE',
      message: expect.stringContaining('timed out after 300 ms'),
    });
    await store.close();
    silent.close();
  });

  test('that throws data away is told of, once, and only then', async () => {
    await using server = await RedisServer.start({ args: ['--appendonly', 'yes'] });
    const warnings: string[] = [];
    await take(open(server.url, {}, (text) => warnings.push(text)));
    expect(warnings).toEqual([]);
    await server.cli('config', 'set', 'maxmemory-policy', 'allkeys-lru');
    const store = open(server.url, {}, (text) => warnings.push(text));
    for (let i = 0; i < 3; i++) await take(store);
    expect(warnings).toEqual([expect.stringContaining('maxmemory-policy allkeys-lru')]);
  });

  test('that is full says so', async () => {
    await using server = await RedisServer.start({ args: ['--maxmemory', '1', '--maxmemory-policy', 'noeviction'] });
    await expect(take(open(server.url, { lockTimeoutMs: 2000 }))).rejects.toMatchObject({
      code: 'STATE_UNREACHABLE',
      message: expect.stringContaining('maxmemory'),
    });
  });

  test('before 6.2 is refused before anything is written', async () => {
    await using server = await RedisServer.start();
    await using proxy = await CuttingProxy.start(server.port);
    const version = /redis_version:(\d+\.\d+\.\d+)/.exec(await server.cli('info', 'server'))?.[1] ?? '';
    proxy.replaceInAnswers(`redis_version:${version}`, 'redis_version:6.0.9'.padEnd(14 + version.length, '9'));
    await expect(take(open(`redis://127.0.0.1:${proxy.port}`))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/is no Redis server of version 6\.2 or later: 6\.0\.9/),
    });
    expect(await server.cli('dbsize')).toBe('0');
  });

  test('of a cluster says what is missing in the settings, and one that is none as well', async () => {
    await using cluster = await RedisCluster.start();
    await using single = await RedisServer.start();
    const store = open(`redis://127.0.0.1:${cluster.nodes[0]?.port}`);
    const asked = Promise.all(Array.from({ length: 9 }, (_, n) => store.read(`rides-${n}`, 'run')));
    await expect(asked).rejects.toThrow('cluster_mode: true');
    await expect(take(open(single.url, { clusterMode: true }))).rejects.toThrow('is no cluster');
    // A user with the rights that the README names is enough.
    for (const node of cluster.nodes)
      await node.cli('acl', 'setuser', 'oxi', 'on', '>hunter2', ...RIGHTS, '+cluster|slots');
    expect(
      await take(open(`redis://oxi:hunter2@127.0.0.1:${cluster.nodes[1]?.port}`, { clusterMode: true })),
    ).toMatchObject({
      acquired: true,
    });
    // One address of it is enough.
    const whole = open(`redis://127.0.0.1:${cluster.nodes[0]?.port}`, { clusterMode: true });
    for (let n = 0; n < 9; n++)
      expect(await whole.acquire(`rides-${n}`, 'run', thisHolder('x'), 1000)).toMatchObject({ acquired: true });
    let woken = 0;
    await using _listening = await whole.subscribe?.('rides-1', () => {
      woken++;
    });
    await until('the first look', async () => woken > 0);
    await open(cluster.url, { clusterMode: true }).request('rides-1', {
      kind: 'cancel',
      at: '2026-03-01T10:00:00Z',
      from: 'dispatcher',
    });
    await until('the wake', async () => woken > 1);
  });

  test('does not learn what the driver is told by DEBUG, and no process does', async () => {
    await using server = await RedisServer.start({ args: ['--requirepass', 'hunter2'] });
    const folder = await mkdtemp(join(tmpdir(), 'oxiflow-redis-debug-'));
    try {
      const env = { ...process.env, DEBUG: '*', OXIFLOW_STATE_URL: `redis://:hunter2@127.0.0.1:${server.port}` };
      await writeFile(join(folder, 'oxiflow.yaml'), 'project: {name: depot}\n');
      const program = new URL('../../dist/oxiflow.mjs', import.meta.url).pathname;
      const child = spawn(process.execPath, [program, 'state', 'list', '--json'], { cwd: folder, env });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
      expect(await once(child, 'close')).toEqual([0, null]);
      expect(output).not.toContain('hunter2');
      expect(await server.cli('-a', 'hunter2', '--no-auth-warning', 'keys', '*')).toBe('');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
