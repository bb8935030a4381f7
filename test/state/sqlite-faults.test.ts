import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sqliteError } from '../../runner/state/database.ts';
import { processTag, thisHolder } from '../../runner/state/host.ts';
import { openSqliteStore } from '../../runner/state/sqlite.ts';
import type { StateStore } from '../../runner/state/store.ts';

let folder: string;
let path: string;
let store: StateStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oxiflow-sqlite-'));
  path = join(folder, 'state.db');
  store = openSqliteStore(path);
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const put = (runKey: string, orders: number, expected = 0) =>
  store.write(runKey, 'run', { expected, token: 1, body: { orders }, grade: 'soft' });

test('looking makes no database', async () => {
  expect(await store.read('orders', 'run')).toBeUndefined();
  expect(await store.list()).toEqual([]);
  expect(await store.history()).toEqual([]);
  expect(await readdir(folder)).toEqual([]);
});

test('a log whose database is gone is damage, not a first run', async () => {
  await put('orders', 1);
  const log = await readFile(`${path}-wal`);
  await store.close();
  await rm(path);
  await writeFile(`${path}-wal`, log);
  await expect(put('orders', 2)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  expect((await store.repair('orders')).quarantined).toHaveLength(1);
  expect(await put('orders', 2)).toMatchObject({ reason: 'fenced' });
});

test('a run whose key is damaged is not taken for a run that never was', async () => {
  await put('orders', 1);
  await store.close();
  const bytes = await readFile(path);
  // The key stands once in each of two tables; only that of `parts`, which is looked up first, is hit.
  const at = bytes.indexOf('ordersrun');
  bytes.write('brders', at);
  await writeFile(path, bytes);
  await expect(store.read('orders', 'run')).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  await expect(store.acquire('orders', 'run', thisHolder('orders'), 1000)).rejects.toMatchObject({ exitCode: 74 });
  await store.repair('orders');
  expect((await store.read('orders', 'run'))?.body).toEqual({ orders: 1 });
});

test('a database that a dead process left half-made is cleared away', async () => {
  const dead = processTag().replace(`-${process.pid}-`, '-4194999-');
  for (const ending of ['', '-journal']) await writeFile(join(folder, `tmp.other.0.${dead}.00${ending}`), '');
  await put('orders', 1);
  expect((await readdir(folder)).filter((name) => name.startsWith('tmp.'))).toEqual([]);
});

test('of a database with a damaged page the runs that can be read are taken over, each as it was', async () => {
  const filler = 'x'.repeat(700);
  const names = Array.from({ length: 60 }, (_, i) => `orders-${String(i).padStart(2, '0')}`);
  for (const name of names)
    await store.write(name, 'run', { expected: 0, token: 1, body: { name, filler }, grade: 'soft' });
  const entry = { runId: 'x', pipeline: 'x', attempt: 1, status: 'finished', summary: {} };
  await store.appendHistory({ ...entry, runKey: 'orders-00', finishedAt: '2026-01-01T00:00:00Z' });
  await store.close();
  const bytes = await readFile(path);
  const page = bytes.readUInt16BE(16);
  // In the midst of the documents.
  const at = Math.floor(bytes.indexOf('"orders-30"') / page) * page;
  await writeFile(path, bytes.fill(255, at, at + page));
  await expect(store.list()).rejects.toMatchObject({ exitCode: 74 });
  const told: string[] = [];
  await using mending = openSqliteStore(path, { warn: (text) => told.push(text) });
  const { quarantined, restored, rescued = [] } = await mending.repair('orders-00');
  expect(told).toEqual([expect.stringContaining('damaged as a whole')]);
  expect(quarantined.at(-1)).toMatch(/state\.db\.corrupt-[\dTZ.-]+$/);
  expect(restored).toEqual([{ part: 'run', version: 1 }]);
  expect(rescued).toEqual(expect.arrayContaining(['orders-01', 'orders-59']));
  expect(rescued).not.toContain('orders-30');
  expect(rescued.length).toBeGreaterThan(40);
  expect((await mending.list()).map(({ run }) => run?.body.name).sort()).toEqual(['orders-00', ...rescued].sort());
  expect(await mending.history()).toHaveLength(1);
  const late = { expected: 1, token: 1, body: { late: true }, grade: 'soft' } as const;
  expect(await mending.write('orders-59', 'run', late)).toMatchObject({ written: false, reason: 'fenced' });
});

test("a damaged version is kept in the database's own table", async () => {
  await put('orders', 1);
  await put('orders', 2, 1);
  await store.close();
  {
    using database = new DatabaseSync(path);
    database.exec(`UPDATE documents SET body = '{"orders":9}' WHERE version = 2`);
  }
  const { quarantined, restored } = await store.repair('orders');
  expect(quarantined).toEqual([expect.stringContaining('orders run version 2')]);
  expect(restored).toEqual([{ part: 'run', version: 3 }]);
  await store.close();
  using database = new DatabaseSync(path);
  expect(database.prepare('SELECT body FROM damaged').all()).toEqual([{ body: '{"orders":9}' }]);
});

test("somebody else's database is left alone, by repair as well", async () => {
  {
    using database = new DatabaseSync(path);
    database.exec('CREATE TABLE customers (name TEXT)');
  }
  const before = await readFile(path);
  await expect(store.read('orders', 'run')).rejects.toMatchObject({ code: 'CONFIG_INVALID', exitCode: 2 });
  await expect(store.repair('orders')).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  expect(await readFile(path)).toEqual(before);
});

test('a path that no folder can be made for is named in the error', async () => {
  await writeFile(join(folder, 'a-file'), '');
  const below = openSqliteStore(join(folder, 'a-file', 'state.db'));
  await expect(below.clearRequests('orders')).rejects.toMatchObject({ code: 'IO_FAILED' });
  await expect(below.clearRequests('orders')).rejects.toThrow('a-file');
});

test.each([
  [5, 'STATE_UNREACHABLE', 69],
  [6, 'STATE_UNREACHABLE', 69],
  [8, 'PERMISSION_DENIED', 126],
  [14, 'PERMISSION_DENIED', 126],
  [13, 'DISK_FULL', 1],
  [10 | (4 << 8), 'IO_FAILED', 1],
  [11, 'STATE_CORRUPT', 74],
  [26, 'STATE_CORRUPT', 74],
])('the result code %i of SQLite is reported as %s', (errcode, code, exitCode) => {
  const error = Object.assign(new Error('from SQLite'), { errcode });
  expect(sqliteError(error, path)).toMatchObject({ code, exitCode, cause: expect.anything() });
});
