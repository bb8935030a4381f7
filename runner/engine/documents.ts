/**
 * What the two documents of a run hold, checked when they are read: a body of any other shape is corrupt state. The names
 * are those of the stored JSON.
 */
import * as z from 'zod/mini';
import type { $ZodType } from 'zod/v4/core';
import type { Json } from '../state/store.ts';
import { withoutZeros } from './counters.ts';
import { OxiError } from './errors.ts';
import { once } from './once.ts';

/** Made when the first document is read: start-up counts. */
const schemas = once(() => {
  const count = z.int().check(z.nonnegative());
  const json = z.custom<Json>((value) => value !== undefined);
  const jsonObject = z.record(z.string(), json);

  const counted = z._default(count, 0);
  /** Those that are left out are zero. */
  const stepCounters = z.strictObject({
    in: counted,
    added: counted,
    out: counted,
    filtered: counted,
    dropped: counted,
    dead_lettered: counted,
    failed: counted,
    collected: counted,
    passed_on_error: counted,
    bytes_in: counted,
    bytes_out: counted,
  });

  const mark = z.strictObject({ n: count, records: count, bytes: count, data: jsonObject });

  const checkpoint = z.strictObject({
    /** Counts checkpoints of the run, over all attempts. */
    n: count,
    grade: z.enum(['soft', 'hard']),
    /** The boot and host that made it: a soft one is trusted there only. */
    boot_id: z.string(),
    host: z.string(),
    /** ISO time, for people. */
    at: z.string(),
    position: z.strictObject({
      /** Index of the split that is being read. */
      split: count,
      /** Bytes from the start of the split. */
      offset: count,
      /** Where reading goes on in a split that is packed or not UTF-8; see source-text.ts. */
      text: z.exactOptional(z.strictObject({ at: count, raw: count, start: count, carry: z.string() })),
      /** Records read of all splits before the position. */
      ordinal: count,
      framer: json,
      /** Hash of the 64 KB before the offset. */
      fingerprint: z.string(),
      /** Hash over the ends of all splits before this one; empty where there is none. */
      finished: z.string(),
    }),
    /** By id of the step. */
    snapshots: jsonObject,
    marks: z.record(z.string(), mark),
    encoders: jsonObject,
    counters: z.record(z.string(), stepCounters),
    /** Records and bytes read so far, over all attempts. */
    records: count,
    bytes: count,
    /** Milliseconds that the attempts worked so far. */
    elapsed_ms: count,
  });

  const doneSegment = z.strictObject({
    counters: z.record(z.string(), stepCounters),
    outputs: z.array(jsonObject),
    /** Its last checkpoint, and the records, bytes and milliseconds up to there, over all attempts. */
    checkpoint: count,
    records: count,
    bytes: count,
    elapsed_ms: count,
    /** What later steps may refer to, by id of the step. */
    metadata: z.record(z.string(), z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))),
  });

  const splits = z.array(
    z.strictObject({
      index: count,
      place: z.exactOptional(count),
      name: z.string(),
      size: z.exactOptional(count),
      range: z.exactOptional(z.strictObject({ from: count, to: count, framer: json, fingerprint: z.string() })),
    }),
  );

  /** How the work of a run is shared between workers; recorded before the first of them begins. */
  const shared = z.strictObject({
    /** Of `--shard I/N`: N. Split group K belongs to shard K. */
    shards: z.exactOptional(count),
    /** Of `--splits N`: the N of whoever began it. */
    splits: z.exactOptional(count),
    groups: z.array(
      z.strictObject({
        splits,
        /** Who has finished it, and the records and bytes that it read. How is in the group's own document. */
        done: z.exactOptional(z.strictObject({ worker_id: z.string(), at: z.string(), records: count, bytes: count })),
        /** Who failed with it last. Workers that came later may try again. */
        failed: z.exactOptional(
          z.strictObject({
            worker_id: z.string(),
            attempt: count,
            at: z.string(),
            code: z.string(),
            message: z.string(),
            exit_code: count,
          }),
        ),
      }),
    ),
  });

  const run = z.strictObject({
    run_key: z.string(),
    /** Constant over all attempts. */
    run_id: z.string(),
    pipeline: z.string(),
    attempt: count,
    status: z.enum(['running', 'finishing', 'finished', 'failed', 'interrupted']),
    /** The request that it was last worked on for; `invocations`: all of them where there were several, see invocations.ts. */
    invocation: z.exactOptional(z.string()),
    invocations: z.exactOptional(z.array(z.string())),
    plan: z.strictObject({
      steps: z.array(z.strictObject({ id: z.string(), hash: z.string() })),
      parameters_hash: z.string(),
    }),
    stream: z.strictObject({ framing: z.enum(['lines', 'array', 'document', 'rows']), selected: z.boolean() }),
    splits,
    /** Only of a run that several workers share: then `splits` are those of the whole input. */
    shared: z.exactOptional(shared),
    /** The segment that is at work, the first where left out; `stream` and `splits` are its own. */
    segment: z.exactOptional(count),
    /** Which of its sources is read, the first where left out. */
    source: z.exactOptional(count),
    /** What the segments before it have left. */
    done: z.exactOptional(z.array(doneSegment)),
    /** Outputs of earlier runs of this key that it may have to take away, see earlier.ts. */
    replaces: z.exactOptional(
      z.array(z.strictObject({ step: z.string(), path: z.string(), bytes: count, at: z.string() })),
    ),
    /** What the dead-letter file held when the segment began. */
    dead_letters: z.exactOptional(mark),
    /** ISO times. `finished_at`: when the run ended for good; retention counts from it. */
    started_at: z.string(),
    finished_at: z.exactOptional(z.string()),
    error: z.exactOptional(z.strictObject({ code: z.string(), message: z.string() })),
    summary: z.exactOptional(jsonObject),
    worker_id: z.string(),
    /** The checkpoint that this attempt went on from. */
    resumed_from: z.exactOptional(count),
  });

  const split = z.strictObject({
    /** The run that the checkpoints belong to: those of another one count for nothing. */
    run_id: z.exactOptional(z.string()),
    /** And the segment of it, the first where left out. */
    segment: z.exactOptional(count),
    /** The newest of each grade; the soft one only where it is newer than the hard one. */
    checkpoint: z.strictObject({ hard: z.exactOptional(checkpoint), soft: z.exactOptional(checkpoint) }),
    /** The last checkpoint covers everything: what is left is to make the outputs visible. */
    finishing: z.exactOptional(z.boolean()),
  });

  return { checkpoint, doneSegment, run, split };
});

