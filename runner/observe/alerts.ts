/**
 * `monitoring.alerts`: holds every sample of the metrics against the thresholds. A rule speaks when its threshold is crossed, and
 * not again before the value was back within it.
 */
import { humanCount } from './human.ts';
import type { EventPayloads } from './types.ts';

export interface AlertThresholds {
  /** Processor use of the process in percent; 100 is one core. */
  cpu_threshold?: number | undefined;
  /** Resident memory of the process, MiB. */
  memory_threshold?: number | undefined;
  /** Bad records among those read, 0 to 1. */
  error_rate_threshold?: number | undefined;
}

/** Over less time the use of a processor says nothing. */
const SHORTEST_MS = 100;

type Alert = EventPayloads['alert'];
type Rule = keyof AlertThresholds;

interface Finding {
  value: number;
  step: string | undefined;
  message: string;
}

export class Alerts {
  readonly #thresholds: AlertThresholds;
  readonly #crossed = new Set<Rule>();
  #records: number;
  #errors: ReadonlyMap<string, number>;

  /** `records` read, and the errors of each step, at the start of the attempt: what earlier ones did is over. */
  constructor(thresholds: AlertThresholds, records: number, steps: Iterable<readonly [string, number]>) {
    this.#thresholds = thresholds;
    this.#records = records;
    this.#errors = new Map(steps);
  }

  /** What is to be told of a sample; `records` read so far. */
  check(metrics: EventPayloads['metrics'], records: number): Alert[] {
    const findings: Readonly<Record<Rule, (threshold: number) => Finding>> = {
      cpu_threshold: (threshold) => cpu(metrics, threshold),
      memory_threshold: (threshold) => memory(metrics, threshold),
      error_rate_threshold: (threshold) => this.#errorRate(metrics, records, threshold),
    };
    const alerts: Alert[] = [];
    for (const name of Object.keys(findings) as Rule[]) {
      const threshold = this.#thresholds[name];
      if (threshold === undefined || (name === 'cpu_threshold' && metrics.interval_ms < SHORTEST_MS)) continue;
      const { value, step, message } = findings[name](threshold);
      const isOver = value > threshold;
      if (isOver && !this.#crossed.has(name))
        alerts.push({ name, severity: 'warning', message, ...(step === undefined ? {} : { step }), value, threshold });
      if (isOver) this.#crossed.add(name);
      else this.#crossed.delete(name);
    }
    this.#records = records;
    this.#errors = new Map(metrics.steps.map(({ step, error_count }) => [step, error_count]));
    return alerts;
  }

  /** Since the sample before: a rate over the whole run would neither rise nor fall any more in a long one. */
  #errorRate({ steps }: EventPayloads['metrics'], records: number, threshold: number): Finding {
    const read = records - this.#records;
    const since = steps.map(({ step, error_count }) => ({ step, errors: error_count - (this.#errors.get(step) ?? 0) }));
    const errors = since.reduce((sum, step) => sum + step.errors, 0);
    const { step } = since.reduce((a, b) => (b.errors > a.errors ? b : a), { step: '', errors: 0 });
    const value = errors === 0 ? 0 : Math.min(1, errors / Math.max(1, read));
    const message = `${humanCount(errors)} of the last ${humanCount(Math.max(read, errors))} records were bad, most of them in step "${step}": more than ${share(threshold)} (monitoring.alerts.error_rate_threshold)`;
    return { value, step: step === '' ? undefined : step, message };
  }
}

function cpu({ process, steps }: EventPayloads['metrics'], threshold: number): Finding {
  const value = process.cpu_usage_percent;
  const { step } = steps.reduce((a, b) => (b.cpu_usage_percent > a.cpu_usage_percent ? b : a), {
    step: '',
    cpu_usage_percent: 0,
  });
  const message = `the run takes ${Math.round(value)} % of a processor: more than ${threshold} % (monitoring.alerts.cpu_threshold)`;
  return { value, step: step === '' ? undefined : step, message };
}

function memory({ process }: EventPayloads['metrics'], threshold: number): Finding {
  const value = process.memory_usage_mb;
  const message = `the run takes ${Math.round(value)} MB of memory: more than ${threshold} MB (monitoring.alerts.memory_threshold)`;
  return { value, step: undefined, message };
}

function share(part: number): string {
  return `${Number((100 * part).toPrecision(3))} %`;
}
