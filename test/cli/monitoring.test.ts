/** `monitoring:` of a project, seen from outside: back-pressure in the metrics, the metrics file in each format, and alerts. */
import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parsePrometheus } from '../observe/prometheus-text.ts';
import { ridesProject, startBlocked } from './blocked.ts';
import { GOOD_PROJECT } from './cases/case.ts';
import { folder, jsonLines, oxiflow, put } from './program.ts';
import { eventProblems } from './schemas.ts';

interface Metrics {
  steps: Record<string, number | string | boolean>[];
  queues: { from: string; to: string; bytes: number; records: number; fill: number }[];
  bottleneck?: { step: string; reason: string };
}

function shop(monitoring: object): string {
  return folder({ ...GOOD_PROJECT, 'oxiflow.yaml': JSON.stringify({ project: { name: 'shop' }, monitoring }) });
}

test.concurrent('of a sink that nobody reads, the metrics show full queues, who waits, and the sink as the bottleneck', async () => {
  const { root } = ridesProject();
  put(root, {
    'oxiflow.yaml': 'project: { name: city }\nmonitoring: { interval_seconds: 0.2, metrics_file: m.ndjson }\n',
  });
  const run = startBlocked(root);
  await run.working();
  await run.has(/"bottleneck":\{"step":"write_stdout","reason":"[^}]+waits for room/);
  const { code, events, stderr } = await run.read();
  expect({ code, stderr: stderr.includes('warning') }).toEqual({ code: 0, stderr: false });
  expect(events.flatMap(eventProblems)).toEqual([]);
  const samples = events.filter(({ type }) => type === 'metrics') as unknown as Metrics[];
  const blocked = samples.find(({ bottleneck }) => /write_stdout.*waits for room/.test(bottleneck?.reason ?? ''));
  expect(blocked?.bottleneck?.reason).toMatch(
    /^the sink "write_stdout" waits \d+ % of the time for what it writes to, and "write_file" waits for room$/,
  );
  expect(blocked?.queues.map(({ from, to }) => [from, to])).toEqual([
    ['read_file', 'parse_json'],
    ['parse_json', 'write_file'],
    ['write_file', 'write_stdout'],
  ]);
  const last = blocked?.queues.at(-1);
  expect(last?.fill).toBe(1);
  expect(last?.bytes).toBeGreaterThan(0);
  expect(last?.bytes).toBeLessThanOrEqual(2 << 20);
  const sink = blocked?.steps.find(({ step }) => step === 'write_stdout');
  const copy = blocked?.steps.find(({ step }) => step === 'write_file');
  expect(Number(sink?.wait_outside_percent)).toBeGreaterThan(Number(sink?.wait_input_percent));
  expect(Number(copy?.wait_room_percent)).toBeGreaterThan(Number(copy?.wait_input_percent));
  // The file has what the stream had.
  const kept = jsonLines(readFileSync(join(root, 'm.ndjson'), 'utf8'));
  expect(kept).toEqual(events.filter(({ type }) => type === 'metrics'));
});

describe('the metrics file', () => {
  test.concurrent('of csv has a row for each step', async () => {
    const root = shop({ metrics_file: 'metrics/shop.csv' });
    expect(await oxiflow(['run', 'orders', '-q'], { cwd: root })).toMatchObject({ code: 0, stderr: '' });
    const [head = '', ...rows] = readFileSync(join(root, 'metrics/shop.csv'), 'utf8').trimEnd().split('\n');
    const [step, records] = ['step', 'records_processed'].map((name) => head.split(',').indexOf(name));
    expect(rows.slice(-4).map((row) => [row.split(',')[step ?? 0], row.split(',')[records ?? 0]])).toEqual([
      ['read_file', '3'],
      ['parse_json', '3'],
      ['filter', '3'],
      ['write_file', '2'],
    ]);
  });

  test.concurrent('of prometheus is text that a scraper reads, with the last figures and how the run ended', async () => {
    const root = shop({ metrics_file: 'shop.txt', output_format: 'prometheus' });
    expect((await oxiflow(['run', 'orders', '-q'], { cwd: root })).code).toBe(0);
    const families = parsePrometheus(readFileSync(join(root, 'shop.txt'), 'utf8'));
    const records = families.get('oxiflow_step_records_total')?.map(({ labels, value }) => [labels.step, value]);
    expect(records).toEqual([
      ['read_file', 3],
      ['parse_json', 3],
      ['filter', 3],
      ['write_file', 2],
    ]);
    expect(families.get('oxiflow_run_info')?.[0]?.labels).toMatchObject({ pipeline: 'orders', status: 'succeeded' });
  });

  test.concurrent('on a full disk costs a warning, not the run', async () => {
    const root = shop({ metrics_file: 'full.json', interval_seconds: 0.1 });
    symlinkSync('/dev/full', join(root, 'full.json'));
    const { code, stderr } = await oxiflow(['run', 'orders'], { cwd: root });
    expect(code).toBe(0);
    expect(stderr.match(/metrics_file full\.json: can't be written \(ENOSPC\)/g)).toHaveLength(1);
  });

  test.concurrent('that would lie below a file costs a warning, not the run', async () => {
    const root = shop({ metrics_file: 'input/orders.ndjson/shop.prom' });
    const { code, stderr } = await oxiflow(['run', 'orders'], { cwd: root });
    expect(code).toBe(0);
    expect(stderr.match(/monitoring\.metrics_file [^\n]+; the run goes on without\n/g)).toHaveLength(1);
  });
});

test.concurrent('an alert is an event, and a warning once', async () => {
  const root = shop({ alerts: { memory_threshold: 1, error_rate_threshold: 0.3 } });
  put(root, {
    'input/orders.ndjson': `{"order":1}\n${GOOD_PROJECT['input/orders.ndjson']}`,
    'pipelines/orders.yaml': (GOOD_PROJECT['pipelines/orders.yaml'] ?? '').replace(
      'name: filter',
      'name: filter\n    on_error: drop',
    ),
  });
  const { code, stderr } = await oxiflow(['run', 'orders', '--events', 'e.ndjson'], { cwd: root });
  expect(code).toBe(0);
  const events = jsonLines(readFileSync(join(root, 'e.ndjson'), 'utf8'));
  expect(events.flatMap(eventProblems)).toEqual([]);
  // One of four is bad: below the threshold.
  expect(events.filter(({ type }) => type === 'alert')).toMatchObject([
    { name: 'memory_threshold', severity: 'warning', threshold: 1 },
  ]);
  expect(stderr.match(/warning: the run takes \d+ MB of memory: more than 1 MB/g)).toHaveLength(1);
});
