/** What the backend `redis` does when its server restarts, forgets, stands still, cuts connections, goes back or turns it away. */
import { hash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { checkUp } from '../../runner/state/checkup.ts';
import { thisHolder } from '../../runner/state/host.ts';
import type { RedisSettings } from '../../runner/state/redis/connection.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import type { AcquireResult, Holder, Lease, StateStore, StoreOptions } from '../../runner/state/store.ts';
import { CuttingProxy } from '../servers/proxy.ts';
import { RedisServer, until } from '../servers/redis.ts';
import { REPLACE, tamper } from './redis-bench.ts';
import { keys, settingsFor } from './redis-open.ts';

const TTL_MS = 30_000;
let project: string;
let server: RedisServer;
const stores: StateStore[] = [];

beforeAll(async () => {
  // Every answer is on disk before it is given: what was acknowledged is there after a crash.
  server = await RedisServer.start({
    args: ['--appendonly', 'yes', '--appendfsync', 'always', '--enable-debug-command', 'local'],
  });
}, 120_000);
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  project = await mkdtemp(join(tmpdir(), 'oxiflow-redis-project-'));
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  await server.cli('flushall');
  await rm(project, { recursive: true, force: true });
});

const open = (url = server.url, more: Partial<RedisSettings> = {}, options: StoreOptions = {}): StateStore => {
  const settings = settingsFor(url, { timeoutMs: 1000, projectRoot: project, ...more });
  const store = openRedisStore(settings, { ...options, notes: true });
  stores.push(store);
  return store;
};
const here = (workerId = 'rides-1'): Holder => thisHolder(workerId);
const leaseOf = (result: AcquireResult): Lease => {
  if (!result.acquired) throw new Error(`the lease is held by ${result.holder.workerId}`);
  return result.lease;
};
const take = async (store: StateStore, holder = here()): Promise<Lease> =>
  leaseOf(await store.acquire('rides', 'split-0', holder, TTL_MS));
const run = { status: 'running' };
const put = (store: StateStore, lease: Lease, expected: number, ride: number) =>
  store.write('rides', 'split-0', { expected, token: lease.token, body: { ride }, grade: 'soft' });

/** Commits rides one after the other until told to end; every one is acknowledged exactly once, or this throws. */
async function commit(store: StateStore, lease: Lease, isOver: () => boolean): Promise<number[]> {
  const log: number[] = [];
  let version = 0;
  for (let ride = 0; !isOver(); ride++) {
    log.push(ride);
    const body = { last: ride, log };
    const done = await store.write('rides', 'split-0', { expected: version, token: lease.token, body, grade: 'soft' });
    if (!done.written) throw new Error(`ride ${ride} was refused: ${JSON.stringify(done)}`);
    if (done.version !== version + 1) throw new Error(`ride ${ride} became version ${done.version}`);
    version = done.version;
  }
  return log;
}

async function commitDuring(store: StateStore, trouble: () => Promise<void>): Promise<void> {
  const lease = await take(store);
  let isOver = false;
  const working = commit(store, lease, () => isOver);
  await trouble().finally(() => {
    isOver = true;
  });
  const log = await working;
  const found = await open().read('rides', 'split-0');
  expect(found).toMatchObject({ version: log.length, token: lease.token, body: { last: log.length - 1, log } });
}

