/**
 * What every step costs: the specification's OxiMetrics, from counters, busy time and the figures of the process. Steps share
 * one process, so its memory is given with each step, and its processor time is shared out by how long each step was busy.
 */
import type { Oxi } from '../engine/contracts.ts';
import type { EventCounters, EventPayloads } from './types.ts';

export interface StepReading {
  step: string;
  oxi: string;
  kind: Oxi['kind'];
  counters: EventCounters;
  /** Time that the step's threads worked, summed, since the start of the attempt. */
  busyMs: number;
}

/** The operating system's view of the process. */
export interface ProcessReading {
  /** Processor time since the start of the process, all threads, in microseconds. */
  cpuMicros: number;
  /** Resident memory in bytes. */
  rss: number;
}

export function readProcess(): ProcessReading {
  const { user, system } = process.cpuUsage();
  return { cpuMicros: user + system, rss: process.memoryUsage.rss() };
}

interface Sample {
  at: number;
  cpuMicros: number;
  steps: ReadonlyMap<string, { records: number; busyMs: number }>;
}

export class MetricsMeter {
  readonly #now: () => number;
  readonly #readProcess: () => ProcessReading;
  #last: Sample;

  /** `steps`: the readings at the start of the attempt, so that what earlier attempts did counts as no rate. */
  constructor(now: () => number, steps: readonly StepReading[] = [], process: () => ProcessReading = readProcess) {
    this.#now = now;
    this.#readProcess = process;
    this.#last = { at: now(), cpuMicros: process().cpuMicros, steps: figuresOf(steps) };
  }

  /** The payload of a `metrics` event, for the time since the sample before. */
  sample(steps: readonly StepReading[]): EventPayloads['metrics'] {
    const last = this.#last;
    const { cpuMicros, rss } = this.#readProcess();
    const next: Sample = { at: this.#now(), cpuMicros, steps: figuresOf(steps) };
    this.#last = next;
    const interval = Math.max(0, next.at - last.at);
    const cpu = ratio((cpuMicros - last.cpuMicros) / 10, interval);
    const memory = rss / (1024 * 1024);
    const busy = (step: string) => (next.steps.get(step)?.busyMs ?? 0) - (last.steps.get(step)?.busyMs ?? 0);
    const allBusy = steps.reduce((sum, { step }) => sum + busy(step), 0);
    return {
      interval_ms: interval,
      process: { cpu_usage_percent: cpu, memory_usage_mb: memory },
      steps: steps.map(({ step, oxi, kind, counters, busyMs }) => {
        const records = recordsProcessed(counters);
        const before = last.steps.get(step)?.records ?? 0;
        return {
          step,
          oxi,
          cpu_usage_percent: cpu * ratio(busy(step), allBusy),
          memory_usage_mb: memory,
          io_read_bytes: kind === 'source' ? counters.bytes_out : 0,
          io_write_bytes: kind === 'sink' ? counters.bytes_out : 0,
          records_processed: records,
          processing_rate_per_sec: ratio((records - before) * 1000, interval),
          error_count: errorCount(counters),
          avg_processing_time_ms: ratio(busyMs, records),
        };
      }),
    };
  }
}

/** Records that a step has dealt with, whatever became of them; what a source reads counts as added. */
function recordsProcessed({ in: taken, added, in_flight }: EventCounters): number {
  return Math.max(0, (taken > 0 ? taken : added) - in_flight);
}

/** Bad records, whatever `on_error` made of them. */
export function errorCount({ dropped, dead_lettered, failed, passed_on_error }: EventCounters): number {
  return dropped + dead_lettered + failed + passed_on_error;
}

function figuresOf(steps: readonly StepReading[]): Sample['steps'] {
  return new Map(steps.map(({ step, counters, busyMs }) => [step, { records: recordsProcessed(counters), busyMs }]));
}

/** A share or rate that is 0 where there is nothing to divide by, and never negative. */
function ratio(part: number, whole: number): number {
  return whole > 0 ? Math.max(0, part / whole) : 0;
}
