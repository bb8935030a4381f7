import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { explain, type Operation } from '../linearizable.ts';
import type { ChildTask } from './child-task.ts';
import { CHILD, finished, type Scene } from './scene.ts';

const WRITERS = 16;

export function describeWriters(backend: string, scene: Scene): void {
  /** What a thread with a store of its own sends back. */
  async function runThread<T>(task: Omit<ChildTask, 'backend' | 'location' | 'runKey'>): Promise<T> {
    const { location } = scene.bench;
    const workerData: ChildTask = { backend, location, runKey: 'rides', ...task };
    const worker = new Worker(CHILD, { workerData });
    // A thread that fails sends nothing; `once` tells its error.
    const [[answer]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
    return answer as T;
  }

  describe('many at once', () => {
    test('of sixteen writers none loses an update, and one order explains all that they saw', {
      timeout: 60_000,
    }, async () => {
      const times = 5;
      const histories = await Promise.all(
        Array.from({ length: WRITERS }, (_, writer) => runThread<Operation[]>({ count: { writer, times } })),
      );
      const history = histories.flat();
      const written = history.filter((one) => one.kind === 'written');
      expect(written).toHaveLength(WRITERS * times);
      // They did meet: without a refusal this would prove little.
      expect(history.some((one) => one.kind === 'refused')).toBe(true);
      const order = explain(history);
      expect(order, JSON.stringify(history)).toBeDefined();
      const { log } = (await scene.store.read('rides', 'run'))?.body ?? {};
      expect(log).toEqual(order?.flatMap((one) => (one.kind === 'written' ? [one.value] : [])));
    });

    test('of many that ask for a lease at once, one gets it', async () => {
      const results = await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          scene.open().acquire('rides', 'split-0', scene.here(`rides-${n}`), 30_000),
        ),
      );
      expect(results.filter((result) => result.acquired)).toHaveLength(1);
    });

    test('of many that claim the same parts at once, each gets one of its own', async () => {
      const parts = ['group-0', 'group-1', 'group-2', 'group-3'] as const;
      const claims = await Promise.all(
        Array.from({ length: 7 }, (_, n) => scene.open().claim('rides', parts, scene.here(`rides-${n}`), 30_000)),
      );
      const got = claims.flatMap((claim) => (claim === undefined ? [] : [claim.lease]));
      expect(got.map(({ part }) => part).sort()).toEqual(parts);
      expect(new Set(got.map(({ token }) => token)).size).toBe(parts.length);
    });

    test('whoever cleans up meanwhile takes nothing from workers that live', { timeout: 60_000 }, async () => {
      // A run that is long over by its document, but at which somebody works: the worst that cleaning can meet.
      await scene.put(finished(100_000), 0);
      await scene.put(finished(100_000), 0, 1, 'run', 'yesterday');
      const standing = await scene.store.acquire('rides', 'split-0', scene.elsewhere(), 60_000);
      expect(standing.acquired).toBe(true);
      let toiling = true;
      const until = performance.now() + 40_000;
      const cleaning = (async () => {
        const cleaner = scene.open();
        let pruned = 0;
        while (toiling && performance.now() < until) {
          pruned += (await cleaner.prune(0)).runs;
          // What is synchronous inside would let nobody else have a turn.
          await new Promise(setImmediate);
        }
        return pruned;
      })();
      const complaints = await Promise.all(
        [1, 2, 3].map((worker) => runThread<string[]>({ toil: { worker, rounds: 8 } })),
      ).finally(() => {
        toiling = false;
      });
      expect(complaints.flat()).toEqual([]);
      // It did work all the time.
      expect(await cleaning).toBe(1);
      expect((await scene.store.read('rides', 'run'))?.body.status).toBe('finished');
    });
  });
}
