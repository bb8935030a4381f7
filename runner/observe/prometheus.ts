/** Metrics as Prometheus reads them: the text format 0.0.4, in base units (seconds, bytes, ratios). */
import type { EventPayloads } from './types.ts';

type Metrics = EventPayloads['metrics'];
type Step = Metrics['steps'][number];
type Labels = Readonly<Record<string, string>>;

export interface PrometheusRun {
  pipeline: string;
  run_key: string;
  /** running, or how it ended. */
  status: string;
  /** Of the sample, milliseconds since the epoch. */
  at: number;
}

/** Name, type, help, and its value for a step; undefined where nothing is known. */
const OF_STEPS: readonly (readonly [string, 'counter' | 'gauge', string, (step: Step) => number | undefined])[] = [
  ['records_total', 'counter', 'Records that the step has dealt with in this run.', (s) => s.records_processed],
  ['errors_total', 'counter', 'Bad records in this run.', (s) => s.error_count],
  ['read_bytes_total', 'counter', 'Bytes read from outside in this run.', (s) => s.io_read_bytes],
  ['written_bytes_total', 'counter', 'Bytes written to the outside in this run.', (s) => s.io_write_bytes],
  ['records_per_second', 'gauge', 'Records a second.', (s) => s.processing_rate_per_sec],
  ['seconds_per_record', 'gauge', 'Busy time per record.', (s) => s.avg_processing_time_ms / 1000],
  ['cpu_ratio', 'gauge', 'Processor use; 1 is one core.', (s) => s.cpu_usage_percent / 100],
  ['busy_ratio', 'gauge', 'Busy time; 1 is one thread.', (s) => ratio(s.busy_percent)],
  ['threads', 'gauge', 'Threads of its own stage; 0 on the main thread.', (s) => s.threads],
  ['wait_input_ratio', 'gauge', 'Share of the time that it waited for input.', (s) => ratio(s.wait_input_percent)],
  ['wait_room_ratio', 'gauge', 'Share of the time that it waited for room.', (s) => ratio(s.wait_room_percent)],
  ['wait_outside_ratio', 'gauge', 'Share of the time in writing.', (s) => ratio(s.wait_outside_percent)],
  [
    'memory_bytes',
    'gauge',
    'Memory of the threads of its stage.',
    (s) => (s.memory_of === 'threads' ? s.memory_usage_mb * 1024 * 1024 : undefined),
  ],
];

function ratio(percent: number | undefined): number | undefined {
  return percent === undefined ? undefined : percent / 100;
}

/** The whole text, in which each family stands together. */
export function prometheusText(metrics: Metrics, { pipeline, run_key, status, at }: PrometheusRun): string {
  const run = { pipeline, run_key };
  const families: [string, string, string, [Labels, number | undefined][]][] = [
    ['run_info', 'gauge', 'The run; always 1.', [[{ ...run, status }, 1]]],
    ['sample_timestamp_seconds', 'gauge', 'When this was measured.', [[run, at / 1000]]],
    ['process_cpu_ratio', 'gauge', 'Processor use; 1 is one core.', [[run, metrics.process.cpu_usage_percent / 100]]],
    ['process_memory_bytes', 'gauge', 'Resident memory.', [[run, metrics.process.memory_usage_mb * 1024 * 1024]]],
    ...OF_STEPS.map(([name, type, help, value]): (typeof families)[number] => [
      `step_${name}`,
      type,
      help,
      metrics.steps.map((step) => [{ ...run, step: step.step, oxi: step.oxi }, value(step)]),
    ]),
    [
      'step_is_bottleneck',
      'gauge',
      'Whether this step holds the run back.',
      metrics.steps.map(({ step, oxi }) => [{ ...run, step, oxi }, step === metrics.bottleneck?.step ? 1 : 0]),
    ],
    ...(['fill', 'bytes', 'records'] as const).map((what): (typeof families)[number] => [
      `queue_${what === 'fill' ? 'fill_ratio' : what}`,
      'gauge',
      { fill: 'How full the queue is.', bytes: 'Bytes that wait.', records: 'Records that wait.' }[what],
      (metrics.queues ?? []).map((queue) => [{ ...run, from: queue.from, to: queue.to }, queue[what]]),
    ]),
  ];
  return families
    .map(([name, type, help, samples]) => {
      const known = samples.filter(([, value]) => value !== undefined);
      if (known.length === 0) return '';
      const lines = known.map(([labels, value]) => `oxiflow_${name}{${labelText(labels)}} ${value}\n`);
      return `# HELP oxiflow_${name} ${help}\n# TYPE oxiflow_${name} ${type}\n${lines.join('')}`;
    })
    .join('');
}

function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`))}"`)
    .join(',');
}
