import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { extend } from '../../runner/state/chain.ts';
import { openFileStore } from '../../runner/state/file.ts';
import { processTag, thisHolder } from '../../runner/state/host.ts';
import { folderName } from '../../runner/state/payload.ts';
import { seal, unseal } from '../../runner/state/seal.ts';
import type { Grade, StateStore } from '../../runner/state/store.ts';

/** Counts file system calls, and makes them fail as a full or lost disk does. */
const disk = vi.hoisted(() => ({ calls: 0, failsAt: 0, stays: false, errno: 'ENOSPC' }));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const touch = (): void => {
    disk.calls++;
    const fails = disk.failsAt > 0 && (disk.stays ? disk.calls >= disk.failsAt : disk.calls === disk.failsAt);
    if (fails) throw Object.assign(new Error(`${disk.errno}: injected`), { code: disk.errno });
  };
  const wrap =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      touch();
      return call(...args);
    };
  const open: typeof real.open = async (...args) => {
    touch();
    const handle = await real.open(...args);
    handle.sync = wrap(handle.sync.bind(handle));
    handle.writeFile = wrap(handle.writeFile.bind(handle));
    return handle;
  };
  const wrapped = { open, link: wrap(real.link), mkdir: wrap(real.mkdir), rename: wrap(real.rename) };
  return {
    ...real,
    ...wrapped,
    unlink: wrap(real.unlink),
    readdir: wrap(real.readdir as never),
    stat: wrap(real.stat),
  };
});

let base: string;
let store: StateStore;
const folder = (): string => join(base, 'runs', folderName('orders'));

beforeEach(async () => {
  disk.failsAt = 0;
  base = await mkdtemp(join(tmpdir(), 'oxiflow-faults-'));
  store = openFileStore(base);
});
afterEach(() => {
  disk.failsAt = 0;
  return rm(base, { recursive: true });
});

async function put(orders: number, grade: Grade = 'soft', token = 1): Promise<void> {
  const expected = (await store.read('orders', 'run'))?.version ?? 0;
  expect(await store.write('orders', 'run', { expected, token, body: { orders }, grade })).toMatchObject({
    written: true,
  });
}

async function orders(from = openFileStore(base)): Promise<unknown> {
  return (await from.read('orders', 'run'))?.body.orders;
}

describe('a full disk', () => {
  test.each([
    ['once, in a soft write', false, 'soft'],
    ['once, in a hard write', false, 'hard'],
    ['and all that follow, as when the process is killed there', true, 'hard'],
  ] as const)('at every single file call (%s) leaves the old state or the new one', async (_, stays, grade) => {
    disk.stays = stays;
    let failures = 0;
    for (let n = 1; ; n++) {
      await put(n);
      const expected = (await store.read('orders', 'run'))?.version ?? 0;
      disk.calls = 0;
      disk.failsAt = n;
      const body = { orders: n + 1 };
      const outcome = await store
        .write('orders', 'run', { expected, token: 1, body, grade })
        .catch((error: unknown) => error);
      const untouched = disk.calls < n;
      disk.failsAt = 0;
      if (untouched) {
        expect(outcome).toMatchObject({ written: true });
        expect(await orders(), `after ${n}`).toBe(n + 1);
        break;
      }
      if (outcome instanceof Error) {
        failures++;
        expect(outcome, `call ${n}`).toMatchObject({ code: 'DISK_FULL', exitCode: 1 });
        expect([n, n + 1], `call ${n}`).toContain(await orders());
      } else expect(await orders(), `call ${n}`).toBe(n + 1);
      expect(n).toBeLessThan(100);
    }
    expect(failures).toBeGreaterThan(5);
  });

  test.each([
    ['EROFS', 'PERMISSION_DENIED', 126],
    ['EACCES', 'PERMISSION_DENIED', 126],
    ['EDQUOT', 'DISK_FULL', 1],
    ['EIO', 'IO_FAILED', 1],
    ['ESTALE', 'STATE_UNREACHABLE', 69],
    ['EOPNOTSUPP', 'UNSUPPORTED', 2],
  ] as const)('%s is reported as %s and leaves the old state', async (errno, code, exitCode) => {
    await put(1);
    disk.errno = errno;
    disk.stays = true;
    disk.calls = 0;
    disk.failsAt = 1;
    await expect(store.acquire('orders', 'run', thisHolder('orders'), 1000)).rejects.toMatchObject({ code, exitCode });
    disk.failsAt = 0;
    disk.errno = 'ENOSPC';
    expect(await orders()).toBe(1);
  });
});

