import { describe, expect, test } from 'vitest';
import type { HistoryEntry } from '../../../runner/state/store.ts';
import { DAY_MS, nextMillisecond, type Scene, TTL_MS } from './scene.ts';

export function describeRuns(scene: Scene): void {
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
      for (const [index, runKey] of hostile.entries()) await scene.put({ index }, 0, 1, 'run', runKey);
      const other = scene.open();
      for (const [index, runKey] of hostile.entries()) {
        expect((await other.read(runKey, 'run'))?.body).toEqual({ index });
      }
      expect((await other.list()).map((entry) => entry.runKey).sort()).toEqual([...hostile].sort());
      expect(await other.read('rides', 'run')).toBeUndefined();
    });

    test('an empty run key, or one that is no valid text, is refused', async () => {
      for (const runKey of ['', '\ud800']) {
        await expect(async () => scene.put({ ride: 1 }, 0, 1, 'run', runKey)).rejects.toMatchObject({ exitCode: 2 });
      }
    });

    test('runs are listed newest write first; a run that only has a lease is not listed', async () => {
      await scene.put({ ride: 1 }, 0, 1, 'run', 'monday');
      await nextMillisecond();
      await scene.put({ ride: 1 }, 0, 1, 'run', 'tuesday');
      await nextMillisecond();
      const again = await scene.store.read('monday', 'run');
      await scene.put({ ride: 2 }, again?.version ?? 0, 1, 'run', 'monday');
      await scene.take();
      expect((await scene.open().list()).map((entry) => entry.runKey)).toEqual(['monday', 'tuesday']);
    });

    test('a removed run is gone with its documents and requests; its lease stays', async () => {
      const lease = await scene.take();
      await scene.put({ ride: 1 }, 0, lease.token);
      await scene.put({ ride: 1 }, 0, lease.token, 'split-0');
      await scene.store.request('rides', { kind: 'cancel', at: '2026-03-01T10:00:00Z', from: 'dispatcher' });
      await scene.store.remove(lease);
      expect(await scene.store.read('rides', 'run')).toBeUndefined();
      expect(await scene.store.read('rides', 'split-0')).toBeUndefined();
      expect(await scene.store.requests('rides')).toEqual([]);
      expect(await scene.store.list()).toEqual([]);
      expect(await scene.store.renew(lease)).toBe(true);
      expect(await scene.put({ ride: 1 }, 0, lease.token)).toMatchObject({ written: true });
      expect(await scene.put({ ride: 1 }, 0, lease.token, 'split-0')).toMatchObject({ written: true });
    });

    test('only the current holder removes a run', async () => {
      const old = await scene.take();
      await scene.put({ ride: 1 }, 0, old.token);
      await scene.pass(TTL_MS);
      await scene.take(scene.here('rides-2'));
      await expect(scene.store.remove(old)).rejects.toMatchObject({ code: 'LEASE_LOST', exitCode: 75 });
      expect((await scene.store.read('rides', 'run'))?.body).toEqual({ ride: 1 });
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
      for (const one of [tuesday, monday, earlier]) await scene.store.appendHistory(one);
      const other = scene.open();
      expect(await other.history()).toEqual([tuesday, earlier, monday]);
      expect(await other.history({ runKey: 'rides' })).toEqual([earlier, monday]);
      expect(await other.history({ pipeline: 'rides' })).toEqual([tuesday, monday]);
      expect(await other.history({ pipeline: 'rides', runKey: 'rides' })).toEqual([monday]);
      expect(await other.history({ limit: 1 })).toEqual([tuesday]);
      expect(await other.history({ runKey: 'nobody' })).toEqual([]);
    });

    test('two attempts that ended in one instant stay in the order in which they were added', async () => {
      const twin = { ...monday, attempt: 2 };
      await scene.store.appendHistory(monday);
      await scene.store.appendHistory(twin);
      expect(await scene.store.history()).toEqual([twin, monday]);
    });

    test('pruning removes the history that is older than asked, to the millisecond', async () => {
      const now = Date.now();
      const old = entry('rides', 'rides', new Date(now - DAY_MS - 60_000).toISOString());
      const young = entry('rides', 'rides', new Date(now - DAY_MS + 60_000).toISOString());
      await scene.store.appendHistory(old);
      await scene.store.appendHistory(young);
      expect(await scene.store.prune(DAY_MS)).toEqual({ runs: 0, history: 1 });
      expect(await scene.open().history()).toEqual([young]);
    });
  });
  describe('requests', () => {
    test('requests are kept in order until they are cleared, each run by itself', async () => {
      const at = '2026-03-01T10:00:00.000Z';
      await scene.store.request('rides', { kind: 'cancel', at, from: 'dispatcher' });
      await nextMillisecond();
      await scene.store.request('rides', { kind: 'cancel', at, from: 'airflow' });
      await scene.store.request('night rides', { kind: 'cancel', at, from: 'dispatcher' });
      expect(await scene.open().requests('rides')).toEqual([
        { kind: 'cancel', at, from: 'dispatcher' },
        { kind: 'cancel', at, from: 'airflow' },
      ]);
      await scene.open().clearRequests('rides');
      expect(await scene.store.requests('rides')).toEqual([]);
      expect(await scene.store.requests('night rides')).toHaveLength(1);
    });
  });
}
