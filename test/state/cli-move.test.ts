/** State on the move: exports, imports, backups, and what they refuse. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { StateStore } from '../../runner/state/store.ts';
import { ALL_ORDERS, BACKENDS, openShop, runDocument, type Shop, save, splitDocument } from './cli-scene.ts';

async function saveRun(store: StateStore, runKey: string, n: number): Promise<void> {
  await save(store, runKey, 'run', runDocument(runKey, { attempt: n, status: 'interrupted' }));
  await save(store, runKey, 'split-0', splitDocument(runKey, n));
}

/** What everybody can see of the store but for the times of writes and the versions. */
async function contents(shop: Shop, backend?: string): Promise<unknown> {
  return await shop.with(async (store) => {
    const runs: Record<string, unknown> = {};
    for (const { runKey } of await store.list()) {
      for (const { part, lease } of await store.parts(runKey))
        runs[`${runKey} ${part}`] = { body: (await store.read(runKey, part))?.body, lease };
    }
    return { runs, history: await store.history() };
  }, backend);
}

describe.each(BACKENDS)('with state in $name,', (backend) => {
  test('a run that was interrupted is exported, imported in another backend, and goes on there', async () => {
    const shop = await openShop(backend);
    await shop.interrupted();
    const file = join(shop.root, 'orders.json');
    const written = await shop.ask('state', 'export', '--run-key', 'orders', '--output', file);
    expect(written).toMatchObject({ file, runs: 1, documents: 2, history: 1, bytes: statSync(file).size });
    const there = ['--state-backend', backend.other];
    const done = await shop.ask('state', 'import', file, ...there);
    expect(done).toMatchObject({ added: ['orders'], replaced: [], removed: [], history: 1, backup: null });
    expect(await contents(shop, backend.other)).toEqual(await contents(shop));
    shop.go();
    const { code, stderr } = await shop.run(...there).ended;
    expect({ code, resumed: stderr.includes('going on from checkpoint') }).toEqual({ code: 0, resumed: true });
    expect(shop.orders()).toEqual(ALL_ORDERS);
    expect(await shop.ask('status', '--run-key', 'orders', ...there)).toMatchObject({ status: 'finished' });
    expect(await shop.ask('status', '--run-key', 'orders')).toMatchObject({ status: 'interrupted' });
  });

  test('import refuses what is there unless it is to replace it, and keeps that in a backup first', async () => {
    const shop = await openShop(backend);
    const file = join(shop.root, 'all.json');
    await shop.with(async (store) => {
      await saveRun(store, 'monday', 3);
      await saveRun(store, 'tuesday', 2);
    });
    writeFileSync(file, (await shop.say('state', 'export')).stdout);
    const before = await contents(shop);
    await shop.with(async (store) => {
      await save(store, 'monday', 'split-0', splitDocument('monday', 9));
      await save(store, 'monday', 'split-1', splitDocument('monday', 1));
      await store.request('monday', { kind: 'cancel', at: 'now', from: 'till' });
    });
    const later = await contents(shop);
    const { code, stderr } = await shop.say('state', 'import', file);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^there already: "monday", "tuesday"; nothing was changed\. --replace /);
    expect(await contents(shop)).toEqual(later);
    const would = await shop.ask('state', 'import', file, '--replace', '--dry-run');
    expect(would).toMatchObject({ dry_run: true, replaced: ['monday', 'tuesday'] });
    expect(await contents(shop)).toEqual(later);
    const done = await shop.ask<{ backup: string }>('state', 'import', file, '--replace');
    expect(done).toMatchObject({ dry_run: false, added: [], replaced: ['monday', 'tuesday'], removed: [] });
    expect(await contents(shop)).toEqual(before);
    expect(await shop.with((store) => store.requests('monday'))).toEqual([]);
    // And back again.
    await shop.ask('state', 'restore', done.backup, '--replace');
    expect(await contents(shop)).toEqual(later);
  });

  test('import and restore refuse while somebody works on one of the runs, and change none of them', async () => {
    const shop = await openShop(backend);
    const worker = await shop.held();
    await shop.with((store) => saveRun(store, 'another', 1));
    const { file } = await shop.ask<{ file: string }>('state', 'backup');
    await shop.with((store) => save(store, 'another', 'split-0', splitDocument('another', 5)));
    for (const verb of ['import', 'restore']) {
      const { code, stderr } = await shop.say('state', verb, file, '--replace');
      expect(code).toBe(75);
      expect(stderr).toMatch(
        new RegExp(`^run "orders": worker ".+" \\(process ${worker.pid} on .+\\) works on it; nothing was`),
      );
    }
    const another = await shop.with((store) => store.read('another', 'split-0'));
    expect(another?.body).toEqual(splitDocument('another', 5));
    shop.go();
    expect(await worker.ended).toMatchObject({ code: 0 });
    expect(shop.orders()).toEqual(ALL_ORDERS);
  });

  test('restore makes the runs those of the backup: changed ones come back, others are removed', async () => {
    const shop = await openShop(backend);
    await shop.with(async (store) => {
      await saveRun(store, 'monday', 3);
      await saveRun(store, 'tuesday', 2);
    });
    const before = await contents(shop);
    const { stderr: said } = await shop.say('state', 'backup');
    const [name = ''] = readdirSync(join(shop.root, '.oxiflow/backups'));
    expect(name).toMatch(/^state-\d{8}T\d{6}-\d{3}Z\.json$/);
    const file = join(shop.root, '.oxiflow/backups', name);
    expect(said).toBe(`2 runs and 0 entries of the history: ${file}\n`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await shop.with(async (store) => {
      await save(store, 'monday', 'split-0', splitDocument('monday', 7));
      await saveRun(store, 'wednesday', 1);
      const lease = await store.acquire('tuesday', 'run', { ...NOBODY }, 60_000);
      if (!lease.acquired) throw new Error('it is free');
      await store.remove(lease.lease);
      await store.release(lease.lease);
    });
    expect((await shop.say('state', 'restore', file)).code).toBe(2);
    const { code, stdout } = await shop.say('state', 'restore', file, '--replace');
    expect({ code, lines: stdout.split('\n').sort() }).toEqual({
      code: 0,
      lines: ['', 'added     tuesday', 'removed   wednesday', 'replaced  monday'],
    });
    expect(await contents(shop)).toEqual(before);
    expect(readdirSync(join(shop.root, '.oxiflow/backups'))).toHaveLength(2);
  });

  test('an export is taken while a run is at work, without its leases and workers', async () => {
    const shop = await openShop(backend);
    const worker = await shop.held();
    const { code, stdout } = await shop.say('state', 'export');
    expect(code).toBe(0);
    const { runs } = JSON.parse(stdout) as { runs: { documents: { part: string }[] }[] };
    expect(runs.flatMap(({ documents }) => documents.map(({ part }) => part))).toEqual(['run']);
    shop.go();
    expect(await worker.ended).toMatchObject({ code: 0 });
  });
});

