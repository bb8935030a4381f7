/** `run --workers N`: whatever happens to the first of them, the others end by themselves, and the run can go on. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { until } from '../servers/redis.ts';
import { Depot, KEY, Parcels, SHARED_BACKENDS } from './depot.ts';
import { SEED } from './random.ts';
import type { Ended } from './runner.ts';

const parcels = new Parcels(SEED + 17, 1_200_000);
const ARGS = ['--workers', '3', '--splits', '12', '--invocation', 'nightly'];
const SIGNALS = [
  ['SIGKILL', 'the first one', null],
  ['SIGTERM', 'the first one', 143],
  ['SIGINT', 'the first one', 130],
  // As from a terminal, or from a launcher: each has its own, and is not told twice.
  ['SIGTERM', 'all of them', 143],
] as const;

describe.each(SHARED_BACKENDS)('three workers that one command has started, state in %s', (backend) => {
  // How a signal is heard is no matter of the state.
  test.each(SIGNALS.filter(([signal]) => signal === 'SIGKILL' || backend === 'sqlite'))(
    '%s to %s',
    async (signal, to, code) => {
      const depot = await Depot.open(parcels, { backend, pace: 0.2 });
      // The attempt is over when nobody of its group is left.
      const parent = depot.attempt(ARGS, { othersMs: 15_000 });
      await until('two have saved a checkpoint', async () => {
        const standing = await depot.look((store) => store.parts(KEY, 'split-'));
        return standing.filter(({ version }) => version > 0).length >= 2;
      });
      if (to === 'all of them') process.kill(-parent.pid, signal);
      else parent.kill(signal);
      await depot.untilDraining();
      depot.quicken();
      const ended = await parent.ended;
      expect(ended.code, ended.stderr).toBe(code);
      expect(ended.stderr).not.toContain('stopping at once');
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

test('the first one is asked to end alone: the others do the rest, and it waits for them', async () => {
  const depot = await Depot.open(parcels, { backend: 'sqlite', pace: 0.2 });
  const parent = depot.attempt(ARGS, { othersMs: 15_000 });
  await until('all three are at work', async () => (await depot.workers()).length === 3);
  const first = (await depot.workers()).find(({ pid }) => pid === parent.pid);
  await depot.verb('worker', 'stop', first?.worker_id ?? '');
  await until('it has left', async () => (await depot.workers()).every(({ pid }) => pid !== parent.pid));
  expect((await depot.workers()).map(({ state }) => state)).toEqual(['working', 'working']);
  depot.quicken();
  const ended = await parent.ended;
  expect(ended.code, ended.stderr).toBe(143);
  await depot.expectDone('the others');
  depot.remove();
}, 60_000);

test('a worker that has frozen holds up neither the run nor the end of the command', async () => {
  const depot = await Depot.open(parcels, { backend: 'sqlite', pace: 0.2, lockTimeout: '2s' });
  const parent = depot.attempt([...ARGS, '--drain-timeout', '1s'], { othersMs: 15_000 });
  await until('all three are at work', async () => (await depot.workers()).length === 3);
  const frozen = (await depot.workers()).find(({ pid }) => pid !== parent.pid);
  process.kill(frozen?.pid ?? 0, 'SIGSTOP');
  depot.quicken();
  const ended = await parent.ended;
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stderr).toContain(`worker ${frozen?.pid} ended with SIGKILL`);
  await depot.expectDone('one has frozen');
  depot.remove();
}, 60_000);

test('a first one that was stopped alone waits for the others, and not for one that has frozen', async () => {
  const depot = await Depot.open(parcels, { backend: 'sqlite', pace: 0.2, lockTimeout: '2s' });
  const parent = depot.attempt([...ARGS, '--drain-timeout', '1s'], { othersMs: 15_000 });
  await until('all three are at work', async () => (await depot.workers()).length === 3);
  const all = await depot.workers();
  const frozen = all.find(({ pid }) => pid !== parent.pid);
  process.kill(frozen?.pid ?? 0, 'SIGSTOP');
  await depot.verb('worker', 'stop', all.find(({ pid }) => pid === parent.pid)?.worker_id ?? '');
  depot.quicken();
  const ended = await parent.ended;
  expect(ended.code, ended.stderr).toBe(143);
  expect(ended.stderr).toContain(`worker ${frozen?.pid} ended with SIGKILL`);
  await depot.expectDone('one has frozen, and the first was stopped');
  depot.remove();
}, 60_000);

test('a first one that can not begin leaves nobody waiting for it', async () => {
  const depot = await Depot.open(parcels, { backend: 'sqlite', pace: 0 });
  rmSync(join(depot.root, 'in'), { recursive: true });
  const ended = await depot.attempt(ARGS).ended;
  expect(ended.code, ended.stderr).toBe(1);
  expect(ended.stderr).toContain('in/');
  expect(ended.stderr).not.toContain('worker ');
  depot.remove();
});

test('two commands at once do the run once; who comes late to either of them finds it done, and a stranger begins none', async () => {
  const depot = await Depot.open(parcels, { backend: 'sqlite', pace: 0 });
  depot.hold();
  const both = [ARGS.slice(0, 4), ARGS.slice(0, 2)].map((args) => depot.attempt(args));
  await Promise.all(both.map((one) => one.until('it has joined', ({ events }) => events.length > 0)));
  depot.goOn();
  for (const { code, stderr } of await Promise.all(both.map(({ ended }) => ended))) expect(code, stderr).toBe(0);
  await depot.expectDone('two commands');
  const run = await depot.run();
  // Either of them may have cut it.
  expect((await depot.groups()).attempts).toBe(run?.shared?.groups.length);
  expect(run?.invocations).toHaveLength(2);
  expect(await depot.look((store) => store.history({ runKey: KEY }))).toHaveLength(1);

  const late = async (invocation: string): Promise<Ended> => {
    const args = ['--join', '--when-told', '--parent-fd', '4', '--invocation', invocation];
    const worker = depot.attempt(args, { parent: true });
    (worker.child.stdio[4] as Writable).write('\n');
    return worker.ended;
  };
  for (const invocation of run?.invocations ?? []) {
    const { code, stderr } = await late(invocation);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('nothing to do');
  }
  const { code, stderr } = await late('of another day');
  expect(code, stderr).toBe(75);
  expect(stderr).toContain('that this worker was to join is gone');
  expect((await depot.run())?.run_id).toBe(run?.run_id);
  depot.remove();
}, 60_000);

test('a worker that was killed is not listed any more once the others have finished the run', async () => {
  const depot = await Depot.open(parcels, { backend: 'sqlite', pace: 0.2 });
  const parent = depot.attempt(ARGS);
  const victim = await until('another one works', async () =>
    (await depot.workers()).find(({ pid, state }) => pid !== parent.pid && state === 'working'),
  );
  process.kill(victim.pid, 'SIGKILL');
  depot.quicken();
  const { code, stderr } = await parent.ended;
  expect(code, stderr).toBe(0);
  expect(stderr).toContain(`worker ${victim.pid} ended with SIGKILL`);
  expect(JSON.parse(await depot.verb('worker', 'list', '--json'))).toMatchObject({ workers: [] });
  await depot.expectDone('killed');
  depot.remove();
}, 60_000);
