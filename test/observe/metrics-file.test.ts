import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { lineSchema } from '../../runner/observe/event-schemas.ts';
import { formatOf, MetricsFile } from '../../runner/observe/metrics-file.ts';
import { prometheusText } from '../../runner/observe/prometheus.ts';
import { parsePrometheus } from './prometheus-text.ts';
import { checkpoint, eventOf, finished, metrics } from './story.ts';

let folder: string;
let warnings: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'oxiflow-metrics-'));
  warnings = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

type Format = 'json' | 'csv' | 'prometheus';

function file(format: Format, name = 'metrics/rides', maxBytes?: number): MetricsFile {
  const bound = maxBytes === undefined ? {} : { maxBytes };
  return new MetricsFile({
    path: join(folder, name),
    name,
    format,
    warn: (text) => void warnings.push(text),
    ...bound,
  });
}

const text = (name = 'metrics/rides'): string => readFileSync(join(folder, name), 'utf8');

describe('the metrics file', () => {
  it('as json has the whole event of each sample on a line, and goes on behind what is there', () => {
    for (const seq of [1, 2]) {
      const kept = file('json');
      kept.onEvent(eventOf('checkpoint', checkpoint(1), seq));
      kept.onEvent(eventOf('metrics', metrics, seq));
      kept.onEvent(eventOf('run.finished', finished(), seq));
    }
    const lines = text()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toEqual([eventOf('metrics', metrics, 1), eventOf('metrics', metrics, 2)]);
    for (const line of lines) expect(lineSchema('metrics').safeParse(line).error).toBeUndefined();
  });

  it('as csv has one head and a row for each step and sample', () => {
    const awkward = { ...metrics, steps: metrics.steps.map((step, i) => (i === 1 ? { ...step, oxi: 'a,"b"' } : step)) };
    for (const seq of [1, 2]) file('csv').onEvent(eventOf('metrics', awkward, seq));
    const [head, ...rows] = text().trimEnd().split('\n');
    const columns = head?.split(',') ?? [];
    expect(rows).toHaveLength(6);
    const cells = (row = '') => row.match(/("([^"]|"")*"|[^,"]*)(,|$)/g)?.map((cell) => cell.replace(/,$/, '')) ?? [];
    const records = rows.map((row) => Object.fromEntries(columns.map((column, i) => [column, cells(row)[i]])));
    expect(records[0]).toMatchObject({
      ts: '2026-03-01T06:00:00.000Z',
      pipeline: 'rides',
      step: 'read_file',
      io_read_bytes: '6291456',
      wait_room_percent: '80',
      is_bottleneck: 'false',
    });
    expect(records[1]).toMatchObject({ step: 'long_rides', oxi: '"a,""b"""', is_bottleneck: 'true' });
  });

  it('as prometheus is replaced as a whole, ends with how the run ended, and leaves nothing beside it', () => {
    const kept = file('prometheus');
    kept.onEvent(eventOf('metrics', metrics));
    expect(parsePrometheus(text()).get('oxiflow_run_info')?.[0]?.labels.status).toBe('running');
    kept.onEvent(eventOf('metrics', { ...metrics, process: { cpu_usage_percent: 50, memory_usage_mb: 1 } }));
    kept.onEvent(eventOf('run.finished', finished({ status: 'interrupted' })));
    const families = parsePrometheus(text());
    expect(families.get('oxiflow_run_info')?.map(({ labels }) => labels.status)).toEqual(['interrupted']);
    expect(families.get('oxiflow_process_cpu_ratio')?.[0]?.value).toBe(0.5);
    expect(families.get('oxiflow_queue_fill_ratio')?.[0]).toEqual({
      labels: { pipeline: 'rides', run_key: 'rides', from: 'read_file', to: 'long_rides' },
      value: 1,
    });
    expect(families.get('oxiflow_step_memory_bytes')?.map(({ labels }) => labels.step)).toEqual(['long_rides']);
    expect(readdirSync(join(folder, 'metrics'))).toEqual(['rides']);
  });

  it.each(['json', 'csv'] as const)(
    'as %s is bounded: what is too long becomes FILE.1, whole lines in both',
    (format) => {
      const kept = file(format, 'rides', 6000);
      for (let seq = 1; seq <= 20; seq++) kept.onEvent(eventOf('metrics', metrics, seq));
      expect(readdirSync(folder).sort()).toEqual(['rides', 'rides.1']);
      for (const name of ['rides', 'rides.1']) {
        expect(text(name).length).toBeLessThanOrEqual(6000);
        const [first = '', ...rest] = text(name).split('\n');
        expect(rest.at(-1)).toBe('');
        if (format === 'csv') expect(first).toMatch(/^ts,pipeline,/);
        else for (const line of [first, ...rest.slice(0, -1)]) expect(JSON.parse(line).type).toBe('metrics');
      }
    },
  );

  const broken: [why: string, Format, prepare: () => string, errno: string][] = [
    ['a full disk', 'json', () => link('/dev/full'), 'ENOSPC'],
    ['a full disk', 'csv', () => link('/dev/full'), 'ENOSPC'],
    ['a file where a folder should be', 'json', () => below(), 'ENOTDIR|EEXIST'],
    ['a file where a folder should be', 'prometheus', () => below(), 'ENOTDIR|EEXIST'],
    ['a folder in its place', 'json', () => made(), 'EISDIR'],
    ['a folder in its place', 'prometheus', () => made(), 'EISDIR|EEXIST|ENOTEMPTY'],
  ];
  it.each(broken)('that meets %s (as %s) says so once and throws nothing', (_why, format, prepare, errno) => {
    const name = prepare();
    const kept = file(format, name);
    for (let seq = 1; seq <= 3; seq++) kept.onEvent(eventOf('metrics', metrics, seq));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(
      new RegExp(`^monitoring\\.metrics_file ${name}: can't be written \\((${errno})\\); the run goes on without$`),
    );
    expect(readdirSync(folder).filter((left) => left.endsWith('.part'))).toEqual([]);
  });

  function link(to: string): string {
    symlinkSync(to, join(folder, 'full'));
    return 'full';
  }
  function below(): string {
    writeFileSync(join(folder, 'notes'), 'not a folder');
    return 'notes/rides';
  }
  function made(): string {
    mkdirSync(join(folder, 'rides', 'x'), { recursive: true });
    return 'rides';
  }

  it('writes again once there is room', () => {
    writeFileSync(join(folder, 'notes'), '');
    const kept = file('json', 'notes/rides');
    kept.onEvent(eventOf('metrics', metrics, 1));
    rmSync(join(folder, 'notes'));
    kept.onEvent(eventOf('metrics', metrics, 2));
    expect(JSON.parse(text('notes/rides')).seq).toBe(2);
    expect(warnings).toHaveLength(1);
  });

  it.each([
    ['metrics/rides.json', 'json'],
    ['rides.ndjson', 'json'],
    ['rides', 'json'],
    ['rides.csv', 'csv'],
    ['/var/lib/node_exporter/rides.prom', 'prometheus'],
  ])('that is called %s is %s where nobody says the format', (name, format) => {
    expect(formatOf(name)).toBe(format);
  });
});

test('names with quotes, backslashes and line feeds survive the Prometheus text', () => {
  const pipeline = 'a"b\\c\nd';
  const families = parsePrometheus(prometheusText(metrics, { pipeline, run_key: 'rides', status: 'running', at: 0 }));
  for (const samples of families.values()) for (const { labels } of samples) expect(labels.pipeline).toBe(pipeline);
  expect(families.size).toBeGreaterThan(10);
});