const NOBODY = { workerId: 'nobody', host: 'h', bootId: 'b', pidSpace: '', pid: 1, startedAt: '' };

describe('an export', () => {
  const [sqlite] = BACKENDS;
  if (sqlite === undefined) throw new Error('there are no backends');

  /** An export of two runs, changed. */
  async function changed(change: (text: string) => string): Promise<{ shop: Shop; file: string }> {
    const shop = await openShop(sqlite as (typeof BACKENDS)[number]);
    await shop.with(async (store) => {
      await saveRun(store, 'monday', 3);
      await saveRun(store, 'tuesday', 2);
    });
    const file = join(shop.root, 'export.json');
    writeFileSync(file, change((await shop.say('state', 'export')).stdout));
    return { shop, file };
  }

  test.each<[string, number, (text: string) => string, RegExp]>([
    ['that was cut off', 74, (text) => text.slice(0, -40), /is damaged: it is cut off, or was changed\. Nothing/],
    [
      'of which a number was changed',
      74,
      (text) => text.replace('"records":30', '"records":31'),
      /its checksum does not/,
    ],
    [
      'of which a run was taken out',
      74,
      (text) => text.replace(/\n\{"run_key":"monday".*\n/, '\n'),
      /its checksum does not/,
    ],
    [
      'with a field that it has not',
      74,
      (text) => text.replace('"made_at"', '"who":1,"made_at"'),
      /is damaged: wrong field/,
    ],
    [
      'of a newer oxiflow',
      74,
      (text) => text.replace('_export":1', '_export":2'),
      /has format 2, this oxiflow knows 1/,
    ],
    ['that is another file', 2, () => '{"orders":[]}', /is no export and no backup of oxiflow's state/],
    ['that is empty', 2, () => '', /is no export and no backup/],
  ])('%s is refused with %i, and nothing is changed', async (_what, exit, change, message) => {
    const { shop, file } = await changed(change);
    const before = await contents(shop);
    for (const verb of ['import', 'restore']) {
      const { code, stdout, stderr } = await shop.say('state', verb, file, '--replace');
      expect({ code, stdout }).toEqual({ code: exit, stdout: '' });
      expect(stderr).toMatch(message);
      expect(stderr).toContain(file);
    }
    expect(await contents(shop)).toEqual(before);
    expect(readdirSync(shop.root)).not.toContain('.oxiflow/backups');
  });

  test('of which a document is of no known form is refused by its name, though its checksum is right', async () => {
    const { shop, file } = await changed((text) => text);
    await shop.with((store) => save(store, 'monday', 'split-0', { checkpoint: { hard: 'none' } }));
    // Nobody exports what can't be read.
    const { code, stderr } = await shop.say('state', 'export');
    expect(code).toBe(74);
    expect(stderr).toContain('checkpoint.hard');
    // Nor replaces it: that keeps a backup first.
    expect((await shop.say('state', 'import', file, '--replace')).code).toBe(74);
  });

  test('that was laid out anew is taken', async () => {
    const { shop, file } = await changed((text) => JSON.stringify(JSON.parse(text), null, 2));
    expect((await shop.say('state', 'import', file, '--replace')).code).toBe(0);
  });

  test('is never written over a file that is there, and leaves nothing beside it', async () => {
    const { shop, file } = await changed((text) => text);
    const before = readFileSync(file, 'utf8');
    const names = readdirSync(shop.root).sort();
    for (const words of [['export'], ['backup']]) {
      const { code, stderr } = await shop.say('state', ...words, '--output', file);
      expect({ code, stderr }).toEqual({ code: 2, stderr: `${file} is there already: name another file\n` });
    }
    expect(readFileSync(file, 'utf8')).toBe(before);
    expect(readdirSync(shop.root).sort()).toEqual(names);
  });

  test('of one run is no whole store: restore refuses it and says what takes it', async () => {
    const { shop } = await changed((text) => text);
    const file = join(shop.root, 'one.json');
    await shop.ask('state', 'export', '--run-key', 'monday', '--output', file);
    const { code, stderr } = await shop.say('state', 'restore', file, '--replace');
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `${file} holds one run and not a whole store: oxiflow state import takes it\n`,
    });
    expect((await shop.say('state', 'export', '--run-key', 'friday')).code).toBe(2);
  });
});
