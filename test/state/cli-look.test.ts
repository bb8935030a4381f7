/** What the verbs show of runs, shared ones too, and of damage. */
import { describe, expect, test } from 'vitest';
import { thisHolder } from '../../runner/state/host.ts';
import type { GroupState } from '../../runner/state/pipeline-state.ts';
import type { StateStore } from '../../runner/state/store.ts';
import { workerPart } from '../../runner/state/worker-part.ts';
import { BACKENDS, openShop, runDocument, save, splitDocument } from './cli-scene.ts';

const WORKER = 'till-2\u001b[2J';

/** Three groups: one is done, one at work, one has failed. */
async function saveShared(store: StateStore): Promise<void> {
  const splits = (group: number) => [
    { index: 0, name: `input/orders-${2 * group}.ndjson`, size: 70 },
    { index: 1, name: `input/orders-${2 * group + 1}.ndjson`, size: 70 },
  ];
  const at = '2026-03-01T10:00:09.000Z';
  const groups = [
    { splits: splits(0), done: { worker_id: 'till-1', at, records: 40, bytes: 400 } },
    { splits: splits(1) },
    {
      splits: splits(2),
      failed: { worker_id: 'till-3', attempt: 1, at, code: 'RECORD_INVALID', message: 'a bad one', exit_code: 3 },
    },
  ];
  await save(store, 'market', 'run', runDocument('market', { shared: { groups } }));
  // A group's attempts are a run of their own, that the whole one has asked for.
  const attempts = runDocument('market', { invocation: 'id of market' });
  for (const part of ['group-0', 'group-1', 'group-2'] as const) await save(store, 'market', part, attempts);
  await save(store, 'market', 'split-0', splitDocument('market', 4));
  await save(store, 'market', 'split-2', splitDocument('market', 1));
  const holder = thisHolder(WORKER);
  const lease = await store.acquire('market', 'split-1', holder, 60_000);
  const heart = await store.acquire('market', workerPart(WORKER), holder, 60_000);
  if (!lease.acquired || !heart.acquired) throw new Error('they are free');
  await save(store, 'market', 'split-1', splitDocument('market', 2, at), lease.lease.token);
  const registration = {
    worker_id: WORKER,
    run_key: 'market',
    run_id: 'id of market',
    pipeline: 'orders',
    host: 'till',
    pid: 7,
    version: '0.1.0',
    capacity: 2,
    state: 'working',
    started_at: at,
    splits: [1],
    done: 0,
    records: 20,
    bytes: 200,
    updated_at: at,
  };
  await save(store, 'market', workerPart(WORKER), registration, heart.lease.token);
}

