import { readFileSync, statSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { SEED } from './random.ts';
import { type Attempt, BACKENDS } from './runner.ts';
import { Day, Shop } from './shop.ts';

const day = new Day(SEED + 5, 1_600_000);
afterAll(() => day.remove());

/** A first worker holds its run in the middle until `go`: only its main thread waits, its lease is kept. */
async function working(shop: Shop, args: string[]): Promise<{ first: Attempt; go: () => void }> {
  const first = shop.attempt(args, { env: { OXIFLOW_STOP_AT: 'committed:1' } });
  await first.untilFrozen();
  return { first, go: () => first.kill('SIGCONT') };
}

const waiting = ({ stderr }: Attempt): boolean => stderr.includes('waiting for worker');

describe.each(BACKENDS)('two at once on one run key, state in %s', (backend) => {
  test('one works, the other waits as long as it was told and exits 75', async () => {
    const shop = new Shop(day, { backend, softMs: 0 });
    const { first, go } = await working(shop, []);
    const second = await shop.attempt(['--lease-wait', '300ms']).ended;
    expect(second.code).toBe(75);
    expect(second.stderr).toMatch(/run "shop": waiting for worker \S+ \(process \d+ on \S+\) to finish/);
    expect(second.stderr).toContain('works on it; waited 0.3 s (--lease-wait). Try again later, or stop that worker');
    go();
    await shop.expectDone(await first.ended, 'the first');
    shop.remove();
  });

  test('the same invocation: the other waits for the end and prints the stored summary', async () => {
    const shop = new Shop(day, { backend, softMs: 0 });
    const { first, go } = await working(shop, ['--invocation', 'nightly']);
    const second = shop.attempt(['--invocation', 'nightly', '--json', '--lease-wait', '1m']);
    await second.until('it waits', waiting);
    go();
    await shop.expectDone(await first.ended, 'the first');
    const written = statSync(shop.output).mtimeMs;
    const summary = shop.summary();
    const { code, stdout, stderr, events } = await second.ended;
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('run "shop" has finished under this invocation: nothing to do');
    expect(JSON.parse(stdout)).toEqual({ ...summary, attempt: 2 });
    expect(events.map(({ type }) => type)).toEqual(['run.finished']);
    expect(statSync(shop.output).mtimeMs).toBe(written);
    shop.remove();
  });

  test('another invocation: the other waits for the end and makes a run of its own', async () => {
    const shop = new Shop(day, { backend, softMs: 0 });
    const { first, go } = await working(shop, ['--invocation', 'monday']);
    const second = shop.attempt(['--invocation', 'tuesday', '--lease-wait', '1m']);
    await second.until('it waits', waiting);
    go();
    await first.ended;
    const ended = await second.ended;
    await shop.expectDone(ended, 'the second');
    expect(shop.summary()).toMatchObject({ attempt: 1 });
    expect(ended.events[0]?.run_id).not.toBe(first.events[0]?.run_id);
    shop.remove();
  });

  test('the other resumes at once where the first one dies', async () => {
    const shop = new Shop(day, { backend, softMs: 0 });
    const { first } = await working(shop, []);
    const second = shop.attempt(['--lease-wait', '1m']);
    await second.until('it waits', waiting);
    first.kill('SIGKILL');
    const ended = await second.ended;
    expect(ended.resumedFrom?.records, ended.stderr).toBeGreaterThan(0);
    await shop.expectDone(ended, 'the second');
    shop.remove();
  });

  test('a finished run is not repeated under its invocation, and is under another', async () => {
    const shop = new Shop(day, { backend });
    await shop.expectDone(await shop.attempt(['--invocation', 'monday']).ended, 'monday');
    const once = { ...statSync(shop.output), bytes: readFileSync(shop.output, 'utf8'), summary: shop.summary() };
    const repeated = await shop.attempt(['--invocation', 'monday']).ended;
    expect(repeated.code, repeated.stderr).toBe(0);
    expect(statSync(shop.output)).toMatchObject({ ino: once.ino, mtimeMs: once.mtimeMs });
    expect(readFileSync(shop.output, 'utf8') === once.bytes).toBe(true);
    expect(shop.summary()).toEqual({ ...once.summary, attempt: 2 });
    expect(repeated.events.map(({ type }) => type)).toEqual(['run.finished']);

    for (const args of [['--invocation', 'tuesday'], []]) {
      const again = await shop.attempt(args).ended;
      await shop.expectDone(again, args.join(' '));
      expect(again.events[0]).toMatchObject({ type: 'run.started', attempt: 1, resumed_from: null });
    }
    shop.remove();
  });
});
