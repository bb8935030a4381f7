import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadProject } from '../../runner/config/project.ts';
import { hasOneClock, networkFileSystem } from '../../runner/state/file-system.ts';
import { openStore, type StoreSettings } from '../../runner/state/open.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'oxiflow-open-'));
});
afterEach(() => rm(root, { recursive: true }));

describe('the choice of a backend', () => {
  const cases: [string, Omit<StoreSettings, 'projectRoot'>, string, string][] = [
    ['auto is SQLite beside the project', { backend: 'auto' }, 'sqlite', '.oxiflow/state.db'],
    ['sqlite takes its path', { backend: 'sqlite', sqlite: { path: 'kept/s.db' } }, 'sqlite', 'kept/s.db'],
    ['file has a folder of its own', { backend: 'file' }, 'file', '.oxiflow/state'],
    ['file takes its folder', { backend: 'file', file: { basePath: 'kept' } }, 'file', 'kept'],
    ['nfs is on its mount', { backend: 'nfs', nfs: { mountPath: 'mnt' } }, 'nfs', 'mnt'],
    ['database sqlite is sqlite', { backend: 'database', database: { type: 'sqlite' } }, 'sqlite', '.oxiflow/state.db'],
    [
      'a database that is sqlite has its path in its address',
      { backend: 'database', database: { type: 'sqlite', connectionUrl: 'sqlite://kept/s.db' } },
      'sqlite',
      'kept/s.db',
    ],
  ];
  test.each(cases)('%s', async (_, settings, backend, path) => {
    await using store = await openStore({ ...settings, projectRoot: root });
    expect(store).toMatchObject({ backend, location: join(root, path) });
    expect(await readdir(root)).toEqual([]);
  });

  test('http is refused with that word and what there is', async () => {
    const opening = openStore({ backend: 'http', projectRoot: root });
    await expect(opening).rejects.toMatchObject({ code: 'UNSUPPORTED', exitCode: 2 });
    await expect(opening).rejects.toThrow('"http"');
    await expect(opening).rejects.toThrow('sqlite, file');
  });

  test.each([
    ['backend: nfs', {}, 'oxiflow.yaml:2:3: state_manager.nfs needs a mount_path'],
    ['backend: redis\n  redis: { pool_size: 3 }', {}, 'oxiflow.yaml:3:3: state_manager.redis needs a connection_url'],
    ['backend: database', {}, 'oxiflow.yaml:2:3: state_manager.database needs a type'],
    [
      'backend: redis\n  redis:\n    connection_url: redis://:a/b@cache',
      {},
      'oxiflow.yaml:4:21: state_manager.redis.connection_url names a database that is no number; signs like / in a password are percent-encoded',
    ],
    ['heartbeat_interval: 5s', { OXIFLOW_STATE_URL: 'redis://cache/x' }, 'OXIFLOW_STATE_URL names a database'],
    ['heartbeat_interval: 5s', { OXIFLOW_STATE_BACKEND: 'nfs' }, 'state_manager.nfs needs a mount_path, or set'],
  ])('what is missing or wrong is told with its place: %s', async (manager, env, sentence) => {
    await writeFile(join(root, 'oxiflow.yaml'), `state_manager:\n  ${manager}\n`);
    const { state } = await loadProject(root, { env, exact: true });
    const error = await openStore(state).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringContaining(sentence) });
    expect(String(error)).not.toContain('a/b');
  });

  test('redis is what its address, its own section or that of a database says, and opens no connection yet', async () => {
    const url = 'redis://oxi:hunter2@cache:7000/2';
    const { state } = await loadProject(root, { env: { OXIFLOW_STATE_URL: url }, exact: true });
    const ways: StoreSettings[] = [
      state,
      { backend: 'redis', projectRoot: root, redis: { connectionUrl: url } },
      { backend: 'database', projectRoot: root, database: { type: 'redis', connectionUrl: url } },
    ];
    for (const settings of ways) {
      await using store = await openStore(settings);
      expect(store).toMatchObject({ backend: 'redis', location: 'redis://cache:7000/2 (oxiflow:state)' });
    }
    for (const backend of ['redis', 'database'] as const)
      await expect(openStore({ backend, projectRoot: root, database: { type: 'redis' } })).rejects.toThrow(
        `state_manager.${backend} needs a connection_url`,
      );
  });

  test('the password of an address that is not supported is not told', async () => {
    const env = { OXIFLOW_STATE_URL: 'https://oxi:hunter2@cache:6379' };
    const { state } = await loadProject(root, { env, exact: true });
    const error = await openStore(state).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code: 'UNSUPPORTED' });
    expect(`${error}${JSON.stringify(error)}`).not.toContain('hunter2');
  });

  test('nfs without a mount is refused', async () => {
    await expect(openStore({ backend: 'nfs', projectRoot: root })).rejects.toThrow('mount_path');
  });
});

// The kind of a file system is known by Linux's numbers for them.
describe.runIf(process.platform === 'linux')('a network file system', () => {
  const probe = (type: number) => (async () => ({ type })) as unknown as Parameters<typeof networkFileSystem>[1];
  test.each([
    [0x6969, true],
    [0xff534d42, true],
    [0xef53, true],
    [0x01021994, true],
    [0x794c7630, true],
    // One that nobody has heard of.
    [0x12345678, false],
    [0x00c36400, false],
    [0x65735546, false],
  ])('of the kind %i: do all its times come from one clock? %s', async (type, expected) => {
    expect(await hasOneClock(root, probe(type))).toBe(expected);
  });

  test.each([
    [0x6969, 'nfs'],
    [0xff534d42, 'cifs'],
    [0xff534d42 - 2 ** 32, 'cifs'],
    [0x65735546, 'fuse'],
    [0xef53, undefined],
  ])('is known by its number %i', async (type, name) => {
    expect(await networkFileSystem(root, probe(type))).toBe(name);
  });

  test('is looked for above a folder that is not there yet', async () => {
    const found = await networkFileSystem(join(root, '.oxiflow', 'deep'));
    expect(found).toBe(await networkFileSystem(root));
  });
});