describe.each(BACKENDS)('with state in $name,', (backend) => {
  test('list shows all runs, or those that are active, failed or completed', async () => {
    const shop = await openShop(backend);
    await shop.with(async (store) => {
      for (const status of ['running', 'failed', 'interrupted', 'finished'] as const)
        await save(store, `run that is ${status}`, 'run', runDocument(`run that is ${status}`, { status }));
    });
    const listed = async (...words: string[]): Promise<string[]> => {
      const { runs } = await shop.ask<{ runs: { status: string }[] }>('state', 'list', ...words);
      return runs.map(({ status }) => status).sort();
    };
    expect(await listed()).toEqual(['failed', 'finished', 'interrupted', 'running']);
    expect(await listed('--active')).toEqual(['failed', 'interrupted', 'running']);
    expect(await listed('--failed')).toEqual(['failed']);
    expect(await listed('--completed')).toEqual(['finished']);
    const { code, stderr } = await shop.say('state', 'list', '--active', '--failed');
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('cannot be used with') });
  });

  test('show and status tell of a shared run how its groups stand, and their sums', async () => {
    const shop = await openShop(backend);
    await shop.with(saveShared);
    const state = await shop.ask<{ groups: GroupState[] }>('state', 'show', 'orders');
    expect(state).toMatchObject({
      run_key: 'market',
      records_processed: 70,
      data_size_processed: 700,
      batch_number: 7,
      records_failed: 3,
      last_processed_id: 'input/orders-2.ndjson@200',
      step_states: { read: { out: 70 }, price: { out: 67 }, write: { in: 0 } },
      current_step: 'price',
      workers_alive: 1,
    });
    expect(state.groups).toMatchObject([
      { group: 0, done: true, worker_id: 'till-1', lease: null, checkpoint: 4, records: 40, bytes: 400 },
      { group: 1, done: false, worker_id: WORKER, lease: { over: false }, checkpoint: 2, records: 20 },
      { group: 2, done: false, worker_id: 'till-3', checkpoint: 1, error: { code: 'RECORD_INVALID' } },
    ]);
    const { stdout } = await shop.say('state', 'show', 'orders');
    expect(stdout).toMatch(/^groups +1 of 3 done$/m);
    expect(stdout).toMatch(/^0 +done +4 +40 +till-1 +- +input\/orders-0\.ndjson and 1 more$/m);
    expect(stdout).toMatch(/^1 +at work +2 +20 +till-2\\u001b\[2J +\d+/m);
    expect(stdout).toMatch(/^2 +failed \(RECORD_INVALID\) +1 +10 +till-3 /m);
    expect(await shop.ask('status', '--run-key', 'market')).toMatchObject({
      groups_done: 1,
      groups_total: 3,
      workers_alive: 1,
      records: 70,
      bytes: 700,
      cancel_requested: false,
      pause_requested: false,
    });
    const { stdout: lines } = await shop.say('status', '--run-key', 'market');
    expect(lines).toMatch(/^groups done +1\ngroups total +3$/m);
  });

  test('text of others is harmless in every verb that shows it', async () => {
    const shop = await openShop(backend);
    await shop.with(saveShared);
    const verbs = ['worker list', 'worker show till-2', 'worker stop till-2', 'state unlock --run-key market'];
    for (const words of verbs) {
      const { stdout, stderr } = await shop.say(...words.split(' '));
      expect(stdout + stderr).toContain('till-2\\u001b[2J');
    }
    expect((await shop.say('worker', 'show', '\u001b[2J')).stderr).toContain('no worker "\\u001b[2J"');
  });

  test('check reads everything, finds nothing wrong, and says what it read', async () => {
    const shop = await openShop(backend);
    await shop.with(saveShared);
    const found = await shop.ask('state', 'check');
    expect(found).toMatchObject({ runs: 1, documents: 8, history: 0, damage: [] });
    const { code, stderr } = await shop.say('state', 'check', '--run-key', 'market');
    expect(code).toBe(0);
    expect(stderr).toMatch(/^all good: 1 runs, 8 documents, 0 entries of the history in /);
    expect((await shop.say('state', 'check', '--run-key', 'bazaar')).code).toBe(2);
  });

  test('check names every document that is of no known form, and its exit code is 74', async () => {
    const shop = await openShop(backend);
    await shop.with(async (store) => {
      await saveShared(store);
      await save(store, 'good', 'run', runDocument('good'));
      await save(store, 'market', 'split-2', { checkpoint: 'none' });
      await save(store, 'strange', 'run', { pipeline: 'orders' });
      await save(store, 'stolen', 'run', runDocument('good'));
    });
    const { code, stdout } = await shop.say('state', 'check', '--json');
    expect(code).toBe(74);
    const { damage } = JSON.parse(stdout) as { damage: { run_key: string; part: string; message: string }[] };
    expect(damage.map(({ run_key, part }) => `${run_key} ${part}`).sort()).toEqual([
      'market split-2',
      'stolen run',
      'strange run',
    ]);
    expect(damage.find(({ run_key }) => run_key === 'stolen')?.message).toContain('it belongs to the run "good"');
    const told = await shop.say('state', 'check');
    expect(told.stdout).toMatch(/^market +split-2 +\S.* +the saved split document is not of the form/m);
    expect(told.stderr).toContain('3 damaged of 4 runs');
    expect((await shop.say('state', 'check', '--run-key', 'good')).code).toBe(0);
    expect((await shop.say('state', 'check', '--run-key', 'strange')).code).toBe(74);
  });
});
