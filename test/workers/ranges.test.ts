/** A run over ranges of files: stopped anywhere it goes on there, and all of them together are what one worker does. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RunSummary } from '../../runner/engine/report.ts';
import { openFileStore } from '../../runner/state/file.ts';
import { Chance, csvRows, jsonLines } from './inputs.ts';
import { Scene } from './scene.ts';

const SEED = 20_261_202;

let state = '';
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'oxiflow-ranges-'));
});
afterEach(() => rmSync(state, { recursive: true }));

const pipeline = (parser: string, more = ''): string => `
  - name: read_file
    config: { path: "in/*" }
  - name: ${parser}
    on_error: drop
  - name: write_file
    config: { path: out/orders.ndjson${more} }
`;

/** Some hundreds of KB: several reads for each range. */
function large(make: (chance: Chance, count: number) => string, chance: Chance): string {
  return make(chance, 15_000);
}

// Threads take a while to start.
describe.each([
  [1, 4],
  [2, 12],
])('with %i threads, stopped after %i reads', (threads, reads) => {
  test.each([
    ['parse_json', 'ndjson', jsonLines],
    ['parse_csv', 'csv', csvRows],
  ] as const)(
    '%s: a group that is stopped again and again gives its records once',
    async (parser, ending, make) => {
      const chance = new Chance(SEED + threads);
      const files = { [`in/0.${ending}`]: large(make, chance), [`in/1.${ending}`]: make(chance, 2000) };
      using scene = new Scene(pipeline(parser, ', merge: true'), files);
      scene.threads(threads);
      const whole = await scene.whole();
      const groups = await scene.cut({ groups: 3, exactly: true, minBytes: 1 });
      const made: RunSummary[] = [];
      let attempts = 0;
      let rows = 0;
      let read = 0;
      for (const [index, group] of groups.entries()) {
        await using store = openFileStore(join(state, String(index)));
        const { summary, positions } = await scene.interrupted(groups, index, store, reads);
        expect(summary.error).toBeUndefined();
        for (const { split, offset } of positions) {
          const { from = 0, to = Number.POSITIVE_INFINITY } = group[split]?.range ?? {};
          expect(offset === 0 || (offset >= from && offset <= to)).toBe(true);
        }
        made.push(summary);
        attempts += positions.length;
        rows += summary.outputs[0]?.rows ?? 0;
        read += summary.counters.steps[0]?.counters.bytes_in ?? 0;
      }
      expect(attempts).toBeGreaterThan(2);
      expect(rows).toBe(whole.outputs[0]?.rows);
      expect(read).toBe(whole.counters.steps[0]?.counters.bytes_in);
      const expected = scene.read('out/orders.ndjson');
      await scene.merge(made);
      expect(scene.read('out/orders.ndjson').equals(expected)).toBe(true);
      expect(scene.list('out')).toEqual(['orders.ndjson']);
    },
    60_000,
  );
});

test('a group whose pieces the threads read is stopped again and again, and gives its records once', async () => {
  using scene = new Scene(pipeline('parse_json', ', merge: true'), {
    'in/0.ndjson': jsonLines(new Chance(SEED), 240_000),
  });
  scene.threads(2);
  const whole = await scene.whole();
  const groups = await scene.cut({ groups: 3, exactly: true, minBytes: 1 });
  const made: RunSummary[] = [];
  let attempts = 0;
  for (const index of groups.keys()) {
    await using store = openFileStore(join(state, `direct-${index}`));
    const { summary, positions } = await scene.interrupted(groups, index, store, 2, { direct: true });
    expect(summary.error).toBeUndefined();
    made.push(summary);
    attempts += positions.length;
  }
  expect(attempts).toBeGreaterThan(3);
  expect(made.reduce((sum, { outputs }) => sum + (outputs[0]?.rows ?? 0), 0)).toBe(whole.outputs[0]?.rows);
  const expected = scene.read('out/orders.ndjson');
  await scene.merge(made);
  expect(scene.read('out/orders.ndjson').equals(expected)).toBe(true);
}, 60_000);

test('a group is not gone on with where its attempts belong to another shared run', async () => {
  using scene = new Scene(pipeline('parse_json'), { 'in/0.ndjson': jsonLines(new Chance(SEED), 15_000) });
  const whole = await scene.whole();
  const split = await scene.cut({ groups: 2, exactly: true, minBytes: 1 });
  await using store = openFileStore(state);
  const first = await scene.interrupted(split, 0, store, 3, { sharedRun: 'monday', attempts: 2 });
  expect(first.summary.status).toBe('interrupted');
  expect(first.positions).toHaveLength(1);
  const all = await scene.cut({ groups: 1, exactly: true, minBytes: 1 });
  const { summary, positions } = await scene.interrupted(all, 0, store, 1000, { sharedRun: 'tuesday' });
  expect(positions).toEqual([]);
  expect(summary.outputs[0]?.rows).toBe(whole.outputs[0]?.rows);
  expect(scene.read('out/orders-00000-of-00001.ndjson').equals(scene.read('out/orders.ndjson'))).toBe(true);
});

test('an input that was rewritten is noticed by whoever goes on in a range', async () => {
  const chance = new Chance(SEED);
  const lines = jsonLines(chance, 20_000).replace('\ufeff', '');
  using scene = new Scene(pipeline('parse_json'), { 'in/0.ndjson': lines });
  const groups = await scene.cut({ groups: 2, exactly: true, minBytes: 1 });
  scene.write({ 'in/0.ndjson': lines.replace(/"n"/g, '"m"') });
  await expect(scene.shared(groups)).rejects.toMatchObject({ code: 'INPUT_CHANGED' });
  scene.write({ 'in/0.ndjson': `${lines}\n{"order":1}\n` });
  await expect(scene.shared(groups)).rejects.toThrow(/bytes when the work was shared out/);
});

test('a sample of many files holds the same records, however they are cut', async () => {
  const chance = new Chance(SEED);
  const files = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`in/${i}.ndjson`, jsonLines(chance, 100)]));
  const steps = pipeline('parse_json').replace(
    '  - name: write_file',
    '  - { name: sample, config: { rate: 0.3 } }\n  - name: write_file',
  );
  using scene = new Scene(steps, files);
  await scene.whole();
  const groups = await scene.cut({ groups: 4, exactly: true, minBytes: 1 });
  await scene.shared(groups);
  const parts = scene.list('out').filter((name) => name.includes('-of-'));
  const joined = Buffer.concat(parts.map((name) => scene.read(`out/${name}`)));
  expect(joined.length).toBeGreaterThan(0);
  expect(joined.equals(scene.read('out/orders.ndjson'))).toBe(true);
});

test('dead letters are parts, and each has its own', async () => {
  const steps = pipeline('parse_json').replace('drop', 'dead_letter');
  using scene = new Scene(steps, { 'in/0.ndjson': '{"a":1}\n{"b":\n'.repeat(20) });
  const parts = await scene.shared(await scene.cut({ groups: 2, exactly: true, minBytes: 1 }));
  expect(parts.map(({ counters }) => counters.total.dead_lettered)).toEqual([10, 10]);
  const letters = scene.list('output/dead_letters');
  expect(letters).toEqual(['orders-00000-of-00002.ndjson', 'orders-00001-of-00002.ndjson']);
  for (const name of letters)
    expect(scene.read(`output/dead_letters/${name}`).toString().trim().split('\n').length).toBe(10);
});
