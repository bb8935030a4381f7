/** The backend `redis` on a cluster whose slots are moved from one master to another while runs are at work in them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { thisHolder } from '../../runner/state/host.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import type { StateStore, StoreOptions } from '../../runner/state/store.ts';
import { RedisCluster, until } from '../servers/redis.ts';
import { keys, settingsFor } from './redis-open.ts';
import { leaseOf } from './redis-scene.ts';

const WORKER = 'worker-0123456789ab';
let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await RedisCluster.start({ replicas: 1 });
}, 120_000);
afterAll(() => cluster[Symbol.asyncDispose]());

const open = (options: StoreOptions = {}): StateStore =>
  openRedisStore(settingsFor(cluster.url, { clusterMode: true, timeoutMs: 1000 }), options);
const here = (id: string) => thisHolder(id);

test.each([
  ['rides', true],
  ['trains', false],
])(
  'commits, claims and heartbeats go on while the slot of %s is moved key by key, documents first: %s',
  {
    timeout: 120_000,
  },
  async (runKey, documentsFirst) => {
    let passed = 0;
    await using store = open({ monotonicMs: () => performance.now() + passed });
    await using other = open();
    const lease = leaseOf(await store.acquire(runKey, 'split-0', here('rides-1'), 30_000));
    const body = { status: 'running' };
    await store.write(runKey, 'run', { expected: 0, token: lease.token, body, grade: 'hard' });
    for (const group of [0, 1, 2] as const) {
      const got = leaseOf(await store.acquire(runKey, `group-${group}`, here('rides-1'), 30_000));
      await store.write(runKey, `group-${group}`, { expected: 0, token: got.token, body, grade: 'soft' });
      await store.release(got);
    }
    await store.request(runKey, { kind: 'pause', at: '2026-03-01T10:00:00Z', from: 'dispatcher' });
    let isOver = false;
    const log: number[] = [];
    const commit = async (): Promise<void> => {
      while (!isOver) {
        const expected = log.length;
        log.push(expected);
        const document = { expected, token: lease.token, body: { log }, grade: 'soft' as const };
        expect(await store.write(runKey, 'split-0', document)).toEqual({ written: true, version: expected + 1 });
      }
    };
    let looks = 0;
    const look = async (): Promise<void> => {
      for (; !isOver; looks++) {
        expect(await other.read(runKey, 'run')).toMatchObject({ body });
        expect((await other.parts(runKey)).map(({ part, version }) => [part, version > 0])).toEqual(
          expect.arrayContaining([
            ['run', true],
            ['group-0', true],
          ]),
        );
        expect(await other.requests(runKey)).toHaveLength(1);
        const claimed = await other.claim(runKey, ['group-0', 'group-1', 'group-2'], here('rides-2'), 30_000);
        if (claimed === undefined) throw new Error('nothing to claim');
        expect(await other.renew(claimed.lease)).toBe(true);
        await other.release(claimed.lease);
      }
    };
    let beats = 0;
    const beat = async (): Promise<void> => {
      for (; !isOver; beats++) expect(await store.renew(lease)).toBe(true);
    };
    const atWork = Promise.all([commit(), look(), beat()]);
    const went: number[] = [];
    try {
      await Promise.race([
        atWork,
        cluster.moveSlot(
          keys.run(runKey),
          async (gone) => {
            went.push(gone);
            // The next commit has to renew the lease.
            passed += 3000;
            // Those who look have to wait while half of the keys are gone; who holds the lease hardly has to.
            const [before, beaten] = [log.length, beats];
            await until('more commits and heartbeats', async () => log.length > before + 5 && beats > beaten + 1);
          },
          { documentsFirst },
        ),
      ]);
    } finally {
      isOver = true;
    }
    await atWork;
    // The hash, five streams, and the requests.
    expect(went).toHaveLength(8);
    await using reader = open();
    expect(await reader.read(runKey, 'split-0')).toMatchObject({ version: log.length, body: { log } });
    expect(looks).toBeGreaterThan(1);
    await store.release(lease);
  },
);

test('a part that is new while the slot is on its way is made when it has arrived', { timeout: 60_000 }, async () => {
  await using store = open();
  const runKey = 'trams';
  const lease = leaseOf(await store.acquire(runKey, 'split-0', here('trams-1'), 30_000));
  const begun: Promise<unknown>[] = [];
  await cluster.moveSlot(keys.run(runKey), async (gone) => {
    if (gone > 0) return;
    begun.push(
      store.write(runKey, 'split-0', { expected: 0, token: lease.token, body: { ride: 1 }, grade: 'soft' }),
      store.acquire(runKey, WORKER, here('trams-1'), 30_000),
    );
  });
  expect(await Promise.all(begun)).toMatchObject([{ written: true, version: 1 }, { acquired: true }]);
  await using other = open();
  expect((await other.parts(runKey)).map(({ part, version }) => [part, version])).toEqual([
    ['split-0', 1],
    [WORKER, 0],
  ]);
});

test('a run is removed as a whole, also while half of it has moved', { timeout: 60_000 }, async () => {
  await using store = open();
  const runKey = 'ferries';
  const lease = leaseOf(await store.acquire(runKey, 'run', here('ferries-1'), 30_000));
  for (const part of ['run', 'split-0', 'split-1'] as const)
    await store.write(runKey, part, { expected: 0, token: lease.token, body: { ride: 1 }, grade: 'soft' });
  await store.request(runKey, { kind: 'pause', at: '2026-03-01T10:00:00Z', from: 'dispatcher' });
  let removal: Promise<void> | undefined;
  await cluster.moveSlot(keys.run(runKey), async (gone) => {
    if (gone === 2) removal = store.remove(lease);
  });
  await removal;
  expect(await store.read(runKey, 'run')).toBeUndefined();
  const master = await cluster.masterOf(keys.run(runKey));
  expect(await master.cli('--scan', '--pattern', `${keys.run(runKey)}:*`)).toBe('');
  expect(
    await store.write(runKey, 'split-1', { expected: 0, token: lease.token - 1, body: { ride: 2 }, grade: 'soft' }),
  ).toMatchObject({ written: false, reason: 'fenced' });
});
