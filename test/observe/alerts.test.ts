import { describe, expect, it } from 'vitest';
import { Alerts } from '../../runner/observe/alerts.ts';
import { lineSchema } from '../../runner/observe/event-schemas.ts';
import type { EventPayloads } from '../../runner/observe/types.ts';
import { eventOf, metrics } from './story.ts';

type Metrics = EventPayloads['metrics'];

function sample(some: { cpu?: number; memory?: number; errors?: number; interval?: number }): Metrics {
  const { cpu = 10, memory = 64, errors = 0, interval = 1000 } = some;
  const { steps } = metrics;
  return {
    ...metrics,
    interval_ms: interval,
    process: { cpu_usage_percent: cpu, memory_usage_mb: memory },
    steps: steps.map((step, i) => ({ ...step, error_count: i === 1 ? errors : 0, cpu_usage_percent: 10 * (i + 1) })),
  };
}

const RULES = { cpu_threshold: 80, memory_threshold: 512, error_rate_threshold: 0.05 };
const names = (alerts: EventPayloads['alert'][]): string[] => alerts.map(({ name }) => name);

describe('an alert', () => {
  it('tells what crossed which threshold, where, and keeps to its schema', () => {
    const alerts = new Alerts(RULES, 0, []).check(sample({ cpu: 143.4, memory: 600, errors: 20 }), 200);
    for (const alert of alerts) expect(lineSchema('alert').safeParse(eventOf('alert', alert)).error).toBeUndefined();
    expect(alerts).toEqual([
      {
        name: 'cpu_threshold',
        severity: 'warning',
        message: 'the run takes 143 % of a processor: more than 80 % (monitoring.alerts.cpu_threshold)',
        step: 'write_file',
        value: 143.4,
        threshold: 80,
      },
      {
        name: 'memory_threshold',
        severity: 'warning',
        message: 'the run takes 600 MB of memory: more than 512 MB (monitoring.alerts.memory_threshold)',
        value: 600,
        threshold: 512,
      },
      {
        name: 'error_rate_threshold',
        severity: 'warning',
        message:
          '20 of the last 200 records were bad, most of them in step "long_rides": more than 5 % (monitoring.alerts.error_rate_threshold)',
        step: 'long_rides',
        value: 0.1,
        threshold: 0.05,
      },
    ]);
  });

  it('comes once until the value was back within its threshold', () => {
    const alerts = new Alerts({ memory_threshold: 512 }, 0, []);
    const told = [600, 700, 513, 512, 513, 100].map((memory) => names(alerts.check(sample({ memory }), 0)).length);
    expect(told).toEqual([1, 0, 0, 0, 1, 0]);
  });

  it('of errors looks at the records since the sample before, not at those of earlier attempts', () => {
    const alerts = new Alerts(RULES, 1000, [['long_rides', 500]]);
    expect(alerts.check(sample({ errors: 500 }), 2000)).toEqual([]);
    expect(names(alerts.check(sample({ errors: 600 }), 3000))).toEqual(['error_rate_threshold']);
    expect(alerts.check(sample({ errors: 600 }), 4000)).toEqual([]);
    expect(names(alerts.check(sample({ errors: 601 }), 4000))).toEqual(['error_rate_threshold']);
  });

  it('with a threshold of 0 comes with the first bad record and not before', () => {
    const alerts = new Alerts({ error_rate_threshold: 0 }, 0, []);
    expect(alerts.check(sample({ errors: 0 }), 0)).toEqual([]);
    expect(alerts.check(sample({ errors: 1 }), 1_000_000)).toHaveLength(1);
  });

  it('of the processor needs more than a moment', () => {
    expect(new Alerts(RULES, 0, []).check(sample({ cpu: 400, interval: 20 }), 0)).toEqual([]);
  });

  it('that nobody asked for does not come', () => {
    expect(new Alerts({}, 0, []).check(sample({ cpu: 900, memory: 9e9, errors: 9 }), 9)).toEqual([]);
  });
});