describe('what passes', () => {
  test('commits go on through a restart of the server with its data', { timeout: 60_000 }, () =>
    commitDuring(open(), async () => {
      for (let round = 0; round < 3; round++) await server.restart();
    }),
  );

  test('commits go on while connections are killed in a loop', { timeout: 60_000 }, async () => {
    const before = Number(/total_connections_received:(\d+)/.exec(await server.cli('info', 'stats'))?.[1]);
    await commitDuring(open(), async () => {
      for (let round = 0; round < 40; round++) await server.cli('client', 'kill', 'type', 'normal', 'skipme', 'yes');
    });
    const after = Number(/total_connections_received:(\d+)/.exec(await server.cli('info', 'stats'))?.[1]);
    expect(after - before).toBeGreaterThan(50);
  });

  test('commits go on after a pause of the server that is longer than a command may take', { timeout: 60_000 }, () =>
    commitDuring(open(server.url, { timeoutMs: 200 }), async () => {
      await server.cli('client', 'pause', '900', 'ALL');
      // It answers again when the pause is over.
      await server.cli('ping');
    }),
  );

  test('commits go on when the server was a read-only replica for a while', { timeout: 60_000 }, () =>
    commitDuring(open(), async () => {
      await server.cli('replicaof', '127.0.0.1', '1');
      await until('a refusal', async () =>
        /error_READONLY|errorstat_READONLY/.test(await server.cli('info', 'errorstats')),
      );
      await server.cli('replicaof', 'no', 'one');
    }),
  );

  test('scripts that the server has forgotten are sent again', async () => {
    const store = open();
    const lease = await take(store);
    await server.cli('script', 'flush');
    expect(await store.renew(lease)).toBe(true);
  });

  test('a lease ends by the clock of the server, and a write with its token prolongs it', async () => {
    const store = open();
    const far = { ...here('rides-2'), host: 'harbour' };
    const lease = leaseOf(await store.acquire('rides', 'split-0', far, 300));
    const body = { ride: 1 };
    await store.write('rides', 'split-0', { expected: 0, token: lease.token, body, grade: 'soft' });
    const other = await open().acquire('rides', 'split-0', here(), TTL_MS);
    expect(other).toMatchObject({ acquired: false, holder: far });
    const taken = await until('the end of the lease', async () => {
      const result = await open().acquire('rides', 'split-0', here(), TTL_MS);
      return result.acquired && result;
    });
    expect(taken.predecessor).toEqual({ holder: far, token: lease.token, released: false, provenDead: false });
    expect(await store.renew(lease)).toBe(false);
  });

  test('a request wakes who listens, also after his connection was cut', { timeout: 30_000 }, async () => {
    const store = open();
    let woken = 0;
    await using _listening = await store.subscribe?.('rides', () => {
      woken++;
    });
    await until('the first look', async () => woken > 0);
    for (let round = 0; round < 2; round++) {
      const before = woken;
      await open().request('rides', { kind: 'pause', at: '2026-03-01T10:00:00Z', from: 'dispatcher' });
      await until('the wake', async () => woken > before);
      await server.cli('client', 'kill', 'type', 'pubsub');
      await until('another look', async () => woken > before + 1);
    }
  });

  test('one connection is enough, and then nobody listens', async () => {
    const store = open(server.url, { poolSize: 1 });
    await using _listening = await store.subscribe?.('rides', () => undefined);
    await Promise.all(Array.from({ length: 20 }, (_, n) => store.read(`rides-${n}`, 'run')));
    expect(await clients()).toBe(1);
  });

  test('several connections are made when several are busy, never more than asked', async () => {
    const store = open(server.url, { poolSize: 4 });
    await Promise.all(Array.from({ length: 20 }, (_, n) => store.read(`rides-${n}`, 'run')));
    expect(await clients()).toBe(3);
  });

  async function clients(): Promise<number> {
    return (await server.cli('client', 'list', 'type', 'normal'))
      .split('\n')
      .filter((line) => !/redis-cli|cmd=client/.test(line)).length;
  }
});

