/**
 * The truth about the event protocol, version 1: every event type as a zod definition. JSON Schemas are generated from it
 * (`generate-schemas.ts`) and types are inferred (`types.ts`). Zod is slow to load, so nothing on a run's path imports this
 * file at run time. Within version 1 types and fields may be added: a reader passes over what it does not know.
 */
import { z } from 'zod';

const count = (description: string) => z.int().nonnegative().meta({ description });
const amount = (description: string) => z.number().nonnegative().meta({ description });
const flag = (description: string) => z.boolean().meta({ description });
const text = (description: string) => z.string().meta({ description });

const step = text('Id of the step.');
const oxi = text('Name of the oxi that the step runs.');

/** What every line begins with. (run_id, attempt, seq) is unique; a gap in seq is a line that was dropped or failed. */
export const envelope = z.strictObject({
  v: z.literal(1).meta({ description: 'Version of the protocol.' }),
  ts: z
    .string()
    .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    .meta({ description: 'When it happened, ISO 8601 in UTC with milliseconds.' }),
  seq: z.int().positive().meta({ description: 'Counts the events of an attempt from 1.' }),
  type: z.string().meta({ description: 'Which event it is.' }),
  run_key: text('What is resumed; the launcher chose it.'),
  run_id: text('One run, the same in all its attempts.'),
  attempt: z.int().positive().meta({ description: 'Counts the attempts of a run from 1, by the state store.' }),
  worker_id: text('Who works on it, unique for each attempt.'),
  pipeline: text('Name of the pipeline.'),
});

export const counters = z
  .strictObject({
    in: count('Records that came in.'),
    added: count('Records made by the step itself: read by a source, or more out than in.'),
    out: count('Records that left the step towards the next one, or into the output.'),
    filtered: count('Records that the step was asked to leave out.'),
    dropped: count('Bad records given up by on_error: drop.'),
    dead_lettered: count('Bad records in the dead-letter file.'),
    failed: count('Bad records that stopped the run, or that a sink could not take.'),
    collected: count('Records that became part of another one.'),
    passed_on_error: count('Records that left as they came because the step failed; also counted in out.'),
    in_flight: count('Records inside the step; 0 at the end of a run that succeeded.'),
    bytes_in: count('Bytes that came in.'),
    bytes_out: count('Bytes that left.'),
  })
  .meta({
    id: 'counters',
    description: 'in + added = out + filtered + dropped + dead_lettered + failed + collected + in_flight.',
  });

const stepCounters = z
  .strictObject({
    step,
    oxi,
    busy_ms: amount('Time that its threads worked on records, summed over the threads, in this attempt.'),
    sampled: flag('Its time was found by samples: it shares a pass with others.').optional(),
    wait_input_ms: amount('Its node waited for input, in this attempt; steps of a stage are one node.').optional(),
    wait_room_ms: amount('Its node waited for room in the queue behind it.').optional(),
    wait_outside_ms: amount('The sink waited for what it writes to.').optional(),
    counters: counters.meta({ description: 'Over all attempts.' }),
  })
  .meta({ id: 'step_counters' });

const position = z
  .strictObject({
    split: count('Number of the split.'),
    name: text('Name of the split: a path, stdin.'),
    offset: count('Where reading goes on, in bytes of the split.'),
    size: count('Bytes of the split, where known.').optional(),
  })
  .meta({ id: 'position' });

const positions = z.array(position).meta({ description: 'The splits that are open; finished ones are only counted.' });
const grade = z.enum(['soft', 'hard']).meta({
  description: 'soft survives the death of the process, hard the death of the machine.',
});

const output = z
  .strictObject({
    step,
    path: text('The file that was published.').optional(),
    table: text('The table that was written.').optional(),
    rows: count('Records in it.'),
    bytes: count('Bytes in it.'),
    columns: z.array(z.string()).meta({ description: 'Its columns, where it has a header.' }).optional(),
  })
  .meta({ id: 'output' });

const failure = z
  .strictObject({
    code: z
      .string()
      .regex(/^[A-Z][A-Z0-9_]*$/)
      .meta({ description: 'A stable name for the kind of failure; INTERNAL for a bug.' }),
    message: text('One sentence: what happened, where, what to do.'),
  })
  .meta({ id: 'failure' });

