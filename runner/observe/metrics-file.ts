/**
 * `monitoring.metrics_file`: a listener that keeps the metrics of runs in a file. json: a line of NDJSON for each sample; csv: a
 * row for each step and sample; both are appended to and bounded: beyond 16 MB the file becomes `FILE.1`, in place of the one
 * before. prometheus: the last sample alone, replaced as a whole. A file that can't be written is told of once and costs
 * metrics, never the run.
 */
import { closeSync, constants, fstatSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf } from '../engine/errors.ts';
import { makeFoldersSync } from '../engine/folders.ts';
import { prometheusText } from './prometheus.ts';
import type { EventListener, RunEvent } from './types.ts';

type MetricsFormat = 'json' | 'csv' | 'prometheus';

type MetricsEvent = Extract<RunEvent, { type: 'metrics' }>;

export interface MetricsFileOptions {
  /** Where it lies. */
  path: string;
  /** How messages call it. */
  name: string;
  format: MetricsFormat;
  /** Told once. */
  warn(message: string): void;
  maxBytes?: number;
}

const MAX_BYTES = 16 * 1024 * 1024;

/** What the ending of the file says, where nobody said the format. */
export function formatOf(path: string): MetricsFormat {
  if (path.endsWith('.csv')) return 'csv';
  return path.endsWith('.prom') ? 'prometheus' : 'json';
}

export class MetricsFile implements EventListener {
  readonly #o: MetricsFileOptions;
  #last: MetricsEvent | undefined;
  #told = false;

  constructor(options: MetricsFileOptions) {
    this.#o = options;
  }

  onEvent(event: RunEvent): void {
    if (event.type === 'metrics') {
      this.#last = event;
      this.#keep(event, 'running');
    } else if (event.type === 'run.finished' && this.#last !== undefined && this.#o.format === 'prometheus')
      this.#keep(this.#last, event.status);
  }

  #keep(event: MetricsEvent, status: string): void {
    const { path, name, format, warn } = this.#o;
    try {
      makeFoldersSync(dirname(path));
      if (format === 'prometheus') this.#replace(prometheusText(event, { ...event, status, at: Date.parse(event.ts) }));
      else this.#append(event, format);
    } catch (error) {
      // Whatever the system refuses (a full disk, no permission, a folder in the way) is no reason to end a run.
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      if (!this.#told) {
        // Set first: a warning is an event, too.
        this.#told = true;
        warn(`monitoring.metrics_file ${name}: can't be written (${errno}); the run goes on without`);
      }
    }
  }

  #replace(text: string): void {
    const { path } = this.#o;
    // Beside it, so that a rename replaces it at one instant; of this process alone.
    const staged = `${path}.${process.pid}.part`;
    try {
      writeFileSync(staged, text);
      renameSync(staged, path);
    } catch (error) {
      rmSync(staged, { force: true });
      throw error;
    }
  }

  #append(event: MetricsEvent, format: 'json' | 'csv'): void {
    const { path, maxBytes = MAX_BYTES } = this.#o;
    let { fd, size } = openToAppend(path);
    try {
      const text = format === 'json' ? `${JSON.stringify(event)}\n` : rowsOf(event);
      if (size > 0 && size + Buffer.byteLength(text) > maxBytes) {
        closeSync(fd);
        renameSync(path, `${path}.1`);
        ({ fd, size } = openToAppend(path));
      }
      // One write for each sample, so that those of two runs never mix.
      writeSync(fd, format === 'csv' && size === 0 ? `${CSV_HEAD}\n${text}` : text);
    } finally {
      closeSync(fd);
    }
  }
}

function openToAppend(path: string): { fd: number; size: number } {
  // Non-blocking, because opening a named pipe that nobody reads would otherwise wait for ever.
  const fd = openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK, 0o644);
  return { fd, size: fstatSync(fd).size };
}

const CSV_COLUMNS = [
  'step',
  'oxi',
  'cpu_usage_percent',
  'memory_usage_mb',
  'memory_of',
  'io_read_bytes',
  'io_write_bytes',
  'records_processed',
  'processing_rate_per_sec',
  'error_count',
  'avg_processing_time_ms',
  'sampled',
  'threads',
  'busy_percent',
  'wait_input_percent',
  'wait_room_percent',
  'wait_outside_percent',
] as const satisfies readonly (keyof MetricsEvent['steps'][number])[];

const CSV_HEAD = ['ts', 'pipeline', 'run_key', 'run_id', 'attempt', ...CSV_COLUMNS, 'is_bottleneck'].join(',');

function rowsOf({ ts, pipeline, run_key, run_id, attempt, steps, bottleneck }: MetricsEvent): string {
  return steps
    .map((step) => {
      const own = CSV_COLUMNS.map((column) => step[column] ?? '');
      return `${[ts, pipeline, run_key, run_id, attempt, ...own, step.step === bottleneck?.step].map(csvCell).join(',')}\n`;
    })
    .join('');
}

function csvCell(value: string | number | boolean): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
