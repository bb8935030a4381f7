/** The verbs while somebody works on a run alone, is dead, or waits: real runs in processes of their own. */
import { describe, expect, test } from 'vitest';
import { thisHolder } from '../../runner/state/host.ts';
import { ALL_ORDERS, BACKENDS, openShop, until } from './cli-scene.ts';

describe.each(BACKENDS)('with state in $name,', (backend) => {
  test('cleanup leaves a run alone that somebody works on, and the run ends as it should', async () => {
    const shop = await openShop(backend);
    const worker = await shop.held();
    const done = await shop.ask('state', 'cleanup', '--stale', '--older-than', '0s');
    expect(done).toEqual({ dry_run: false, workers: [], leases: [], runs: [], history: 0, damaged: [] });
    expect(await shop.ask('status', '--run-key', 'orders')).toMatchObject({ workers_alive: 1, status: 'running' });
    shop.go();
    expect(await worker.ended).toMatchObject({ code: 0 });
    expect(shop.orders()).toEqual(ALL_ORDERS);
  });

  test('cleanup takes what a killed worker left, says so before it does, and the run goes on', async () => {
    const shop = await openShop(backend);
    await shop.interrupted();
    const worker = await shop.held();
    const id = (await shop.workers())[0]?.worker_id ?? '';
    const token = await shop.with(async (store) => (await store.read('orders', 'split-0'))?.token);
    worker.kill('SIGKILL');
    await worker.ended;
    expect(await shop.ask('worker', 'show', id)).toMatchObject({ alive: false, lease: { proven_dead: true } });
    expect(await shop.ask('status', '--run-key', 'orders')).toMatchObject({ workers_alive: 0, status: 'running' });
    const would = await shop.say('state', 'cleanup', '--stale', '--dry-run');
    expect(would.stdout).toContain(`would remove  registration of worker ${id}`);
    expect(would.stderr).toBe('would remove 1 registration, 1 lease\n');
    const expected = {
      workers: [{ run_key: 'orders', worker_id: id }],
      leases: [{ run_key: 'orders', part: 'split-0', worker_id: id, pid: worker.pid }],
      runs: [],
    };
    expect(await shop.ask('state', 'cleanup', '--stale', '--dry-run')).toMatchObject({ dry_run: true, ...expected });
    expect(await shop.ask('state', 'cleanup', '--stale')).toMatchObject({ dry_run: false, ...expected });
    expect((await shop.say('state', 'cleanup', '--stale')).stderr).toBe('nothing to clean up\n');
    // Whoever comes next still knows whose the staged output is: that of a worker that is gone.
    await shop.with(async (store) => {
      const next = await store.acquire('orders', 'split-0', thisHolder('next'), 3000);
      expect(next).toMatchObject({ acquired: true, predecessor: { token, released: true } });
      if (next.acquired) await store.release(next.lease);
    });
    shop.go();
    const { code, stderr } = await shop.run().ended;
    expect({ code, resumed: stderr.includes('going on from checkpoint') }).toEqual({ code: 0, resumed: true });
    expect(shop.orders()).toEqual(ALL_ORDERS);
  });

  test('cleanup takes finished runs and history that are older, by name, and no others', async () => {
    const shop = await openShop(backend);
    await shop.interrupted('monday');
    shop.go();
    expect(await shop.run('--run-key', 'tuesday').ended).toMatchObject({ code: 0 });
    expect(await shop.ask('state', 'cleanup', '--older-than', '7d')).toMatchObject({ runs: [], history: 0 });
    const expected = { runs: [{ run_key: 'tuesday', finished_at: expect.stringMatching(/^20/) }], history: 2 };
    expect(await shop.ask('state', 'cleanup', '--older-than', '0s', '--dry-run')).toMatchObject(expected);
    expect(await shop.ask('state', 'cleanup', '--older-than', '0s')).toMatchObject(expected);
    const { runs } = await shop.ask<{ runs: { run_key: string }[] }>('state', 'list');
    expect(runs.map(({ run_key }) => run_key)).toEqual(['monday']);
  });

  test('unlock without --force tells who holds the run and takes nothing', async () => {
    const shop = await openShop(backend);
    const worker = await shop.held();
    const { code, stderr } = await shop.say('state', 'unlock', '--run-key', 'orders');
    expect(code).toBe(75);
    expect(stderr).toMatch(
      /^run "orders" is held by worker .+ \(process \d+ on .+\), for \d.* --force takes it away: .+\n$/,
    );
    expect(stderr).toContain(`process ${worker.pid} `);
    shop.go();
    expect(await worker.ended).toMatchObject({ code: 0 });
    expect(await shop.ask('state', 'unlock', '--run-key', 'orders')).toEqual({ run_key: 'orders', unlocked: [] });
  });

  test('unlock --force takes a run from a worker that hangs: it stops with 75, and the next one does it all', async () => {
    const shop = await openShop(backend);
    const worker = await shop.held();
    const { code, stdout, stderr } = await shop.say('state', 'unlock', '--run-key', 'orders', '--force');
    expect(code).toBe(0);
    expect(stdout).toMatch(
      new RegExp(`^took +split-0 from worker .+ \\(process ${worker.pid} on .+\\) +it held for`, 'm'),
    );
    expect(stderr).toContain('run "orders" is free: the next attempt goes on from its last checkpoint');
    shop.go();
    expect(await worker.ended).toMatchObject({ code: 75 });
    expect(shop.orders()).toEqual([]);
    expect(await shop.run().ended).toMatchObject({ code: 0 });
    expect(shop.orders()).toEqual(ALL_ORDERS);
  });

  test('a worker that was unlocked writes neither a checkpoint nor an end any more', async () => {
    const shop = await openShop(backend);
    await shop.with(async (store) => {
      const late = await store.acquire('orders', 'split-0', thisHolder('late'), 60_000);
      if (!late.acquired) throw new Error('it is free');
      const write = (part: 'run' | 'split-0', expected: number) =>
        store.write('orders', part, { expected, token: late.lease.token, body: { by: 'late' }, grade: 'soft' });
      expect(await write('run', 0)).toMatchObject({ written: true });
      expect(await write('split-0', 0)).toMatchObject({ written: true });
      expect((await shop.say('state', 'unlock', '--run-key', 'orders', '--force')).code).toBe(0);
      expect(await write('run', 1)).toMatchObject({ written: false, reason: 'fenced' });
      expect(await write('split-0', 1)).toMatchObject({ written: false, reason: 'fenced' });
      expect(await store.renew(late.lease)).toBe(false);
      expect(await store.parts('orders')).toMatchObject([{ lease: undefined }, { lease: undefined }]);
    });
  });

  test('a paused run waits, says so, and goes on when it is resumed', async () => {
    const shop = await openShop(backend);
    const worker = await shop.held();
    expect(await shop.ask('pause', '--run-key', 'orders')).toMatchObject({ requested: true, status: 'running' });
    expect(await shop.ask('pause', '--run-key', 'orders')).toMatchObject({ requested: false });
    await until('the worker knows', async () => (await shop.workers())[0]?.state === 'paused');
    shop.go();
    await until('it says so', async () => worker.stderr.includes('a checkpoint is saved'));
    expect(await shop.ask('status', '--run-key', 'orders')).toMatchObject({ pause_requested: true, workers_alive: 1 });
    expect(shop.orders()).toEqual([]);
    expect(await shop.ask('resume', '--run-key', 'orders')).toMatchObject({ resumed: true, status: 'running' });
    expect(await worker.ended).toMatchObject({ code: 0 });
    expect(shop.orders()).toEqual(ALL_ORDERS);
    expect(await shop.ask('resume', '--run-key', 'orders')).toMatchObject({ resumed: false, status: 'finished' });
    expect((await shop.say('pause', '--run-key', 'orders')).stderr).toBe(
      'run "orders" is finished: nothing to pause\n',
    );
  });

  test('a pause stands for the next attempt of a run that nobody works on', async () => {
    const shop = await openShop(backend);
    await shop.interrupted();
    const { stderr } = await shop.say('pause', '--run-key', 'orders');
    expect(stderr).toBe('run "orders" is interrupted: its next attempt waits until: oxiflow resume --run-key orders\n');
    shop.go();
    const worker = await shop.held();
    await until('it waits', async () => (await shop.workers())[0]?.state === 'paused');
    await shop.ask('resume', '--run-key', 'orders');
    expect(await worker.ended).toMatchObject({ code: 0 });
    expect(shop.orders()).toEqual(ALL_ORDERS);
  });
});
