/** Whole runs whose state is in Redis, while the server restarts, forgets, stands still, cuts connections or fails over. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { RedisCluster, RedisServer, until } from '../servers/redis.ts';
import { keys } from '../state/redis-open.ts';
import { killUntil } from './kills.ts';
import { randomOf, SEED, SOAK } from './random.ts';
import type { Attempt } from './runner.ts';
import { Day, Shop, type Story } from './shop.ts';

const ROUNDS = Math.max(1, SOAK);
const day = new Day(SEED + 7, 1_600_000);
const long = new Day(SEED + 8, 14_000_000);
const TWO_SINKS: Story = { input: 'lines', output: 'lines', threads: 2, middle: true };
const INVOCATION = ['--invocation', 'nightly'];

let server: RedisServer;
let shop: Shop;

beforeAll(async () => {
  // What was acknowledged is on disk.
  server = await RedisServer.start({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
}, 120_000);
afterAll(async () => {
  day.remove();
  long.remove();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  shop = shopAt(server.url);
});
afterEach(() => server.cli('flushall'));

function shopAt(url: string, more: Readonly<Record<string, unknown>> = {}, of = day, softMs = 0): Shop {
  const redis = { connection_url: url, timeout_ms: 500, lock_timeout: '20s', ...more };
  return new Shop(of, { story: TWO_SINKS, backend: 'redis', softMs, state: { redis } });
}

/** Stops the run at a place, lets the trouble happen, and lets it go on. */
async function troubled(at: string, trouble: () => Promise<unknown>, of = shop): Promise<Attempt> {
  const attempt = of.attempt(INVOCATION, { env: { OXIFLOW_STOP_AT: at } });
  await attempt.untilFrozen();
  await trouble();
  attempt.kill('SIGCONT');
  return attempt;
}

const PLACES = ['opened', 'commit:1', 'committed:1', 'committed:2', 'publish', 'end'] as const;

test('nothing of an undisturbed run is left in the project but its outputs, and all of it is in the server', async () => {
  const ended = await shop.attempt(INVOCATION).ended;
  await shop.expectDone(ended, 'undisturbed');
  const started = ended.events.find(({ type }) => type === 'run.started');
  expect(JSON.stringify(started)).toContain(`"${server.url} (oxiflow:state)"`);
  expect(existsSync(join(shop.root, '.oxiflow/state.db'))).toBe(false);
  expect(readdirSync(join(shop.root, '.oxiflow/elsewhere'))).toEqual([]);
  expect(await server.cli('exists', keys.run('shop'))).toBe('1');
  const { stdout } = await shop.verb('history', 'shop', '--json');
  expect(stdout).toContain('"succeeded"');
  shop.remove();
});

describe('a server that comes back with its data costs nothing', () => {
  test.each(PLACES)('restarted at %s', async (at) => {
    const attempt = await troubled(at, () => server.restart());
    await shop.expectDone(await attempt.ended, at);
    shop.remove();
  });

  test('paused beyond the time of a command', async () => {
    const attempt = await troubled('commit:2', () => server.cli('client', 'pause', '1500', 'ALL'));
    await shop.expectDone(await attempt.ended, 'paused');
    shop.remove();
  });

  test('while it cuts connections all the time', { timeout: 60_000 }, async () => {
    const cut = shopAt(server.url, {}, long, 5);
    const attempt = cut.attempt(INVOCATION);
    let isOver = false;
    void attempt.ended.finally(() => {
      isOver = true;
    });
    let cuts = 0;
    while (!isOver) cuts += Number(await server.cli('client', 'kill', 'type', 'normal', 'skipme', 'yes'));
    await cut.expectDone(await attempt.ended, 'cut');
    expect(cuts).toBeGreaterThan(5);
    cut.remove();
  });

  test('with the worker killed meanwhile: the next one goes on from the last checkpoint', async () => {
    const attempt = await troubled('committed:2', () => server.restart());
    attempt.kill('SIGKILL');
    await attempt.ended;
    await server.restart();
    const ended = await shop.attempt(INVOCATION).ended;
    expect(ended.resumedFrom?.records).toBeGreaterThan(0);
    await shop.expectDone(ended, 'resumed');
    shop.remove();
  });
});

describe('a server that comes back without its data is not begun from zero on', () => {
  test.each(['commit:2', 'committed:2', 'publish'] as const)('emptied at %s', async (at) => {
    const attempt = await troubled(at, () => server.restart({ keepData: false }));
    const { code, stderr } = await attempt.ended;
    expect(code, stderr).toBe(74);
    expect(stderr).toContain('run "shop" was in redis://127.0.0.1');
    const again = await shop.attempt(INVOCATION).ended;
    expect(again.code, again.stderr).toBe(74);
    expect(again.stderr).toContain('--fresh');
    await shop.expectDone(await shop.attempt([...INVOCATION, '--fresh']).ended, 'fresh');
    shop.remove();
  });

  test('emptied before anything was saved: that attempt ends, and the next one has nothing to miss', async () => {
    const attempt = await troubled('opened', () => server.restart({ keepData: false }));
    const { code, stderr } = await attempt.ended;
    expect(code, stderr).toBe(74);
    await shop.expectDone(await shop.attempt(INVOCATION).ended, 'the next one');
    shop.remove();
  });

  test('nor by the attempt that comes after one that was killed', async () => {
    const attempt = shop.attempt(INVOCATION, { env: { OXIFLOW_CRASH_AT: 'committed:2' } });
    expect((await attempt.ended).signal).toBe('SIGKILL');
    await server.restart({ keepData: false });
    const { code, stderr, events } = await shop.attempt(INVOCATION).ended;
    expect(code, stderr).toBe(74);
    expect(events).toEqual([]);
    shop.remove();
  });
});

