/** Turns what the engine says of a run into events: at once what happens, and on a timer how far it is and what it costs. */

import { bottleneckOf, theProcess } from '../engine/bottleneck.ts';
import type { Split } from '../engine/contracts.ts';
import { inFlight } from '../engine/counters.ts';
import type { Checkpoint } from '../engine/documents.ts';
import { between, type FlowMoment, momentOf } from '../engine/flow-reading.ts';
import type { Letter } from '../engine/letters.ts';
import { errorsOf, type RunFigures, type RunObserver, type RunStart, type RunSummary } from '../engine/report.ts';
import { Alerts, type AlertThresholds } from './alerts.ts';
import { BusiestStep } from './busiest.ts';
import { RateMeter } from './meter.ts';
import { errorCount, MetricsMeter, type StepReading } from './metrics.ts';
import type { EventPayloads, EventSink } from './types.ts';

export interface ReporterOptions {
  events: EventSink;
  backend: { name: string; location: string };
  process: EventPayloads['run.started']['process'];
  /** What the operator should know before the run. */
  notices: readonly string[];
  metricsIntervalMs: number;
  alerts: AlertThresholds;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** A sentence about bad records, or a threshold that was crossed, for people. */
  warn(message: string): void;
}

/** How often the live line may change. */
const PROGRESS_MS = 200;
/** Bad records that are described; the counters tell how many there were. */
const DESCRIBED = 10;
/** Dead letters that have an event of their own in an attempt; the file holds all of them. */
const MOST_LETTERS = 1000;

export class RunReporter implements RunObserver {
  readonly #o: ReporterOptions;
  #figures: RunFigures | undefined;
  #rates: RateMeter | undefined;
  #meter: MetricsMeter | undefined;
  #busiest: BusiestStep | undefined;
  #moment: FlowMoment | undefined;
  #alerts: Alerts | undefined;
  #timers: NodeJS.Timeout[] = [];
  #described = 0;
  #startedAt = 0;
  #letters = 0;

  constructor(options: ReporterOptions) {
    this.#o = options;
  }

  started({ splits, figures, resumedFrom, notices }: RunStart): void {
    const { events, now } = this.#o;
    this.#figures = figures;
    this.#startedAt = now();
    this.#rates = new RateMeter(now, figures);
    this.#meter = new MetricsMeter(now, this.#readings());
    this.#busiest = new BusiestStep(now);
    this.#moment = momentOf(figures);
    const errors = this.#readings().map(({ step, counters }): [string, number] => [step, errorCount(counters)]);
    this.#alerts = new Alerts(this.#o.alerts, figures.records, errors);
    const stages = figures.stages.map(({ threads, tier, steps }, stage) => ({
      stage,
      threads,
      tier,
      steps: steps.flatMap((id) => {
        const step = figures.steps.find((one) => one.id === id);
        return step === undefined ? [] : [{ step: id, oxi: step.oxi, kind: step.kind }];
      }),
    }));
    events.emit('run.started', {
      plan: { stages },
      backend: this.#o.backend,
      resumed_from:
        resumedFrom === undefined
          ? null
          : {
              checkpoint: resumedFrom.n,
              grade: resumedFrom.grade,
              positions: positions(resumedFrom, splits),
              records: resumedFrom.records,
            },
      notices: [...this.#o.notices, ...notices],
      process: this.#o.process,
    });
    for (const { id, oxi, stage } of figures.steps) events.emit('step.started', { step: id, oxi, stage });
    this.#timers = [
      setInterval(() => this.#progress(), PROGRESS_MS),
      setInterval(() => this.#metrics(), this.#o.metricsIntervalMs),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  checkpoint(checkpoint: Checkpoint, splits: readonly Split[]): void {
    const { n, grade, position, records, bytes } = checkpoint;
    this.#o.events.emit('checkpoint', {
      n,
      grade,
      positions: positions(checkpoint, splits),
      splits_done: Math.min(position.split, splits.length),
      splits_total: splits.length,
      records,
      bytes,
    });
  }

  recordErrors(messages: readonly string[]): void {
    for (const message of messages) {
      if (this.#described === DESCRIBED) this.#o.warn('more records were bad; the summary counts them');
      if (this.#described++ < DESCRIBED) this.#o.warn(message);
    }
  }

  deadLettered(letters: readonly Letter[]): void {
    for (const { step, file, offset, code, reason } of letters) {
      if (this.#letters++ >= MOST_LETTERS) return;
      this.#o.events.emit('record.dead_lettered', { step, split: file, offset, code, reason });
    }
  }

  finished(summary: RunSummary): void {
    for (const timer of this.#timers) clearInterval(timer);
    if (this.#figures !== undefined) {
      this.#progress();
      this.#metrics();
      const duration_ms = Math.max(0, this.#o.now() - this.#startedAt);
      const status = summary.status === 'cancelled' ? 'interrupted' : summary.status;
      for (const { step, oxi, busy_ms, counters } of summary.counters.steps)
        this.#o.events.emit('step.finished', { step, oxi, status, duration_ms, busy_ms, counters });
    }
    this.#o.events.emit('run.finished', summary);
  }

  #progress(): void {
    const figures = this.#figures;
    if (figures === undefined || this.#rates === undefined) return;
    const { records, bytes, totalBytes } = figures;
    const reading = { records, bytes, errors: errorsOf(figures), ...(totalBytes === undefined ? {} : { totalBytes }) };
    const busiest = this.#busiest?.read(figures.steps);
    const progress = this.#rates.read(reading);
    const dead_lettered = figures.steps.reduce((sum, { counters }) => sum + counters.dead_lettered, 0);
    this.#o.events.emit('progress', {
      ...progress,
      ...(dead_lettered === 0 ? {} : { dead_lettered }),
      ...(busiest === undefined ? {} : { busiest }),
    });
  }

  #metrics(): void {
    const figures = this.#figures;
    if (figures === undefined || this.#meter === undefined || this.#moment === undefined) return;
    const now = momentOf(figures);
    const reading = between(figures, this.#moment, now);
    this.#moment = now;
    const bottleneck = bottleneckOf(reading, theProcess(reading));
    const metrics = {
      ...this.#meter.sample(this.#readings(), reading),
      queues: queuesOf(figures),
      ...(bottleneck === undefined ? {} : { bottleneck }),
    };
    this.#o.events.emit('metrics', metrics);
    for (const alert of this.#alerts?.check(metrics, figures.records) ?? []) {
      this.#o.events.emit('alert', alert);
      this.#o.warn(alert.message);
    }
  }

  #readings(): StepReading[] {
    return (this.#figures?.steps ?? []).map(({ id, oxi, kind, counters, busyMs, sampled }) => ({
      step: id,
      oxi,
      kind,
      busyMs,
      sampled,
      counters: { ...counters, in_flight: Math.max(0, inFlight(counters)) },
    }));
  }
}

/** Those whose receiver has not seen the end. Each is named by the steps at its two ends. */
function queuesOf({ queues }: RunFigures): EventPayloads['metrics']['queues'] {
  return queues
    .filter(({ gauge }) => gauge.endedAt === undefined)
    .map(({ from, to, gauge }) => ({
      from: from.steps.at(-1)?.id ?? '',
      to: to.steps[0]?.id ?? '',
      ...gauge.fill,
      fill: gauge.share,
    }));
}

function positions(checkpoint: Checkpoint, splits: readonly Split[]): EventPayloads['checkpoint']['positions'] {
  const { split, offset } = checkpoint.position;
  const at = splits[split];
  if (at === undefined) return [];
  return [{ split, name: at.name, offset, ...(at.size === undefined ? {} : { size: at.size }) }];
}
