import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { SEED } from './random.ts';
import { type Attempt, BACKENDS } from './runner.ts';
import { Day, Shop } from './shop.ts';

const day = new Day(SEED + 7, 5_000_000);
/** So long that the second thread has a part of it, whatever the main thread has done while that one started. */
const long = new Day(SEED + 8, 24_000_000);
afterAll(() => {
  day.remove();
  long.remove();
});

describe.each(BACKENDS)('state in %s', (backend) => {
  test('a thread that dies ends the run with THREAD_DIED, and the next attempt resumes', async () => {
    const shop = new Shop(long, { backend, softMs: 0, story: { input: 'lines', output: 'array', threads: 2 } });
    // On the kernel the main thread could be done with all of it before the other one is there.
    const dead = await shop.attempt([], { env: { OXIFLOW_TIER: 'values', OXIFLOW_THREAD_EXIT_AT: '1' } }).ended;
    expect(dead.code, dead.stderr).toBe(1);
    expect(dead.stderr).toMatch(/a thread of the steps parse_json, filter, map, format_json died/);
    expect(shop.summary()).toMatchObject({ status: 'failed', error: { code: 'THREAD_DIED' } });
    expect(shop.outputs()).toEqual(shop.staged());
    await shop.expectDone(await shop.attempt().ended, 'a thread died');
    shop.remove();
  });

  test('an output that finds no more room: exit 1 with the step and the file; with room again, it resumes', async () => {
    const shop = new Shop(day, { backend, softMs: 0 });
    // Files end at 3 MB: what the system calls EFBIG.
    const full = await shop.attempt([], { shell: 'ulimit -f 3000;' }).ended;
    expect(full.code, full.stderr).toBe(1);
    expect(full.stderr).toMatch(/step "priced": out\/priced\.ndjson: EFBIG/);
    expect(shop.outputs()).toEqual(shop.staged());
    const resumed = await shop.attempt().ended;
    expect(resumed.resumedFrom?.records).toBeGreaterThan(0);
    await shop.expectDone(resumed, 'room again');
    shop.remove();
  });
});

describe('standard output', () => {
  const toStdout = (): Shop => new Shop(day, { backend: 'sqlite', softMs: 0, sinks: [{ name: 'write_stdout' }] });

  test('a full disk behind it: exit 1, and the sentence says so', async () => {
    const shop = toStdout();
    const full = await shop.attempt([], { shell: 'exec >/dev/full;' }).ended;
    expect(full.code, full.stderr).toBe(1);
    expect(full.stderr).toContain(
      'standard output: no space left on the disk; free some and start again, the run resumes',
    );
    expect(shop.summary()).toMatchObject({ error: { code: 'DISK_FULL' } });
    shop.remove();
  });

  test('its reader goes away: exit 1, and the sentence says so', async () => {
    const shop = toStdout();
    const attempt = shop.attempt([], { env: { OXIFLOW_STOP_AT: 'write:2' } });
    await attempt.untilFrozen();
    attempt.child.stdout?.destroy();
    attempt.kill('SIGCONT');
    const { code, stderr } = await attempt.ended;
    expect(code, stderr).toBe(1);
    expect(stderr).toContain('standard output: closed by its reader');
    expect(shop.summary()).toMatchObject({ error: { code: 'OUTPUT_CLOSED' } });
    shop.remove();
  });
});

test.each([
  ['whose reader goes away', [], (attempt: Attempt) => attempt.deafen()],
  ['whose file is deleted', ['--events', 'EVENTS'], (_: Attempt, shop: Shop) => rmSync(join(shop.root, 'EVENTS'))],
  ['whose disk is full', ['--events', '/dev/full'], () => undefined],
])('an event stream %s costs the run nothing', async (_what, args, breakIt) => {
  const shop = new Shop(day, { backend: 'sqlite', softMs: 0 });
  const inShop = args.map((arg) => (arg === 'EVENTS' ? join(shop.root, arg) : arg));
  const attempt = shop.attempt(inShop, { env: { OXIFLOW_STOP_AT: 'committed:1' } });
  await attempt.untilFrozen();
  breakIt(attempt, shop);
  attempt.kill('SIGCONT');
  await shop.expectDone(await attempt.ended, 'events lost');
  shop.remove();
});
