/** What only a file server does to its clients: a clock of its own that is put forward and back, answers that get lost, stale names. */
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openFileStore } from '../../runner/state/file.ts';
import { processTag, thisHolder } from '../../runner/state/host.ts';
import { folderName } from '../../runner/state/payload.ts';
import { seal, unseal } from '../../runner/state/seal.ts';
import type { Holder, Lease, StateStore } from '../../runner/state/store.ts';

type Call = 'link' | 'rename' | 'readdir' | 'readFile' | 'close' | 'rmdir';

const server = vi.hoisted(() => ({
  /** How far its clock is from ours, in milliseconds, and what it was when a file was made, by inode. */
  ahead: 0,
  stamped: new Map<number, number>(),
  /** The next calls fail so; `after`: they were done all the same. */
  faults: [] as { call: string; errno: string; after: boolean }[],
  met: 0,
}));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const wrap =
    <A extends unknown[], R>(call: string, work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const at = server.faults.findIndex((fault) => fault.call === call);
      const [fault] = at < 0 ? [] : server.faults.splice(at, 1);
      if (fault === undefined) return work(...args);
      server.met++;
      if (fault.after) await work(...args);
      throw Object.assign(new Error(`${fault.errno}: injected`), { code: fault.errno });
    };
  const open: typeof real.open = async (...args) => {
    const handle = await real.open(...args);
    const stat = handle.stat.bind(handle);
    if (args[1] === 'wx') {
      server.stamped.set((await stat()).ino, server.ahead);
      handle.close = wrap('close', handle.close.bind(handle));
    }
    handle.stat = (async () => {
      const found = await stat();
      found.mtimeMs += server.stamped.get(found.ino) ?? 0;
      return found;
    }) as unknown as typeof handle.stat;
    return handle;
  };
  return {
    ...real,
    open,
    link: wrap('link', real.link),
    rename: wrap('rename', real.rename),
    readdir: wrap('readdir', real.readdir as never),
    readFile: wrap('readFile', real.readFile as never),
    rmdir: wrap('rmdir', real.rmdir),
  };
});

const TTL_MS = 30_000;
const HOUR_MS = 3_600_000;
let base: string;
let store: StateStore;
let clock: number;
const folder = (): string => join(base, 'runs', folderName('rides'));
const far = (host: string): Holder => ({ ...thisHolder(host), host, bootId: `boot of ${host}` });
const open = (): StateStore => openFileStore(base, { shared: true, sweepEveryMs: 0, monotonicMs: () => clock });
/** Everybody's time goes on: the server's and that of this boot. */
const pass = (ms: number): void => {
  clock += ms;
  server.ahead += ms;
};
async function take(host: string, from = store): Promise<Lease> {
  const got = await from.acquire('rides', 'split-0', far(host), TTL_MS);
  if (!got.acquired) throw new Error(`held by ${got.holder.workerId}`);
  return got.lease;
}
const put = (ride: number, expected: number, token: number) =>
  store.write('rides', 'split-0', { expected, token, body: { ride }, grade: 'soft' });
const fail = (call: Call, errno: string, after: boolean): number => server.faults.push({ call, errno, after });

beforeEach(async () => {
  Object.assign(server, { ahead: 0, faults: [], met: 0 });
  server.stamped.clear();
  clock = 1_000_000;
  base = await mkdtemp(join(tmpdir(), 'oxiflow-nfs-'));
  store = open();
});
afterEach(() => {
  server.faults.length = 0;
  return rm(base, { recursive: true });
});

