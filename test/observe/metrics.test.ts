import { describe, expect, it } from 'vitest';
import type { FlowReading, NodeReading } from '../../runner/engine/flow-reading.ts';
import { lineSchema } from '../../runner/observe/event-schemas.ts';
import { RateMeter } from '../../runner/observe/meter.ts';
import { MetricsMeter, type StepReading } from '../../runner/observe/metrics.ts';
import { clock, counters, eventOf } from './story.ts';

describe('rates', () => {
  it('of a steady run are its rate, and the time left follows from them', () => {
    const time = clock();
    const meter = new RateMeter(time.now);
    let report = meter.read({ records: 0, bytes: 0, errors: 0, totalBytes: 10_000 });
    for (let second = 1; second <= 4; second++) {
      time.forward(1000);
      report = meter.read({ records: 10 * second, bytes: 1000 * second, errors: 1, totalBytes: 10_000 });
    }
    expect(report).toMatchObject({ records: 40, bytes: 4000, errors: 1, total_bytes: 10_000 });
    expect(report.rate_records_per_s).toBeCloseTo(10);
    expect(report.rate_bytes_per_s).toBeCloseTo(1000);
    expect(report.eta_seconds).toBeCloseTo(6);
  });

  it('of a resumed attempt leave out what the earlier ones did', () => {
    const time = clock();
    const meter = new RateMeter(time.now, { records: 1_000_000, bytes: 50_000_000 });
    time.forward(1000);
    expect(meter.read({ records: 1_000_100, bytes: 50_005_000, errors: 0 }).rate_records_per_s).toBeCloseTo(100);
  });

  it('sink slowly in a pause and forget the old speed after it', () => {
    const time = clock();
    const meter = new RateMeter(time.now);
    for (let second = 1; second <= 30; second++) {
      time.forward(1000);
      meter.read({ records: 1000 * second, bytes: 0, errors: 0 });
    }
    time.forward(1000);
    const soon = meter.read({ records: 30_000, bytes: 0, errors: 0 }).rate_records_per_s;
    time.forward(60_000);
    const late = meter.read({ records: 30_000, bytes: 0, errors: 0 }).rate_records_per_s;
    expect(soon).toBeGreaterThan(800);
    expect(late).toBeLessThan(5);
  });

  it('of the first seconds are the average so far: a slow start is soon forgotten', () => {
    const time = clock();
    const meter = new RateMeter(time.now);
    time.forward(200);
    meter.read({ records: 2, bytes: 200, errors: 0, totalBytes: 100_000 });
    for (let i = 1; i <= 9; i++) {
      time.forward(200);
      meter.read({ records: 2 + 200 * i, bytes: 200 + 20_000 * i, errors: 0 });
    }
    time.forward(200);
    const report = meter.read({ records: 2002, bytes: 200_200, errors: 0, totalBytes: 400_000 });
    // 2002 records in 2.2 s.
    expect(report.rate_records_per_s).toBeGreaterThan(850);
    expect(report.eta_seconds).toBeLessThan(2.4);
  });

  it('are never negative, infinite or not a number, whatever the clock does', () => {
    const time = clock();
    const meter = new RateMeter(time.now);
    const reports = [0, 0, -5000, 1000, 0].map((ms, i) => {
      time.forward(ms);
      return meter.read({ records: i, bytes: i, errors: 0, totalBytes: 2 });
    });
    for (const report of reports)
      expect(lineSchema('progress').safeParse(eventOf('progress', report)).error).toBeUndefined();
    expect(reports.at(-1)?.eta_seconds).toBe(0);
  });
});

