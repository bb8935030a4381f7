/**
 * What every step costs: the specification's OxiMetrics, from counters, busy time and the figures of the process. A stage with
 * threads of its own knows their processor time and memory; what works on the main thread shares that thread's and the
 * process's. Within a node both are shared out by how long each step was busy.
 */

import type { Oxi } from '../engine/contracts.ts';
import type { FlowReading, NodeReading } from '../engine/flow-reading.ts';
import type { EventCounters, EventPayloads } from './types.ts';

export interface StepReading {
  step: string;
  oxi: string;
  kind: Oxi['kind'];
  counters: EventCounters;
  /** Time that the step's threads worked, summed, since the start of the attempt. */
  busyMs: number;
  /** Found by samples. */
  sampled: boolean;
}

type Metrics = EventPayloads['metrics'];

interface Sample {
  at: number;
  records: ReadonlyMap<string, number>;
}

/** Resident memory of the process in bytes. */
function residentBytes(): number {
  return process.memoryUsage.rss();
}

export class MetricsMeter {
  readonly #now: () => number;
  readonly #resident: () => number;
  #last: Sample;

  /** `steps`: the readings at the start of the attempt, so that what earlier attempts did counts as no rate. */
  constructor(now: () => number, steps: readonly StepReading[] = [], resident: () => number = residentBytes) {
    this.#now = now;
    this.#resident = resident;
    this.#last = { at: now(), records: recordsOf(steps) };
  }

  /** The payload of a `metrics` event, for the time since the sample before; `flow` is read over the same time. */
  sample(steps: readonly StepReading[], flow: FlowReading): Pick<Metrics, 'interval_ms' | 'process' | 'steps'> {
    const last = this.#last;
    const next: Sample = { at: this.#now(), records: recordsOf(steps) };
    this.#last = next;
    const interval = Math.max(0, next.at - last.at);
    const resident = mebibytes(this.#resident());
    const shares = new Map(flow.nodes.flatMap((node) => sharesOf(flow, node)));
    return {
      interval_ms: interval,
      process: {
        cpu_usage_percent: percent(flow.cpuMicros / 1000, flow.elapsedMs),
        memory_usage_mb: resident,
      },
      steps: steps.map(({ step, oxi, kind, counters, busyMs, sampled }) => {
        const records = recordsProcessed(counters);
        const share = shares.get(step);
        const own = share !== undefined && share.node.pool > 0 && share.node.memoryBytes > 0;
        return {
          step,
          oxi,
          cpu_usage_percent: share?.cpu ?? 0,
          memory_usage_mb: own ? mebibytes(share.node.memoryBytes) : resident,
          memory_of: own ? 'threads' : 'process',
          io_read_bytes: kind === 'source' ? counters.bytes_out : 0,
          io_write_bytes: kind === 'sink' ? counters.bytes_out : 0,
          bytes_in: counters.bytes_in,
          bytes_out: counters.bytes_out,
          records_processed: records,
          processing_rate_per_sec: ratio((records - (last.records.get(step) ?? 0)) * 1000, interval),
          error_count: errorCount(counters),
          avg_processing_time_ms: ratio(busyMs, records),
          sampled,
          threads: share?.node.pool ?? 0,
          busy_percent: percent(share?.busyMs ?? 0, flow.elapsedMs),
          wait_input_percent: 100 * (share?.node.waitInput ?? 0),
          wait_room_percent: 100 * (share?.node.waitRoom ?? 0),
          wait_outside_percent: 100 * (share?.node.outside ?? 0),
        };
      }),
    };
  }
}

interface Share {
  node: NodeReading;
  busyMs: number;
  /** Percent of one core. */
  cpu: number;
}

/** What each step of a node took of the processor time of the threads that it ran on. */
function sharesOf(flow: FlowReading, node: NodeReading): [string, Share][] {
  // What waits beside the main thread does no work on it.
  if (node.beside) return node.steps.map(({ step, busyMs }) => [step, { node, busyMs, cpu: 0 }]);
  const sharing = node.pool > 0 ? [node] : flow.nodes.filter(({ pool, beside }) => pool === 0 && !beside);
  const all = sharing.flatMap(({ steps }) => steps).reduce((sum, { busyMs }) => sum + busyMs, 0);
  const cpuMs = (node.pool > 0 ? node.cpuMicros : flow.mainCpuMicros) / 1000;
  return node.steps.map(({ step, busyMs }) => [
    step,
    { node, busyMs, cpu: percent(cpuMs, flow.elapsedMs) * ratio(busyMs, all) },
  ]);
}

function mebibytes(bytes: number): number {
  return bytes / (1024 * 1024);
}

function percent(part: number, whole: number): number {
  return 100 * ratio(part, whole);
}

/** Records that a step has dealt with, whatever became of them; what a source reads counts as added. */
function recordsProcessed({ in: taken, added, in_flight }: EventCounters): number {
  return Math.max(0, (taken > 0 ? taken : added) - in_flight);
}

/** Bad records, whatever `on_error` made of them. */
export function errorCount({ dropped, dead_lettered, failed, passed_on_error }: EventCounters): number {
  return dropped + dead_lettered + failed + passed_on_error;
}

function recordsOf(steps: readonly StepReading[]): Sample['records'] {
  return new Map(steps.map(({ step, counters }) => [step, recordsProcessed(counters)]));
}

/** A share or rate that is 0 where there is nothing to divide by, and never negative. */
function ratio(part: number, whole: number): number {
  return whole > 0 ? Math.max(0, part / whole) : 0;
}