describe('a power failure', () => {
  /** Makes a version look as if another boot had written it. */
  async function fromEarlierBoot(number: number): Promise<void> {
    const path = join(folder(), `run.${number}.json`);
    const found = unseal(await readFile(path, 'utf8'));
    await writeFile(path, seal({ ...(found.kind === 'good' ? found.payload : {}), boot_id: 'earlier' }));
  }

  test('that tore an unsynced version brings back the last synced one, and work goes on from there', async () => {
    await put(1, 'hard');
    await put(2, 'soft');
    await put(3, 'soft');
    await fromEarlierBoot(1);
    await truncate(join(folder(), 'run.3.json'), 0);
    expect(await orders()).toBe(1);
    await put(4);
    expect(await orders()).toBe(4);
  });

  test('does not explain a torn version that was synced', async () => {
    await put(1, 'hard');
    await put(2, 'hard');
    await fromEarlierBoot(1);
    await truncate(join(folder(), 'run.2.json'), 0);
    await expect(orders()).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });
});

describe('versions on disk', () => {
  const names = async (): Promise<string[]> => (await readdir(folder())).filter((name) => name.endsWith('.json'));

  test('stay few, and the last synced one is among them', async () => {
    await put(1, 'hard');
    await put(2, 'hard');
    for (let n = 3; n <= 60; n++) await put(n);
    const left = await names();
    expect(left.length).toBeLessThan(16);
    expect(left).toContain('run.2.json');
    expect(left).not.toContain('run.1.json');
    expect(await orders()).toBe(60);
  });

  test('a writer that slept between looking and linking finds its place taken, however much later', async () => {
    await put(1);
    await put(2);
    const aim = join(folder(), `tmp.run.3.${processTag()}.0123456789ab`);
    await writeFile(aim, 'what the sleeper wants to link');
    for (let n = 3; n <= 60; n++) await put(n);
    expect(await names()).toContain('run.3.json');
    expect(await names()).not.toContain('run.4.json');
    expect(await extend(folder(), 'run', 2, 'late', 'soft')).toBe(false);
    expect(await orders()).toBe(60);
  });

  test('half-written files of dead processes are cleared away, those of living ones are not', async () => {
    await put(1);
    const own = processTag();
    const dead = own.replace(`-${process.pid}-`, '-4194999-');
    const far = `0000000000${own.slice(10)}`;
    for (const tag of [own, dead, far]) await writeFile(join(folder(), `tmp.run.2.${tag}.00`), '');
    store = openFileStore(base);
    await put(2);
    const left = (await readdir(folder())).filter((name) => name.startsWith('tmp.'));
    expect(left.sort()).toEqual([`tmp.run.2.${far}.00`, `tmp.run.2.${own}.00`].sort());
  });

  test('a renewal that can not be read does not end the lease', async () => {
    const got = await store.acquire('orders', 'split-0', thisHolder('orders'), 1000);
    if (!got.acquired) throw new Error('not acquired');
    await store.renew(got.lease);
    await writeFile(join(folder(), `lease-split-0-${got.lease.token}.json`), '');
    expect(await store.acquire('orders', 'split-0', thisHolder('other'), 1000)).toMatchObject({
      acquired: false,
      remainingMs: 1000,
    });
  });

  test('a document that was copied from another run is refused', async () => {
    await put(1);
    const other = await store.write('stock', 'run', { expected: 0, token: 1, body: { stock: 1 }, grade: 'soft' });
    expect(other.written).toBe(true);
    const theirs = join(base, 'runs', folderName('stock'), 'run.1.json');
    await writeFile(join(folder(), 'run.1.json'), await readFile(theirs));
    await expect(orders()).rejects.toThrow('belongs to another run');
  });
});
