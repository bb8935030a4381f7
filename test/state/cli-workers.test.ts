/** The verbs about workers, and those about runs that several of them share: real workers, each a process of its own. */
import { describe, expect, test } from 'vitest';
import { ALL_ORDERS, BACKENDS, openShop, type Shop, until, type Worker } from './cli-scene.ts';

/** Two workers of one run, both at work on a group, both standing still. */
async function pair(shop: Shop): Promise<[Worker, Worker]> {
  const both: [Worker, Worker] = [await shop.held('--join'), await shop.held('--join')];
  await until('both have a group', async () => (await shop.workers()).every(({ splits = [] }) => splits.length > 0));
  return both;
}

async function idOf(shop: Shop, { pid }: Worker): Promise<string> {
  const found = (await shop.workers()).find((one) => one.pid === pid);
  if (found === undefined) throw new Error(`no worker has the process ${pid}`);
  return found.worker_id;
}

describe.each(BACKENDS)('with state in $name,', (backend) => {
  test('list, show and status tell of two workers that share a run, and what each is at', async () => {
    const shop = await openShop(backend);
    const [first, second] = await pair(shop);
    const workers = await shop.workers('--pipeline', 'orders');
    expect(workers.map(({ pid }) => pid)).toEqual([first.pid, second.pid]);
    expect(workers[0]).toMatchObject({ run_key: 'orders', state: 'working', alive: true, lease: { over: false } });
    expect(new Set(workers.map(({ splits }) => splits?.[0])).size).toBe(2);
    expect(await shop.workers('--pipeline', 'returns')).toEqual([]);
    expect(await shop.workers('--run-key', 'orders')).toHaveLength(2);
    const id = await idOf(shop, second);
    const { stdout } = await shop.say('worker', 'show', id);
    expect(stdout).toMatch(new RegExp(`^process +${second.pid} on `, 'm'));
    const status = await shop.ask<{ groups_total: number }>('status', '--run-key', 'orders');
    expect(status).toMatchObject({ workers_alive: 2, groups_done: 0, status: 'running' });
    expect(status.groups_total).toBeGreaterThan(1);
    shop.go();
    expect(await Promise.all([first.ended, second.ended])).toMatchObject([{ code: 0 }, { code: 0 }]);
    expect(shop.orders()).toEqual(ALL_ORDERS);
    expect(await shop.workers()).toEqual([]);
    const { groups_total: all } = status;
    expect(await shop.ask('status', '--run-key', 'orders')).toMatchObject({
      workers_alive: 0,
      groups_done: all,
      status: 'finished',
      records: ALL_ORDERS.length,
    });
  });

  test('a worker that is stopped ends, and the other one does its work', async () => {
    const shop = await openShop(backend);
    const [first, second] = await pair(shop);
    const id = await idOf(shop, first);
    expect(await shop.ask('worker', 'stop', id)).toMatchObject({ worker_id: id, requested: true, force: false });
    await until('it drains', async () => (await shop.ask('worker', 'show', id)).state === 'draining');
    shop.go(first);
    expect(await first.ended).toMatchObject({ code: 143 });
    expect((await shop.workers()).map(({ pid }) => pid)).toEqual([second.pid]);
    shop.go();
    expect(await second.ended).toMatchObject({ code: 0 });
    expect(shop.orders()).toEqual(ALL_ORDERS);
  });

  test('a worker that hangs is stopped at once with --force', async () => {
    const shop = await openShop(backend);
    const [first, second] = await pair(shop);
    const id = await idOf(shop, first);
    const { stderr } = await shop.say('worker', 'stop', id, '--force');
    expect(stderr).toBe(
      `asked worker "${id}" of run "orders" to end at once; its work since its last checkpoint is done again by others\n`,
    );
    expect((await first.ended).code).not.toBe(0);
    shop.go();
    expect(await second.ended).toMatchObject({ code: 0 });
    expect(shop.orders()).toEqual(ALL_ORDERS);
  });

  test('a worker is found by how no other one begins; otherwise those that it could be are named', async () => {
    const shop = await openShop(backend);
    const [first, second] = await pair(shop);
    const ids = [await idOf(shop, first), await idOf(shop, second)];
    const [id = '', other = ''] = ids;
    // Ids end in the process and six digits: all but those tell two of one machine apart.
    expect(await shop.ask('worker', 'show', id.slice(0, -6))).toMatchObject({ worker_id: id });
    const common = [...id].findIndex((letter, i) => letter !== other[i]);
    const many = await shop.say('worker', 'stop', id.slice(0, common));
    expect(many.code).toBe(2);
    for (const one of ids) expect(many.stderr).toContain(`"${one}" of run "orders"`);
    const none = await shop.say('worker', 'stop', 'nobody');
    expect(none.code).toBe(2);
    expect(none.stderr).toMatch(/^no worker "nobody" in .+: there are: .+\n$/);
    expect(none.stderr).toContain(id);
    expect(await shop.with((store) => store.requests('orders'))).toEqual([]);
    shop.go();
    expect(await Promise.all([first.ended, second.ended])).toMatchObject([{ code: 0 }, { code: 0 }]);
  });

  test('a worker that was killed is shown as dead, and is not asked to stop', async () => {
    const shop = await openShop(backend);
    const [first, second] = await pair(shop);
    const id = await idOf(shop, first);
    first.kill('SIGKILL');
    await first.ended;
    expect((await shop.say('worker', 'list')).stdout).toMatch(new RegExp(`^${id} +orders +dead `, 'm'));
    expect((await shop.say('worker', 'stop', id)).stderr).toBe(`worker "${id}" is dead: nothing to stop\n`);
    expect(await shop.ask('status', '--run-key', 'orders')).toMatchObject({ workers_alive: 1 });
    shop.go();
    expect(await second.ended).toMatchObject({ code: 0 });
    expect(shop.orders()).toEqual(ALL_ORDERS);
  });

  test('cancel ends all workers of a shared run, and the next ones go on', async () => {
    const shop = await openShop(backend);
    const workers = await pair(shop);
    expect(await shop.ask('cancel', '--run-key', 'orders')).toMatchObject({ requested: true });
    await until('both drain', async () => (await shop.workers()).every(({ state }) => state === 'draining'));
    shop.go();
    const ended = await Promise.all(workers.map((worker) => worker.ended));
    expect(ended.map(({ code }) => code)).toEqual([143, 143]);
    expect(await shop.ask('status', '--run-key', 'orders')).toMatchObject({ status: 'interrupted', workers_alive: 0 });
    expect(await shop.run('--join').ended).toMatchObject({ code: 0 });
    expect(shop.orders()).toEqual(ALL_ORDERS);
  });

  test('a paused shared run stands still until it is resumed', async () => {
    const shop = await openShop(backend);
    const workers = await pair(shop);
    await shop.ask('pause', '--run-key', 'orders');
    await until('both know', async () => (await shop.workers()).every(({ state }) => state === 'paused'));
    expect(await shop.ask('status', '--run-key', 'orders')).toMatchObject({ pause_requested: true, workers_alive: 2 });
    shop.go();
    await shop.ask('resume', '--run-key', 'orders');
    const ended = await Promise.all(workers.map((worker) => worker.ended));
    expect(ended.map(({ code }) => code)).toEqual([0, 0]);
    expect(shop.orders()).toEqual(ALL_ORDERS);
  });

  test('a shared run that was cancelled is exported and goes on in another backend', async () => {
    const shop = await openShop(backend);
    const workers = await pair(shop);
    await shop.ask('cancel', '--run-key', 'orders');
    await until('both drain', async () => (await shop.workers()).every(({ state }) => state === 'draining'));
    shop.go();
    await Promise.all(workers.map((worker) => worker.ended));
    const before = await shop.ask<{ groups: unknown[]; records_processed: number }>('state', 'show', 'orders');
    const { file } = await shop.ask<{ file: string }>('state', 'backup');
    const there = ['--state-backend', backend.other];
    await shop.ask('state', 'restore', file, ...there);
    const { groups, records_processed } = before;
    expect(await shop.ask('state', 'show', 'orders', ...there)).toMatchObject({ groups, records_processed });
    expect(await shop.run('--join', ...there).ended).toMatchObject({ code: 0 });
    expect(shop.orders()).toEqual(ALL_ORDERS);
  });
});
