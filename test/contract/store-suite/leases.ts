import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import type { AcquireResult } from '../../../runner/state/store.ts';
import type { ChildTask } from './child-task.ts';
import { CHILD, HOUR_MS, leaseOf, type Scene, TTL_MS } from './scene.ts';

export function describeLeases(backend: string, scene: Scene): void {
  describe('leases', () => {
    test('a lease on a part without a document is taken, and leaves it without one', async () => {
      const result = await scene.store.acquire('rides', 'split-0', scene.here(), TTL_MS);
      expect(result).toEqual({
        acquired: true,
        lease: { runKey: 'rides', part: 'split-0', token: scene.firstToken, ttlMs: TTL_MS, holder: scene.here() },
      });
      expect(await scene.store.read('rides', 'split-0')).toBeUndefined();
      expect(await scene.put({ ride: 1 }, 0, leaseOf(result).token, 'split-0')).toMatchObject({ written: true });
    });

    test('taking a lease leaves the body and its version as they are', async () => {
      const { version } = await scene.put({ ride: 1 }, 0, 1, 'split-0');
      const lease = await scene.take();
      expect(await scene.store.read('rides', 'split-0')).toMatchObject({
        body: { ride: 1 },
        version,
        token: lease.token,
      });
      expect(await scene.put({ ride: 2 }, version, lease.token, 'split-0')).toMatchObject({ written: true });
    });

    test('a lease that lives is not given to another', async () => {
      await scene.take();
      await scene.pass(10_000);
      const result = await scene.open().acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS);
      expect(result).toEqual({ acquired: false, holder: scene.here(), remainingMs: scene.left(TTL_MS - 10_000) });
    });

    test('leases of two parts are independent', async () => {
      await scene.take();
      expect(await scene.store.acquire('rides', 'split-1', scene.here('rides-2'), TTL_MS)).toMatchObject({
        acquired: true,
      });
    });

    test('a released lease is free at once and names its last holder', async () => {
      const old = await scene.take();
      await scene.store.release(old);
      expect(await scene.open().acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS)).toMatchObject({
        acquired: true,
        predecessor: { holder: scene.here(), token: old.token, released: true },
      });
    });

    test('a lease is over when its time has passed on the clock of the store', async () => {
      const old = await scene.take();
      await scene.pass(TTL_MS - scene.grain);
      expect(await scene.open().acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS)).toMatchObject({
        acquired: false,
        remainingMs: scene.left(scene.grain),
      });
      await scene.pass(scene.grain);
      expect(await scene.open().acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS)).toMatchObject({
        acquired: true,
        predecessor: { holder: scene.here(), token: old.token, released: false, provenDead: false },
      });
    });

    test('a renewal counts from its own time', async () => {
      const lease = await scene.take();
      await scene.pass(20_000);
      expect(await scene.store.renew(lease)).toBe(true);
      await scene.pass(20_000);
      const other = await scene.open().acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS);
      expect(other).toEqual({ acquired: false, holder: scene.here(), remainingMs: scene.left(10_000) });
    });

    test('an hour on the wall clock ends no lease and prolongs none', async () => {
      await scene.take();
      const wall = Date.now;
      try {
        for (const step of [HOUR_MS, -HOUR_MS]) {
          Date.now = () => wall() + step;
          const result = await scene.open().acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS);
          expect(result).toMatchObject({ acquired: false, remainingMs: scene.left(TTL_MS) });
        }
        await scene.pass(TTL_MS);
        expect(await scene.open().acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS)).toMatchObject({
          acquired: true,
        });
      } finally {
        Date.now = wall;
      }
    });

    test('how a lease stands is told without taking it: at work, over, given back', async () => {
      expect(await scene.store.standing('rides', 'split-0')).toBeUndefined();
      const lease = await scene.take();
      await scene.pass(10_000);
      const looks = scene.open();
      const live = { holder: scene.here(), over: false, provenDead: false, remainingMs: scene.left(TTL_MS - 10_000) };
      expect(await looks.standing('rides', 'split-0')).toEqual(live);
      expect(await looks.standing('rides', 'run')).toBeUndefined();
      await scene.pass(TTL_MS);
      expect(await looks.standing('rides', 'split-0')).toEqual({ ...live, over: true, remainingMs: 0 });
      // Nobody took it by looking.
      expect(await scene.store.renew(lease)).toBe(true);
      expect(await looks.standing('rides', 'split-0')).toEqual({ ...live, remainingMs: scene.left(TTL_MS) });
      await scene.store.release(lease);
      expect(await looks.standing('rides', 'split-0')).toBeUndefined();
    });

    test('a lease that ran out is renewed while nobody took it', async () => {
      const lease = await scene.take();
      await scene.pass(10 * TTL_MS);
      expect(await scene.store.renew(lease)).toBe(true);
      const other = await scene.open().acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS);
      expect(other).toMatchObject({ acquired: false, remainingMs: scene.left(TTL_MS) });
    });

    test('a lease that another took is not renewed, and giving it back leaves the other alone', async () => {
      const old = await scene.take();
      await scene.pass(TTL_MS);
      const next = await scene.take(scene.here('rides-2'), scene.open());
      expect(await scene.store.renew(old)).toBe(false);
      await scene.store.release(old);
      expect(await scene.store.renew(next)).toBe(true);
      expect(await scene.open().acquire('rides', 'split-0', scene.here('rides-3'), TTL_MS)).toMatchObject({
        acquired: false,
        holder: { workerId: 'rides-2' },
      });
    });

    test('a lease that was given back is not renewed', async () => {
      const lease = await scene.take();
      await scene.store.release(lease);
      expect(await scene.store.renew(lease)).toBe(false);
    });

    test('a lease from another machine is over by the clock of the store, or when it was seen unchanged for so long', async () => {
      await scene.take(scene.elsewhere(), scene.bench.open({ monotonicMs: () => 12 }));
      await scene.pass(10_000);
      const sees = (): Promise<AcquireResult> => scene.store.acquire('rides', 'split-0', scene.here(), TTL_MS);
      const passed = scene.isServers ? 10_000 : 0;
      expect(await sees()).toMatchObject({ acquired: false, remainingMs: scene.left(TTL_MS - passed) });
      await scene.pass(10_000);
      expect(await sees()).toMatchObject({ acquired: false, remainingMs: scene.left(TTL_MS - passed - 10_000) });
      await scene.pass(20_000 - passed);
      expect(await sees()).toMatchObject({ acquired: true, predecessor: { provenDead: false, released: false } });
    });

    test('a lease from another machine that is renewed stays alive', async () => {
      const far = scene.bench.open({ monotonicMs: () => 12 });
      const lease = await scene.take(scene.elsewhere(), far);
      const sees = (): Promise<AcquireResult> => scene.store.acquire('rides', 'split-0', scene.here(), TTL_MS);
      await sees();
      await scene.pass(20_000);
      expect(await far.renew(lease)).toBe(true);
      expect(await sees()).toMatchObject({ acquired: false, remainingMs: scene.left(TTL_MS) });
      await scene.pass(20_000);
      expect(await sees()).toMatchObject({ acquired: false, remainingMs: scene.left(10_000) });
    });

    test('the lease of a killed process is taken at once, and its late writes are refused', async () => {
      const task: ChildTask = { backend, location: scene.bench.location, runKey: 'rides' };
      const child = spawn(process.execPath, [CHILD.pathname, JSON.stringify(task)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
      const held = leaseOf(JSON.parse(line) as AcquireResult);
      scene.store = scene.bench.open();
      expect(await scene.store.acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS)).toMatchObject({
        acquired: false,
      });
      child.kill('SIGKILL');
      await once(child, 'exit');
      expect(await scene.store.acquire('rides', 'split-0', scene.here('rides-2'), TTL_MS)).toMatchObject({
        acquired: true,
        predecessor: { holder: { pid: child.pid }, token: held.token, released: false, provenDead: true },
      });
      expect(await scene.put({ ride: 9 }, 0, held.token, 'split-0')).toMatchObject({ reason: 'fenced' });
    });
  });
}
