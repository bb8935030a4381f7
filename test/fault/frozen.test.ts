import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { SEED } from './random.ts';
import { BACKENDS } from './runner.ts';
import { Day, Shop, type Story } from './shop.ts';

const day = new Day(SEED + 3, 1_600_000);
afterAll(() => day.remove());

const REPLACED: Story = { input: 'lines', output: 'array', threads: 1, before: 'old', backup: true };
const APPENDED: Story = { input: 'array', output: 'lines', threads: 1, before: 'old\n', append: true };
const TWO_SINKS: Story = { input: 'lines', output: 'lines', threads: 2, middle: true, overwrite: false };

/** Every file below the project but its state, with size and time of its last change. */
function footprint(shop: Shop): string[] {
  return readdirSync(join(shop.root, 'out'))
    .sort()
    .map((name) => {
      const { size, mtimeMs, ino } = statSync(join(shop.root, 'out', name));
      return `${name} ${size} ${mtimeMs} ${ino}`;
    });
}

// Most of the time of each is the lease's: several at once.
vi.setConfig({ testTimeout: 60_000 });
describe.each(BACKENDS)('a worker that sleeps beyond its lease, state in %s', (backend) => {
  test.concurrent.each([
    ['with its lease and nothing else', 'begin', REPLACED],
    ['with its sinks open', 'opened', APPENDED],
    ['while it reads', 'read:3', TWO_SINKS],
    ['in the middle of writing', 'write:3', APPENDED],
    ['before a commit', 'commit:2', TWO_SINKS],
    ['behind a commit', 'committed:2', REPLACED],
    ['before it publishes', 'publish', REPLACED],
    ['while it makes the backup', 'backing', REPLACED],
    ['behind the backup', 'backup', REPLACED],
    ['while it appends', 'join', APPENDED],
    ['with its output published', 'published', REPLACED],
    ['with one of two outputs published', 'published:1', TWO_SINKS],
    ['before its last word', 'end', TWO_SINKS],
  ] as const)('%s changes nothing more when a successor has finished', async (_when, place, story) => {
    const shop = new Shop(day, { story, backend, softMs: 0, lockTimeout: '1s' });
    const args = ['--invocation', 'nightly'];
    const sleeper = shop.attempt(args, { env: { OXIFLOW_STOP_AT: place } });
    await sleeper.untilFrozen();
    const successor = await shop.attempt(args).ended;
    await shop.expectDone(successor, place);
    const before = footprint(shop);

    sleeper.kill('SIGCONT');
    const { code, stderr } = await sleeper.ended;
    expect(code, stderr).toBe(75);
    expect(footprint(shop), stderr).toEqual(before);
    shop.expectOutputs(place);
    // And nobody believes that there is something left to do.
    const { code: later, stderr: said } = await shop.attempt(args).ended;
    expect(later, said).toBe(0);
    expect(said).toContain('has finished under this invocation');
    expect(footprint(shop)).toEqual(before);
    shop.remove();
  });

  test.concurrent.each(['begin', 'opened'])('nor does one that had resumed, asleep at %s', async (place) => {
    const shop = new Shop(day, { story: TWO_SINKS, backend, softMs: 0, lockTimeout: '1s' });
    const dead = await shop.attempt([], { env: { OXIFLOW_CRASH_AT: 'committed:2' } }).ended;
    expect(dead.signal, dead.stderr).toBe('SIGKILL');
    const sleeper = shop.attempt([], { env: { OXIFLOW_STOP_AT: place } });
    await sleeper.untilFrozen();
    const successor = await shop.attempt().ended;
    expect(successor.resumedFrom?.records, successor.stderr).toBeGreaterThan(0);
    await shop.expectDone(successor, place);
    const before = footprint(shop);
    sleeper.kill('SIGCONT');
    const { code, stderr } = await sleeper.ended;
    expect(code, stderr).toBe(75);
    expect(footprint(shop), stderr).toEqual(before);
    shop.remove();
  });

  test.concurrent.each(['copied', 'taken'])(
    'and a successor that dies with it %s is made good by a third',
    async (place) => {
      const shop = new Shop(day, { story: TWO_SINKS, backend, softMs: 0, lockTimeout: '1s' });
      const sleeper = shop.attempt([], { env: { OXIFLOW_STOP_AT: 'committed:2' } });
      await sleeper.untilFrozen();
      const successor = await shop.attempt([], { env: { OXIFLOW_CRASH_AT: place } }).ended;
      expect(successor.signal, successor.stderr).toBe('SIGKILL');
      const third = await shop.attempt().ended;
      expect(third.resumedFrom?.records, third.stderr).toBeGreaterThan(0);
      await shop.expectDone(third, place);
      sleeper.kill('SIGCONT');
      const { code, stderr } = await sleeper.ended;
      expect(code, stderr).toBe(75);
      shop.expectOutputs(place);
      shop.remove();
    },
  );

  test.concurrent('and a successor that dies while it publishes is made good by a third', async () => {
    const story: Story = { ...TWO_SINKS, threads: 1 };
    const shop = new Shop(day, { story, backend, softMs: 0, lockTimeout: '1s' });
    const args = ['--invocation', 'nightly'];
    const sleeper = shop.attempt(args, { env: { OXIFLOW_STOP_AT: 'publish' } });
    await sleeper.untilFrozen();
    const successor = await shop.attempt(args, { env: { OXIFLOW_CRASH_AT: 'published:2' } }).ended;
    expect(successor.signal, successor.stderr).toBe('SIGKILL');
    const third = await shop.attempt(args).ended;
    await shop.expectDone(third, 'the third');
    sleeper.kill('SIGCONT');
    const { code, stderr } = await sleeper.ended;
    expect(code, stderr).toBe(75);
    shop.expectOutputs('the third');
    shop.remove();
  });
});
