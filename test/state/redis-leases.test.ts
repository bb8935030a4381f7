/** The leases of the backend `redis`: how long they last, and what stays of those that are over. */
import { expect, test } from 'vitest';
import type { Lease, Part } from '../../runner/state/store.ts';
import { until } from '../servers/redis.ts';
import { tamper } from './redis-bench.ts';
import { keys } from './redis-open.ts';
import { here, leaseOf, RedisScene, run, TTL_MS } from './redis-scene.ts';

const scene = new RedisScene();

test('a clock of the server that went back holds the lease of the dead no longer than it is long', async () => {
  const far = { ...here('rides-2'), host: 'harbour' };
  const ttlMs = 400;
  for (const how of ['acquired', 'claimed'] as const) {
    const store = scene.open();
    const lease = leaseOf(await store.acquire('rides', 'group-0', far, ttlMs));
    const hour = `local h = head('group-0') h.renewed = h.renewed + 3600000 redis.call('HSET', K, 'h:group-0', packHead(h))`;
    await tamper(scene.server, 'rides', hour);
    const wanted = async () =>
      how === 'acquired'
        ? await store.acquire('rides', 'group-0', here(), TTL_MS)
        : ((await store.claim('rides', ['group-0'], here(), TTL_MS)) ?? { acquired: false as const });
    expect(await wanted()).toMatchObject({ acquired: false });
    // Whoever holds it, and lives, loses nothing by it.
    expect(await store.renew(lease)).toBe(true);
    await tamper(scene.server, 'rides', hour);
    const began = performance.now();
    expect(await wanted()).toMatchObject({ acquired: false });
    const taken = await until('the end of the lease', async () => {
      const result = await wanted();
      return result.acquired && result;
    });
    expect(performance.now() - began).toBeGreaterThan(ttlMs - 50);
    expect(await store.renew(lease)).toBe(false);
    await store.release(taken.lease);
  }
});

test('workers that come and go for years leave nothing behind but one mark, and none of them comes back', {
  timeout: 60_000,
}, async () => {
  const store = scene.open();
  const { token } = await scene.take(store);
  await store.write('rides', 'run', { expected: 0, token, body: run, grade: 'soft' });
  const fields = async (): Promise<string[]> => (await scene.server.cli('hkeys', keys.run('rides'))).split('\n').sort();
  const before = await fields();
  const partOf = (n: number): Part => `worker-${n.toString(16).padStart(12, '0')}`;
  const gone: Lease[] = [];
  for (let n = 0; n < 1000; n++) {
    const lease = leaseOf(await store.acquire('rides', partOf(n), here(`rides-${n}`), TTL_MS));
    await store.write('rides', partOf(n), { expected: 0, token: lease.token, body: run, grade: 'soft' });
    await store.removePart(lease);
    if (n % 250 === 0) gone.push(lease);
  }
  expect(await fields()).toEqual([...before, 'g:worker'].sort());
  expect(await scene.server.cli('--scan', '--pattern', `${keys.run('rides')}:worker*`)).toBe('');
  for (const lease of gone)
    for (const by of [store, scene.open()]) {
      expect(await by.renew(lease)).toBe(false);
      for (const expected of [0, 1])
        expect(
          await by.write('rides', lease.part, { expected, token: lease.token, body: run, grade: 'soft' }),
        ).toMatchObject({ written: false, reason: 'fenced' });
      await by.removePart(lease);
    }
  expect(await fields()).toEqual([...before, 'g:worker'].sort());
  const again = leaseOf(await store.acquire('rides', partOf(0), here('rides-0'), TTL_MS));
  expect(again.token).toBeGreaterThan(Math.max(...gone.map((lease) => lease.token)));
  expect(await store.renew(again)).toBe(true);
  // Those of a run that is removed go with it.
  await store.remove({ ...again, part: 'split-0', token });
  expect((await fields()).filter((field) => field.includes('worker-'))).toEqual([]);
  expect(await store.renew(again)).toBe(false);
});
