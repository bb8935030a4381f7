/** What people ask of the workers of a shared run from elsewhere: to wait, to go on, to end. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../servers/redis.ts';
import { Depot, KEY, Parcels, SHARED_BACKENDS } from './depot.ts';
import { SEED } from './random.ts';
import type { Attempt } from './runner.ts';

const parcels = new Parcels(SEED + 16, 1_200_000);

let depot: Depot;
let workers: Attempt[];

/** How far each split is: one that was only begun (version 1) as far as one that nobody has taken. */
function positions(): Promise<unknown> {
  return depot.look(async (store) =>
    (await store.parts(KEY, 'split-')).map(({ part, version }) => [part, Math.max(1, version)]),
  );
}

describe.each(SHARED_BACKENDS)('three workers, state in %s', (backend) => {
  beforeEach(async () => {
    depot = await Depot.open(parcels, { backend, pace: 0.2, lockTimeout: '6s' });
    workers = [0, 1, 2].map(() => depot.worker());
    await Promise.all(
      workers.map((worker) =>
        worker.until('it works', ({ events }) => events.some(({ type }) => type === 'checkpoint')),
      ),
    );
  }, 30_000);
  afterEach(() => depot.remove());

  test('all of them pause, nobody reads on, and once resumed they finish it', async () => {
    await depot.verb('pause', '--run-key', KEY);
    await until(
      'all are paused',
      async () => (await depot.workers()).filter(({ state }) => state === 'paused').length === 3,
    );
    // Blocks that were on their way come through; a fifth of a second each is what the others would take.
    let before = '';
    let since = performance.now();
    await until('nobody has read on for five seconds', async () => {
      const now = JSON.stringify(await positions());
      if (now !== before) since = performance.now();
      before = now;
      return performance.now() - since > 5000;
    });
    expect((await depot.workers()).length).toBe(3);
    expect((await depot.run())?.status).toBe('running');
    depot.quicken();
    expect(JSON.stringify(await positions())).toBe(before);
    await depot.verb('resume', '--run-key', KEY);
    for (const { code, stderr } of await Promise.all(workers.map(({ ended }) => ended))) expect(code, stderr).toBe(0);
    await depot.expectDone('paused');
  }, 60_000);

  test('all of them are cancelled from elsewhere; who joins later goes on', async () => {
    await depot.verb('cancel', '--run-key', KEY);
    await depot.untilDraining();
    depot.quicken();
    const ended = await Promise.all(workers.map((worker) => worker.ended));
    for (const { code, stderr } of ended) expect(code, stderr).toBe(143);
    expect((await depot.run())?.status).toBe('interrupted');
    const left = await depot.left();
    expect(left.length).toBeGreaterThan(0);
    const next = await Promise.all([0, 1].map(() => depot.worker().ended));
    for (const { code, stderr } of next) expect(code, stderr).toBe(0);
    // What was done stays done: only what three workers had in hand is begun a second time.
    expect((await depot.groups()).attempts).toBeLessThanOrEqual(12 + Math.min(3, left.length));
    await depot.expectDone('cancelled');
  }, 60_000);

  // How it ends is no matter of the state: one way each.
  const ways: [string, string[]][] = [
    ['saves a checkpoint', []],
    ['goes at once', ['--force']],
  ];
  test.each(backend === 'sqlite' ? ways : ways.slice(backend === 'file' ? 0 : 1, backend === 'file' ? 1 : 2))(
    'one that is stopped %s, and the others do its work',
    async (_how, more) => {
      const one = await until('it is known', async () =>
        (await depot.workers()).find(({ pid }) => pid === workers[1]?.pid),
      );
      await depot.verb('worker', 'stop', one.worker_id, ...more);
      await until('it has heard of it', async () =>
        (await depot.workers()).every(({ pid, state }) => pid !== one.pid || state === 'draining'),
      );
      depot.quicken();
      const [first, stopped, third] = await Promise.all(workers.map((worker) => worker.ended));
      expect(stopped?.code, stopped?.stderr).toBe(143);
      for (const other of [first, third]) expect(other?.code, other?.stderr).toBe(0);
      await depot.expectDone('one stopped');
    },
    60_000,
  );
});

test.each(SHARED_BACKENDS)(
  'one that waits for another to merge is cancelled with the run, state in %s',
  async (backend) => {
    const few = new Parcels(SEED + 17, 60_000, 4);
    depot = await Depot.open(few, { backend, pace: 0, lockTimeout: '60s' });
    const args = ['--splits', '4', '--invocation', 'nightly'];
    const merging = depot.worker(args, { env: { OXIFLOW_STOP_AT: 'merging:2' } });
    await merging.untilFrozen();
    const waiting = depot.worker(args);
    await waiting.until('it waits', ({ stderr }) => stderr.includes('waiting for worker'));
    await depot.verb('cancel', '--run-key', KEY);
    const { code, stderr } = await waiting.ended;
    expect(code, stderr).toBe(143);
    expect(stderr).toContain('cancelled by ');
    // It was asked of all of them: the next to come goes on, though the one that was at work never heard of it.
    merging.kill();
    await merging.ended;
    depot.remove();
  },
);
