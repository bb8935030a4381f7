/** `run --workers N`: whatever happens to the first of them, the others end by themselves, and the run can go on. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { until } from '../servers/redis.ts';
import { Depot, KEY, Parcels, SHARED_BACKENDS } from './depot.ts';
import { SEED } from './random.ts';

const parcels = new Parcels(SEED + 17, 1_200_000);
const ARGS = ['--workers', '3', '--splits', '12', '--invocation', 'nightly'];
const SIGNALS = [
  ['SIGKILL', null],
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const;

describe.each(SHARED_BACKENDS)('three workers that one command has started, state in %s', (backend) => {
  // How a signal is heard is no matter of the state.
  test.each(SIGNALS.filter(([signal]) => signal === 'SIGKILL' || backend === 'sqlite'))(
    '%s to the first one',
    async (signal, code) => {
      const depot = await Depot.open(parcels, { backend, pace: 0.2 });
      // The attempt is over when nobody of its group is left.
      const parent = depot.attempt(ARGS, { othersMs: 15_000 });
      await until('two have saved a checkpoint', async () => {
        const standing = await depot.look((store) => store.parts(KEY, 'split-'));
        return standing.filter(({ version }) => version > 0).length >= 2;
      });
      parent.kill(signal);
      await depot.untilDraining();
      depot.quicken();
      const ended = await parent.ended;
      expect(ended.code, ended.stderr).toBe(code);
      const standing = await depot.look((store) => store.parts(KEY, 'split-'));
      if (signal !== 'SIGKILL') expect(standing.filter(({ lease }) => lease !== undefined)).toEqual([]);
      const left = await depot.left();
      expect(left.length).toBeGreaterThan(0);
      const next = await depot.attempt(ARGS).ended;
      expect(next.code, next.stderr).toBe(0);
      expect((await depot.groups()).attempts).toBeLessThanOrEqual(12 + Math.min(3, left.length));
      await depot.expectDone(signal);
      depot.remove();
    },
    60_000,
  );
});

test('a first one that can not begin leaves nobody waiting for it', async () => {
  const depot = await Depot.open(parcels, { backend: 'sqlite', pace: 0 });
  rmSync(join(depot.root, 'in'), { recursive: true });
  const ended = await depot.attempt(ARGS).ended;
  expect(ended.code, ended.stderr).toBe(1);
  expect(ended.stderr).toContain('in/');
  expect(ended.stderr).not.toContain('worker ');
  depot.remove();
});
