/** What the doctor makes of saved state: where it lies, who holds its leases, and whether the holder still works. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkState } from '../../runner/doctor/state.ts';
import { openFileStore } from '../../runner/state/file.ts';
import { thisHolder } from '../../runner/state/host.ts';
import { openSqliteStore } from '../../runner/state/sqlite.ts';
import type { Holder, StateStore } from '../../runner/state/store.ts';

const STUCK_MS = 300_000;
const HOUR_MS = 3_600_000;
let root = '';
let store: StateStore;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'oxiflow-state-'));
  store = openSqliteStore(join(root, 'state.db'));
});
afterEach(async () => {
  await store.close();
  rmSync(root, { recursive: true, force: true });
});

async function running(holder: Holder = thisHolder('rides-1'), ttlMs = 2 * HOUR_MS): Promise<void> {
  const taken = await store.acquire('rides', 'split-0', holder, ttlMs);
  if (!taken.acquired) throw new Error('somebody holds it');
  const body = { status: 'running', pipeline: 'rides' };
  await store.write('rides', 'run', { expected: 0, token: taken.lease.token, body, grade: 'soft' });
}

async function found(name: string, now = Date.now(), stuckAfterMs = STUCK_MS) {
  const { checks } = await checkState(store, stuckAfterMs, now);
  return checks.find((check) => check.name === name);
}

test('a database on a network is warned of, files on one are what they are made for', async () => {
  const onNfs = async () => 'nfs';
  const sqlite = await checkState(store, STUCK_MS, Date.now(), onNfs);
  expect(sqlite.checks[1]).toMatchObject({
    verdict: 'warning',
    text: 'the state is an SQLite database on nfs, where its locks are not safe',
    remedy: expect.stringContaining('state_manager.backend to file'),
  });
  await using files = openFileStore(join(root, 'state'));
  const file = await checkState(files, STUCK_MS, Date.now(), onNfs);
  expect(file.checks[1]).toMatchObject({ verdict: 'ok' });
});

test('a run that saves nothing for longer than "stuck_after" is told with who holds it', async () => {
  await running();
  expect(await found('run rides')).toBeUndefined();
  expect(await found('runs')).toMatchObject({ text: '0 finished, 1 at work, 0 to look at' });
  expect(await found('run rides', Date.now() + HOUR_MS)).toMatchObject({
    verdict: 'warning',
    text: expect.stringMatching(/^held by rides-1 \(process \d+ on .*\), which has saved nothing for 1h 00m$/),
    remedy: 'oxiflow cancel --run-key rides asks it to end',
  });
  // Nobody asked to be told.
  expect(await found('run rides', Date.now() + HOUR_MS, 0)).toBeUndefined();
});

test('a worker that is gone is told from one on another machine, which may live', async () => {
  await running({ ...thisHolder('rides-2'), host: 'harbour', bootId: 'another' });
  expect(await found('run rides')).toBeUndefined();
  const lost = { ...thisHolder('rides-3'), startedAt: 'another start' };
  await store.acquire('trams', 'split-0', lost, HOUR_MS);
  const body = { status: 'finishing', pipeline: 'trams' };
  await store.write('trams', 'run', { expected: 0, token: 1, body, grade: 'soft' });
  expect(await found('run trams')).toMatchObject({
    verdict: 'warning',
    text: expect.stringContaining('its stale lease is taken at once'),
  });
});

test('the command that goes on is one that a shell takes, and names what the key was made of', async () => {
  for (const [key, pipeline] of [
    ['of monday; rm -rf', 'rides'],
    ['rides-0123456789ab', 'rides'],
  ] as const)
    await store.write(key, 'run', { expected: 0, token: 0, body: { status: 'interrupted', pipeline }, grade: 'soft' });
  expect((await found('run of monday; rm -rf'))?.remedy).toBe(
    "oxiflow run rides --run-key 'of monday; rm -rf' goes on, --fresh starts over",
  );
  expect((await found('run rides-0123456789ab'))?.remedy).toBe(
    'oxiflow run rides --run-key rides-0123456789ab with the same --set and --param goes on, --fresh starts over',
  );
});

test('of many runs that ask for somebody, ten have a line, and the rest is counted', async () => {
  for (let i = 0; i < 14; i++) {
    const body = { status: 'failed', pipeline: 'rides', error: { code: 'DISK_FULL', message: 'full' } };
    await store.write(`rides-${i}`, 'run', { expected: 0, token: 0, body, grade: 'soft' });
  }
  const { checks } = await checkState(store, STUCK_MS, Date.now());
  expect(checks.filter(({ text }) => text.startsWith('unfinished: failed (DISK_FULL)'))).toHaveLength(10);
  expect(checks.at(-1)?.text).toBe('4 more ask for somebody');
});