describe('answers that get lost', () => {
  let proxy: CuttingProxy;
  beforeEach(async () => {
    proxy = await CuttingProxy.start(server.port);
  });
  afterEach(() => proxy[Symbol.asyncDispose]());
  const through = (): StateStore => open(`redis://127.0.0.1:${proxy.port}`);
  /** However it goes to the server: as a command, as a script by its name, or as a whole one. */
  const lose = (marker: string): void =>
    proxy.swallowAnswerTo((sent) => /xadd|evalsha|eval/i.test(sent) && sent.includes(marker));

  test('a write happens once, and is told as done', async () => {
    const store = through();
    const { token } = await take(store);
    let { version } = await store.write('rides', 'split-0', { expected: 0, token, body: { ride: 1 }, grade: 'soft' });
    lose('tram 8');
    const done = await store.write('rides', 'split-0', {
      expected: version,
      token,
      body: { ride: 'tram 8' },
      grade: 'soft',
    });
    expect(proxy.swallowed).toBe(1);
    version = done.version;
    expect(done).toEqual({ written: true, version: 2 });
    expect(await open().read('rides', 'split-0')).toMatchObject({ version: 2, body: { ride: 'tram 8' } });
    expect(
      await store.write('rides', 'split-0', { expected: version, token, body: { ride: 3 }, grade: 'soft' }),
    ).toEqual({ written: true, version: 3 });
  });

  test('a version that came through is not written again where another followed it meanwhile', async () => {
    const [store, other] = [through(), open()];
    const { token } = await take(store);
    const write = (by: StateStore, expected: number, ride: string) =>
      by.write('rides', 'split-0', { expected, token, body: { ride }, grade: 'soft' });
    expect([await write(store, 0, 'tram 1'), await write(store, 1, 'tram 2')]).toMatchObject([
      { written: true },
      { written: true, version: 2 },
    ]);
    expect(await write(other, 2, 'tram 3')).toEqual({ written: true, version: 3 });
    expect(await write(store, 2, 'tram 4')).toMatchObject({ written: false, reason: 'conflict', version: 3 });
    expect((await other.read('rides', 'split-0'))?.body).toEqual({ ride: 'tram 3' });
  });

  test('a lease is taken once, and its predecessor told', async () => {
    const store = through();
    const first = await take(store, here('rides-1'));
    await store.release(first);
    lose('"workerId":"rides-2"');
    const result = await store.acquire('rides', 'split-0', here('rides-2'), TTL_MS);
    expect(proxy.swallowed).toBe(1);
    expect(result).toMatchObject({ acquired: true, predecessor: { token: first.token, released: true } });
    expect(await open().acquire('rides', 'split-0', here('rides-3'), TTL_MS)).toMatchObject({
      acquired: false,
      holder: { workerId: 'rides-2' },
    });
    expect(await store.renew(leaseOf(result))).toBe(true);
  });

  test('one of several leases is claimed, not two', async () => {
    const store = through();
    await store.read('rides', 'run');
    lose('"workerId":"rides-2"');
    const claimed = await store.claim('rides', ['group-0', 'group-1', 'group-2'], here('rides-2'), TTL_MS);
    expect(proxy.swallowed).toBe(1);
    expect(claimed?.lease.part).toBe('group-0');
    const held = (await open().parts('rides', 'group-')).filter(({ lease }) => lease !== undefined);
    expect(held.map(({ part }) => part)).toEqual(['group-0']);
  });

  test('a request and an entry of the history are kept once, a part is removed once', async () => {
    const store = through();
    await store.read('rides', 'run');
    lose('dispatcher');
    await store.request('rides', { kind: 'cancel', at: '2026-03-01T10:00:00Z', from: 'dispatcher' });
    expect(await store.requests('rides')).toHaveLength(1);
    lose('tram 9');
    const entry = {
      runKey: 'rides',
      runId: 'tram 9',
      pipeline: 'rides',
      attempt: 1,
      status: 'finished',
      finishedAt: '2026-03-01T10:00:00Z',
      summary: {},
    };
    await store.appendHistory(entry);
    expect(await store.history()).toEqual([entry]);
    const lease = leaseOf(await store.acquire('rides', 'worker-0123456789ab', here(), TTL_MS));
    lose(String(lease.token));
    await store.removePart(lease);
    expect(await store.parts('rides')).toEqual([]);
    expect(proxy.swallowed).toBe(3);
  });
});

