/** What every state backend promises (`runner/state/store.ts`), as one suite; `test/state/` runs it for each of them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { thisHolder } from '../../runner/state/host.ts';
import type {
  AcquireResult,
  HistoryEntry,
  Holder,
  Json,
  Lease,
  Part,
  StateStore,
  StoreOptions,
} from '../../runner/state/store.ts';
import type { Acknowledged, ChildTask } from './store-child.ts';

const DAMAGES = ['empty', 'truncated', 'nul bytes', 'bit flip', 'wrong shape', 'duplicate keys'] as const;
export type Damage = (typeof DAMAGES)[number];

export interface Bench {
  location: string;
  /** One more store on the same data, as another process would open it. */
  open(options?: StoreOptions): StateStore;
  /** Damages the newest version of a document; says whether the one before it can be had back. */
  damage(runKey: string, part: Part, damage: Damage): Promise<{ restorable: boolean }>;
  /** Makes what is stored look as if a newer program had written it. */
  makeNewer(runKey: string, part: Part): Promise<void>;
  /** Where the clock is a server's: makes all leases older by so much. */
  elapse?(ms: number): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const CHILD = new URL('./store-child.ts', import.meta.url);
const TTL_MS = 30_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** `clock`: whose time ends the leases; that of a server goes on while a test looks, and its tokens begin anywhere. */
export function describeStore(
  backend: string,
  makeBench: () => Promise<Bench>,
  { clock: whose = 'boot' }: { clock?: 'boot' | 'server' } = {},
): void {
  describe(`the store "${backend}"`, () => {
    const isServers = whose === 'server';
    const left = (ms: number): number => (isServers ? expect.closeTo(ms, -4) : ms);
    const firstToken: number = isServers ? expect.any(Number) : 1;
    /** The least time that can be told apart. */
    const grain = isServers ? 5000 : 1;
    let bench: Bench;
    let store: StateStore;
    /** Milliseconds on the boot's clock, as the store sees it. */
    let clock: number;

    const open = (): StateStore => bench.open({ monotonicMs: () => clock });
    const here = (workerId = 'rides-1'): Holder => thisHolder(workerId);
    /** A worker on another machine, of which nothing can be proven. */
    const elsewhere = (workerId = 'rides-2'): Holder => ({ ...here(workerId), host: 'harbour', bootId: 'another' });
    const put = (body: { [key: string]: Json }, expected: number, token = 1, part: Part = 'run', runKey = 'rides') =>
      store.write(runKey, part, { expected, token, body, grade: 'soft' });
    const pass = async (ms: number): Promise<void> => {
      clock += ms;
      await bench.elapse?.(ms);
    };
    const take = async (holder = here(), from = store, part: Part = 'split-0'): Promise<Lease> =>
      leaseOf(await from.acquire('rides', part, holder, TTL_MS));

    beforeEach(async () => {
      clock = 5_000_000;
      bench = await makeBench();
      store = open();
    });
    afterEach(() => bench[Symbol.asyncDispose]());

    describe('documents', () => {
      test('a document that nobody wrote is not there', async () => {
        expect(await store.read('rides', 'run')).toBeUndefined();
        expect(await store.list()).toEqual([]);
      });

      test.each(['soft', 'hard'] as const)('a %s write is read back unchanged by another store', async (grade) => {
        const body = {
          stop: 'Zürich HB',
          at: [1, 2.5, null, true],
          __proto__x: {},
          deep: { '': 'leer', z: 'ß😀\u0000' },
        };
        const done = await store.write('rides', 'run', { expected: 0, token: 1, body, grade });
        expect(done).toEqual({ written: true, version: expect.any(Number) });
        const found = await open().read('rides', 'run');
        expect(found?.body).toEqual(body);
        expect(found?.version).toBe(done.version);
        expect(found?.token).toBe(1);
        expect(Date.parse(found?.writtenAt ?? '')).not.toBeNaN();
      });

      test('a key named __proto__ in a body stays a key', async () => {
        const body = JSON.parse('{"__proto__": {"polluted": true}}') as { [key: string]: Json };
        await put(body, 0);
        const found = (await open().read('rides', 'run'))?.body ?? {};
        expect(JSON.stringify(found)).toBe('{"__proto__":{"polluted":true}}');
        expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
      });

      test('the parts of a run are separate documents', async () => {
        await put({ stop: 'run' }, 0);
        await put({ stop: 'first' }, 0, 1, 'split-0');
        await put({ stop: 'eleventh' }, 0, 1, 'split-10');
        expect((await store.read('rides', 'split-0'))?.body).toEqual({ stop: 'first' });
        expect((await store.read('rides', 'split-10'))?.body).toEqual({ stop: 'eleventh' });
        expect(await store.read('rides', 'split-1')).toBeUndefined();
      });

      test('versions grow, and the last of a hundred writes is what is read', async () => {
        let version = 0;
        for (let ride = 1; ride <= 100; ride++) {
          const done = await put({ ride }, version);
          expect(done.written && done.version > version).toBe(true);
          version = done.version;
        }
        expect((await open().read('rides', 'run'))?.body).toEqual({ ride: 100 });
      });

      test('a write that names another version than the stored one is refused and changes nothing', async () => {
        const first = await put({ ride: 1 }, 0);
        const second = await put({ ride: 2 }, first.version);
        const stored = { version: second.version, token: 1 };
        expect(await put({ ride: 9 }, first.version)).toEqual({ written: false, reason: 'conflict', ...stored });
        expect(await put({ ride: 9 }, 0)).toEqual({ written: false, reason: 'conflict', ...stored });
        expect(await put({ ride: 9 }, second.version + 1)).toEqual({ written: false, reason: 'conflict', ...stored });
        expect((await store.read('rides', 'run'))?.body).toEqual({ ride: 2 });
      });

      test('a document that is not there can not be replaced', async () => {
        expect(await put({ ride: 9 }, 3)).toEqual({ written: false, reason: 'conflict', version: 0, token: 0 });
        expect(await store.read('rides', 'run')).toBeUndefined();
      });

      test('an empty body is refused, whatever is stored', async () => {
        const { version } = await put({ ride: 1 }, 0);
        await expect(async () => put({}, version)).rejects.toThrow('empty');
        expect((await store.read('rides', 'run'))?.body).toEqual({ ride: 1 });
      });

      test('of sixteen concurrent writers none loses an update', { timeout: 60_000 }, async () => {
        const times = 5;
        const writers = Array.from({ length: 16 }, async (_, writer) => {
          const task: ChildTask = { backend, location: bench.location, runKey: 'rides', count: { writer, times } };
          const worker = new Worker(CHILD, { workerData: task });
          const [[acknowledged]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
          return acknowledged as Acknowledged[];
        });
        const acknowledged = (await Promise.all(writers)).flat().sort((a, b) => a.version - b.version);
        // One history fits all that was acknowledged: in the order of the versions every write saw the one before it.
        expect(acknowledged.map((write) => write.value)).toEqual(acknowledged.map((_, index) => index + 1));
        expect(new Set(acknowledged.map((write) => write.version)).size).toBe(16 * times);
        const { value, log } = ((await store.read('rides', 'run'))?.body ?? {}) as { value?: number; log?: string[] };
        expect(value).toBe(16 * times);
        for (let writer = 0; writer < 16; writer++) {
          const own = log?.filter((entry) => entry.startsWith(`${writer}:`));
          expect(own).toEqual(Array.from({ length: times }, (_, index) => `${writer}:${index}`));
        }
      });
    });

    describe('fencing', () => {
      test('a late write of an earlier holder is refused, even where it names the right version', async () => {
        const old = await take();
        const written = await put({ ride: 1 }, 0, old.token, 'split-0');
        await store.release(old);
        const next = await take(here('rides-2'));
        expect(next.token).toBeGreaterThan(old.token);
        const version = (await store.read('rides', 'split-0'))?.version ?? 0;
        for (const expected of [written.version, version]) {
          const late = await put({ ride: 9 }, expected, old.token, 'split-0');
          expect(late).toEqual({ written: false, reason: 'fenced', version, token: next.token });
        }
        expect((await store.read('rides', 'split-0'))?.body).toEqual({ ride: 1 });
      });

      test('the run refuses a token below the one that it was last written with', async () => {
        const { version } = await put({ ride: 1 }, 0, 7);
        expect(await put({ ride: 9 }, version, 6)).toMatchObject({ written: false, reason: 'fenced', token: 7 });
        expect(await put({ ride: 2 }, version, 7)).toMatchObject({ written: true });
      });

      test('a new token is above those of all documents of the run', async () => {
        await put({ ride: 1 }, 0, 41);
        expect((await take()).token).toBeGreaterThan(41);
      });

      test('tokens go on growing after the run was removed, so that a removed run is fenced too', async () => {
        const old = await take();
        const written = await put({ ride: 1 }, 0, old.token, 'split-0');
        await store.remove(old);
        await store.release(old);
        expect(await store.read('rides', 'split-0')).toBeUndefined();
        const next = await take();
        expect(next.token).toBeGreaterThan(old.token);
        expect(await put({ ride: 9 }, written.version, old.token, 'split-0')).toMatchObject({ reason: 'fenced' });
        expect(await put({ ride: 1 }, 0, next.token, 'split-0')).toMatchObject({ written: true });
      });
    });

    describe('leases', () => {
      test('a lease on a part without a document is taken, and leaves it without one', async () => {
        const result = await store.acquire('rides', 'split-0', here(), TTL_MS);
        expect(result).toEqual({
          acquired: true,
          lease: { runKey: 'rides', part: 'split-0', token: firstToken, ttlMs: TTL_MS, holder: here() },
        });
        expect(await store.read('rides', 'split-0')).toBeUndefined();
        expect(await put({ ride: 1 }, 0, leaseOf(result).token, 'split-0')).toMatchObject({ written: true });
      });

      test('taking a lease leaves the body and its version as they are', async () => {
        const { version } = await put({ ride: 1 }, 0, 1, 'split-0');
        const lease = await take();
        expect(await store.read('rides', 'split-0')).toMatchObject({ body: { ride: 1 }, version, token: lease.token });
        expect(await put({ ride: 2 }, version, lease.token, 'split-0')).toMatchObject({ written: true });
      });

      test('a lease that lives is not given to another', async () => {
        await take();
        await pass(10_000);
        const result = await open().acquire('rides', 'split-0', here('rides-2'), TTL_MS);
        expect(result).toEqual({ acquired: false, holder: here(), remainingMs: left(TTL_MS - 10_000) });
      });

      test('leases of two parts are independent', async () => {
        await take();
        expect(await store.acquire('rides', 'split-1', here('rides-2'), TTL_MS)).toMatchObject({ acquired: true });
      });

      test('a released lease is free at once and names its last holder', async () => {
        const old = await take();
        await store.release(old);
        expect(await open().acquire('rides', 'split-0', here('rides-2'), TTL_MS)).toMatchObject({
          acquired: true,
          predecessor: { holder: here(), token: old.token, released: true },
        });
      });

      test('a lease is over when its time has passed on the clock of the boot', async () => {
        const old = await take();
        await pass(TTL_MS - grain);
        expect(await open().acquire('rides', 'split-0', here('rides-2'), TTL_MS)).toMatchObject({
          remainingMs: left(grain),
        });
        await pass(grain);
        expect(await open().acquire('rides', 'split-0', here('rides-2'), TTL_MS)).toMatchObject({
          acquired: true,
          predecessor: { holder: here(), token: old.token, released: false, provenDead: false },
        });
      });

      test('a renewal counts from its own time', async () => {
        const lease = await take();
        await pass(20_000);
        expect(await store.renew(lease)).toBe(true);
        await pass(20_000);
        const other = await open().acquire('rides', 'split-0', here('rides-2'), TTL_MS);
        expect(other).toEqual({ acquired: false, holder: here(), remainingMs: left(10_000) });
      });

      test('an hour on the wall clock ends no lease and prolongs none', async () => {
        await take();
        const wall = Date.now;
        try {
          for (const step of [HOUR_MS, -HOUR_MS]) {
            Date.now = () => wall() + step;
            const result = await open().acquire('rides', 'split-0', here('rides-2'), TTL_MS);
            expect(result).toMatchObject({ acquired: false, remainingMs: left(TTL_MS) });
          }
          await pass(TTL_MS);
          expect(await open().acquire('rides', 'split-0', here('rides-2'), TTL_MS)).toMatchObject({ acquired: true });
        } finally {
          Date.now = wall;
        }
      });

      test('how a lease stands is told without taking it: at work, over, given back', async () => {
        expect(await store.standing('rides', 'split-0')).toBeUndefined();
        const lease = await take();
        await pass(10_000);
        const looks = open();
        const live = { holder: here(), over: false, provenDead: false, remainingMs: left(TTL_MS - 10_000) };
        expect(await looks.standing('rides', 'split-0')).toEqual(live);
        expect(await looks.standing('rides', 'run')).toBeUndefined();
        await pass(TTL_MS);
        expect(await looks.standing('rides', 'split-0')).toEqual({ ...live, over: true, remainingMs: 0 });
        // Nobody took it by looking.
        expect(await store.renew(lease)).toBe(true);
        expect(await looks.standing('rides', 'split-0')).toEqual({ ...live, remainingMs: left(TTL_MS) });
        await store.release(lease);
        expect(await looks.standing('rides', 'split-0')).toBeUndefined();
      });

      test('a lease that ran out is renewed while nobody took it', async () => {
        const lease = await take();
        await pass(10 * TTL_MS);
        expect(await store.renew(lease)).toBe(true);
        const other = await open().acquire('rides', 'split-0', here('rides-2'), TTL_MS);
        expect(other).toMatchObject({ acquired: false, remainingMs: left(TTL_MS) });
      });

      test('a lease that another took is not renewed, and giving it back leaves the other alone', async () => {
        const old = await take();
        await pass(TTL_MS);
        const next = await take(here('rides-2'), open());
        expect(await store.renew(old)).toBe(false);
        await store.release(old);
        expect(await store.renew(next)).toBe(true);
        expect(await open().acquire('rides', 'split-0', here('rides-3'), TTL_MS)).toMatchObject({
          acquired: false,
          holder: { workerId: 'rides-2' },
        });
      });

      test('a lease that was given back is not renewed', async () => {
        const lease = await take();
        await store.release(lease);
        expect(await store.renew(lease)).toBe(false);
      });

      // A server's clock needs no eyes.
      test.skipIf(isServers)('a lease from another machine counts from when this store first saw it', async () => {
        await take(elsewhere(), bench.open({ monotonicMs: () => 12 }));
        await pass(10 * TTL_MS);
        const sees = (): Promise<AcquireResult> => store.acquire('rides', 'split-0', here(), TTL_MS);
        expect(await sees()).toMatchObject({ acquired: false, remainingMs: left(TTL_MS) });
        await pass(20_000);
        expect(await sees()).toMatchObject({ acquired: false, remainingMs: left(10_000) });
        await pass(10_000);
        expect(await sees()).toMatchObject({ acquired: true, predecessor: { provenDead: false, released: false } });
      });

      test.skipIf(isServers)('a lease from another machine that is renewed stays alive by what is seen', async () => {
        const far = bench.open({ monotonicMs: () => 12 });
        const lease = await take(elsewhere(), far);
        const sees = (): Promise<AcquireResult> => store.acquire('rides', 'split-0', here(), TTL_MS);
        await sees();
        await pass(20_000);
        expect(await far.renew(lease)).toBe(true);
        expect(await sees()).toMatchObject({ acquired: false, remainingMs: left(TTL_MS) });
        await pass(20_000);
        expect(await sees()).toMatchObject({ acquired: false, remainingMs: left(10_000) });
      });

      test.runIf(isServers)('a lease from another machine ends by the clock of the server, whoever looks', async () => {
        const lease = await take(elsewhere());
        const sees = (): Promise<AcquireResult> => open().acquire('rides', 'split-0', here(), TTL_MS);
        await pass(20_000);
        expect(await sees()).toMatchObject({ acquired: false, remainingMs: left(10_000) });
        expect(await store.renew(lease)).toBe(true);
        await pass(20_000);
        expect(await sees()).toMatchObject({ acquired: false, remainingMs: left(10_000) });
        await pass(10_000);
        expect(await sees()).toMatchObject({ acquired: true, predecessor: { provenDead: false, released: false } });
      });

      test('the lease of a killed process is taken at once, and its late writes are refused', async () => {
        const task: ChildTask = { backend, location: bench.location, runKey: 'rides' };
        const child = spawn(process.execPath, [CHILD.pathname, JSON.stringify(task)], {
          stdio: ['pipe', 'pipe', 'inherit'],
        });
        const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
        const held = leaseOf(JSON.parse(line) as AcquireResult);
        store = bench.open();
        expect(await store.acquire('rides', 'split-0', here('rides-2'), TTL_MS)).toMatchObject({ acquired: false });
        child.kill('SIGKILL');
        await once(child, 'exit');
        expect(await store.acquire('rides', 'split-0', here('rides-2'), TTL_MS)).toMatchObject({
          acquired: true,
          predecessor: { holder: { pid: child.pid }, token: held.token, released: false, provenDead: true },
        });
        expect(await put({ ride: 9 }, 0, held.token, 'split-0')).toMatchObject({ reason: 'fenced' });
      });

      test('of many that ask at once, one gets the lease', async () => {
        const results = await Promise.all(
          Array.from({ length: 10 }, (_, n) => open().acquire('rides', 'split-0', here(`rides-${n}`), TTL_MS)),
        );
        expect(results.filter((result) => result.acquired)).toHaveLength(1);
      });
    });

    describe('damage', () => {
      test.each(DAMAGES)(
        '%s is reported with exit code 74, never taken for a first run, and repaired',
        async (kind) => {
          const first = await put({ ride: 'first-ride' }, 0, 1, 'split-0');
          await put({ ride: 'second-ride' }, first.version, 1, 'split-0');
          const { restorable } = await bench.damage('rides', 'split-0', kind);
          store = open();
          const failure = { code: 'STATE_CORRUPT', exitCode: 74 };
          await expect(store.read('rides', 'split-0')).rejects.toMatchObject(failure);
          await expect(store.read('rides', 'split-0')).rejects.toThrow('oxiflow state repair');
          await expect(store.read('rides', 'split-0')).rejects.toThrow(bench.location);
          await expect(put({ ride: 'x' }, 0, 1, 'split-0')).rejects.toMatchObject(failure);
          await expect(store.acquire('rides', 'split-0', here(), TTL_MS)).rejects.toMatchObject(failure);

          const { quarantined, restored } = await store.repair('rides');
          expect(quarantined.length).toBeGreaterThan(0);
          const after = await store.read('rides', 'split-0');
          expect(after?.body).toEqual(restorable ? { ride: 'first-ride' } : undefined);
          expect(restored).toEqual(restorable ? [{ part: 'split-0', version: after?.version }] : []);
          // Whoever held the lease before can not write any more, and a new one can.
          const late = await put({ ride: 'late' }, after?.version ?? 0, 1, 'split-0');
          expect(late).toMatchObject({ written: false, reason: 'fenced' });
          const lease = await take();
          const next = await put({ ride: 'third-ride' }, after?.version ?? 0, lease.token, 'split-0');
          expect(next).toMatchObject({ written: true });
        },
      );

      test('a run whose document is damaged is listed with its error, and the others with theirs', async () => {
        await put({ ride: 'first-ride' }, 0, 1, 'run', 'night rides');
        await put({ ride: 'first-ride' }, 0);
        await bench.damage('rides', 'run', 'wrong shape');
        const found = await open().list();
        expect(found.map((entry) => entry.runKey).sort()).toEqual(['night rides', 'rides']);
        expect(found.find((entry) => entry.runKey === 'rides')?.error).toContain('oxiflow state repair');
        expect(found.find((entry) => entry.runKey === 'night rides')?.run?.body).toEqual({ ride: 'first-ride' });
      });

      test('repair of what is whole changes nothing', async () => {
        const { version } = await put({ ride: 1 }, 0);
        expect(await store.repair('rides')).toEqual({ quarantined: [], restored: [] });
        expect(await store.read('rides', 'run')).toMatchObject({ version, body: { ride: 1 } });
      });

      test('state of a newer program is refused, by repair as well', async () => {
        await put({ ride: 1 }, 0);
        await bench.makeNewer('rides', 'run');
        store = open();
        for (const attempt of [
          () => store.read('rides', 'run'),
          () => store.repair('rides'),
          () => put({ ride: 2 }, 0),
        ]) {
          await expect(attempt()).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
          await expect(attempt()).rejects.toThrow('newer oxiflow');
        }
      });
    });

    describe('runs', () => {
      const hostile = [
        '../../x',
        'a/b',
        'a\u0000b',
        'r'.repeat(300),
        '__proto__',
        'Zürich 🚲',
        'CON',
        '..',
        '.',
        'Rides',
        "o'",
        '%2e',
      ];

      test('any text is a run key, and none is taken for another', async () => {
        for (const [index, runKey] of hostile.entries()) await put({ index }, 0, 1, 'run', runKey);
        const other = open();
        for (const [index, runKey] of hostile.entries()) {
          expect((await other.read(runKey, 'run'))?.body).toEqual({ index });
        }
        expect((await other.list()).map((entry) => entry.runKey).sort()).toEqual([...hostile].sort());
        expect(await other.read('rides', 'run')).toBeUndefined();
      });

      test('an empty run key, or one that is no valid text, is refused', async () => {
        for (const runKey of ['', '\ud800']) {
          await expect(async () => put({ ride: 1 }, 0, 1, 'run', runKey)).rejects.toMatchObject({ exitCode: 2 });
        }
      });

      test('runs are listed newest write first; a run that only has a lease is not listed', async () => {
        await put({ ride: 1 }, 0, 1, 'run', 'monday');
        await nextMillisecond();
        await put({ ride: 1 }, 0, 1, 'run', 'tuesday');
        await nextMillisecond();
        const again = await store.read('monday', 'run');
        await put({ ride: 2 }, again?.version ?? 0, 1, 'run', 'monday');
        await take();
        expect((await open().list()).map((entry) => entry.runKey)).toEqual(['monday', 'tuesday']);
      });

      test('a removed run is gone with its documents and requests; its lease stays', async () => {
        const lease = await take();
        await put({ ride: 1 }, 0, lease.token);
        await put({ ride: 1 }, 0, lease.token, 'split-0');
        await store.request('rides', { kind: 'cancel', at: '2026-03-01T10:00:00Z', from: 'dispatcher' });
        await store.remove(lease);
        expect(await store.read('rides', 'run')).toBeUndefined();
        expect(await store.read('rides', 'split-0')).toBeUndefined();
        expect(await store.requests('rides')).toEqual([]);
        expect(await store.list()).toEqual([]);
        expect(await store.renew(lease)).toBe(true);
        expect(await put({ ride: 1 }, 0, lease.token)).toMatchObject({ written: true });
        expect(await put({ ride: 1 }, 0, lease.token, 'split-0')).toMatchObject({ written: true });
      });

      test('only the current holder removes a run', async () => {
        const old = await take();
        await put({ ride: 1 }, 0, old.token);
        await pass(TTL_MS);
        await take(here('rides-2'));
        await expect(store.remove(old)).rejects.toMatchObject({ code: 'LEASE_LOST', exitCode: 75 });
        expect((await store.read('rides', 'run'))?.body).toEqual({ ride: 1 });
      });
    });

    describe('requests', () => {
      test('requests are kept in order until they are cleared, each run by itself', async () => {
        const at = '2026-03-01T10:00:00.000Z';
        await store.request('rides', { kind: 'cancel', at, from: 'dispatcher' });
        await nextMillisecond();
        await store.request('rides', { kind: 'cancel', at, from: 'airflow' });
        await store.request('night rides', { kind: 'cancel', at, from: 'dispatcher' });
        expect(await open().requests('rides')).toEqual([
          { kind: 'cancel', at, from: 'dispatcher' },
          { kind: 'cancel', at, from: 'airflow' },
        ]);
        await open().clearRequests('rides');
        expect(await store.requests('rides')).toEqual([]);
        expect(await store.requests('night rides')).toHaveLength(1);
      });
    });

    describe('history', () => {
      const entry = (runKey: string, pipeline: string, finishedAt: string): HistoryEntry => ({
        runKey,
        runId: `id-${finishedAt}`,
        pipeline,
        attempt: 1,
        status: 'finished',
        finishedAt,
        summary: { records: 12, outputs: [{ path: 'out.json' }] },
      });
      const monday = entry('rides', 'rides', '2026-03-02T10:00:00.000Z');
      const tuesday = entry('night', 'rides', '2026-03-03T10:00:00.000Z');
      const earlier = entry('rides', 'stops', '2026-03-03T09:59:59.999Z');

      test('history comes newest first, whatever the order of its arrival, and by run, pipeline and number', async () => {
        for (const one of [tuesday, monday, earlier]) await store.appendHistory(one);
        const other = open();
        expect(await other.history()).toEqual([tuesday, earlier, monday]);
        expect(await other.history({ runKey: 'rides' })).toEqual([earlier, monday]);
        expect(await other.history({ pipeline: 'rides' })).toEqual([tuesday, monday]);
        expect(await other.history({ pipeline: 'rides', runKey: 'rides' })).toEqual([monday]);
        expect(await other.history({ limit: 1 })).toEqual([tuesday]);
        expect(await other.history({ runKey: 'nobody' })).toEqual([]);
      });

      test('two attempts that ended in one instant stay in the order in which they were added', async () => {
        const twin = { ...monday, attempt: 2 };
        await store.appendHistory(monday);
        await store.appendHistory(twin);
        expect(await store.history()).toEqual([twin, monday]);
      });

      test('pruning removes the history that is older than asked, to the millisecond', async () => {
        const now = Date.now();
        const old = entry('rides', 'rides', new Date(now - DAY_MS - 60_000).toISOString());
        const young = entry('rides', 'rides', new Date(now - DAY_MS + 60_000).toISOString());
        await store.appendHistory(old);
        await store.appendHistory(young);
        expect(await store.prune(DAY_MS)).toEqual({ runs: 0, history: 1 });
        expect(await open().history()).toEqual([young]);
      });
    });

    describe('pruning', () => {
      const finished = (ageMs: number): { [key: string]: Json } => ({
        status: 'finished',
        finished_at: new Date(Date.now() - ageMs).toISOString(),
      });

      test('only finished runs that are older than asked are removed', async () => {
        await put(finished(2 * DAY_MS), 0, 1, 'run', 'old');
        await put({ ride: 1 }, 0, 1, 'split-0', 'old');
        await put(finished(DAY_MS / 2), 0, 1, 'run', 'young');
        for (const status of ['running', 'failed', 'interrupted', 'finishing']) {
          await put({ ...finished(2 * DAY_MS), status }, 0, 1, 'run', status);
        }
        await put({ status: 'finished' }, 0, 1, 'run', 'without a time');
        expect(await store.prune(DAY_MS)).toEqual({ runs: 1, history: 0 });
        const left = (await open().list()).map((found) => found.runKey).sort();
        expect(left).toEqual(['failed', 'finishing', 'interrupted', 'running', 'without a time', 'young']);
        expect(await store.read('old', 'split-0')).toBeUndefined();
      });

      test('a finished run whose lease lives is left alone', async () => {
        const lease = await take();
        await put(finished(2 * DAY_MS), 0, lease.token);
        expect(await store.prune(DAY_MS)).toEqual({ runs: 0, history: 0 });
        expect(await store.read('rides', 'run')).toBeDefined();
        expect(await store.renew(lease)).toBe(true);
        await store.release(lease);
        expect(await store.prune(DAY_MS)).toEqual({ runs: 1, history: 0 });
      });

      test('a damaged run is not removed', async () => {
        await put(finished(2 * DAY_MS), 0);
        await bench.damage('rides', 'run', 'wrong shape');
        store = open();
        expect(await store.prune(0)).toEqual({ runs: 0, history: 0 });
        await expect(store.read('rides', 'run')).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
      });

      test('a pruned run can be run again', async () => {
        await put(finished(2 * DAY_MS), 0, 3);
        await store.prune(DAY_MS);
        const lease = await take();
        expect(lease.token).toBeGreaterThan(3);
        expect(await put({ status: 'running' }, 0, lease.token)).toMatchObject({ written: true });
        await store.prune(0);
        expect((await store.read('rides', 'run'))?.body).toEqual({ status: 'running' });
      });

      test('what is left of a run that was removed long ago goes too', async () => {
        await put(finished(2 * DAY_MS), 0);
        await store.prune(0);
        await store.prune(0);
        expect(await store.list()).toEqual([]);
        expect((await take()).token).toEqual(firstToken);
      });
    });
  });
}

function leaseOf(result: AcquireResult): Lease {
  if (!result.acquired) throw new Error(`the lease is held by ${result.holder.workerId}`);
  return result.lease;
}

/** Times of writes are kept in milliseconds. */
async function nextMillisecond(): Promise<void> {
  const now = Date.now();
  while (Date.now() <= now) await new Promise(setImmediate);
}
