import { describe, expect, test } from 'vitest';
import { DAY_MS, finished, type Scene } from './scene.ts';

export function describePruning(scene: Scene): void {
  describe('pruning', () => {
    test('only finished runs that are older than asked are removed', async () => {
      await scene.put(finished(2 * DAY_MS), 0, 1, 'run', 'old');
      await scene.put({ ride: 1 }, 0, 1, 'split-0', 'old');
      await scene.put(finished(DAY_MS / 2), 0, 1, 'run', 'young');
      for (const status of ['running', 'failed', 'interrupted', 'finishing']) {
        await scene.put({ ...finished(2 * DAY_MS), status }, 0, 1, 'run', status);
      }
      await scene.put({ status: 'finished' }, 0, 1, 'run', 'without a time');
      expect(await scene.store.prune(DAY_MS)).toEqual({ runs: 1, history: 0 });
      const left = (await scene.open().list()).map((found) => found.runKey).sort();
      expect(left).toEqual(['failed', 'finishing', 'interrupted', 'running', 'without a time', 'young']);
      expect(await scene.store.read('old', 'split-0')).toBeUndefined();
    });

    test('a finished run whose lease lives is left alone', async () => {
      const lease = await scene.take();
      await scene.put(finished(2 * DAY_MS), 0, lease.token);
      expect(await scene.store.prune(DAY_MS)).toEqual({ runs: 0, history: 0 });
      expect(await scene.store.read('rides', 'run')).toBeDefined();
      expect(await scene.store.renew(lease)).toBe(true);
      await scene.store.release(lease);
      expect(await scene.store.prune(DAY_MS)).toEqual({ runs: 1, history: 0 });
    });

    test('a damaged run is not removed', async () => {
      await scene.put(finished(2 * DAY_MS), 0);
      await scene.bench.damage('rides', 'run', 'wrong shape');
      scene.store = scene.open();
      expect(await scene.store.prune(0)).toEqual({ runs: 0, history: 0 });
      await expect(scene.store.read('rides', 'run')).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    });

    test('a pruned run can be run again', async () => {
      await scene.put(finished(2 * DAY_MS), 0, 3);
      await scene.store.prune(DAY_MS);
      const lease = await scene.take();
      expect(lease.token).toBeGreaterThan(3);
      expect(await scene.put({ status: 'running' }, 0, lease.token)).toMatchObject({ written: true });
      await scene.store.prune(0);
      expect((await scene.store.read('rides', 'run'))?.body).toEqual({ status: 'running' });
    });

    test('what is left of a run that was removed long ago goes too', async () => {
      await scene.put(finished(2 * DAY_MS), 0);
      await scene.store.prune(0);
      await scene.store.prune(0);
      expect(await scene.store.list()).toEqual([]);
      expect((await scene.take()).token).toEqual(scene.firstToken);
    });
  });
}