/** The specification's OxiMetrics for one step. */
const oxiMetrics = z
  .strictObject({
    step,
    oxi,
    cpu_usage_percent: amount(
      'Processor use of the threads that it runs on, shared out by the busy time of the steps on them; 100 is one core.',
    ),
    memory_usage_mb: amount('Memory in MiB, of what memory_of says; the steps there share it.'),
    memory_of: z
      .enum(['threads', 'process'])
      .meta({ description: 'threads: heap and buffers of the threads of its stage. process: all resident memory.' })
      .optional(),
    io_read_bytes: count('Bytes read from outside, by a source.'),
    io_write_bytes: count('Bytes written to the outside, by a sink.'),
    bytes_in: count('Bytes that came into its stage, with its first step; 0 within.').optional(),
    bytes_out: count('Bytes that left its stage, with its last step; 0 within.').optional(),
    records_processed: count('Records that the step has dealt with.'),
    processing_rate_per_sec: amount('Records a second since the sample before.'),
    error_count: count('Bad records: dropped, dead-lettered, failed or passed on.'),
    avg_processing_time_ms: amount('Busy time per record.'),
    sampled: flag('Its busy time is found by samples: it shares a pass with other steps.').optional(),
    threads: count('Threads of its own stage; 0 where it works on the main thread.').optional(),
    busy_percent: amount('Busy time since the sample before; 100 is one thread.').optional(),
    wait_input_percent: amount(
      'Share of the time that its node waited for input; steps of a stage are one node.',
    ).optional(),
    wait_room_percent: amount('Share of the time that its node waited for room in the queue behind it.').optional(),
    wait_outside_percent: amount('Share of the time that the sink waited for what it writes to.').optional(),
  })
  .meta({ id: 'oxi_metrics' });

const queue = z
  .strictObject({
    from: text('The step that fills it.'),
    to: text('The step that empties it.'),
    bytes: count('Bytes that wait in it.'),
    records: count('Records that wait in it.'),
    fill: z.number().min(0).max(1).meta({ description: 'How full it is; 1 while the step that fills it waits.' }),
  })
  .meta({ id: 'queue' });

const bottleneck = z
  .strictObject({ step, reason: text('One sentence: why this step, and what helps.') })
  .meta({ id: 'bottleneck', description: 'What holds the run back, where it is plain to see.' });

const plan = z
  .strictObject({
    stages: z.array(
      z
        .strictObject({
          stage: count('Number of the stage.'),
          threads: z.int().positive().meta({ description: 'Most threads that it may use.' }),
          tier: z.enum(['bytes', 'spans', 'values']).meta({ description: 'How its records are worked on.' }),
          steps: z.array(
            z
              .strictObject({
                step,
                oxi,
                kind: z.enum(['source', 'parser', 'step', 'formatter', 'sink', 'batch', 'tee']),
              })
              .meta({ id: 'planned_step' }),
          ),
        })
        .meta({ id: 'planned_stage' }),
    ),
  })
  .meta({ id: 'plan' });