test('a worker that slept beyond its lease changes nothing when a successor has finished', {
  timeout: 60_000,
}, async () => {
  const brief = shopAt(server.url, { lock_timeout: '1s' });
  const sleeper = brief.attempt(INVOCATION, { env: { OXIFLOW_STOP_AT: 'commit:2' } });
  await sleeper.untilFrozen();
  await brief.expectDone(await brief.attempt(INVOCATION).ended, 'the successor');
  sleeper.kill('SIGCONT');
  const { code, stderr } = await sleeper.ended;
  expect(code, stderr).toBe(75);
  brief.expectOutputs('after it woke');
  brief.remove();
});

test('kill -9 at random instants costs nothing', { timeout: 120_000 * ROUNDS }, async () => {
  const least = { kills: 8 * ROUNDS, resumed: 5 * ROUNDS };
  let victims = 0;
  const tally = await killUntil(least, randomOf(SEED + 77), () =>
    shopAt(server.url, { key_prefix: `v${victims++}` }, long, 5),
  );
  expect(tally.kills).toBeGreaterThanOrEqual(least.kills);
  expect(tally.resumed).toBeGreaterThanOrEqual(least.resumed);
});

test('a server that would throw state away is told of once', async () => {
  await server.cli('config', 'set', 'maxmemory-policy', 'volatile-lru');
  try {
    const { code, stderr } = await shop.attempt(INVOCATION).ended;
    expect(code, stderr).toBe(0);
    expect(stderr.match(/maxmemory-policy volatile-lru/g)).toHaveLength(1);
  } finally {
    await server.cli('config', 'set', 'maxmemory-policy', 'noeviction');
  }
  shop.remove();
});

test('a wrong password and a server that is not there are said in one sentence, with their codes', async () => {
  await using locked = await RedisServer.start({ args: ['--requirepass', 'letmein'] });
  const wrong = shopAt(locked.url.replace('//', '//oxi:hunter2@'));
  const { code, stderr } = await wrong.attempt().ended;
  expect(code).toBe(126);
  expect(stderr).toContain('the server refuses this user or password');
  expect(stderr).not.toContain('hunter2');
  await locked.kill();
  const absent = await wrong.attempt().ended;
  expect(absent.code).toBe(69);
  expect(absent.stderr).toContain(`redis://127.0.0.1:${locked.port} (oxiflow:state) is out of reach`);
  expect(absent.stderr).not.toContain('hunter2');
  wrong.remove();
}, 60_000);

test('a run goes on when the master of its state is killed, or says truthfully that it can not', {
  timeout: 120_000,
}, async () => {
  await using cluster = await RedisCluster.start({ replicas: 1 });
  const spread = shopAt(cluster.url, { cluster_mode: true }, long, 5);
  let isStruck = false;
  const attempt = spread.attempt(INVOCATION, {
    onEvent: ({ type }) => {
      if (type !== 'checkpoint' || isStruck) return;
      isStruck = true;
      void cluster.masterOf(keys.run('shop')).then((master) => master.kill());
    },
  });
  let ended = await attempt.ended;
  expect(isStruck).toBe(true);
  for (let again = 0; ended.code !== 0 && again < 3; again++) {
    // What the failover lost may be the run: then that is said, and it begins anew only when it is told to.
    expect([69, 74], ended.stderr).toContain(ended.code);
    await until('the cluster', async () => (await cluster.masterOf(keys.run('shop'))) !== undefined);
    ended = await spread.attempt([...INVOCATION, ...(ended.code === 74 ? ['--fresh'] : [])]).ended;
  }
  await spread.expectDone(ended, 'failed over');
  spread.remove();
});

test.each([
  ['its documents', true],
  ['what they belong to', false],
])(
  'a run goes on while its slot is moved to another master, first %s',
  { timeout: 120_000 },
  async (_, documentsFirst) => {
    await using cluster = await RedisCluster.start({ replicas: 1 });
    const spread = shopAt(cluster.url, { cluster_mode: true }, long, 5);
    const from = await cluster.masterOf(keys.run('shop'));
    let checkpoints = 0;
    const attempt = spread.attempt(INVOCATION, {
      env: { OXIFLOW_STOP_AT: 'committed:1' },
      onEvent: ({ type }) => {
        if (type === 'checkpoint') checkpoints++;
      },
    });
    await attempt.untilFrozen();
    await cluster.moveSlot(
      keys.run('shop'),
      async (gone) => {
        if (gone !== 1) return;
        // One key of it is there, the others are here.
        const before = checkpoints;
        attempt.kill('SIGCONT');
        await until('more checkpoints', async () => checkpoints > before + 1);
      },
      { documentsFirst },
    );
    await spread.expectDone(await attempt.ended, 'moved');
    expect((await cluster.masterOf(keys.run('shop'))).port).not.toBe(from.port);
    spread.remove();
  },
);
