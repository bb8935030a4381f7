/** Where the folder of the backends `file` and `nfs` is not as it was left, or holds what is not theirs. */
import { existsSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { thisHolder } from '../../runner/state/host.ts';
import { openStore, type StoreSettings } from '../../runner/state/open.ts';
import { folderName } from '../../runner/state/payload.ts';
import type { StateStore } from '../../runner/state/store.ts';

let root: string;
let project: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'oxiflow-folders-'));
  project = join(root, 'project');
  await mkdir(project);
});
afterEach(() => rm(root, { recursive: true }));

const TTL_MS = 30_000;

async function begin(store: StateStore, runKey: string, status = 'running', fresh = false): Promise<void> {
  const got = await store.acquire(runKey, 'split-0', thisHolder('rides-1'), TTL_MS, { fresh });
  if (!got.acquired) throw new Error('not acquired');
  const expected = (await store.read(runKey, 'run'))?.version ?? 0;
  const body = { status, finished_at: '2026-01-01T00:00:00Z' };
  await store.write(runKey, 'run', { expected, token: got.lease.token, body, grade: 'hard' });
  await store.release(got.lease);
}

describe.each(['nfs', 'file'] as const)('the folder of %s on another disk', (backend) => {
  const mount = (): string => join(root, 'mnt/state');
  const settings = (): StoreSettings => ({
    backend,
    projectRoot: project,
    file: { basePath: mount() },
    nfs: { mountPath: mount() },
  });

  test('that is not mounted is missed: an unfinished run is not begun from zero, and goes on when it is back', async () => {
    await mkdir(join(root, 'mnt'));
    await using store = await openStore(settings());
    await begin(store, 'rides');
    await begin(store, 'trips', 'finished');
    await rename(join(root, 'mnt'), join(root, 'away'));
    await mkdir(join(root, 'mnt'));
    await using later = await openStore(settings());
    await expect(begin(later, 'rides')).rejects.toMatchObject({ code: 'STATE_LOST', exitCode: 74 });
    await expect(later.claim('rides', ['split-0'], thisHolder('rides-1'), TTL_MS)).rejects.toThrow('mounted?');
    expect(existsSync(join(mount(), 'runs', folderName('rides')))).toBe(false);
    await begin(later, 'trips');
    await rm(join(root, 'mnt'), { recursive: true });
    await rename(join(root, 'away'), join(root, 'mnt'));
    await begin(later, 'rides');
    expect(await later.read('rides', 'run')).toMatchObject({ version: 2 });
  });

  test('that has lost its data takes a run that is to start over; one that was removed is no loss', async () => {
    await mkdir(join(root, 'mnt'));
    await using store = await openStore(settings());
    await begin(store, 'rides');
    await rm(mount(), { recursive: true });
    await using later = await openStore(settings());
    await begin(later, 'rides', 'running', true);
    await begin(later, 'rides');
    const got = await later.acquire('rides', 'run', thisHolder('x'), TTL_MS);
    if (got.acquired) await later.remove(got.lease);
    await rm(mount(), { recursive: true });
    await begin(later, 'rides');
  });

  test('that is a file, or below one, is refused in one sentence', async () => {
    await writeFile(join(root, 'mnt'), '');
    await expect(openStore(settings())).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('is a file'),
    });
  });
});

test('a share whose folder does not exist is refused, and not made', async () => {
  const opening = openStore({ backend: 'nfs', projectRoot: project, nfs: { mountPath: join(root, 'mnt/state') } });
  await expect(opening).rejects.toMatchObject({
    exitCode: 2,
    message: expect.stringContaining('is the share mounted?'),
  });
  expect(await readdir(root)).toEqual(['project']);
});

test('files that are not ours are left alone, wherever they lie', async () => {
  const base = join(project, '.oxiflow/state');
  await using store = await openStore({ backend: 'file', projectRoot: project });
  await begin(store, 'rides', 'finished');
  const entry = { runKey: 'rides', runId: 'x', pipeline: 'x', attempt: 1, status: 'finished', summary: {} };
  await store.appendHistory({ ...entry, finishedAt: '2026-01-01T00:00:00Z' });
  const folder = join('runs', folderName('rides'));
  const strange = ['.DS_Store', 'README', '.gitkeep'].flatMap((name) =>
    ['', 'runs', 'history', 'history/2026-01-01', folder].map((where) => join(base, where, name)),
  );
  for (const path of strange) writeFileSync(path, 'not ours');
  for (const where of ['runs', 'history', folder]) await mkdir(join(base, where, 'backup'));
  expect(await store.list()).toHaveLength(1);
  expect(await store.history()).toHaveLength(1);
  await begin(store, 'trips');
  expect(await store.repair('rides')).toEqual({ quarantined: [], restored: [] });
  await store.sweep?.();
  expect(await store.prune(0)).toEqual({ runs: 1, history: 1 });
  // The folder of a run that was removed long ago.
  await store.prune(-1);
  expect(strange.filter((path) => !existsSync(path))).toEqual([]);
  expect(await readdir(join(base, folder))).toContain('backup');
  expect((await store.list()).map(({ runKey }) => runKey)).toEqual(['trips']);
  await begin(store, 'rides');
});
