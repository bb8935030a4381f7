/** What the backend `redis` does when what is stored is damaged, or was put there by others. */
import { hash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { checkUp } from '../../runner/state/checkup.ts';
import { openRedisStore } from '../../runner/state/redis/store.ts';
import { REPLACE, tamper } from './redis-bench.ts';
import { keys, settingsFor } from './redis-open.ts';
import { here, leaseOf, put, RedisScene, run, TTL_MS } from './redis-scene.ts';

const scene = new RedisScene();

describe('damage', () => {
  test('a head that is damaged or gone is reported, and repaired from the documents', async () => {
    for (const lua of [
      `redis.call('HSET', K, 'h:run', 'x' .. redis.call('HGET', K, 'h:run'))`,
      `redis.call('HSET', K, 'h:run', (string.gsub(redis.call('HGET', K, 'h:run'), ' 1 1 0 ', ' 1 2 0 ')))`,
      `redis.call('HDEL', K, 'h:run')`,
    ]) {
      await scene.server.cli('flushall');
      const store = scene.open();
      await store.write('rides', 'run', { expected: 0, token: 1, body: { ride: 1 }, grade: 'soft' });
      await store.write('rides', 'run', { expected: 1, token: 1, body: { ride: 2 }, grade: 'soft' });
      await tamper(scene.server, 'rides', lua);
      await expect(scene.open().read('rides', 'run')).rejects.toMatchObject({ code: 'STATE_CORRUPT', exitCode: 74 });
      await expect(scene.open().acquire('rides', 'run', here(), TTL_MS)).rejects.toThrow(
        'oxiflow state repair --run-key rides',
      );
      expect(await store.repair('rides')).toMatchObject({ restored: [{ part: 'run', version: 2 }] });
      expect((await scene.open().read('rides', 'run'))?.body).toEqual({ ride: 2 });
    }
  });

  test('a run whose hash was evicted is damaged where documents of it are left, and repaired from them', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: run, grade: 'soft' });
    for (const part of ['split-0', 'split-1', 'group-0'] as const)
      for (const expected of [0, 1])
        await store.write('rides', part, { expected, token: lease.token, body: { expected }, grade: 'soft' });
    await store.release(lease);
    await scene.server.cli('del', keys.run('rides'));
    const stranger = openRedisStore(settingsFor(scene.server.url));
    scene.stores.push(stranger);
    await expect(stranger.read('rides', 'run')).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    await expect(stranger.acquire('rides', 'split-0', here(), TTL_MS)).rejects.toThrow('its head is gone');
    expect((await stranger.repair('rides')).restored).toEqual([
      { part: 'run', version: 1 },
      { part: 'split-0', version: 2 },
      { part: 'split-1', version: 2 },
      { part: 'group-0', version: 2 },
    ]);
    expect(await stranger.read('rides', 'split-1')).toMatchObject({ version: 2, body: { expected: 1 } });
    const next = leaseOf(await stranger.acquire('rides', 'split-0', here(), TTL_MS));
    expect(next.token).toBeGreaterThan(lease.token);
    expect(await put(store, lease, 2, 3)).toMatchObject({ written: false, reason: 'fenced' });
    expect(await put(stranger, next, 2, 3)).toEqual({ written: true, version: 3 });
    await stranger.remove(next);
    expect(await scene.server.cli('--scan', '--pattern', `${keys.run('rides')}:*`)).toBe('');
  });

  test("fields in the hash of a run that are none of ours are left alone, and in nobody's way", async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    expect(await put(store, lease, 0, 1)).toMatchObject({ written: true });
    const strange = ['h:x,y|z>', '1', 'd:x,y|z>', '1', 'd:split-0,split-1', '1', 'h:', 'x', 'g:', 'x', 'note', 'x'];
    await scene.server.cli('hset', keys.run('rides'), ...strange);
    expect((await scene.open().parts('rides')).map(({ part }) => part)).toEqual(['split-0']);
    expect(await store.repair('rides')).toEqual({ quarantined: [], restored: [] });
    await store.remove(lease);
    expect(await scene.open().read('rides', 'split-0')).toBeUndefined();
    expect(await scene.server.cli('hget', keys.run('rides'), 'note')).toBe('x');
  });

  test('who starts over goes past what is left of a run whose hash was evicted', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    for (const part of ['run', 'split-0', 'split-1'] as const)
      for (const expected of [0, 1])
        await store.write('rides', part, { expected, token: lease.token, body: { expected }, grade: 'soft' });
    await scene.server.cli('del', keys.run('rides'));
    const next = scene.open();
    const fresh = leaseOf(await next.acquire('rides', 'split-0', here(), TTL_MS, { fresh: true }));
    for (const part of ['run', 'split-0', 'split-1'] as const) {
      expect(await next.read('rides', part)).toBeUndefined();
      const document = { expected: 0, token: fresh.token, body: run, grade: 'soft' as const };
      expect(await next.write('rides', part, document)).toEqual({ written: true, version: 1 });
      expect(await scene.server.cli('xlen', keys.documents('rides', part))).toBe('1');
    }
    await expect(put(store, lease, 2, 3)).rejects.toMatchObject({ code: 'STATE_LOST' });
  });

  test('whoever wrote the last version builds nothing upon a document that is gone', async () => {
    const store = scene.open();
    const lease = await scene.take(store);
    expect([await put(store, lease, 0, 1), await put(store, lease, 1, 2)]).toMatchObject([
      { written: true, version: 1 },
      { written: true, version: 2 },
    ]);
    await scene.server.cli('del', keys.documents('rides', 'split-0'));
    await expect(put(store, lease, 2, 3)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });

  test('a head that was damaged since is noticed by the heartbeat, and by the next commit that renews', async () => {
    for (const lua of [
      // One digit of the lease's length.
      `redis.call('HSET', K, 'h:split-0', (string.gsub(redis.call('HGET', K, 'h:split-0'), ' 30000 ', ' 90000 ')))`,
      `redis.call('HDEL', K, 'h:split-0')`,
    ]) {
      await scene.server.cli('flushall');
      let clock = 0;
      const store = scene.open(scene.server.url, {}, { monotonicMs: () => clock });
      const lease = await scene.take(store);
      expect(await put(store, lease, 0, 1)).toMatchObject({ written: true });
      await tamper(scene.server, 'rides', lua);
      await expect(store.renew(lease)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
      clock += TTL_MS / 10;
      await expect(put(store, lease, 1, 2)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    }
  });

  test('a lease never loses more than a tenth of its time while its holder writes', async () => {
    let clock = 0;
    const store = scene.open(scene.server.url, {}, { monotonicMs: () => clock });
    const lease = await scene.take(store);
    const pass = async (ms: number): Promise<void> => {
      clock += ms;
      const ago = `local h = head('split-0') h.renewed = h.renewed - ${ms} redis.call('HSET', K, 'h:split-0', packHead(h))`;
      await tamper(scene.server, 'rides', ago);
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
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await scene.server.cli('info', 'commandstats'))?.[1]);
    const before = await scripts();
    for (let n = 0; n < 10; n++)
      expect(await put(store, lease, version, version)).toEqual({ written: true, version: ++version });
    expect(await scripts()).toBe(before);
  });

  test('a document with another seal than its own is refused, whatever its head says', async () => {
    const store = scene.open();
    await store.write('rides', 'run', { expected: 0, token: 1, body: { ride: 1 }, grade: 'soft' });
    await tamper(scene.server, 'rides', REPLACE, 'run', '[]');
    await expect(scene.open().read('rides', 'run')).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });

  test('a store of a newer format is refused before anything is changed', async () => {
    await scene.server.cli('hset', keys.store, 'id', 'x', 'format', '9');
    await expect(scene.take(scene.open())).rejects.toThrow('newer oxiflow');
    expect(await scene.server.cli('keys', '*rides*')).toBe('');
  });

  test('a store of the format before is refused before anything is changed, and so is a run of it', async () => {
    await scene.server.cli('hset', keys.store, 'id', 'x', 'format', '1');
    await expect(scene.take(scene.open())).rejects.toThrow(
      'has format 1, this oxiflow knows 2: finish what is open with the older',
    );
    expect(await scene.server.cli('keys', '*rides*')).toBe('');
    await scene.server.cli('del', keys.store);
    const text = '1 1 1 1 0 0 nonce - sum';
    const head = `${hash('sha1', text).slice(0, 8)} ${text}`;
    await scene.server.cli('hset', keys.run('rides'), 'h:run', head, 't:run', '1 0 1 0', '1:run', '{}');
    for (const attempt of [
      () => scene.open().read('rides', 'run'),
      () => scene.open().repair('rides'),
      () => scene.open().acquire('rides', 'run', here(), TTL_MS),
    ])
      await expect(attempt()).rejects.toMatchObject({
        code: 'STATE_CORRUPT',
        message: expect.stringContaining('has format 1, this oxiflow knows 2'),
      });
    expect(await scene.server.cli('hget', keys.run('rides'), '1:run')).toBe('{}');
  });

  test('documents of another type are named, and set aside by a repair', async () => {
    const store = scene.open();
    await store.write('rides', 'run', { expected: 0, token: 1, body: { ride: 1 }, grade: 'soft' });
    const key = keys.documents('rides', 'run');
    await scene.server.cli('set', key, 'x');
    await expect(store.read('rides', 'run')).rejects.toMatchObject({ exitCode: 74 });
    await expect(store.read('rides', 'run')).rejects.toThrow('oxiflow state repair --run-key rides');
    const { quarantined } = await store.repair('rides');
    expect(await scene.server.cli('get', quarantined.find((name) => name.startsWith(`${key}:`)) ?? '')).toBe('x');
    expect(await store.read('rides', 'run')).toBeUndefined();
  });

  test('keys of another type are named with exit code 74; those of a run are set aside, the others left to people', async () => {
    const store = openRedisStore(settingsFor(scene.server.url));
    scene.stores.push(store);
    const lease = leaseOf(await store.acquire('rides', 'split-0', here(), TTL_MS));
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: { ride: 1 }, grade: 'soft' });
    await scene.server.cli('set', keys.run('trips'), 'x');
    await scene.server.cli('set', keys.requests('trips'), 'x');
    await scene.server.cli('sadd', keys.runs, 'trips');
    const refused = (key: string) => ({ exitCode: 74, message: expect.stringContaining(`the key "${key}" holds`) });
    await expect(store.read('trips', 'run')).rejects.toMatchObject(refused(keys.run('trips')));
    await expect(store.read('trips', 'run')).rejects.toThrow('oxiflow state repair --run-key trips');
    await expect(store.requests('trips')).rejects.toMatchObject(refused(keys.requests('trips')));
    expect((await checkUp(store)).damage.map(({ run_key }) => run_key)).toContain('trips');
    const { quarantined } = await store.repair('trips');
    expect(quarantined).toHaveLength(2);
    expect(await scene.server.cli('get', quarantined[0] ?? '')).toBe('x');
    expect(await store.acquire('trips', 'split-0', here(), TTL_MS)).toMatchObject({ acquired: true });
    expect((await checkUp(store)).damage.map(({ run_key }) => run_key)).not.toContain('trips');
    for (const key of [keys.runs, keys.history]) {
      await scene.server.cli('set', key, 'x');
      await expect(key === keys.runs ? store.list() : store.history()).rejects.toMatchObject(refused(key));
    }
    expect((await checkUp(store)).damage).toMatchObject([{ run_key: null }, { run_key: null }]);
    expect(await store.read('rides', 'run')).toMatchObject({ version: 1 });
  });

  test('what was set aside by a repair stays beside the run', async () => {
    const store = scene.open();
    await store.write('rides', 'run', { expected: 0, token: 1, body: { ride: 1 }, grade: 'soft' });
    await tamper(scene.server, 'rides', REPLACE, 'run', 'scratched');
    const { quarantined, restored } = await store.repair('rides');
    expect(restored).toEqual([]);
    expect(quarantined).toEqual([expect.stringContaining(keys.aside('rides'))]);
    expect(await scene.server.cli('hvals', keys.aside('rides'))).toBe('scratched');
  });
});
