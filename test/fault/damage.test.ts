import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, describe, expect, test } from 'vitest';
import { parseSplitDocument } from '../../runner/engine/documents.ts';
import { thisHolder } from '../../runner/state/host.ts';
import { openStore } from '../../runner/state/open.ts';
import type { Json } from '../../runner/state/store.ts';
import { SEED } from './random.ts';
import { BACKENDS, type Backend } from './runner.ts';
import { Day, Shop, type Story } from './shop.ts';

const day = new Day(SEED + 6, 8_000_000);
afterAll(() => day.remove());

const TWO_SINKS: Story = { input: 'lines', output: 'array', threads: 1, middle: true };

async function killed(backend: Backend, story?: Story): Promise<Shop> {
  const shop = new Shop(day, { backend, softMs: 0, ...(story === undefined ? {} : { story }) });
  const { signal, stderr } = await shop.attempt([], { env: { OXIFLOW_CRASH_AT: 'committed:2' } }).ended;
  expect(signal, stderr).toBe('SIGKILL');
  return shop;
}

describe.each(BACKENDS)('what was staged is damaged, state in %s', (backend) => {
  test.each([
    ['good.json', 'step "good": what was staged for out/good.json is gone'],
    ['priced.json', 'step "priced": what was staged for out/priced.json is gone'],
  ])('%s is gone: both outputs are made anew, and the run says why', async (name, why) => {
    const shop = await killed(backend, TWO_SINKS);
    for (const staged of shop.staged()) if (staged.startsWith(`.${name}`)) rmSync(join(shop.root, 'out', staged));
    const anew = await shop.attempt().ended;
    expect(anew.resumedFrom).toBeUndefined();
    expect(anew.stderr).toContain(`${why}: the run starts from zero`);
    await shop.expectDone(anew, why);
    shop.remove();
  });

  test('it is shorter than its mark: the run starts from zero and says why', async () => {
    const shop = await killed(backend);
    for (const staged of shop.staged()) truncateSync(join(shop.root, 'out', staged), 10);
    const anew = await shop.attempt().ended;
    expect(anew.resumedFrom).toBeUndefined();
    expect(anew.stderr).toMatch(
      /out\/priced\.ndjson has 10 bytes, the checkpoint speaks of \d+: the run starts from zero/,
    );
    await shop.expectDone(anew, 'too short');
    shop.remove();
  });

  test('one of two is gone while they are published: both are made anew', async () => {
    const shop = new Shop(day, { backend, softMs: 0, story: TWO_SINKS });
    const dead = await shop.attempt([], { env: { OXIFLOW_CRASH_AT: 'published:1' } }).ended;
    expect(dead.signal, dead.stderr).toBe('SIGKILL');
    for (const staged of shop.staged()) rmSync(join(shop.root, 'out', staged));
    const anew = await shop.attempt().ended;
    expect(anew.stderr).toContain('what was staged for out/priced.json is gone: the run starts from zero');
    await shop.expectDone(anew, 'one published');
    shop.remove();
  });

  test('a soft checkpoint of another boot is not trusted: the run goes on from the hard one', async () => {
    const shop = new Shop(day, { backend, softMs: 0 });
    const first = shop.attempt([], { env: { OXIFLOW_STOP_AT: 'read:4' } });
    await first.untilFrozen();
    first.kill('SIGTERM');
    first.kill('SIGCONT');
    expect((await first.ended).code).toBe(143);
    const dead = await shop.attempt([], { env: { OXIFLOW_CRASH_AT: 'committed:1' } }).ended;
    expect(dead.resumedFrom?.grade, dead.stderr).toBe('hard');

    const { hard, soft } = await rebooted(shop, backend);
    expect(soft).toBeGreaterThan(hard);
    const resumed = await shop.attempt().ended;
    expect(resumed.resumedFrom).toMatchObject({ checkpoint: hard, grade: 'hard' });
    await shop.expectDone(resumed, 'another boot');
    shop.remove();
  });
});