describe("the file server's clock", () => {
  test('ends a lease for a newcomer at once, who has watched nothing', async () => {
    await take('harbour');
    pass(TTL_MS - 5000);
    expect(await open().standing('rides', 'split-0')).toMatchObject({
      over: false,
      remainingMs: expect.closeTo(5000, -3),
    });
    pass(5000);
    expect(await open().standing('rides', 'split-0')).toMatchObject({ over: true, provenDead: false });
    expect((await take('depot', open())).token).toBeGreaterThan(1);
  });

  test.each(['renewal', 'write'])('counts from the last %s', async (kind) => {
    const lease = await take('harbour');
    pass(20_000);
    if (kind === 'renewal') expect(await store.renew(lease)).toBe(true);
    else expect(await put(1, 0, lease.token)).toMatchObject({ written: true });
    pass(20_000);
    expect(await open().standing('rides', 'split-0')).toMatchObject({ remainingMs: expect.closeTo(10_000, -3) });
    pass(10_000);
    expect(await open().standing('rides', 'split-0')).toMatchObject({ over: true });
  });

  test.each([HOUR_MS, -HOUR_MS])(
    'has the say: the wall clock of a client that is put by %i ms ends nothing',
    async (step) => {
      const wall = Date.now;
      try {
        Date.now = () => wall() + step;
        await take('harbour');
        Date.now = wall;
        expect(await open().standing('rides', 'split-0')).toMatchObject({
          over: false,
          remainingMs: expect.closeTo(TTL_MS, -3),
        });
        Date.now = () => wall() - step;
        expect(await open().standing('rides', 'split-0')).toMatchObject({
          over: false,
          remainingMs: expect.closeTo(TTL_MS, -3),
        });
      } finally {
        Date.now = wall;
      }
    },
  );

  test('that was put forward an hour while somebody watched counts no more for what is older; the watch does', async () => {
    const lease = await take('harbour');
    const watching = open();
    await watching.standing('rides', 'split-0');
    server.ahead += HOUR_MS;
    pass(5000);
    expect(await watching.standing('rides', 'split-0')).toMatchObject({ over: false, remainingMs: TTL_MS - 5000 });
    // Renewed since, it counts again.
    expect(await store.renew(lease)).toBe(true);
    pass(20_000);
    expect(await watching.standing('rides', 'split-0')).toMatchObject({ remainingMs: expect.closeTo(10_000, -3) });
    pass(10_000);
    expect(await watching.standing('rides', 'split-0')).toMatchObject({ over: true });
  });

  test('that was put back an hour makes nothing older, and nothing live for ever', async () => {
    await take('harbour');
    server.ahead -= HOUR_MS;
    const newcomer = open();
    expect(await newcomer.standing('rides', 'split-0')).toMatchObject({ over: false, remainingMs: TTL_MS });
    pass(TTL_MS);
    expect(await newcomer.standing('rides', 'split-0')).toMatchObject({ over: true });
  });
});

test('to ask for the time leaves nothing behind, and what a dead asker left is no run and is swept', async () => {
  await take('harbour');
  await open().standing('rides', 'split-0');
  expect((await readdir(base)).sort()).toEqual(['runs']);
  expect(await readdir(join(base, 'runs'))).toEqual([folderName('rides')]);
  const dead = processTag().replace(`-${process.pid}-`, '-4194999-');
  await writeFile(join(base, `tmp.other.0.${dead}.00`), '.');
  expect(await open().list()).toEqual([]);
  expect(await open().sweep?.()).toBe(1);
  expect((await readdir(base)).sort()).toEqual(['runs']);
});

describe('an answer that gets lost', () => {
  test.each(['EEXIST', 'EIO', 'ETIMEDOUT', 'ESTALE'])(
    'of a write that was done (%s) is looked up: it is written, once',
    async (errno) => {
      const lease = await take('harbour');
      fail('link', errno, true);
      const first = await put(1, 0, lease.token);
      expect(first).toMatchObject({ written: true });
      expect(server.met).toBe(1);
      expect(await put(2, first.version, lease.token)).toMatchObject({ written: true });
      expect((await readdir(folder())).filter((name) => /^split-0\.\d+\.json$/.test(name))).toHaveLength(3);
    },
  );

  test('of an acquisition that was done is looked up: its holder has the lease', async () => {
    fail('link', 'EEXIST', true);
    const lease = await take('harbour');
    expect(lease.token).toBe(1);
    expect(await store.renew(lease)).toBe(true);
  });

  test.each(['EIO', 'ETIMEDOUT'])(
    'of a write that was not done (%s) is told, and nothing is changed',
    async (errno) => {
      const lease = await take('harbour');
      fail('link', errno, false);
      await expect(put(1, 0, lease.token)).rejects.toMatchObject({
        code: errno === 'EIO' ? 'IO_FAILED' : 'STATE_UNREACHABLE',
      });
      expect(await store.read('rides', 'split-0')).toBeUndefined();
      expect(await put(1, 0, lease.token)).toMatchObject({ written: true });
    },
  );

  test('of a renewal that was done counts; one that was not is told', async () => {
    const lease = await take('harbour');
    pass(20_000);
    fail('rename', 'ENOENT', true);
    expect(await store.renew(lease)).toBe(true);
    expect(await open().standing('rides', 'split-0')).toMatchObject({ remainingMs: expect.closeTo(TTL_MS, -3) });
    fail('rename', 'ENOENT', false);
    await expect(store.renew(lease)).rejects.toThrow('no such file');
  });

  test('a file that can not be closed was not written', async () => {
    const lease = await take('harbour');
    fail('close', 'ENOSPC', true);
    await expect(put(1, 0, lease.token)).rejects.toMatchObject({ code: 'DISK_FULL' });
    expect(await store.read('rides', 'split-0')).toBeUndefined();
  });
});

