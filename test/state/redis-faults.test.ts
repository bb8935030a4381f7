/** What the backend `redis` does when its server restarts, stands still, cuts connections, turns it away, or its answers get lost. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Connections } from '../../runner/state/redis/connection.ts';
import { History } from '../../runner/state/redis/history.ts';
import { Place } from '../../runner/state/redis/place.ts';
import type { HistoryEntry, Lease, StateStore } from '../../runner/state/store.ts';
import { CuttingProxy } from '../servers/proxy.ts';
import { until } from '../servers/redis.ts';
import { keys, settingsFor } from './redis-open.ts';
import { here, leaseOf, RedisScene, TTL_MS } from './redis-scene.ts';

const scene = new RedisScene();

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
  const lease = await scene.take(store);
  let isOver = false;
  const working = commit(store, lease, () => isOver);
  await trouble().finally(() => {
    isOver = true;
  });
  const log = await working;
  const found = await scene.open().read('rides', 'split-0');
  expect(found).toMatchObject({ version: log.length, token: lease.token, body: { last: log.length - 1, log } });
}

describe('what passes', () => {
  test('commits go on through a restart of the server with its data', { timeout: 60_000 }, () =>
    commitDuring(scene.open(), async () => {
      for (let round = 0; round < 3; round++) await scene.server.restart();
    }),
  );

  test('commits go on while connections are killed in a loop', { timeout: 60_000 }, async () => {
    const before = Number(/total_connections_received:(\d+)/.exec(await scene.server.cli('info', 'stats'))?.[1]);
    await commitDuring(scene.open(), async () => {
      for (let round = 0; round < 40; round++)
        await scene.server.cli('client', 'kill', 'type', 'normal', 'skipme', 'yes');
    });
    const after = Number(/total_connections_received:(\d+)/.exec(await scene.server.cli('info', 'stats'))?.[1]);
    expect(after - before).toBeGreaterThan(50);
  });

  test('commits go on after a pause of the server that is longer than a command may take', { timeout: 60_000 }, () =>
    commitDuring(scene.open(scene.server.url, { timeoutMs: 200 }), async () => {
      await scene.server.cli('client', 'pause', '900', 'ALL');
      // It answers again when the pause is over.
      await scene.server.cli('ping');
    }),
  );

  test('commits go on when the server was a read-only replica for a while', { timeout: 60_000 }, () =>
    commitDuring(scene.open(), async () => {
      await scene.server.cli('replicaof', '127.0.0.1', '1');
      await until('a refusal', async () =>
        /error_READONLY|errorstat_READONLY/.test(await scene.server.cli('info', 'errorstats')),
      );
      await scene.server.cli('replicaof', 'no', 'one');
    }),
  );

  test('scripts that the server has forgotten are sent again', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    await scene.server.cli('script', 'flush');
    expect(await store.renew(lease)).toBe(true);
  });

  test('a lease ends by the clock of the scene.server, and a write with its token prolongs it', async () => {
    const store = scene.open();
    const far = { ...here('rides-2'), host: 'harbour' };
    const lease = leaseOf(await store.acquire('rides', 'split-0', far, 300));
    const body = { ride: 1 };
    await store.write('rides', 'split-0', { expected: 0, token: lease.token, body, grade: 'soft' });
    const other = await scene.open().acquire('rides', 'split-0', here(), TTL_MS);
    expect(other).toMatchObject({ acquired: false, holder: far });
    const taken = await until('the end of the lease', async () => {
      const result = await scene.open().acquire('rides', 'split-0', here(), TTL_MS);
      return result.acquired && result;
    });
    expect(taken.predecessor).toEqual({ holder: far, token: lease.token, released: false, provenDead: false });
    expect(await store.renew(lease)).toBe(false);
  });

  test('a request wakes who listens, also after his connection was cut', { timeout: 30_000 }, async () => {
    const store = scene.open();
    let woken = 0;
    await using _listening = await store.subscribe?.('rides', () => {
      woken++;
    });
    await until('the first look', async () => woken > 0);
    for (let round = 0; round < 2; round++) {
      const before = woken;
      await scene.open().request('rides', { kind: 'pause', at: '2026-03-01T10:00:00Z', from: 'dispatcher' });
      await until('the wake', async () => woken > before);
      await scene.server.cli('client', 'kill', 'type', 'pubsub');
      await until('another look', async () => woken > before + 1);
    }
  });

  test('one connection is enough, and then nobody listens', async () => {
    const store = scene.open(scene.server.url, { poolSize: 1 });
    await using _listening = await store.subscribe?.('rides', () => undefined);
    await Promise.all(Array.from({ length: 20 }, (_, n) => store.read(`rides-${n}`, 'run')));
    expect(await clients()).toBe(1);
  });

  test('several connections are made when several are busy, never more than asked', async () => {
    const store = scene.open(scene.server.url, { poolSize: 4 });
    await Promise.all(Array.from({ length: 20 }, (_, n) => store.read(`rides-${n}`, 'run')));
    expect(await clients()).toBe(3);
  });

  test('a store that was closed makes no connection any more, and its listener goes with it', async () => {
    const store = scene.open();
    let woken = 0;
    await store.subscribe?.('rides', () => {
      woken++;
    });
    await until('the first look', async () => woken > 0);
    await store.close();
    await until('no connection', async () => (await clients()) === 0 && (await listeners()) === 0);
    await expect(store.read('rides', 'run')).rejects.toMatchObject({
      code: 'STATE_UNREACHABLE',
      message: expect.stringContaining('closed'),
    });
    expect([await clients(), await listeners()]).toEqual([0, 0]);
  });

  test('the history is told once where something is added to it meanwhile', async () => {
    const store = scene.open();
    const entry = (n: number): HistoryEntry => ({
      runKey: 'rides',
      runId: `ride ${n}`,
      pipeline: 'rides',
      attempt: 1,
      status: 'finished',
      finishedAt: new Date(Date.UTC(2026, 2, 1) + n).toISOString(),
      summary: {},
    });
    for (let n = 0; n < 600; n++) await store.appendHistory(entry(n));
    const connections = new Connections(settingsFor(scene.server.url));
    const place = new Place(connections, keys.store, () => undefined);
    const call = place.call.bind(place);
    place.call = async (...asked) => {
      const answer = await call(...asked);
      // Behind each page.
      await store.appendHistory(entry(1000));
      return answer;
    };
    try {
      const found = await new History(place, keys.history, 'here').newest({});
      expect(found.map(({ runId }) => runId)).toEqual(Array.from({ length: 600 }, (_, n) => `ride ${599 - n}`));
    } finally {
      await connections.close();
    }
  });

  async function listeners(): Promise<number> {
    return (await scene.server.cli('client', 'list', 'type', 'pubsub')).split('\n').filter((line) => line !== '')
      .length;
  }

  async function clients(): Promise<number> {
    return (await scene.server.cli('client', 'list', 'type', 'normal'))
      .split('\n')
      .filter((line) => !/redis-cli|cmd=client/.test(line)).length;
  }
});

describe('answers that get lost', () => {
  let proxy: CuttingProxy;
  beforeEach(async () => {
    proxy = await CuttingProxy.start(scene.server.port);
  });
  afterEach(() => proxy[Symbol.asyncDispose]());
  const through = (): StateStore => scene.open(`redis://127.0.0.1:${proxy.port}`);
  /** However it goes to the server: as a command, as a script by its name, or as a whole one. */
  const lose = (marker: string): void =>
    proxy.swallowAnswerTo((sent) => /xadd|evalsha|eval/i.test(sent) && sent.includes(marker));

  test('a write happens once, and is told as done', async () => {
    const store = through();
    const { token } = await scene.take(store);
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
    expect(await scene.open().read('rides', 'split-0')).toMatchObject({ version: 2, body: { ride: 'tram 8' } });
    expect(
      await store.write('rides', 'split-0', { expected: version, token, body: { ride: 3 }, grade: 'soft' }),
    ).toEqual({ written: true, version: 3 });
  });

  test('a version that came through is not written again where another followed it meanwhile', async () => {
    const [store, other] = [through(), scene.open()];
    const { token } = await scene.take(store);
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
    const first = await scene.take(store, here('rides-1'));
    await store.release(first);
    lose('"workerId":"rides-2"');
    const result = await store.acquire('rides', 'split-0', here('rides-2'), TTL_MS);
    expect(proxy.swallowed).toBe(1);
    expect(result).toMatchObject({ acquired: true, predecessor: { token: first.token, released: true } });
    expect(await scene.open().acquire('rides', 'split-0', here('rides-3'), TTL_MS)).toMatchObject({
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
    const held = (await scene.open().parts('rides', 'group-')).filter(({ lease }) => lease !== undefined);
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