/** Makes the saved soft checkpoint one of another boot; returns the numbers of both checkpoints. */
async function rebooted(shop: Shop, backend: Backend): Promise<{ hard: number; soft: number }> {
  await using store = await openStore({ backend, projectRoot: shop.root });
  const taken = await store.acquire('shop', 'split-0', thisHolder('test'), 10_000);
  if (!taken.acquired) throw new Error('the dead worker still has its lease');
  const stored = await store.read('shop', 'split-0');
  const document = parseSplitDocument(stored?.body ?? {});
  const { hard, soft } = document.checkpoint;
  if (stored === undefined || hard === undefined || soft === undefined) throw new Error('a checkpoint is missing');
  const body = { ...document, checkpoint: { hard, soft: { ...soft, boot_id: 'before the reboot' } } };
  const { token } = taken.lease;
  const result = await store.write('shop', 'split-0', {
    expected: stored.version,
    token,
    body: body as unknown as { [key: string]: Json },
    grade: 'hard',
  });
  expect(result.written).toBe(true);
  await store.release(taken.lease);
  return { hard: hard.n, soft: soft.n };
}

test('a run that the first release has left unfinished, without all that its documents have learnt since, goes on', async () => {
  const shop = await killed('file');
  await using store = await openStore({ backend: 'file', projectRoot: shop.root });
  const taken = await store.acquire('shop', 'split-0', thisHolder('test'), 10_000);
  if (!taken.acquired) throw new Error('the dead worker still has its lease');
  const younger = ['segment', 'source', 'done', 'dead_letters', 'text'];
  for (const part of ['run', 'split-0'] as const) {
    const stored = await store.read('shop', part);
    if (stored === undefined) throw new Error(`there is no ${part}`);
    const body = JSON.parse(JSON.stringify(stored.body), (name, value) => (younger.includes(name) ? undefined : value));
    const { token } = taken.lease;
    const result = await store.write('shop', part, { expected: stored.version, token, body, grade: 'hard' });
    expect(result.written).toBe(true);
  }
  await store.release(taken.lease);
  const resumed = await shop.attempt().ended;
  expect(resumed.resumedFrom?.records, resumed.stderr).toBeGreaterThan(0);
  await shop.expectDone(resumed, 'as of the first release');
  shop.remove();
});

describe('corrupt state is never taken for a first run', () => {
  test.each([
    [
      'an SQLite file that lost its end',
      'sqlite',
      (root: string) => {
        const path = join(root, '.oxiflow/state.db');
        const database = new DatabaseSync(path);
        // What stood in the log would be read from there.
        database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
        database.close();
        truncateSync(path, 5000);
      },
      false,
    ],
    [
      'an SQLite file whose newest row was altered',
      'sqlite',
      (root: string) => {
        using database = new DatabaseSync(join(root, '.oxiflow/state.db'));
        database.exec(`UPDATE documents SET body = '{}' WHERE part = 'split-0' AND version =
          (SELECT max(version) FROM documents WHERE part = 'split-0')`);
      },
      true,
    ],
    ['a state file that lost its end', 'file', (root: string) => truncateSync(newestState(root), 100), true],
    ['a state file full of NULs', 'file', (root: string) => writeFileSync(newestState(root), Buffer.alloc(2000)), true],
  ] as const)('%s: exit 74, nothing touched; repaired, the run goes on', async (_what, backend, damage, resumes) => {
    const shop = await killed(backend);
    damage(shop.root);
    const outputs = (): string[] =>
      shop.outputs().map((name) => `${name} ${readFileSync(join(shop.root, 'out', name), 'utf8')}`);
    const before = outputs();
    for (let times = 0; times < 2; times += 1) {
      const refused = await shop.attempt().ended;
      expect(refused.code, refused.stderr).toBe(74);
      expect(refused.stderr).toMatch(/state repair/);
      expect(refused.stderr.trimEnd().split('\n')).toHaveLength(1);
      expect(outputs()).toEqual(before);
    }
    const repaired = await shop.verb('state', 'repair', '--run-key', 'shop');
    expect(repaired.code, repaired.stderr).toBe(0);
    expect(repaired.stdout).toContain('set aside');
    const ended = await shop.attempt().ended;
    await shop.expectDone(ended, 'repaired');
    expect(ended.resumedFrom !== undefined).toBe(resumes);
    shop.remove();
  });
});

function newestState(root: string): string {
  const folder = join(root, '.oxiflow/state/runs');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /split-0\.\d+/.test(name));
  const number = (name: string): number => Number(/split-0\.0*(\d+)/.exec(name)?.[1]);
  const [newest = ''] = names.sort((a, b) => number(b) - number(a));
  return join(folder, newest);
}