describe('metrics', () => {
  const source = (added: number, busyMs: number): StepReading => {
    return {
      step: 'read_file',
      oxi: 'read_file',
      kind: 'source',
      busyMs,
      sampled: false,
      counters: counters({ added, out: added, bytes_out: added * 100 }),
    };
  };
  const filter = (taken: number, busyMs: number): StepReading => {
    const c = counters({
      in: taken,
      out: taken - 30,
      filtered: 20,
      dropped: 3,
      dead_lettered: 4,
      in_flight: 3,
      passed_on_error: 1,
    });
    return { step: 'long_rides', oxi: 'filter', kind: 'step', busyMs, sampled: true, counters: c };
  };
  const sink = (taken: number): StepReading => {
    return {
      step: 'out',
      oxi: 'write_file',
      kind: 'sink',
      busyMs: 0,
      sampled: false,
      counters: counters({ in: taken, out: taken, bytes_out: taken * 90 }),
    };
  };

  const node = (kind: NodeReading['kind'], step: string, busyMs: number, some: Partial<NodeReading>): NodeReading => ({
    kind,
    ordered: false,
    beside: false,
    steps: [{ step, busyMs }],
    pool: 0,
    alive: 1,
    waitInput: 0,
    waitRoom: 0,
    outside: 0,
    busy: 0,
    cpuMicros: 0,
    memoryBytes: 0,
    from: [],
    ...some,
  });
  /** Two seconds: the source and the sink on the main thread, the filter on two threads. */
  const flow: FlowReading = {
    elapsedMs: 2000,
    main: 0.5,
    mainCpuMicros: 1_000_000,
    cpuMicros: 3_200_000,
    nodes: [
      node('source', 'read_file', 300, { waitRoom: 0.8 }),
      node('stage', 'long_rides', 1500, { pool: 2, cpuMicros: 2_000_000, memoryBytes: 20 * 1024 * 1024 }),
      node('sink', 'out', 100, { waitInput: 0.6, outside: 0.1 }),
    ],
  };

  it('are the OxiMetrics of the specification for every step, since the sample before', () => {
    const time = clock();
    const meter = new MetricsMeter(time.now, [source(1000, 0), filter(1000, 0), sink(900)], () => 64 * 1024 * 1024);
    time.forward(2000);
    const sample = meter.sample([source(5000, 500), filter(5003, 1500), sink(4900)], flow);
    expect(sample).toEqual({
      interval_ms: 2000,
      process: { cpu_usage_percent: 160, memory_usage_mb: 64 },
      steps: [
        {
          step: 'read_file',
          oxi: 'read_file',
          cpu_usage_percent: 37.5,
          memory_usage_mb: 64,
          memory_of: 'process',
          io_read_bytes: 500_000,
          io_write_bytes: 0,
          bytes_in: 0,
          bytes_out: 500_000,
          records_processed: 5000,
          processing_rate_per_sec: 2000,
          error_count: 0,
          avg_processing_time_ms: 0.1,
          sampled: false,
          threads: 0,
          busy_percent: 15,
          wait_input_percent: 0,
          wait_room_percent: 80,
          wait_outside_percent: 0,
        },
        {
          step: 'long_rides',
          oxi: 'filter',
          cpu_usage_percent: 100,
          memory_usage_mb: 20,
          memory_of: 'threads',
          io_read_bytes: 0,
          io_write_bytes: 0,
          bytes_in: 0,
          bytes_out: 0,
          records_processed: 5000,
          processing_rate_per_sec: 2001.5,
          error_count: 8,
          avg_processing_time_ms: 0.3,
          sampled: true,
          threads: 2,
          busy_percent: 75,
          wait_input_percent: 0,
          wait_room_percent: 0,
          wait_outside_percent: 0,
        },
        {
          step: 'out',
          oxi: 'write_file',
          cpu_usage_percent: 12.5,
          memory_usage_mb: 64,
          memory_of: 'process',
          io_read_bytes: 0,
          io_write_bytes: 441_000,
          bytes_in: 0,
          bytes_out: 441_000,
          records_processed: 4900,
          processing_rate_per_sec: 2000,
          error_count: 0,
          avg_processing_time_ms: 0,
          sampled: false,
          threads: 0,
          busy_percent: 5,
          wait_input_percent: 60,
          wait_room_percent: 0,
          wait_outside_percent: 10,
        },
      ],
    });
    expect(lineSchema('metrics').safeParse(eventOf('metrics', sample)).error).toBeUndefined();
  });

  it('of no time and no work are zeros, and valid', () => {
    const meter = new MetricsMeter(clock().now);
    const still = { ...flow, elapsedMs: 0, mainCpuMicros: 0, cpuMicros: 0 };
    const sample = meter.sample([source(0, 0), filter(30, 0)], still);
    expect(lineSchema('metrics').safeParse(eventOf('metrics', sample)).error).toBeUndefined();
    expect(sample.process.memory_usage_mb).toBeGreaterThan(1);
    expect(sample.steps.map(({ processing_rate_per_sec: rate }) => rate)).toEqual([0, 0]);
  });
});
