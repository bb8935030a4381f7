/** What the backend `redis` does when its server forgets what it had, or goes back to what it was. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import type { Lease, StateStore } from '../../runner/state/store.ts';
import { keys, settingsFor } from './redis-open.ts';
import { here, leaseOf, put, RedisScene, run, TTL_MS } from './redis-scene.ts';

const scene = new RedisScene();

describe('a server that lost its data', () => {
  const lost = { code: 'STATE_LOST', exitCode: 74 };

  test('who works on a run is told at the next commit and at the next renewal', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    const { version } = await store.write('rides', 'run', {
      expected: 0,
      token: lease.token,
      body: run,
      grade: 'soft',
    });
    await scene.server.restart({ keepData: false });
    for (const part of ['run', 'split-0'] as const)
      for (const expected of [0, version])
        await expect(
          store.write('rides', part, { expected, token: lease.token, body: run, grade: 'soft' }),
        ).rejects.toMatchObject(lost);
    await expect(store.renew(lease)).rejects.toMatchObject(lost);
    await expect(scene.open().renew(lease)).rejects.toThrow('--fresh');
    await expect(store.acquire('rides', 'group-1', here(), TTL_MS)).rejects.toMatchObject(lost);
    await expect(store.claim('rides', ['group-1'], here(), TTL_MS)).rejects.toMatchObject(lost);
    expect(await scene.server.cli('keys', '*rides*')).toBe('');
  });

  test('the next attempt on an unfinished run is refused, and begins anew where it is told to', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: run, grade: 'soft' });
    await store.close();
    await scene.server.restart({ keepData: false });
    for (let attempt = 0; attempt < 2; attempt++)
      await expect(scene.take(scene.open())).rejects.toMatchObject({
        ...lost,
        message: expect.stringContaining('redis://127.0.0.1'),
      });
    const next = scene.open();
    const fresh = leaseOf(await next.acquire('rides', 'split-0', here(), TTL_MS, { fresh: true }));
    expect(fresh.token).toBeGreaterThan(lease.token);
    const late = scene.open();
    expect(
      await late.write('rides', 'split-0', { expected: 0, token: lease.token, body: run, grade: 'soft' }),
    ).toMatchObject({ reason: 'fenced' });
    await next.write('rides', 'run', { expected: 0, token: fresh.token, body: run, grade: 'soft' });
    await next.release(fresh);
    // Noted again, and there again.
    expect(await scene.take(scene.open())).toMatchObject({ runKey: 'rides' });
  });

  test('who looks in from a project without a note leaves nothing behind that hides the loss', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: run, grade: 'soft' });
    await scene.server.restart({ keepData: false });
    const stranger = openRedisStore(settingsFor(scene.server.url));
    scene.stores.push(stranger);
    await stranger.release(leaseOf(await stranger.acquire('rides', 'worker-0123456789ab', here(), TTL_MS)));
    await expect(store.renew(lease)).rejects.toMatchObject(lost);
    await expect(
      store.write('rides', 'split-0', { expected: 0, token: lease.token, body: run, grade: 'soft' }),
    ).rejects.toMatchObject(lost);
    await expect(scene.take(scene.open())).rejects.toMatchObject(lost);
    // Whoever began it anew on purpose is joined.
    const other = leaseOf(await stranger.acquire('rides', 'split-0', here(), TTL_MS));
    await stranger.write('rides', 'run', { expected: 0, token: other.token, body: run, grade: 'soft' });
    await stranger.release(other);
    expect(await scene.open().acquire('rides', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
  });

  test('an attempt that died before it had written anything is no loss', async () => {
    await scene.take(scene.open());
    expect(await scene.open().acquire('rides', 'split-0', here(), TTL_MS, { force: true })).toMatchObject({
      acquired: true,
    });
    await scene.server.cli('flushall');
    expect(await scene.open().acquire('rides', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
  });

  test('one run that was evicted is missed, too', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: run, grade: 'soft' });
    await store.close();
    await scene.server.cli('del', keys.run('rides'));
    await expect(scene.take(scene.open())).rejects.toMatchObject(lost);
    expect(await scene.open().acquire('other rides', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
  });

  test("finished runs, removed ones and those of other projects are nobody's loss", async () => {
    const store = scene.open();
    for (const runKey of ['finished', 'removed']) {
      const lease = leaseOf(await store.acquire(runKey, 'split-0', here(), TTL_MS));
      const { version } = await store.write(runKey, 'run', {
        expected: 0,
        token: lease.token,
        body: run,
        grade: 'soft',
      });
      expect(await readdir(join(scene.project, '.oxiflow/elsewhere'))).toHaveLength(1);
      if (runKey === 'removed') await store.remove(lease);
      else
        await store.write(runKey, 'run', {
          expected: version,
          token: lease.token,
          body: { status: 'finished' },
          grade: 'soft',
        });
      await store.release(lease);
      expect(await readdir(join(scene.project, '.oxiflow/elsewhere'))).toEqual([]);
    }
    await scene.server.cli('flushall');
    for (const runKey of ['finished', 'removed'])
      expect(await scene.open().acquire(runKey, 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
  });

  describe('of which another project has no note', () => {
    /** From a project of its own, or none. */
    const stranger = (): StateStore => {
      const store = openRedisStore(settingsFor(scene.server.url, { timeoutMs: 1000 }));
      scene.stores.push(store);
      return store;
    };
    const begin = async (store: StateStore, status = 'running'): Promise<Lease> => {
      const lease = await scene.take(store);
      await store.write('rides', 'run', { expected: 0, token: lease.token, body: { status }, grade: 'soft' });
      return lease;
    };

    test('an unfinished run that was evicted is missed there, too, and begun anew when that is asked for', async () => {
      const lease = await begin(stranger());
      await scene.server.cli('del', keys.run('rides'));
      for (const attempt of [
        () => stranger().acquire('rides', 'split-0', here(), TTL_MS),
        () => stranger().claim('rides', ['group-0'], here(), TTL_MS),
      ])
        await expect(attempt()).rejects.toMatchObject(lost);
      const next = stranger();
      const fresh = leaseOf(await next.acquire('rides', 'split-0', here(), TTL_MS, { fresh: true }));
      expect(fresh.token).toBeGreaterThan(lease.token);
      const document = { expected: 0, token: fresh.token, body: run, grade: 'soft' as const };
      expect(await next.write('rides', 'run', document)).toMatchObject({ written: true, version: 1 });
      await next.release(fresh);
      expect(await stranger().acquire('rides', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
    });

    test.each([
      ['a renewal', (store: StateStore, lease: Lease) => store.renew(lease)],
      ['a commit', (store: StateStore, lease: Lease) => put(store, lease, 0, 1)],
      ['a claim', (store: StateStore) => store.claim('rides', ['group-0'], here(), TTL_MS)],
    ])('a server that was emptied says so to everybody as soon as one at work has seen it, at %s', async (_, see) => {
      const store = stranger();
      const lease = await begin(store);
      await scene.server.restart({ keepData: false });
      await expect(see(store, lease)).rejects.toMatchObject(lost);
      await expect(stranger().acquire('rides', 'split-0', here(), TTL_MS)).rejects.toMatchObject(lost);
      expect(await scene.server.cli('exists', keys.run('rides'))).toBe('0');
      expect(await stranger().acquire('rides', 'split-0', here(), TTL_MS, { fresh: true })).toMatchObject({
        acquired: true,
      });
    });

    test('a run of which nothing was saved yet, or that had finished, is not', async () => {
      for (const status of [undefined, 'finished']) {
        const store = stranger();
        const lease = status === undefined ? await scene.take(store) : await begin(store, status);
        await scene.server.cli('flushall');
        await expect(store.renew(lease)).rejects.toMatchObject(lost);
        const next = stranger();
        await next.release(await scene.take(next));
      }
    });

    test('who slept beyond his lease, and finds nothing, says nothing to others', async () => {
      let clock = 0;
      const store = scene.open(scene.server.url, {}, { monotonicMs: () => clock });
      const lease = await begin(store);
      await scene.server.cli('flushall');
      clock += TTL_MS + 1;
      await expect(store.renew(lease)).rejects.toMatchObject(lost);
      expect(await stranger().acquire('rides', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
    });

    test('a run that has finished, was removed or was set aside is not missed', async () => {
      const store = stranger();
      await store.release(await begin(store, 'finished'));
      await scene.server.cli('del', keys.run('rides'), keys.documents('rides', 'run'));
      const second = await scene.take(stranger());
      const other = stranger();
      await other.write('rides', 'run', { expected: 0, token: second.token, body: run, grade: 'soft' });
      await other.remove(second);
      await scene.server.cli('del', keys.run('rides'), keys.documents('rides', 'run'));
      const third = stranger();
      await third.release(await begin(third));
      await scene.server.cli('set', keys.run('rides'), 'x');
      await scene.server.cli('set', keys.documents('rides', 'run'), 'x');
      await third.repair('rides');
      expect(await stranger().acquire('rides', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
      expect(await scene.server.cli('exists', keys.unfinished)).toBe('0');
    });
  });

  test('another address is another store: a note of one says nothing about the other', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: run, grade: 'soft' });
    const elsewhere = scene.open(scene.server.url, { keyPrefix: 'elsewhere' });
    expect(await elsewhere.acquire('rides', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
  });
});

describe('a server that went back', () => {
  /** The run as it is now; putting it back is what a failover does that lost the last writes. */
  async function snapshot(): Promise<() => Promise<void>> {
    const client = new Redis(scene.server.port);
    const all = await client.keys(`${keys.run('rides')}*`);
    const data = await Promise.all(all.map(async (key) => [key, (await client.dumpBuffer(key)) as Buffer] as const));
    client.disconnect();
    return async () => {
      const again = new Redis(scene.server.port);
      await again.del(...(await again.keys(`${keys.run('rides')}*`)));
      for (const [key, value] of data) await again.restore(key, 0, value);
      again.disconnect();
    };
  }

  test('who still holds the lease goes over what is left', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    await put(store, lease, 0, 1);
    const back = await snapshot();
    await put(store, lease, 1, 2);
    await put(store, lease, 2, 3);
    await back();
    expect((await scene.open().read('rides', 'split-0'))?.body).toEqual({ ride: 1 });
    expect(await put(store, lease, 3, 4)).toEqual({ written: true, version: 4 });
    expect(await scene.open().read('rides', 'split-0')).toMatchObject({ version: 4, body: { ride: 4 } });
  });

  test('a lease that went with it is put back by its holder, at a renewal or a commit', async () => {
    const store = scene.open();
    await store.release(await scene.take(store));
    const back = await snapshot();
    const lease = await scene.take(store, here('rides-2'));
    await back();
    expect(await store.renew(lease)).toBe(true);
    expect(await scene.open().acquire('rides', 'split-0', here('rides-3'), TTL_MS)).toMatchObject({
      acquired: false,
      holder: { workerId: 'rides-2' },
    });
    await back();
    expect(await put(store, lease, 0, 1)).toMatchObject({ written: true });
    expect(await store.renew(lease)).toBe(true);
  });

  test('what another has done since then stands', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    await put(store, lease, 0, 1);
    const back = await snapshot();
    await put(store, lease, 1, 2);
    await back();
    const other = leaseOf(await scene.open().acquire('rides', 'split-0', here('rides-2'), TTL_MS, { force: true }));
    expect(await put(store, lease, 2, 3)).toMatchObject({ written: false, reason: 'fenced', token: other.token });
    expect(await store.renew(lease)).toBe(false);
  });

  test('a version that was written again by another is not taken for the lost one of that number', async () => {
    const [a, b] = [scene.open(), scene.open()];
    const lease = { token: 1 } as Lease;
    await put(a, lease, 0, 1);
    const back = await snapshot();
    await put(a, lease, 1, 2);
    await back();
    await put(b, lease, 1, 9);
    expect(await put(a, lease, 2, 3)).toMatchObject({ written: false, reason: 'conflict', version: 2 });
    expect((await scene.open().read('rides', 'split-0'))?.body).toEqual({ ride: 9 });
  });

  test('who never wrote the newer version does not go over anything', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    await put(store, lease, 0, 1);
    const back = await snapshot();
    await put(store, lease, 1, 2);
    const reader = scene.open();
    await reader.read('rides', 'split-0');
    await back();
    expect(await put(reader, lease, 2, 3)).toMatchObject({ written: false, reason: 'conflict', version: 1 });
  });
});
