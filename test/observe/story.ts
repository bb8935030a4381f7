/** A small run that the tests of this folder tell of: rides of a bicycle depot, filtered into a file. */
import type { EventCounters, EventIdentity, EventPayloads, RunEvent } from '../../runner/observe/types.ts';

export const identity: EventIdentity = {
  run_key: 'rides',
  run_id: '0195f2c1-7a10-7cc3-9d20-3f1f0a5b6c7d',
  attempt: 1,
  worker_id: 'depot-1',
  pipeline: 'rides',
};

export const START = Date.UTC(2026, 2, 1, 6, 0, 0);

/** A clock that stands still until it is moved. */
export function clock(start = START): { now: () => number; forward: (ms: number) => void } {
  let time = start;
  return {
    now: () => time,
    forward: (ms) => {
      time += ms;
    },
  };
}

export function counters(some: Partial<EventCounters>): EventCounters {
  const none = {
    in: 0,
    added: 0,
    out: 0,
    filtered: 0,
    dropped: 0,
    dead_lettered: 0,
    failed: 0,
    collected: 0,
    passed_on_error: 0,
    in_flight: 0,
    bytes_in: 0,
    bytes_out: 0,
  };
  return { ...none, ...some };
}

export function progress(some: Partial<EventPayloads['progress']> = {}): EventPayloads['progress'] {
  return {
    records: 1_200_000,
    bytes: 42_000_000,
    errors: 0,
    rate_records_per_s: 98_765,
    rate_bytes_per_s: 3_456_789,
    ...some,
  };
}

export function checkpoint(n: number, grade: 'soft' | 'hard' = 'hard'): EventPayloads['checkpoint'] {
  const positions = [{ split: 0, name: 'input/rides.ndjson', offset: n * 1000 }];
  return { n, grade, positions, splits_done: 0, splits_total: 1, records: n * 10, bytes: n * 1000 };
}

export const started: EventPayloads['run.started'] = {
  plan: {
    stages: [
      { stage: 0, threads: 1, tier: 'values', steps: [{ step: 'read_file', oxi: 'read_file', kind: 'source' }] },
    ],
  },
  backend: { name: 'sqlite', location: '.oxiflow/state.db' },
  resumed_from: null,
  notices: [],
  process: { pid: 4711, host: 'depot', version: '0.1.0' },
};

export function finished(some: Partial<EventPayloads['run.finished']> = {}): EventPayloads['run.finished'] {
  const total = counters({
    added: 60_000,
    out: 41_998,
    filtered: 18_000,
    dead_lettered: 2,
    bytes_in: 6_291_456,
    bytes_out: 4_441_998,
  });
  return {
    status: 'succeeded',
    exit_code: 0,
    checkpoint: 2,
    counters: {
      total,
      attempt: total,
      steps: [
        { step: 'read_file', oxi: 'read_file', busy_ms: 200, counters: counters({ added: 60_000, out: 60_000 }) },
        {
          step: 'long_rides',
          oxi: 'filter',
          busy_ms: 795,
          counters: counters({ in: 60_000, out: 41_998, filtered: 18_000, dead_lettered: 2 }),
        },
        { step: 'write_file', oxi: 'write_file', busy_ms: 5, counters: counters({ in: 41_998, out: 41_998 }) },
      ],
    },
    durations: { attempt_ms: 4000, total_ms: 4000 },
    outputs: [{ step: 'write_file', path: 'output/long-rides.ndjson', rows: 41_998, bytes: 4_441_998 }],
    ...some,
  };
}

function measured(step: string, oxi: string, some: object = {}): EventPayloads['metrics']['steps'][number] {
  return {
    step,
    oxi,
    cpu_usage_percent: 12.5,
    memory_usage_mb: 64,
    memory_of: 'process',
    io_read_bytes: 0,
    io_write_bytes: 0,
    bytes_in: 0,
    bytes_out: 0,
    records_processed: 60_000,
    processing_rate_per_sec: 15_000,
    error_count: 0,
    avg_processing_time_ms: 0.004,
    sampled: false,
    threads: 0,
    busy_percent: 15,
    wait_input_percent: 0,
    wait_room_percent: 0,
    wait_outside_percent: 0,
    ...some,
  };
}

export const metrics: EventPayloads['metrics'] = {
  interval_ms: 1000,
  process: { cpu_usage_percent: 160, memory_usage_mb: 128 },
  steps: [
    measured('read_file', 'read_file', { io_read_bytes: 6_291_456, bytes_out: 6_291_456, wait_room_percent: 80 }),
    measured('long_rides', 'filter', { threads: 2, memory_of: 'threads', sampled: true, busy_percent: 190 }),
    measured('write_file', 'write_file', { io_write_bytes: 4_441_998, wait_input_percent: 60 }),
  ],
  queues: [
    { from: 'read_file', to: 'long_rides', bytes: 2_000_000, records: 20_000, fill: 1 },
    { from: 'long_rides', to: 'write_file', bytes: 0, records: 0, fill: 0 },
  ],
  bottleneck: { step: 'long_rides', reason: 'step "long_rides" is busy 95 % of the time on 2 threads' },
};

/** A whole event, as the bus would make it. */
export function eventOf<T extends RunEvent['type']>(type: T, payload: EventPayloads[T], seq = 1, ms = START): RunEvent {
  const head = { v: 1, ts: new Date(ms).toISOString(), seq, type, ...identity };
  return { ...head, ...payload } as unknown as RunEvent;
}

/** Collects what is written. */
export class Paper {
  text = '';

  write(text: string): void {
    this.text += text;
  }

  get lines(): string[] {
    return this.text.split('\n').slice(0, -1);
  }
}
