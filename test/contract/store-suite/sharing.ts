import { describe, expect, test } from 'vitest';
import type { Part, RunRequest } from '../../../runner/state/store.ts';
import { DAY_MS, finished, leaseOf, nextMillisecond, type Scene, TTL_MS } from './scene.ts';

const WORKER: Part = 'worker-0123456789ab';

export function describeSharing(scene: Scene): void {
  const groups = (count: number): Part[] => Array.from({ length: count }, (_, k) => `group-${k}` as const);
  const claim = (parts: readonly Part[], workerId = 'rides-2') =>
    scene.open().claim('rides', parts, scene.here(workerId), TTL_MS);

  describe('claims', () => {
    test('a claim takes the first part that is free, in the order of the asker', async () => {
      await scene.take(scene.here(), scene.store, 'group-0');
      expect((await claim(groups(3)))?.lease).toMatchObject({ part: 'group-1', ttlMs: TTL_MS });
      expect((await claim(['group-2', 'group-0']))?.lease.part).toBe('group-2');
      expect(await claim(groups(3))).toBeUndefined();
    });

    test('a claim of nothing takes nothing', async () => {
      expect(await claim([])).toBeUndefined();
    });

    test('a claim takes what was given back, or whose holder let it run out, and names that holder', async () => {
      const back = await scene.take(scene.here(), scene.store, 'group-0');
      const out = await scene.take(scene.here('rides-3'), scene.store, 'group-1');
      expect(await claim(groups(2))).toBeUndefined();
      await scene.store.release(back);
      const first = await claim(groups(2));
      expect(first).toMatchObject({
        acquired: true,
        lease: { part: 'group-0' },
        predecessor: { holder: scene.here(), token: back.token, released: true },
      });
      await scene.pass(TTL_MS);
      expect(await scene.store.renew(leaseOf(first))).toBe(true);
      expect(await claim(groups(2), 'rides-4')).toMatchObject({
        lease: { part: 'group-1' },
        predecessor: { token: out.token, released: false },
      });
      expect(await scene.store.renew(out)).toBe(false);
    });

    test('the token of a claim is above all of the run, and fences whoever held the part before', async () => {
      const old = await scene.take(scene.here(), scene.store, 'group-0');
      await scene.put({ splits: 1 }, 0, old.token, 'group-0');
      await scene.put({ ride: 1 }, 0, 50);
      await scene.pass(TTL_MS);
      const lease = leaseOf(await claim(groups(1)));
      expect(lease.token).toBeGreaterThan(50);
      const { version } = (await scene.store.read('rides', 'group-0')) ?? { version: 0 };
      expect(await scene.put({ splits: 9 }, version, old.token, 'group-0')).toMatchObject({ reason: 'fenced' });
      expect(await scene.put({ splits: 2 }, version, lease.token, 'group-0')).toMatchObject({ written: true });
    });

    test('of two hundred parts the last one is free', { timeout: 60_000 }, async () => {
      const all = groups(200);
      await scene.put({ groups: all.length }, 0);
      const workers = [scene.open(), scene.open()];
      for (const [k, part] of all.slice(0, -1).entries()) {
        const taken = await workers[k % 2]?.acquire('rides', part, scene.here(`rides-${k % 2}`), TTL_MS);
        expect(taken).toMatchObject({ acquired: true });
      }
      const store = scene.open();
      const taken = await store.claim('rides', all, scene.here('late'), TTL_MS);
      expect(taken?.lease.part).toBe('group-199');
      expect(await store.claim('rides', all, scene.here('later'), TTL_MS)).toBeUndefined();
      expect(await store.parts('rides', 'group-')).toHaveLength(200);
    });
  });

  describe('a lease that is taken by force', () => {
    test('goes to whoever asks, and the holder is turned away', async () => {
      const old = await scene.take();
      const { version } = await scene.put({ ride: 1 }, 0, old.token, 'split-0');
      const other = scene.open();
      expect(await other.acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS, { force: false })).toMatchObject({
        acquired: false,
      });
      const forced = await other.acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS, { force: true });
      expect(forced).toMatchObject({
        acquired: true,
        predecessor: { holder: scene.here(), token: old.token, released: false, provenDead: false },
      });
      expect(await scene.store.renew(old)).toBe(false);
      expect(await scene.put({ ride: 9 }, version, old.token, 'split-0')).toMatchObject({ reason: 'fenced' });
      expect(await scene.store.renew(leaseOf(forced))).toBe(true);
    });

    test('from another machine as well, and from nobody', async () => {
      const forced = { force: true };
      await scene.take(scene.elsewhere(), scene.bench.open({ monotonicMs: () => 12 }));
      expect(await scene.store.acquire('rides', 'split-0', scene.here(), TTL_MS, forced)).toMatchObject({
        acquired: true,
        predecessor: { holder: scene.elsewhere() },
      });
      const free = await scene.store.acquire('rides', 'split-1', scene.here(), TTL_MS, forced);
      expect(free.acquired && free.predecessor).toBeUndefined();
    });
  });

  describe('a write', () => {
    test('with the token of a lease renews it', async () => {
      for (const holder of [scene.here(), scene.elsewhere('rides-7')]) {
        const part = holder.host === 'harbour' ? 'group-1' : 'group-0';
        const lease = await scene.take(holder, scene.store, part);
        const looks = scene.open();
        await looks.standing('rides', part);
        let version = 0;
        for (let commit = 1; commit <= 4; commit++) {
          await scene.pass(20_000);
          ({ version } = await scene.put({ commit }, version, lease.token, part));
          expect(await looks.standing('rides', part)).toMatchObject({ over: false, remainingMs: scene.left(TTL_MS) });
        }
        await scene.pass(TTL_MS);
        expect(await looks.standing('rides', part)).toMatchObject({ over: true });
      }
    });

    test('that is refused renews nothing', async () => {
      const lease = await scene.take();
      const { version } = await scene.put({ ride: 1 }, 0, lease.token, 'split-0');
      await scene.pass(20_000);
      expect(await scene.put({ ride: 2 }, version + 1, lease.token, 'split-0')).toMatchObject({ reason: 'conflict' });
      expect(await scene.store.standing('rides', 'split-0')).toMatchObject({ remainingMs: scene.left(10_000) });
    });

    test('does not bring back a lease that was given back', async () => {
      const lease = await scene.take();
      await scene.store.release(lease);
      expect(await scene.put({ ride: 1 }, 0, lease.token, 'split-0')).toMatchObject({ written: true });
      expect(await scene.store.standing('rides', 'split-0')).toBeUndefined();
      expect(await scene.store.renew(lease)).toBe(false);
    });
  });

  describe('parts', () => {
    test('a run has the parts that hold a document or a lease, told by kind and number', async () => {
      expect(await scene.store.parts('rides')).toEqual([]);
      await scene.put({ ride: 1 }, 0);
      await scene.put({ ride: 1 }, 0, 1, 'run', 'night rides');
      const { version } = await scene.put({ ride: 1 }, 0, 1, 'split-10');
      await scene.put({ ride: 1 }, 0, 1, 'split-9');
      await scene.take(scene.here(), scene.store, 'group-2');
      const back = await scene.take(scene.here(), scene.store, 'group-3');
      await scene.store.release(back);
      const registered = await scene.take(scene.here(), scene.store, WORKER);
      await scene.put({ pid: 7 }, 0, registered.token, WORKER);
      const found = await scene.open().parts('rides');
      expect(found.map(({ part }) => part)).toEqual(['group-2', 'run', 'split-9', 'split-10', WORKER]);
      const writtenAt = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);
      const lease = { holder: scene.here(), over: false, provenDead: false, remainingMs: scene.left(TTL_MS) };
      expect(found[0]).toEqual({ part: 'group-2', version: 0, writtenAt: '', lease });
      expect(found[3]).toEqual({ part: 'split-10', version, writtenAt, lease: undefined });
      expect(await scene.open().parts('rides', 'worker-')).toEqual([
        { part: WORKER, version: expect.any(Number), writtenAt, lease },
      ]);
      await scene.pass(TTL_MS);
      const later = await scene.store.parts('rides', 'group-');
      expect(later).toMatchObject([{ part: 'group-2', lease: { over: true, remainingMs: 0 } }]);
      expect(await scene.store.parts('nobody')).toEqual([]);
    });

    test('a name that is no part is refused', async () => {
      const wrong = ['worker-1', 'group-', 'key', '../run', 'worker-0123456789AB'] as unknown as Part[];
      for (const part of wrong) {
        await expect(async () => scene.put({ ride: 1 }, 0, 1, part)).rejects.toThrow('no part');
        await expect(async () => claim([part])).rejects.toThrow('no part');
      }
    });
  });

  describe('a worker that goes', () => {
    test('takes its part with it, document and lease, and may come again', async () => {
      const lease = await scene.take(scene.here(), scene.store, WORKER);
      await scene.put({ pid: 7 }, 0, lease.token, WORKER);
      await scene.put({ ride: 1 }, 0, 1);
      await scene.store.removePart(lease);
      expect(await scene.open().read('rides', WORKER)).toBeUndefined();
      expect(await scene.open().standing('rides', WORKER)).toBeUndefined();
      expect((await scene.open().parts('rides')).map(({ part }) => part)).toEqual(['run']);
      const again = await scene.take(scene.here(), scene.open(), WORKER);
      expect(again.token).toBeGreaterThan(lease.token);
      expect(await scene.put({ pid: 8 }, 0, again.token, WORKER)).toMatchObject({ written: true });
    });

    test('writes and renews nothing any more, and goes once', async () => {
      const lease = await scene.take(scene.here(), scene.store, WORKER);
      const { version } = await scene.put({ pid: 7 }, 0, lease.token, WORKER);
      await scene.store.removePart(lease);
      for (const expected of [0, version]) {
        expect(await scene.put({ pid: 9 }, expected, lease.token, WORKER)).toMatchObject({ reason: 'fenced' });
      }
      expect(await scene.store.renew(lease)).toBe(false);
      // Asked twice it may say that it is done, or that the lease is gone.
      const twice = await scene.store.removePart(lease).catch((error: unknown) => error);
      if (twice !== undefined) expect(twice).toMatchObject({ code: 'LEASE_LOST' });
      await scene.store.release(lease);
      expect(await scene.store.parts('rides')).toEqual([]);
    });

    test('whose place another took leaves it to him', async () => {
      const old = await scene.take(scene.here(), scene.store, WORKER);
      await scene.put({ pid: 7 }, 0, old.token, WORKER);
      await scene.pass(TTL_MS);
      await scene.take(scene.here('rides-2'), scene.open(), WORKER);
      await expect(scene.store.removePart(old)).rejects.toMatchObject({ code: 'LEASE_LOST', exitCode: 75 });
      expect((await scene.store.read('rides', WORKER))?.body).toEqual({ pid: 7 });
    });
  });

  describe('requests to workers', () => {
    const at = '2026-03-01T10:00:00.000Z';
    const cancel: RunRequest = { kind: 'cancel', at, from: 'dispatcher' };
    const stop: RunRequest = { kind: 'stop', worker: 'rides-1', force: true, at, from: 'dispatcher' };
    const other: RunRequest = { kind: 'stop', worker: 'rides-2', at, from: 'dispatcher' };
    const pause: RunRequest = { kind: 'pause', at, from: 'airflow' };
    const rebalance: RunRequest = { kind: 'rebalance', at, from: 'rides-3' };

    test('keep their kind, whom they mean and their force', async () => {
      const all = [cancel, stop, other, pause, rebalance];
      for (const request of all) {
        await scene.store.request('rides', request);
        await nextMillisecond();
      }
      expect(await scene.open().requests('rides')).toEqual(all);
    });

    test.each<[string, Parameters<typeof scene.store.clearRequests>[1], RunRequest[]]>([
      ['of a kind', { kinds: ['stop'] }, [cancel, pause, rebalance]],
      ['of two kinds', { kinds: ['pause', 'rebalance'] }, [cancel, stop, other]],
      ['of no kind', { kinds: [] }, [cancel, stop, other, pause, rebalance]],
      ['to a worker', { worker: 'rides-1' }, [cancel, other, pause, rebalance]],
      ['of a kind to a worker', { kinds: ['stop'], worker: 'rides-2' }, [cancel, stop, pause, rebalance]],
      ['that are there', undefined, []],
    ])('all %s are cleared, and no others', async (_, which, left) => {
      for (const request of [cancel, stop, other, pause, rebalance]) {
        await scene.store.request('rides', request);
        await nextMillisecond();
      }
      await scene.store.request('night rides', cancel);
      await scene.open().clearRequests('rides', which);
      expect(await scene.store.requests('rides')).toEqual(left);
      expect(await scene.store.requests('night rides')).toEqual([cancel]);
    });

    test('a listener hears of a request soon', async () => {
      // Where the backend can't tell, everybody looks for himself.
      if (scene.store.subscribe === undefined) return expect(await scene.store.requests('rides')).toEqual([]);
      const { promise, resolve } = Promise.withResolvers<void>();
      await using _listening = await scene.store.subscribe('rides', resolve);
      await scene.open().request('rides', pause);
      await promise;
      expect(await scene.store.requests('rides')).toEqual([pause]);
    });
  });

  describe('a shared run', () => {
    test.each(['group-1', 'split-1', WORKER] as Part[])(
      'that is finished stays while the lease of its %s lives, and goes with all parts then',
      async (part) => {
        await scene.put(finished(2 * DAY_MS), 0);
        await scene.put({ splits: 1 }, 0, 1, 'group-0');
        const lease = await scene.take(scene.here(), scene.store, part);
        expect(await scene.open().prune(DAY_MS)).toEqual({ runs: 0, history: 0 });
        expect((await scene.store.parts('rides')).map((one) => one.part)).toContain('group-0');
        expect(await scene.store.renew(lease)).toBe(true);
        await scene.store.release(lease);
        expect(await scene.open().prune(DAY_MS)).toEqual({ runs: 1, history: 0 });
        expect(await scene.store.parts('rides')).toEqual([]);
        expect(await scene.store.read('rides', 'group-0')).toBeUndefined();
      },
    );

    test('that is removed takes all its parts with it, and fences their holders', async () => {
      const group = await scene.take(scene.here(), scene.store, 'group-0');
      await scene.put({ splits: 1 }, 0, group.token, 'group-0');
      const worker = await scene.take(scene.here(), scene.store, WORKER);
      await scene.put({ pid: 7 }, 0, worker.token, WORKER);
      const lease = await scene.take();
      await scene.store.remove(lease);
      expect((await scene.store.parts('rides')).map(({ part }) => part)).toEqual(['split-0']);
      for (const late of [group, worker]) {
        expect(await scene.store.renew(late)).toBe(false);
        expect(await scene.put({ late: 1 }, 0, late.token, late.part)).toMatchObject({ reason: 'fenced' });
      }
    });
  });
}
