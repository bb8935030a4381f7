/** The backend `redis` on a cluster whose masters die: replicas take over, and may not have had the last writes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { OxiError } from '../../runner/engine/errors.ts';
import { thisHolder } from '../../runner/state/host.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import type { Lease, StateStore } from '../../runner/state/store.ts';
import { RedisCluster, until } from '../servers/redis.ts';
import { keys, settingsFor } from './redis-open.ts';

let cluster: RedisCluster;
let project: string;
beforeAll(async () => {
  cluster = await RedisCluster.start({ replicas: 1 });
  project = await mkdtemp(join(tmpdir(), 'oxiflow-redis-failover-'));
}, 120_000);
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  await rm(project, { recursive: true });
});

const open = (): StateStore =>
  openRedisStore(
    settingsFor(cluster.url, { clusterMode: true, timeoutMs: 500, lockTimeoutMs: 30_000, projectRoot: project }),
    { notes: true },
  );

test('of commits while masters are killed none is done twice and none that stood is lost; the run ends or is refused', {
  timeout: 180_000,
}, async () => {
  await using store = open();
  const runKey = 'rides';
  const got = await store.acquire(runKey, 'split-0', thisHolder('rides-1'), 30_000);
  if (!got.acquired) throw new Error('held');
  const { lease } = got;
  await store.write(runKey, 'run', { expected: 0, token: lease.token, body: { status: 'running' }, grade: 'hard' });
  const log: number[] = [];
  let isOver = false;
  const working = commitAll(store, lease, log, () => isOver);
  const killed = [];
  for (let round = 0; round < 2; round++) {
    const master = await cluster.masterOf(keys.run(runKey));
    const before = log.length;
    await until('more commits', async () => log.length > before + 20);
    await master.kill();
    killed.push(master);
    const atDeath = log.length;
    await until('commits behind the failover', async () => log.length > atDeath + 20 || isOver, 60_000);
    await master.start();
    const node = master;
    await until(
      'the old master in step',
      async () => /master_link_status:up/.test(await node.cli('info', 'replication')),
      60_000,
    );
  }
  isOver = true;
  await working;
  expect(new Set(killed.map(({ port }) => port)).size).toBe(2);
  // The log of acknowledged commits is the stored one, whole: what a failover lost, its holder put back with the next commit.
  await using other = open();
  const found = await other.read(runKey, 'split-0');
  expect(found).toMatchObject({ token: lease.token, body: { log } });
  expect(log).toEqual(Array.from({ length: log.length }, (_, n) => n));
  expect(found?.version).toBe(log.length);
  expect(await store.renew(lease)).toBe(true);
  await store.release(lease);
});

test('the history and the list of runs come through a failover', { timeout: 120_000 }, async () => {
  await using store = open();
  const entry = (attempt: number) => ({
    runKey: 'trams',
    runId: 'one',
    pipeline: 'trams',
    attempt,
    status: 'failed',
    finishedAt: '2026-03-01T10:00:00Z',
    summary: {},
  });
  await store.write('trams', 'run', { expected: 0, token: 1, body: { status: 'failed' }, grade: 'hard' });
  await store.appendHistory(entry(1));
  const master = await cluster.masterOf(keys.history);
  const replica = await until('a replica that has it', async () => {
    for (const node of cluster.nodes) {
      const text = await node.cli('info', 'replication');
      if (/role:slave/.test(text) && text.includes(`master_port:${master.port}`) && /master_link_status:up/.test(text))
        return node;
    }
    return undefined;
  });
  const [, offset] = /master_repl_offset:(\d+)/.exec(await master.cli('info', 'replication')) ?? [];
  await until('the last write there', async () => {
    const [, at] = /slave_repl_offset:(\d+)/.exec(await replica.cli('info', 'replication')) ?? [];
    return Number(at) >= Number(offset);
  });
  await master.kill();
  await store.appendHistory(entry(2));
  expect((await store.history({ runKey: 'trams' })).map(({ attempt }) => attempt)).toEqual([2, 1]);
  expect((await store.list()).map(({ runKey }) => runKey)).toContain('trams');
});

/** A run whose store refuses it has ended, too, if it says why. */
async function commitAll(store: StateStore, lease: Lease, log: number[], isOver: () => boolean): Promise<void> {
  let version = 0;
  while (!isOver()) {
    const body = { log: [...log, log.length] };
    const done = await store
      .write(lease.runKey, 'split-0', { expected: version, token: lease.token, body, grade: 'soft' })
      .catch((error: unknown) => {
        throw error instanceof OxiError ? error : new Error('an error without a name', { cause: error });
      });
    if (!done.written) throw new Error(`a commit was refused: ${JSON.stringify(done)}`);
    expect(done.version).toBe(version + 1);
    version = done.version;
    log.push(log.length);
  }
}
