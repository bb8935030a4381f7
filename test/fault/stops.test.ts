import { afterAll, describe, expect, test } from 'vitest';
import { SEED } from './random.ts';
import { type Attempt, type AttemptOptions, BACKENDS, type Ended } from './runner.ts';
import { Day, Shop } from './shop.ts';

const day = new Day(SEED + 1, 4_000_000);
const small = new Day(SEED + 2, 400_000);
afterAll(() => {
  day.remove();
  small.remove();
});

/** Starts a run that freezes in the middle of its input, lets `act` happen to it there, and lets it go on. */
async function inTheMiddle(
  shop: Shop,
  act: (attempt: Attempt) => void,
  args: readonly string[] = [],
  options: AttemptOptions = {},
): Promise<Ended> {
  const attempt = shop.attempt(args, { ...options, env: { OXIFLOW_STOP_AT: 'read:4' } });
  await attempt.untilFrozen();
  act(attempt);
  attempt.kill('SIGCONT');
  return attempt.ended;
}

describe.each(BACKENDS)('state in %s', (backend) => {
  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 143],
  ] as const)(
    '%s drains, saves a hard checkpoint and exits %i; the next attempt resumes there',
    async (signal, code) => {
      const shop = new Shop(day, { backend });
      const stopped = await inTheMiddle(shop, (attempt) => attempt.kill(signal));
      expect(stopped.code, stopped.stderr).toBe(code);
      const checkpoints = stopped.events.filter(({ type }) => type === 'checkpoint');
      expect(checkpoints.at(-1)).toMatchObject({ grade: 'hard' });
      expect(stopped.events.at(-1)).toMatchObject({ type: 'run.finished', status: 'interrupted', exit_code: code });
      expect(shop.summary()).toMatchObject({ status: 'interrupted', exit_code: code });
      expect(shop.outputs()).toEqual(shop.staged());

      const resumed = await shop.attempt().ended;
      expect(resumed.resumedFrom).toMatchObject({ checkpoint: checkpoints.length, grade: 'hard' });
      await shop.expectDone(resumed, signal);
      shop.remove();
    },
  );

  test('a launcher that is gone: the run drains, exits 143 and resumes', async () => {
    const shop = new Shop(day, { backend });
    const orphan = await inTheMiddle(shop, (attempt) => attempt.orphan(), ['--parent-fd', '4'], { parent: true });
    expect(orphan.code, orphan.stderr).toBe(143);
    expect(orphan.stderr).toContain('the program that started it is gone');
    expect(orphan.events.findLast(({ type }) => type === 'checkpoint')).toMatchObject({ grade: 'hard' });
    const resumed = await shop.attempt().ended;
    expect(resumed.resumedFrom?.records).toBeGreaterThan(0);
    await shop.expectDone(resumed, 'orphan');
    shop.remove();
  });

  test('a launcher that says SIGTERM and ends before the run has is one that asks once: the run drains', async () => {
    const shop = new Shop(day, { backend });
    const both = (attempt: Attempt): void => {
      attempt.kill('SIGTERM');
      attempt.orphan();
    };
    const stopped = await inTheMiddle(shop, both, ['--parent-fd', '4'], { parent: true });
    expect(stopped.code, stopped.stderr).toBe(143);
    expect(stopped.stderr).not.toContain('stopping at once');
    expect(stopped.events.at(-1)).toMatchObject({ type: 'run.finished', status: 'interrupted', exit_code: 143 });
    expect(stopped.events.findLast(({ type }) => type === 'checkpoint')).toMatchObject({ grade: 'hard' });
    await shop.expectDone(await shop.attempt().ended, 'SIGTERM and orphan');
    shop.remove();
  });
});

test.each([
  ['without --parent-fd', []],
  ['with --on-orphan continue', ['--parent-fd', '4', '--on-orphan', 'continue']],
])('a launcher that is gone does not matter %s', async (_how, args) => {
  const shop = new Shop(day, { backend: 'sqlite' });
  const ended = await inTheMiddle(shop, (attempt) => attempt.orphan(), args, { parent: true });
  await shop.expectDone(ended, 'orphan');
  shop.remove();
});

describe('a sink that hangs', () => {
  /** More than a pipe holds goes to standard output, which nobody reads. */
  const hanging = (): Shop => new Shop(small, { backend: 'sqlite', softMs: 0, sinks: [{ name: 'write_stdout' }] });
  const started = (attempt: Attempt): boolean => attempt.events.some(({ type }) => type === 'run.started');

  test('ends with the time for draining, exits 143, and the next attempt writes what the pipe took none of', async () => {
    const shop = hanging();
    const attempt = shop.attempt(['--drain-timeout', '300ms'], { stdout: 'unread' });
    await attempt.until('its start', started);
    attempt.kill('SIGTERM');
    const ended = await attempt.ended;
    expect(ended.code, ended.stderr).toBe(143);
    expect(shop.summary()).toMatchObject({ status: 'interrupted', exit_code: 143 });

    const again = await shop.attempt().ended;
    expect(again.code, again.stderr).toBe(0);
    expect(again.stdout).toBe(small.expected(shop.story).get('priced.ndjson'));
    shop.remove();
  });

  test('a second signal ends it at once, long before the time for draining', async () => {
    const shop = hanging();
    const attempt = shop.attempt(['--drain-timeout', '10m'], { stdout: 'unread' });
    await attempt.until('its start', started);
    attempt.kill('SIGINT');
    await attempt.until('the first answer', ({ stderr }) => stderr.includes('a second time stops at once'));
    attempt.kill('SIGTERM');
    const ended = await attempt.ended;
    expect(ended.code, ended.stderr).toBe(130);
    expect(ended.stderr).toContain('stopping at once');
    shop.remove();
  });
});
