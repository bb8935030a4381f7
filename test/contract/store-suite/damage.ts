import { describe, expect, test } from 'vitest';
import { DAMAGES, type Scene, TTL_MS } from './scene.ts';

export function describeDamage(scene: Scene): void {
  describe('damage', () => {
    test.each(DAMAGES)('%s is reported with exit code 74, never taken for a first run, and repaired', async (kind) => {
      const first = await scene.put({ ride: 'first-ride' }, 0, 1, 'split-0');
      await scene.put({ ride: 'second-ride' }, first.version, 1, 'split-0');
      const { restorable } = await scene.bench.damage('rides', 'split-0', kind);
      scene.store = scene.open();
      const failure = { code: 'STATE_CORRUPT', exitCode: 74 };
      await expect(scene.store.read('rides', 'split-0')).rejects.toMatchObject(failure);
      await expect(scene.store.read('rides', 'split-0')).rejects.toThrow('oxiflow state repair');
      await expect(scene.store.read('rides', 'split-0')).rejects.toThrow(scene.bench.location);
      await expect(scene.put({ ride: 'x' }, 0, 1, 'split-0')).rejects.toMatchObject(failure);
      await expect(scene.store.acquire('rides', 'split-0', scene.here(), TTL_MS)).rejects.toMatchObject(failure);

      const { quarantined, restored } = await scene.store.repair('rides');
      expect(quarantined.length).toBeGreaterThan(0);
      const after = await scene.store.read('rides', 'split-0');
      expect(after?.body).toEqual(restorable ? { ride: 'first-ride' } : undefined);
      expect(restored).toEqual(restorable ? [{ part: 'split-0', version: after?.version }] : []);
      // Whoever held the lease before can not write any more, and a new one can.
      const late = await scene.put({ ride: 'late' }, after?.version ?? 0, 1, 'split-0');
      expect(late).toMatchObject({ written: false, reason: 'fenced' });
      const lease = await scene.take();
      const next = await scene.put({ ride: 'third-ride' }, after?.version ?? 0, lease.token, 'split-0');
      expect(next).toMatchObject({ written: true });
    });

    test('a run whose document is damaged is listed with its error, and the others with theirs', async () => {
      await scene.put({ ride: 'first-ride' }, 0, 1, 'run', 'night rides');
      await scene.put({ ride: 'first-ride' }, 0);
      await scene.bench.damage('rides', 'run', 'wrong shape');
      const found = await scene.open().list();
      expect(found.map((entry) => entry.runKey).sort()).toEqual(['night rides', 'rides']);
      expect(found.find((entry) => entry.runKey === 'rides')?.error).toContain('oxiflow state repair');
      expect(found.find((entry) => entry.runKey === 'night rides')?.run?.body).toEqual({ ride: 'first-ride' });
    });

    test('a run that starts over is held up by none of its damaged documents, and by those of nobody else', async () => {
      for (const part of ['run', 'split-0', 'group-1'] as const) {
        const first = await scene.put({ ride: 1 }, 0, 1, part);
        await scene.put({ ride: 2 }, first.version, 1, part);
        await scene.bench.damage('rides', part, 'wrong shape');
      }
      await scene.put({ ride: 1 }, 0, 1, 'run', 'night rides');
      const told: string[] = [];
      const store = scene.bench.open({ warn: (text) => told.push(text) });
      await expect(store.acquire('rides', 'split-0', scene.here(), TTL_MS)).rejects.toMatchObject({ exitCode: 74 });
      expect(told).toEqual([]);
      const got = await store.acquire('rides', 'split-0', scene.here(), TTL_MS, { fresh: true });
      if (!got.acquired) throw new Error('not acquired');
      expect(told).toEqual([expect.stringContaining('run "rides" starts over')]);
      const before = await store.read('rides', 'run');
      const document = { expected: before?.version ?? 0, token: got.lease.token, body: { ride: 9 } };
      expect(await store.write('rides', 'run', { ...document, grade: 'hard' })).toMatchObject({ written: true });
      expect(await store.renew(got.lease)).toBe(true);
      for (const { part } of await store.parts('rides')) await store.read('rides', part);
      expect(await store.read('night rides', 'run')).toMatchObject({ version: 1, body: { ride: 1 } });
      await store.close();
    });

    test('repair of what is whole changes nothing', async () => {
      const { version } = await scene.put({ ride: 1 }, 0);
      expect(await scene.store.repair('rides')).toEqual({ quarantined: [], restored: [] });
      expect(await scene.store.read('rides', 'run')).toMatchObject({ version, body: { ride: 1 } });
    });

    test('state of a newer program is refused, by repair as well', async () => {
      await scene.put({ ride: 1 }, 0);
      await scene.bench.makeNewer('rides', 'run');
      scene.store = scene.open();
      for (const attempt of [
        () => scene.store.read('rides', 'run'),
        () => scene.store.repair('rides'),
        () => scene.put({ ride: 2 }, 0),
      ]) {
        await expect(attempt()).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
        await expect(attempt()).rejects.toThrow('newer oxiflow');
      }
    });

    test.each(DAMAGES)(
      '%s in a part of a shared run: nobody claims it as new, and repaired it is claimed',
      async (kind) => {
        const part = 'group-0';
        const first = await scene.put({ ride: 'first-ride' }, 0, 1, part);
        await scene.put({ ride: 'second-ride' }, first.version, 1, part);
        const { restorable } = await scene.bench.damage('rides', part, kind);
        scene.store = scene.open();
        const claims = () => scene.store.claim('rides', [part], scene.here(), TTL_MS);
        for (let times = 0; times < 2; times++) {
          await expect(claims()).rejects.toMatchObject({ code: 'STATE_CORRUPT', exitCode: 74 });
          await expect(claims()).rejects.toThrow('oxiflow state repair --run-key rides');
        }
        await scene.store.repair('rides');
        expect((await scene.store.read('rides', part))?.body).toEqual(restorable ? { ride: 'first-ride' } : undefined);
        expect((await claims())?.lease.part).toBe(part);
      },
    );
  });

  describe('state of the program before', () => {
    test('is taken over as it is, once, and goes on with all that is new', async (context) => {
      if (scene.bench.makeOlder === undefined) return context.skip('there is no earlier format of this backend');
      await scene.bench.makeOlder();
      const stores = [scene.open(), scene.open()];
      const both = await Promise.all(stores.map((store) => store.read('rides', 'run')));
      const old = { version: 1, token: 3, body: { status: 'interrupted' } };
      expect(both).toMatchObject([old, old]);
      expect(await scene.store.standing('rides', 'split-0')).toMatchObject({ holder: { workerId: 'rides-0' } });
      expect(await scene.store.read('rides', 'split-0')).toMatchObject({ version: 2, token: 3, body: { ride: 2 } });
      const cancel = { kind: 'cancel', at: '2026-03-01T10:00:00.000Z', from: 'dispatcher' } as const;
      expect(await scene.store.requests('rides')).toEqual([cancel]);
      expect(await scene.store.history()).toMatchObject([{ runKey: 'rides', attempt: 1, status: 'failed' }]);
      expect((await scene.store.list()).map(({ runKey }) => runKey)).toEqual(['rides']);
      const stop = { kind: 'stop', worker: 'rides-1', force: true, at: cancel.at, from: 'x' } as const;
      await scene.store.request('rides', stop);
      await scene.store.clearRequests('rides', { kinds: ['cancel'] });
      expect(await scene.open().requests('rides')).toEqual([stop]);
      const taken = await scene.open().claim('rides', ['group-0'], scene.here(), TTL_MS);
      expect(taken?.lease.token).toBe(4);
      expect(await scene.put({ status: 'running' }, 1, 4)).toMatchObject({ written: true });
      expect((await scene.open().parts('rides')).map(({ part }) => part)).toEqual(['group-0', 'run', 'split-0']);
    });
  });
}