type Schemas = ReturnType<typeof schemas>;
export type Checkpoint = z.infer<Schemas['checkpoint']>;
export type DoneSegment = z.infer<Schemas['doneSegment']>;
export type RunDocument = z.infer<Schemas['run']>;
export type SplitDocument = z.infer<Schemas['split']>;

/** The body of a split document; `parseSplitDocument` gives it back whole. */
export function splitBody(document: SplitDocument): { [key: string]: Json } {
  const grades = Object.entries(document.checkpoint).map(([grade, checkpoint]) => {
    const counters = Object.entries(checkpoint.counters).map(([id, counted]) => [id, withoutZeros(counted)]);
    return [grade, { ...checkpoint, counters: Object.fromEntries(counters) }];
  });
  return { ...document, checkpoint: Object.fromEntries(grades) };
}

/** Throws OxiError STATE_CORRUPT where `body` is no run document. */
export function parseRunDocument(body: { [key: string]: Json }): RunDocument {
  return parseBody(schemas().run, body, 'run document');
}

/** Throws OxiError STATE_CORRUPT where `body` is no split document. */
export function parseSplitDocument(body: { [key: string]: Json }): SplitDocument {
  return parseBody(schemas().split, body, 'split document');
}

/** The body of any document of a run; throws OxiError STATE_CORRUPT where it is not of the form of `schema`. */
export function parseBody<T>(schema: $ZodType<T>, body: { [key: string]: Json }, what: string): T {
  const result = z.safeParse(schema, body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys : [];
  const field = [...(issue?.path ?? []), ...unknown.slice(0, 1)].join('.');
  throw new OxiError(
    'STATE_CORRUPT',
    `the saved ${what} is not of the form that this oxiflow knows: ${unknown.length > 0 ? 'unknown' : 'wrong'} field ${field}. ` +
      'Use the oxiflow that wrote it, or start over with --fresh',
    { place: { field }, cause: result.error },
  );
}