describe('names that are stale', () => {
  test.each(['readdir', 'readFile'] as const)('are looked up anew (%s), and told where they stay so', async (call) => {
    const lease = await take('harbour');
    await put(1, 0, lease.token);
    fail(call, 'ESTALE', false);
    expect((await open().read('rides', 'split-0'))?.body).toEqual({ ride: 1 });
    for (let times = 0; times < 20; times++) fail(call, 'ESTALE', false);
    await expect(open().read('rides', 'split-0')).rejects.toMatchObject({ code: 'STATE_UNREACHABLE', exitCode: 69 });
  });

  test('a folder in which somebody still has a removed file open stays, and is swept when that one has closed it', async () => {
    const lease = await take('harbour');
    const finished = { status: 'finished', finished_at: '2020-01-01T00:00:00.000Z' };
    await store.write('rides', 'run', { expected: 0, token: lease.token, body: finished, grade: 'soft' });
    await store.release(lease);
    expect(await store.prune(0)).toMatchObject({ runs: 1 });
    await writeFile(join(folder(), '.nfs000000000001'), '');
    for (let times = 0; times < 2; times++) {
      await store.prune(0);
      expect(await store.sweep?.()).toBe(0);
      expect(await store.read('rides', 'run')).toBeUndefined();
    }
    await rm(join(folder(), '.nfs000000000001'));
    expect(await store.sweep?.()).toBe(1);
    expect(await readdir(join(base, 'runs'))).toEqual([]);
  });
});

describe('a sweep', () => {
  const DEAD = 'worker-0123456789ab';

  test('takes what the dead have left, and nothing of the living', async () => {
    const living = await store.acquire('rides', 'worker-000000000001', far('depot'), 10 * HOUR_MS);
    if (!living.acquired) throw new Error('not acquired');
    await store.write('rides', 'worker-000000000001', {
      expected: 0,
      token: living.lease.token,
      body: { pid: 1 },
      grade: 'soft',
    });
    await store.renew(living.lease);
    const wall = Date.now;
    try {
      // It died hours ago: by its own notes, and by the clock of the server.
      vi.useFakeTimers({ toFake: ['Date'], now: wall() - 2 * HOUR_MS });
      const dead = await store.acquire('rides', DEAD, far('harbour'), TTL_MS);
      if (!dead.acquired) throw new Error('not acquired');
      await store.write('rides', DEAD, { expected: 0, token: dead.lease.token, body: { pid: 2 }, grade: 'soft' });
      await store.renew(dead.lease);
    } finally {
      vi.useRealTimers();
    }
    const old = join(folder(), `tmp.run.2.0000000000-0000000000-first-7-0000000000.00`);
    const fresh = join(folder(), `tmp.run.2.0000000000-0000000000-first-8-0000000000.00`);
    const stale = join(folder(), `lease-${DEAD}-0.json`);
    for (const path of [old, fresh, stale]) await writeFile(path, '');
    await utimes(old, Date.now() / 1000 - 90_000, Date.now() / 1000 - 90_000);
    pass(TTL_MS);
    expect(await open().sweep?.()).toBe(3);
    expect((await store.parts('rides')).map(({ part }) => part)).toEqual(['worker-000000000001']);
    expect(await store.renew(living.lease)).toBe(true);
    const left = await readdir(folder());
    expect(left).toContain(fresh.slice(folder().length + 1));
    expect(left).not.toContain(old.slice(folder().length + 1));
    expect(left).not.toContain(stale.slice(folder().length + 1));
    // Asked again at once there is nothing left to do.
    expect(await open().sweep?.()).toBe(0);
  });

  test('does nothing before its interval is over', async () => {
    await take('harbour');
    const patient = openFileStore(base, { shared: true });
    const stale = join(folder(), 'lease-split-0-0.json');
    await writeFile(stale, '');
    expect(await patient.sweep?.()).toBe(0);
    expect(await readFile(stale, 'utf8')).toBe('');
    expect(await open().sweep?.()).toBe(1);
  });
});

test('a damaged version is refused, though the one before it was synced by another host: nothing goes back unsaid', async () => {
  const { token } = await take('harbour');
  const write = (expected: number, grade: 'hard' | 'soft') =>
    store.write('rides', 'split-0', { expected, token, body: { ride: expected + 1 }, grade });
  const { version } = await write(0, 'hard');
  await write(version, 'soft');
  const files = (await readdir(folder())).filter((name) => /^split-0\.\d+\.json$/.test(name));
  const paths = files.sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).map((name) => join(folder(), name));
  for (const path of paths) {
    const found = unseal(await readFile(path, 'utf8'));
    await writeFile(path, seal({ ...(found.kind === 'good' ? found.payload : {}), boot_id: 'boot of harbour' }));
  }
  expect((await open().read('rides', 'split-0'))?.body).toEqual({ ride: version + 1 });
  const newest = paths.at(-1) ?? '';
  const bytes = await readFile(newest);
  bytes[bytes.length - 4] = (bytes.at(-4) as number) ^ 1;
  await writeFile(newest, bytes);
  await expect(open().read('rides', 'split-0')).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
});
