/** Workers of a shared run on a Redis that restarts, stands still or cuts them off, and on a network that is slow, dead or cut. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CuttingProxy } from '../servers/proxy.ts';
import { RedisServer, until } from '../servers/redis.ts';
import { Depot, KEY, Parcels } from './depot.ts';
import { SEED } from './random.ts';
import type { Attempt, Ended } from './runner.ts';

const parcels = new Parcels(SEED + 19, 2_000_000);
let server: RedisServer;
beforeAll(async () => {
  // What was acknowledged is on disk.
  server = await RedisServer.start({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
}, 120_000);
afterAll(() => server[Symbol.asyncDispose]());

const open = (lockTimeout = '20s', pace = 0.01): Promise<Depot> =>
  Depot.open(parcels, { backend: 'redis', redisUrl: server.url, timeoutMs: 500, pace, lockTimeout });

const isAtWork = ({ events }: Attempt): boolean => events.some(({ type }) => type === 'checkpoint');

/** Three workers, all of them in the middle of it; those of `through` behind the proxy. */
async function three(
  depot: Depot,
  through?: CuttingProxy,
  isBehind = (_i: number): boolean => true,
): Promise<Attempt[]> {
  const env = through === undefined ? {} : { DEPOT_STATE: `redis://127.0.0.1:${through.port}` };
  const workers = [0, 1, 2].map((i) => depot.worker([], isBehind(i) ? { env } : {}));
  await Promise.all(workers.map((worker) => worker.until('it works', isAtWork)));
  return workers;
}

async function expectAllDone(depot: Depot, workers: readonly Attempt[], hint: string): Promise<void> {
  const ended = await Promise.all(workers.map((worker) => worker.ended));
  for (const { code, stderr } of ended) expect(code, `${hint}\n${stderr}`).toBe(0);
  await depot.expectDone(hint);
  depot.remove();
}

describe('a server in trouble costs nothing', () => {
  test('restarted with its data', async () => {
    const depot = await open();
    const workers = await three(depot);
    await server.restart();
    await expectAllDone(depot, workers, 'restarted');
  }, 60_000);

  test('standing still for three seconds', async () => {
    const depot = await open();
    const workers = await three(depot);
    await server.cli('client', 'pause', '3000', 'ALL');
    await expectAllDone(depot, workers, 'paused');
  }, 60_000);

  test('cutting connections all the time', async () => {
    const depot = await open();
    const workers = await three(depot);
    let isOver = false;
    const over = expectAllDone(depot, workers, 'cut').finally(() => {
      isOver = true;
    });
    let cuts = 0;
    while (!isOver) cuts += Number(await server.cli('client', 'kill', 'type', 'normal', 'skipme', 'yes'));
    await over;
    expect(cuts).toBeGreaterThan(5);
  }, 60_000);

  test('come back without its data: all of them end, and nobody begins from zero', async () => {
    const depot = await open();
    const workers = await three(depot);
    await server.restart({ keepData: false });
    for (const { code, stderr } of await Promise.all(workers.map(({ ended }) => ended))) expect(code, stderr).toBe(74);
    const next = await depot.worker().ended;
    expect(next.code, next.stderr).toBe(74);
    expect(depot.outputs()).not.toContain('weighed.ndjson');
    const fresh = ['--fresh', '--invocation', 'again'];
    const again = await Promise.all([depot.worker(fresh).ended, depot.worker(fresh).ended]);
    for (const { code, stderr } of again) expect(code, stderr).toBe(0);
    await depot.expectDone('begun anew');
    depot.remove();
  }, 60_000);
});

describe('a network in trouble', () => {
  test.each([
    ['slow', (proxy: CuttingProxy) => proxy.delay(15)],
    ['cut, and soon mended', (proxy: CuttingProxy) => proxy.cut()],
    ['dead, and soon mended', (proxy: CuttingProxy) => proxy.blackhole()],
  ])(
    'that is %s costs nothing',
    async (what, trouble) => {
      await using proxy = await CuttingProxy.start(server.port);
      const depot = await open();
      const workers = await three(depot, proxy);
      trouble(proxy);
      if (what !== 'slow') {
        await until('it is noticed', async () => proxy.lost >= 6);
        proxy.mend();
      }
      await expectAllDone(depot, workers, what);
    },
    60_000,
  );

  test.each([
    ['cut off', (proxy: CuttingProxy) => proxy.cut()],
    ['in a dead network', (proxy: CuttingProxy) => proxy.blackhole()],
  ])(
    'a worker that is %s beyond its lease changes nothing more; the others go on',
    async (_where, trouble) => {
      await using proxy = await CuttingProxy.start(server.port);
      // Long enough for the others to keep theirs on a machine that is busy.
      const depot = await open('5s');
      const workers = await three(depot, proxy, (i) => i === 1);
      trouble(proxy);
      const lonely = workers[1] as Attempt;
      const others = await Promise.all([workers[0], workers[2]].map((worker) => (worker as Attempt).ended));
      for (const { code, stderr } of others) expect(code, stderr).toBe(0);
      await depot.expectDone('the others');
      const before = await depot.footprint();
      proxy.mend();
      const { code, stderr }: Ended = await lonely.ended;
      // 0: it was between two splits, held nothing, and found the run finished.
      expect([0, 69, 75], stderr).toContain(code);
      expect(await depot.footprint(), stderr).toEqual(before);
      depot.remove();
    },
    60_000,
  );

  test('that is cut for all of them ends them; once it is mended, others go on', async () => {
    await using proxy = await CuttingProxy.start(server.port);
    const depot = await open('2s');
    const workers = await three(depot, proxy);
    proxy.cut();
    for (const { code, stderr } of await Promise.all(workers.map(({ ended }) => ended))) expect(code, stderr).toBe(69);
    proxy.mend();
    await until('their leases are over', async () => {
      const parts = await depot.look((store) => store.parts(KEY, 'split-'));
      return parts.every(({ lease }) => lease === undefined || lease.over);
    });
    await expectAllDone(depot, [depot.worker(), depot.worker()], 'mended');
  }, 60_000);
});