/** Each type's own fields. Record content appears in none of them. */
export const payloads = {
  'run.started': z.strictObject({
    plan,
    backend: z
      .strictObject({
        name: text('file, sqlite, redis.'),
        location: text('Where the state is kept, without secrets.'),
      })
      .meta({ id: 'backend' }),
    resumed_from: z
      .strictObject({
        checkpoint: count('Number of the checkpoint.'),
        grade,
        positions,
        records: count('Records read before it.'),
      })
      .meta({ id: 'resumed_from' })
      .nullable()
      .meta({ description: 'The checkpoint that this attempt goes on from; null from the beginning.' }),
    notices: z.array(z.string()).meta({ description: 'What the operator should know before the run.' }),
    process: z
      .strictObject({
        pid: count('Process id.'),
        host: text('Host name.'),
        version: text("The runner's version."),
      })
      .meta({ id: 'runner_process' }),
    left_out: count('Events after this one that are in the file no more: it has a limit, and began anew.').optional(),
  }),
  'step.started': z.strictObject({ step, oxi, stage: count('Number of its stage.') }),
  'step.finished': z.strictObject({
    step,
    oxi,
    status: z.enum(['succeeded', 'failed', 'interrupted', 'skipped']),
    duration_ms: amount('From its start to its end in this attempt.'),
    busy_ms: amount('Time that its threads worked on records, summed, in this attempt.'),
    counters: counters.meta({ description: 'Over all attempts.' }),
  }),
  progress: z.strictObject({
    records: count('Records read so far, over all attempts.'),
    bytes: count('Bytes of the input dealt with so far, over all attempts.'),
    total_bytes: count('Bytes of the whole input, where known.').optional(),
    errors: count('Bad records so far, over all attempts.'),
    dead_lettered: count('Of them, in the dead-letter file, where there are any.').optional(),
    rate_records_per_s: amount('Smoothed over about ten seconds.'),
    rate_bytes_per_s: amount('Smoothed over about ten seconds.'),
    eta_seconds: amount('Time left at this rate, where the total is known.').optional(),
    busiest: z
      .strictObject({ step, busy_percent: amount('Time that its threads worked of late; 100 is one thread.') })
      .meta({ id: 'busiest', description: 'The step that works most at the moment, where one works at all.' })
      .optional(),
  }),
  metrics: z.strictObject({
    interval_ms: amount('Time since the sample before.'),
    process: z
      .strictObject({
        cpu_usage_percent: amount('100 is one core.'),
        memory_usage_mb: amount('Resident memory, MiB.'),
      })
      .meta({ id: 'process_metrics' }),
    steps: z.array(oxiMetrics),
    queues: z.array(queue).meta({ description: 'Between two stages, now.' }).optional(),
    bottleneck: bottleneck.optional(),
  }),
  checkpoint: z.strictObject({
    n: z.int().positive().meta({ description: 'Number of the checkpoint in the run.' }),
    grade,
    positions,
    splits_done: count('Splits read to their end.'),
    splits_total: count('Splits of the run.'),
    records: count('Records read before it, over all attempts.'),
    bytes: count('Bytes of the input before it, over all attempts.'),
  }),
  alert: z.strictObject({
    name: text('Which rule spoke: cpu_threshold, stuck.'),
    severity: z.enum(['warning', 'critical']),
    message: text('One sentence for people.'),
    step: step.optional(),
    value: z.number().meta({ description: 'What was measured.' }).optional(),
    threshold: z.number().meta({ description: 'What it was held against.' }).optional(),
  }),
  log: z.strictObject({
    level: z.enum(['debug', 'info', 'warn', 'error']),
    message: text('For people.'),
    step: step.optional(),
  }),
  'record.dead_lettered': z.strictObject({
    step,
    split: text('Name of the split that the record came from.'),
    offset: count('Where the record begins in its split, in bytes.'),
    code: z
      .enum(['GRAMMAR', 'ENCODING', 'TOO_LARGE', 'VALUE', 'SCHEMA', 'TIMEOUT', 'REFUSED'])
      .meta({ description: 'What kind of error.' })
      .optional(),
    reason: text("Why, without the record's content."),
  }),
  'run.finished': z.strictObject({
    status: z.enum(['succeeded', 'failed', 'interrupted', 'cancelled']),
    exit_code: z.int().min(0).max(255),
    error: failure.optional(),
    checkpoint: count('The last checkpoint; 0 where there was none.'),
    counters: z
      .strictObject({
        total: counters.meta({ description: 'The run as one step, over all attempts: added is read, out is written.' }),
        attempt: counters.meta({ description: 'The same for this attempt.' }),
        steps: z.array(stepCounters),
      })
      .meta({ id: 'run_counters' }),
    durations: z
      .strictObject({
        attempt_ms: amount('This attempt.'),
        total_ms: amount('All attempts, without the time between them.'),
      })
      .meta({ id: 'durations' }),
    outputs: z.array(output),
    bottleneck: bottleneck.optional(),
  }),
} as const;

export type EventType = keyof typeof payloads;

/** What each event tells, in one sentence, for the reference. */
const SUMMARIES: Record<EventType, string> = {
  'run.started': 'An attempt begins: the plan, the state backend, and where it goes on from.',
  'step.started': 'A step was opened.',
  'step.finished': 'A step has ended.',
  progress: 'How far the run is; about once a second.',
  metrics: 'What every step costs, since the sample before.',
  checkpoint: 'A checkpoint is in the store: a later attempt goes on from here.',
  alert: 'Something crossed a threshold.',
  log: 'A line for people.',
  'record.dead_lettered': 'A bad record went to the dead-letter file.',
  'run.finished': 'The attempt ends, always its last event. An attempt without it failed.',
};

export const EVENT_TYPES = Object.keys(payloads) as EventType[];

/** A whole line of one type: the envelope, then the type's own fields. */
export function lineSchema<T extends EventType>(type: T): z.ZodObject {
  return z
    .strictObject({ ...envelope.shape, type: z.literal(type), ...payloads[type].shape })
    .meta({ title: type, description: SUMMARIES[type] });
}

/** JSON Schemas by file name: one a type, and `event` for any of them. */
export function jsonSchemas(): Map<string, unknown> {
  const options = { target: 'draft-2020-12', io: 'output' } as const;
  const schemas = new Map<string, unknown>();
  const lines = EVENT_TYPES.map((type) => lineSchema(type));
  EVENT_TYPES.forEach((type, i) => {
    const line = lines[i];
    if (line !== undefined) schemas.set(type, z.toJSONSchema(line, options));
  });
  const any = z
    .union(lines)
    .meta({ title: 'event', description: 'One line of the event stream of `oxiflow run --events`.' });
  schemas.set('event', z.toJSONSchema(any, options));
  return schemas;
}
