import { appendFileSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { asLines, event } from '../oracle/pipelines.ts';
import { SEED } from './random.ts';
import { BACKENDS, type Ended } from './runner.ts';
import { Day, Shop, type ShopOptions } from './shop.ts';

// Larger than what waits between two steps: the second checkpoint is never the last.
const day = new Day(SEED + 4, 8_000_000);
afterAll(() => day.remove());
const text = readFileSync(day.path('lines'), 'utf8');
const dawn = text.indexOf('\n', 400_000) + 1;
const morning = text.slice(0, dawn);
const evening = text.slice(dawn);
const FILES = { path: 'in/*.ndjson', files: { 'in/1-morning.ndjson': morning, 'in/2-evening.ndjson': evening } };

/** A run that was killed behind its second checkpoint; its input is a copy that a test may change. */
async function killed(options: Partial<ShopOptions> = {}): Promise<Shop> {
  const input = { path: 'in/events.ndjson', files: { 'in/events.ndjson': text } };
  const shop = new Shop(day, { backend: 'sqlite', softMs: 0, input, ...options });
  const { signal, stderr } = await shop.attempt([], { env: { OXIFLOW_CRASH_AT: 'committed:2' } }).ended;
  expect(signal, stderr).toBe('SIGKILL');
  return shop;
}

/** The run is refused with one sentence, and what is staged stays as it is. */
async function expectRefused(shop: Shop, code: number, sentence: RegExp, args: string[] = []): Promise<void> {
  const staged = (): string[] =>
    shop.staged().map((name) => `${name} ${readFileSync(join(shop.root, 'out', name), 'utf8')}`);
  const before = staged();
  const refused = await shop.attempt(args).ended;
  expect(refused.code, refused.stderr).toBe(code);
  expect(refused.stderr).toMatch(sentence);
  expect(refused.stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(refused.events.filter(({ type }) => type === 'run.started')).toEqual([]);
  expect(staged()).toEqual(before);
  expect(shop.outputs()).toEqual(shop.staged());
}

async function expectOutput(shop: Shop, ended: Ended, input: string): Promise<void> {
  expect(ended.code, ended.stderr).toBe(0);
  const records = input
    .split('\n')
    .filter((line) => line.trim() !== '')
    .flatMap((line) => event(line) ?? []);
  expect(readFileSync(shop.output, 'utf8') === asLines(records)).toBe(true);
  expect(shop.outputs()).toEqual(['priced.ndjson']);
}

describe.each(BACKENDS)('input that changed between two attempts is refused, state in %s', (backend) => {
  const events = (shop: Shop): string => join(shop.root, 'in/events.ndjson');

  test.each([
    ['a file that grew', (shop: Shop) => appendFileSync(events(shop), evening), /had \d+ bytes and has \d+\. --fresh/],
    ['a file that shrank', (shop: Shop) => truncateSync(events(shop), dawn), /had \d+ bytes and has \d+\. --fresh/],
    [
      'a file of the same size with other bytes before the position',
      (shop: Shop) => writeFileSync(events(shop), text.replaceAll('"EUR"', '"USD"')),
      /has other bytes before byte \d+\. --fresh/,
    ],
  ])('%s: exit 2; put back, it goes on', async (_what, change, sentence) => {
    const shop = await killed({ backend });
    change(shop);
    await expectRefused(shop, 2, sentence);
    await expectRefused(shop, 2, sentence, ['--accept-changes']);
    writeFileSync(events(shop), text);
    const resumed = await shop.attempt().ended;
    expect(resumed.resumedFrom?.records).toBeGreaterThan(0);
    await shop.expectDone(resumed, 'put back');
    shop.remove();
  });

  test('--fresh starts over with the input as it is', async () => {
    const shop = await killed({ backend });
    writeFileSync(events(shop), evening);
    const fresh = await shop.attempt(['--fresh']).ended;
    expect(fresh.resumedFrom).toBeUndefined();
    await expectOutput(shop, fresh, evening);
    shop.remove();
  });

  test('input that is gone: exit 1; it goes on when the input is back', async () => {
    const shop = await killed({ backend });
    renameSync(events(shop), join(shop.root, 'aside'));
    await expectRefused(shop, 1, /in\/events\.ndjson: no such file/);
    renameSync(join(shop.root, 'aside'), events(shop));
    await shop.expectDone(await shop.attempt().ended, 'back again');
    shop.remove();
  });
});

test('a file that a pattern matches only now waits for the next run', async () => {
  const shop = await killed({ input: FILES });
  writeFileSync(join(shop.root, 'in/0-night.ndjson'), morning);
  const resumed = await shop.attempt().ended;
  expect(resumed.resumedFrom?.records).toBeGreaterThan(0);
  await shop.expectDone(resumed, 'two files');
  await expectOutput(shop, await shop.attempt().ended, morning + text);
  shop.remove();
});

test('a resumed run reads on in the second of two files', async () => {
  const shop = await killed({ input: FILES });
  const resumed = await shop.attempt().ended;
  expect(resumed.resumedFrom?.positions.at(-1)).toMatchObject({ split: 1 });
  await shop.expectDone(resumed, 'two files');
  shop.remove();
});

describe('a plan that changed between two attempts', () => {
  test('a mended transform: exit 2, then --accept-changes goes on with the new plan', async () => {
    const shop = await killed();
    shop.writePipeline('round(amount * 119) / 100 + 0');
    await expectRefused(
      shop,
      2,
      /not what it was: step "map" has changed\. --accept-changes goes on .* --fresh starts over/,
    );
    const resumed = await shop.attempt(['--accept-changes']).ended;
    expect(resumed.resumedFrom?.records).toBeGreaterThan(0);
    expect(resumed.stderr).toContain('going on with a changed plan: step "map" has changed');
    await shop.expectDone(resumed, 'accepted');
    shop.remove();
  });

  test('what was accepted counts for the attempts after it', async () => {
    const shop = await killed();
    shop.writePipeline('round(amount * 119) / 100 + 0');
    const again = await shop.attempt(['--accept-changes'], { env: { OXIFLOW_CRASH_AT: 'committed:1' } }).ended;
    expect(again.signal, again.stderr).toBe('SIGKILL');
    await shop.expectDone(await shop.attempt().ended, 'accepted before');
    shop.remove();
  });

  test('another input can not be accepted', async () => {
    const shop = await killed({ input: FILES });
    const args = ['--set', 'read_file.path=in/1-morning.ndjson', '--run-key', 'shop'];
    await expectRefused(shop, 2, /step "read_file" has changed\. --fresh starts over$/m, [...args, '--accept-changes']);
    await expectOutput(shop, await shop.attempt([...args, '--fresh']).ended, morning);
    shop.remove();
  });

  type Step = { name: string; id?: string; config?: Record<string, unknown> };

  test.each<[string, (steps: Step[]) => Step[], RegExp]>([
    [
      'a step that is gone',
      (steps) => steps.filter(({ name }) => name !== 'filter'),
      /step "filter" is gone\. --fresh/,
    ],
    [
      'a step that is new',
      (steps) => steps.toSpliced(2, 0, { name: 'filter', id: 'dear', config: { where: 'amount > 1' } }),
      /step "dear" is new\. --fresh/,
    ],
    [
      'steps in another order',
      (steps) => [...steps.slice(0, 2), ...steps.slice(2, 4).reverse(), ...steps.slice(4)],
      /the steps stand in another order\. --fresh/,
    ],
    [
      'records laid out in another way',
      (steps) => steps.map((step) => (step.name === 'format_json' ? { ...step, config: { framing: 'array' } } : step)),
      /step "format_json" has changed\. --fresh/,
    ],
  ])('%s can not be accepted', async (_what, change, sentence) => {
    const shop = await killed();
    const file = join(shop.root, 'pipelines/shop.yaml');
    const { pipeline } = JSON.parse(readFileSync(file, 'utf8')) as { pipeline: Step[] };
    writeFileSync(file, JSON.stringify({ pipeline: change(pipeline) }));
    await expectRefused(shop, 2, sentence);
    await expectRefused(shop, 2, sentence, ['--accept-changes']);
    writeFileSync(file, JSON.stringify({ pipeline }));
    await shop.expectDone(await shop.attempt().ended, 'as it was');
    shop.remove();
  });

  test('a variable that an expression reads belongs to the plan', async () => {
    const shop = new Shop(day, { backend: 'sqlite', softMs: 0, input: FILES });
    shop.writePipeline('round(amount * int(env.RATE)) / 100');
    const { signal, stderr } = await shop.attempt([], { env: { OXIFLOW_CRASH_AT: 'committed:2', RATE: '119' } }).ended;
    expect(signal, stderr).toBe('SIGKILL');
    const other = await shop.attempt([], { env: { RATE: '107' } }).ended;
    expect(other.code, other.stderr).toBe(2);
    expect(other.stderr).toMatch(/variables that expressions read, have changed\. --accept-changes/);
    await shop.expectDone(await shop.attempt([], { env: { RATE: '119' } }).ended, 'the same rate');
    shop.remove();
  });

  test('a file that was read to its end still belongs to the input', async () => {
    const shop = await killed({ input: FILES });
    const first = join(shop.root, 'in/1-morning.ndjson');
    writeFileSync(first, morning.replaceAll('"EUR"', '"USD"'));
    await expectRefused(shop, 2, /read to its end has other bytes\. --fresh/);
    writeFileSync(first, morning);
    await shop.expectDone(await shop.attempt().ended, 'put back');
    shop.remove();
  });
});