describe('a server that lost its data', () => {
  const lost = { code: 'STATE_LOST', exitCode: 74 };

  test('who works on a run is told at the next commit and at the next renewal', async () => {
    const store = open();
    const lease = await take(store);
    const { version } = await store.write('rides', 'run', {
      expected: 0,
      token: lease.token,
      body: run,
      grade: 'soft',
    });
    await server.restart({ keepData: false });
    for (const part of ['run', 'split-0'] as const)
      for (const expected of [0, version])
        await expect(
          store.write('rides', part, { expected, token: lease.token, body: run, grade: 'soft' }),
        ).rejects.toMatchObject(lost);
    await expect(store.renew(lease)).rejects.toMatchObject(lost);
    await expect(open().renew(lease)).rejects.toThrow('--fresh');
    await expect(store.acquire('rides', 'group-1', here(), TTL_MS)).rejects.toMatchObject(lost);
    await expect(store.claim('rides', ['group-1'], here(), TTL_MS)).rejects.toMatchObject(lost);
    expect(await server.cli('keys', '*rides*')).toBe('');
  });

  test('the next attempt on an unfinished run is refused, and begins anew where it is told to', async () => {
    const store = open();
    const lease = await take(store);
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: run, grade: 'soft' });
    await store.close();
    await server.restart({ keepData: false });
    for (let attempt = 0; attempt < 2; attempt++)
      await expect(take(open())).rejects.toMatchObject({
        ...lost,
        message: expect.stringContaining('redis://127.0.0.1'),
      });
    const next = open();
    const fresh = leaseOf(await next.acquire('rides', 'split-0', here(), TTL_MS, { fresh: true }));
    expect(fresh.token).toBeGreaterThan(lease.token);
    const late = open();
    expect(
      await late.write('rides', 'split-0', { expected: 0, token: lease.token, body: run, grade: 'soft' }),
    ).toMatchObject({ reason: 'fenced' });
    await next.write('rides', 'run', { expected: 0, token: fresh.token, body: run, grade: 'soft' });
    await next.release(fresh);
    // Noted again, and there again.
    expect(await take(open())).toMatchObject({ runKey: 'rides' });
  });

  test('who looks in from a project without a note leaves nothing behind that hides the loss', async () => {
    const store = open();
    const lease = await take(store);
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: run, grade: 'soft' });
    await server.restart({ keepData: false });
    const stranger = openRedisStore(settingsFor(server.url));
    stores.push(stranger);
    await stranger.release(leaseOf(await stranger.acquire('rides', 'worker-0123456789ab', here(), TTL_MS)));
    await expect(store.renew(lease)).rejects.toMatchObject(lost);
    await expect(
      store.write('rides', 'split-0', { expected: 0, token: lease.token, body: run, grade: 'soft' }),
    ).rejects.toMatchObject(lost);
    await expect(take(open())).rejects.toMatchObject(lost);
    // Whoever began it anew on purpose is joined.
    const other = leaseOf(await stranger.acquire('rides', 'split-0', here(), TTL_MS));
    await stranger.write('rides', 'run', { expected: 0, token: other.token, body: run, grade: 'soft' });
    await stranger.release(other);
    expect(await open().acquire('rides', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
  });

  test('an attempt that died before it had written anything is no loss', async () => {
    await take(open());
    expect(await open().acquire('rides', 'split-0', here(), TTL_MS, { force: true })).toMatchObject({ acquired: true });
    await server.cli('flushall');
    expect(await open().acquire('rides', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
  });

  test('one run that was evicted is missed, too', async () => {
    const store = open();
    const lease = await take(store);
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: run, grade: 'soft' });
    await store.close();
    await server.cli('del', keys.run('rides'));
    await expect(take(open())).rejects.toMatchObject(lost);
    expect(await open().acquire('other rides', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
  });

  test("finished runs, removed ones and those of other projects are nobody's loss", async () => {
    const store = open();
    for (const runKey of ['finished', 'removed']) {
      const lease = leaseOf(await store.acquire(runKey, 'split-0', here(), TTL_MS));
      const { version } = await store.write(runKey, 'run', {
        expected: 0,
        token: lease.token,
        body: run,
        grade: 'soft',
      });
      expect(await readdir(join(project, '.oxiflow/elsewhere'))).toHaveLength(1);
      if (runKey === 'removed') await store.remove(lease);
      else
        await store.write(runKey, 'run', {
          expected: version,
          token: lease.token,
          body: { status: 'finished' },
          grade: 'soft',
        });
      await store.release(lease);
      expect(await readdir(join(project, '.oxiflow/elsewhere'))).toEqual([]);
    }
    await server.cli('flushall');
    for (const runKey of ['finished', 'removed'])
      expect(await open().acquire(runKey, 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
  });

  test('another address is another store: a note of one says nothing about the other', async () => {
    const store = open();
    const lease = await take(store);
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: run, grade: 'soft' });
    const elsewhere = open(server.url, { keyPrefix: 'elsewhere' });
    expect(await elsewhere.acquire('rides', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
  });
});

describe('a server that went back', () => {
  /** The run as it is now; putting it back is what a failover does that lost the last writes. */
  async function snapshot(): Promise<() => Promise<void>> {
    const client = new Redis(server.port);
    const all = await client.keys(`${keys.run('rides')}*`);
    const data = await Promise.all(all.map(async (key) => [key, (await client.dumpBuffer(key)) as Buffer] as const));
    client.disconnect();
    return async () => {
      const again = new Redis(server.port);
      await again.del(...(await again.keys(`${keys.run('rides')}*`)));
      for (const [key, value] of data) await again.restore(key, 0, value);
      again.disconnect();
    };
  }

  test('who still holds the lease goes over what is left', async () => {
    const store = open();
    const lease = await take(store);
    await put(store, lease, 0, 1);
    const back = await snapshot();
    await put(store, lease, 1, 2);
    await put(store, lease, 2, 3);
    await back();
    expect((await open().read('rides', 'split-0'))?.body).toEqual({ ride: 1 });
    expect(await put(store, lease, 3, 4)).toEqual({ written: true, version: 4 });
    expect(await open().read('rides', 'split-0')).toMatchObject({ version: 4, body: { ride: 4 } });
  });

  test('a lease that went with it is put back by its holder, at a renewal or a commit', async () => {
    const store = open();
    await store.release(await take(store));
    const back = await snapshot();
    const lease = await take(store, here('rides-2'));
    await back();
    expect(await store.renew(lease)).toBe(true);
    expect(await open().acquire('rides', 'split-0', here('rides-3'), TTL_MS)).toMatchObject({
      acquired: false,
      holder: { workerId: 'rides-2' },
    });
    await back();
    expect(await put(store, lease, 0, 1)).toMatchObject({ written: true });
    expect(await store.renew(lease)).toBe(true);
  });

  test('what another has done since then stands', async () => {
    const store = open();
    const lease = await take(store);
    await put(store, lease, 0, 1);
    const back = await snapshot();
    await put(store, lease, 1, 2);
    await back();
    const other = leaseOf(await open().acquire('rides', 'split-0', here('rides-2'), TTL_MS, { force: true }));
    expect(await put(store, lease, 2, 3)).toMatchObject({ written: false, reason: 'fenced', token: other.token });
    expect(await store.renew(lease)).toBe(false);
  });

  test('a version that was written again by another is not taken for the lost one of that number', async () => {
    const [a, b] = [open(), open()];
    const lease = { token: 1 } as Lease;
    await put(a, lease, 0, 1);
    const back = await snapshot();
    await put(a, lease, 1, 2);
    await back();
    await put(b, lease, 1, 9);
    expect(await put(a, lease, 2, 3)).toMatchObject({ written: false, reason: 'conflict', version: 2 });
    expect((await open().read('rides', 'split-0'))?.body).toEqual({ ride: 9 });
  });

  test('who never wrote the newer version does not go over anything', async () => {
    const store = open();
    const lease = await take(store);
    await put(store, lease, 0, 1);
    const back = await snapshot();
    await put(store, lease, 1, 2);
    const reader = open();
    await reader.read('rides', 'split-0');
    await back();
    expect(await put(reader, lease, 2, 3)).toMatchObject({ written: false, reason: 'conflict', version: 1 });
  });
});

describe('damage', () => {
  test('a head that is damaged or gone is reported, and repaired from the documents', async () => {
    for (const lua of [
      `redis.call('HSET', K, 'h:run', 'x' .. redis.call('HGET', K, 'h:run'))`,
      `redis.call('HSET', K, 'h:run', (string.gsub(redis.call('HGET', K, 'h:run'), ' 1 1 0 ', ' 1 2 0 ')))`,
      `redis.call('HDEL', K, 'h:run')`,
    ]) {
      await server.cli('flushall');
      const store = open();
      await store.write('rides', 'run', { expected: 0, token: 1, body: { ride: 1 }, grade: 'soft' });
      await store.write('rides', 'run', { expected: 1, token: 1, body: { ride: 2 }, grade: 'soft' });
      await tamper(server, 'rides', lua);
      await expect(open().read('rides', 'run')).rejects.toMatchObject({ code: 'STATE_CORRUPT', exitCode: 74 });
      await expect(open().acquire('rides', 'run', here(), TTL_MS)).rejects.toThrow(
        'oxiflow state repair --run-key rides',
      );
      expect(await store.repair('rides')).toMatchObject({ restored: [{ part: 'run', version: 2 }] });
      expect((await open().read('rides', 'run'))?.body).toEqual({ ride: 2 });
    }
  });

  test('whoever wrote the last version builds nothing upon a document that is gone', async () => {
    const store = open();
    const lease = await take(store);
    expect([await put(store, lease, 0, 1), await put(store, lease, 1, 2)]).toMatchObject([
      { written: true, version: 1 },
      { written: true, version: 2 },
    ]);
    await server.cli('del', keys.documents('rides', 'split-0'));
    await expect(put(store, lease, 2, 3)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });

  test('a head that was damaged since is noticed by the heartbeat, and by the next commit that renews', async () => {
    for (const lua of [
      // One digit of the lease's length.
      `redis.call('HSET', K, 'h:split-0', (string.gsub(redis.call('HGET', K, 'h:split-0'), ' 30000 ', ' 90000 ')))`,
      `redis.call('HDEL', K, 'h:split-0')`,
    ]) {
      await server.cli('flushall');
      let clock = 0;
      const store = open(server.url, {}, { monotonicMs: () => clock });
      const lease = await take(store);
      expect(await put(store, lease, 0, 1)).toMatchObject({ written: true });
      await tamper(server, 'rides', lua);
      await expect(store.renew(lease)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
      clock += TTL_MS / 10;
      await expect(put(store, lease, 1, 2)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    }
  });

  test('a lease never loses more than a tenth of its time while its holder writes', async () => {
    let clock = 0;
    const store = open(server.url, {}, { monotonicMs: () => clock });
    const lease = await take(store);
    const pass = async (ms: number): Promise<void> => {
      clock += ms;
      const ago = `local h = head('split-0') h.renewed = h.renewed - ${ms} redis.call('HSET', K, 'h:split-0', packHead(h))`;
      await tamper(server, 'rides', ago);
    };
    const left = async (): Promise<number> => (await store.standing('rides', 'split-0'))?.remainingMs ?? 0;
    let version = 0;
    for (const ms of [20_000, 2_000, 900, 900, 20_000, 2_900, 29_000]) {
      await pass(ms);
      expect(await put(store, lease, version, version)).toEqual({ written: true, version: ++version });
      expect(await left()).toBeGreaterThan(0.9 * TTL_MS - 2_000);
    }
    // And not every commit takes a script.
    const scripts = async (): Promise<number> =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await server.cli('info', 'commandstats'))?.[1]);
    const before = await scripts();
    for (let n = 0; n < 10; n++)
      expect(await put(store, lease, version, version)).toEqual({ written: true, version: ++version });
    expect(await scripts()).toBe(before);
  });

  test('a document with another seal than its own is refused, whatever its head says', async () => {
    const store = open();
    await store.write('rides', 'run', { expected: 0, token: 1, body: { ride: 1 }, grade: 'soft' });
    await tamper(server, 'rides', REPLACE, 'run', '[]');
    await expect(open().read('rides', 'run')).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });

  test('a store of a newer format is refused before anything is changed', async () => {
    await server.cli('hset', keys.store, 'id', 'x', 'format', '9');
    await expect(take(open())).rejects.toThrow('newer oxiflow');
    expect(await server.cli('keys', '*rides*')).toBe('');
  });

  test('a store of the format before is refused before anything is changed, and so is a run of it', async () => {
    await server.cli('hset', keys.store, 'id', 'x', 'format', '1');
    await expect(take(open())).rejects.toThrow(
      'has format 1, this oxiflow knows 2: finish what is open with the older',
    );
    expect(await server.cli('keys', '*rides*')).toBe('');
    await server.cli('del', keys.store);
    const text = '1 1 1 1 0 0 nonce - sum';
    const head = `${hash('sha1', text).slice(0, 8)} ${text}`;
    await server.cli('hset', keys.run('rides'), 'h:run', head, 't:run', '1 0 1 0', '1:run', '{}');
    for (const attempt of [
      () => open().read('rides', 'run'),
      () => open().repair('rides'),
      () => open().acquire('rides', 'run', here(), TTL_MS),
    ])
      await expect(attempt()).rejects.toMatchObject({
        code: 'STATE_CORRUPT',
        message: expect.stringContaining('has format 1, this oxiflow knows 2'),
      });
    expect(await server.cli('hget', keys.run('rides'), '1:run')).toBe('{}');
  });

  test('documents of another type are named, and set aside by a repair', async () => {
    const store = open();
    await store.write('rides', 'run', { expected: 0, token: 1, body: { ride: 1 }, grade: 'soft' });
    const key = keys.documents('rides', 'run');
    await server.cli('set', key, 'x');
    await expect(store.read('rides', 'run')).rejects.toMatchObject({ exitCode: 74 });
    await expect(store.read('rides', 'run')).rejects.toThrow('oxiflow state repair --run-key rides');
    const { quarantined } = await store.repair('rides');
    expect(await server.cli('get', quarantined.find((name) => name.startsWith(`${key}:`)) ?? '')).toBe('x');
    expect(await store.read('rides', 'run')).toBeUndefined();
  });

  test('keys of another type are named with exit code 74; those of a run are set aside, the others left to people', async () => {
    const store = openRedisStore(settingsFor(server.url));
    stores.push(store);
    const lease = leaseOf(await store.acquire('rides', 'split-0', here(), TTL_MS));
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: { ride: 1 }, grade: 'soft' });
    await server.cli('set', keys.run('trips'), 'x');
    await server.cli('set', keys.requests('trips'), 'x');
    await server.cli('sadd', keys.runs, 'trips');
    const refused = (key: string) => ({ exitCode: 74, message: expect.stringContaining(`the key "${key}" holds`) });
    await expect(store.read('trips', 'run')).rejects.toMatchObject(refused(keys.run('trips')));
    await expect(store.read('trips', 'run')).rejects.toThrow('oxiflow state repair --run-key trips');
    await expect(store.requests('trips')).rejects.toMatchObject(refused(keys.requests('trips')));
    expect((await checkUp(store)).damage.map(({ run_key }) => run_key)).toContain('trips');
    const { quarantined } = await store.repair('trips');
    expect(quarantined).toHaveLength(2);
    expect(await server.cli('get', quarantined[0] ?? '')).toBe('x');
    expect(await store.acquire('trips', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
    expect((await checkUp(store)).damage.map(({ run_key }) => run_key)).not.toContain('trips');
    for (const key of [keys.runs, keys.history]) {
      await server.cli('set', key, 'x');
      await expect(key === keys.runs ? store.list() : store.history()).rejects.toMatchObject(refused(key));
    }
    expect((await checkUp(store)).damage).toMatchObject([{ run_key: null }, { run_key: null }]);
    expect(await store.read('rides', 'run')).toMatchObject({ version: 1 });
  });

  test('what was set aside by a repair stays beside the run', async () => {
    const store = open();
    await store.write('rides', 'run', { expected: 0, token: 1, body: { ride: 1 }, grade: 'soft' });
    await tamper(server, 'rides', REPLACE, 'run', 'scratched');
    const { quarantined, restored } = await store.repair('rides');
    expect(restored).toEqual([]);
    expect(quarantined).toEqual([expect.stringContaining(keys.aside('rides'))]);
    expect(await server.cli('hvals', keys.aside('rides'))).toBe('scratched');
  });
});
